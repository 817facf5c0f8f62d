//! What a condition remembers of one device from sample to sample, beyond the metric's last value. It is state like any
//! other: part of every delta, and kept while the rule means the same.

/// The memory of one condition on one device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Memory {}
