//! `[stream]`: the telemetry stream.

use fleetform_engine::units::Millis;

/// The telemetry stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// How it scales.
    pub mode: Mode,
    /// How long records stay, in whole hours: 48 to 8,760.
    pub retention: Millis,
    /// Whether `evaluate` reads by enhanced fan-out.
    pub fan_out: bool,
    /// Part of every key of the state log; a new one starts with no state.
    pub generation: u32,
}

/// How the stream scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By itself.
    OnDemand,
    /// By the number of shards in the file.
    Provisioned {
        /// At least 1.
        shards: u32,
    },
}
