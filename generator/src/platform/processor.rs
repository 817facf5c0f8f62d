//! `[processor]`: the function that evaluates the stream.

use fleetform_engine::units::Millis;

/// The function that evaluates the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Processor {
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Processor architecture.
    pub arch: Arch,
    /// Records a batch.
    pub batch_size: u32,
    /// Longest wait for a batch to fill, in whole seconds.
    pub batch_window: Millis,
    /// Age at which the event source gives a record up.
    pub max_record_age: Millis,
    /// Longest time between two bases of a shard's state.
    pub checkpoint_every: Millis,
    /// A firing seen later than this goes to the history only.
    pub max_alert_delay: Millis,
    /// Reserved concurrency.
    pub reserved: Option<u32>,
}

/// Processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Arm64,
}

impl Arch {
    /// As CloudFormation writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}
