//! What a run leaves behind for the next one, in case it brings down the whole process: a record can exhaust the
//! memory or abort, and then nothing is left to report it. Attempts at a batch are counted. A batch that was
//! attempted too often goes record by record, and each record's name is left before it is evaluated. A name that is
//! still there afterwards belongs to the record that brought the process down.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::position::SequenceNumber;

/// From this attempt on, a batch goes record by record.
pub const BATCH_TRIES: u32 = 3;

/// The note that a run leaves for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crumb {
    /// Sequence number of the first record of the batch.
    pub first: SequenceNumber,
    /// Number of attempts at the batch.
    pub tries: u32,
    /// Sequence number of the record that is being evaluated alone.
    pub alone: Option<SequenceNumber>,
}

/// A store for crumbs that outlives the process, but need not outlive the machine. A lost crumb costs more attempts
/// and nothing else, so failures are not reported.
pub trait Crumbs: Sync + fmt::Debug {
    /// Returns the crumb of a shard.
    fn find(&self, shard: &str) -> Option<Crumb>;

    /// Replaces the crumb of a shard, or removes it.
    fn leave(&self, shard: &str, crumb: Option<Crumb>);
}
