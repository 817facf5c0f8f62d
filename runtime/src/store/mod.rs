//! What is stored of a batch: which device was what at which record, and rows as the tables take them.
//!
//! Ports stand between it and the services; it refuses to know those, and what is evaluated.

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

/// What devices were, and how far each shard's part of that has changed.
pub trait Registry: Sync {
    /// How a shard's part stands.
    fn part(&self, shard: &str) -> impl Future<Output = Result<Part, PortError>> + Send;

    /// What these devices were. One that is not known has no entry.
    fn load(&self, devices: &[SmolStr]) -> impl Future<Output = Result<Vec<(SmolStr, History)>, PortError>> + Send;

    /// Keeps what devices were before anything was stored, unless anything is known of one. Doing it twice changes nothing.
    fn begin(&self, devices: &[(SmolStr, History)]) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Keeps what devices were, unless as much is known of one by now. Doing it twice changes nothing.
    fn save(&self, devices: &[(SmolStr, History)]) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Counts a change of a shard's part, and gives its version from here on. Whoever has an older one loads again.
    /// `begun` says that its states have been asked, if they had not been before.
    fn change(&self, shard: &str, begun: bool) -> impl Future<Output = Result<u64, PortError>> + Send;
}

/// How a shard's part of what devices were stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// How often it has changed.
    pub version: u64,
    /// Whether what states know of the shard's devices is in it.
    pub begun: bool,
}

/// What a shard's chain of states knows of its devices: more than the stream where they were registered before anything
/// was stored.
pub trait Chains: Sync {
    /// The shard's devices; none while the chain knows of none.
    ///
    /// # Errors
    /// If a part of the chain cannot be read: what it does not say would be lost for good.
    fn registered(&self, shard: &str) -> impl Future<Output = Result<Vec<Registration>, PortError>> + Send;
}

/// Where rows go to stay, in whatever calls.
pub trait Keeping: Sync {
    /// A row as it goes there.
    fn encode(&self, row: &Whole<'_>) -> Encoded;

    /// Hands the rows of a shard over while there is time. [`Left::first`] is the place of a row.
    fn hand_over(
        &self,
        shard: &str,
        rows: &[StoredRow],
        has_time: &(impl Fn() -> bool + Sync),
    ) -> impl Future<Output = Handed> + Send;
}

/// A row as it goes to where it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// What is handed over.
    pub bytes: Bytes,
    /// All of it, where some cannot be handed over.
    pub whole: Option<Bytes>,
}

impl Encoded {
    /// As JSON by column, which holds all of it.
    pub fn json(row: &Whole<'_>) -> Self {
        Self { bytes: row.to_json().into(), whole: None }
    }
}

/// What became of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// The first that was left, if any was.
    pub left: Option<Left>,
    /// How many will never be taken, and lie where those lie.
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
    /// One call, of [`handover::ROWS_MAX`] rows and [`handover::ROWS_BYTES_MAX`] bytes at most: for each row why it was
    /// not taken.
    fn put(&self, rows: Vec<Bytes>) -> impl Future<Output = Result<Vec<Option<String>>, PortError>> + Send;
}

/// Where the newest rows are found fast.
pub trait HotRows: Sync {
    /// One call, of [`handover::ITEMS_MAX`] items at most: for each item why it was not taken.
    fn put(&self, items: Vec<Arc<Item>>) -> impl Future<Output = Result<Vec<Option<String>>, PortError>> + Send;
}
