//! What a condition remembers of one device from sample to sample, beyond the metric's last value. It is state like any
//! other: part of every delta, and kept while the rule means the same.

use smol_str::SmolStr;

/// The most alarms of one device that are remembered as active at once.
pub(crate) const ALARMS_MAX: usize = 16;

/// The memory of one condition on one device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Memory {
    /// Codes of the alarms that the device has raised and not ended, sorted.
    Alarms(Vec<SmolStr>),
}
