//! What a consumer answers: how much it read, and what it found there.

use serde::{Deserialize, Serialize};

/// The counts of one pass over a corpus. Every consumer must come to the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Records read, malformed ones too.
    pub records: u64,
    /// Records that are no message.
    pub malformed: u64,
    /// Rules that began to hold on a device.
    pub alerts: u64,
    /// Rules that held on a device and hold no more.
    pub resolved: u64,
    /// Alerts that a cooldown held back.
    pub suppressed: u64,
}

/// What a consumer prints, as one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The counts of each pass.
    #[serde(flatten)]
    pub tally: Tally,
    /// Processor time of all counted passes, in seconds.
    pub cpu_s: f64,
    /// Counted passes.
    pub passes: u64,
    /// Allocations in the counted passes, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations: Option<u64>,
}
