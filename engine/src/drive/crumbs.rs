//! What a run leaves behind for the one after it, in case it takes its whole process down: a record can exhaust the
//! memory, or abort, and then nobody is left to say so. Tries of a batch are counted; one that was tried too often goes
//! record by record, and each leaves its name before it is evaluated. A name that is still there is the killer's.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::position::SequenceNumber;

/// At this try a batch goes record by record.
pub const BATCH_TRIES: u32 = 3;

/// What a run leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crumb {
    /// The first record of the batch.
    pub first: SequenceNumber,
    /// How often the batch was tried.
    pub tries: u32,
    /// The record that is being evaluated alone.
    pub alone: Option<SequenceNumber>,
}

/// Where crumbs are kept: it outlives the process, and need not outlive the machine. A crumb that is lost costs more
/// tries and nothing else, so nobody is told.
pub trait Crumbs: Sync + fmt::Debug {
    /// The crumb of a shard.
    fn find(&self, shard: &str) -> Option<Crumb>;

    /// Replaces the crumb of a shard, or takes it away.
    fn leave(&self, shard: &str, crumb: Option<Crumb>);
}
