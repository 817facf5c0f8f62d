//! The output of a consumer: how much it read, and what it found.

use serde::{Deserialize, Serialize};

/// The counts of one pass over a corpus, which must be the same for every consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Records read, including malformed ones.
    pub records: u64,
    /// Malformed records.
    pub malformed: u64,
    /// Rules that started to hold on a device.
    pub alerts: u64,
    /// Rules that held on a device and no longer do.
    pub resolved: u64,
    /// Alerts that were suppressed by a cooldown.
    pub suppressed: u64,
}

/// The output of a consumer, as one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The counts of each pass.
    #[serde(flatten)]
    pub tally: Tally,
    /// The processor time of all counted passes, in seconds.
    pub cpu_s: f64,
    /// The number of counted passes.
    pub passes: u64,
    /// The number of allocations in the counted passes, if they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations: Option<u64>,
}
