//! What is stored of a batch: which device had which type and zone at which record, and rows in the form that the
//! tables take.
//!
//! Ports separate it from the services. It does not know the services, or what is evaluated.

pub mod batch;
pub mod chains;
pub mod handover;
pub mod history;
pub mod hot;
pub mod known;
pub mod measures;
#[cfg(test)]
pub(crate) mod memory;
pub mod row;
pub mod timestream;
#[cfg(test)]
pub(crate) mod timestream_memory;

use std::sync::Arc;

use bytes::Bytes;
use fleetform_engine::{drive::PortError, state::Registration};
use smol_str::SmolStr;

use batch::StoredRow;
use history::History;
use hot::Item;
use row::Whole;

use crate::leftovers::Left;

/// The devices' histories, and a version for each shard's part of them.
pub trait Registry: Sync {
    /// The state of a shard's part.
    fn part(&self, shard: &str) -> impl Future<Output = Result<Part, PortError>> + Send;

    /// Loads these devices' histories. An unknown device has no entry.
    fn load(&self, devices: &[SmolStr]) -> impl Future<Output = Result<Vec<(SmolStr, History)>, PortError>> + Send;

    /// Saves the histories from before anything was stored, except for devices that already have one. Idempotent.
    fn begin(&self, devices: &[(SmolStr, History)]) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Saves histories, except for devices whose saved history is at least as recent. Idempotent.
    fn save(&self, devices: &[(SmolStr, History)]) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Counts a change of a shard's part and returns its version from here on; a reader with an older version loads
    /// again. `begun` marks the shard's states as having been read, if they were not already.
    fn change(&self, shard: &str, begun: bool) -> impl Future<Output = Result<u64, PortError>> + Send;
}

/// The state of a shard's part of the devices' histories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The number of changes so far.
    pub version: u64,
    /// Whether it includes what the shard's states know of its devices.
    pub begun: bool,
}

/// What a shard's chain of states knows of its devices. It knows more than the stream if devices were registered before
/// anything was stored.
pub trait Chains: Sync {
    /// The shard's devices; empty while the chain knows of none.
    ///
    /// # Errors
    /// If a part of the chain cannot be read: whatever it holds would be lost for good.
    fn registered(&self, shard: &str) -> impl Future<Output = Result<Vec<Registration>, PortError>> + Send;
}

/// The permanent store for rows, whatever calls it takes.
pub trait Keeping: Sync {
    /// Encodes a row for this store.
    fn encode(&self, row: &Whole<'_>) -> Encoded;

    /// Hands over a shard's rows while there is time. [`Left::first`] is the index of a row.
    fn hand_over(
        &self,
        shard: &str,
        rows: &[StoredRow],
        has_time: &(impl Fn() -> bool + Sync),
    ) -> impl Future<Output = Handed> + Send;
}

/// A row encoded for its permanent store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes to hand over.
    pub bytes: Bytes,
    /// The complete row, if part of it cannot be handed over.
    pub whole: Option<Bytes>,
}

impl Encoded {
    /// Encodes a row as JSON by column, which is complete.
    pub fn json(row: &Whole<'_>) -> Self {
        Self { bytes: row.to_json().into(), whole: None }
    }
}

/// The result of handing rows over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// The first row that was left, if any.
    pub left: Option<Left>,
    /// The number of rows that the store will never take, and that have been set aside.
    pub refused: usize,
}

impl<R: Rows> Keeping for R {
    fn encode(&self, row: &Whole<'_>) -> Encoded {
        Encoded::json(row)
    }

    async fn hand_over(&self, _: &str, rows: &[StoredRow], has_time: &(impl Fn() -> bool + Sync)) -> Handed {
        Handed { left: handover::rows(self, rows, has_time).await.err(), refused: 0 }
    }
}

/// A table that rows are appended to.
pub trait Rows: Sync {
    /// Makes one call, with at most [`handover::ROWS_MAX`] rows and [`handover::ROWS_BYTES_MAX`] bytes. Returns for
    /// each row the reason why it was rejected, if it was.
    fn put(&self, rows: Vec<Bytes>) -> impl Future<Output = Result<Vec<Option<String>>, PortError>> + Send;
}

/// A store for fast access to the newest rows.
pub trait HotRows: Sync {
    /// Makes one call, with at most [`handover::ITEMS_MAX`] items. Returns for each item the reason why it was
    /// rejected, if it was.
    fn put(&self, items: Vec<Arc<Item>>) -> impl Future<Output = Result<Vec<Option<String>>, PortError>> + Send;
}
