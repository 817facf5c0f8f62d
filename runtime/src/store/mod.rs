//! What is stored of a batch: which device was what at which record, and rows as the tables take them.
//!
//! Ports stand between it and the services; it refuses to know those, and what is evaluated.

pub mod batch;
pub mod chains;
pub mod handover;
pub mod history;
pub mod hot;
pub mod known;
#[cfg(test)]
pub(crate) mod memory;
pub mod row;

use std::sync::Arc;

use bytes::Bytes;
use fleetform_engine::{drive::PortError, state::Registration};
use smol_str::SmolStr;

use history::History;
use hot::Item;

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

/// Where rows go to stay.
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
