//! What a condition remembers of one device from sample to sample, beyond the metric's last value. It is state like
//! any other: part of every delta, and kept while the rule's meaning stays the same.

use smol_str::SmolStr;

use super::{
    anomaly::{Estimate, Past},
    count::Met,
    flatline::Anchor,
};

/// Maximum number of alarms of one device that are remembered as active at once.
pub(crate) const ALARMS_MAX: usize = 16;

/// The memory of one condition on one device.
#[derive(Debug, PartialEq)]
pub(crate) enum Memory {
    /// Codes of the alarms that the device has raised and not ended, sorted.
    Alarms(Vec<SmolStr>),
    /// What is normal for the device.
    Anomaly(Past),
    /// The line of a value that does not change.
    Flatline(Anchor),
    /// The times at which samples met the condition.
    Count(Met),
    /// The value came from the one that the condition names, and has stayed since.
    Stepped,
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        match self {
            Self::Alarms(codes) => Self::Alarms(codes.clone()),
            Self::Anomaly(past) => Self::Anomaly(past.clone()),
            Self::Flatline(anchor) => Self::Flatline(*anchor),
            Self::Count(met) => Self::Count(met.clone()),
            Self::Stepped => Self::Stepped,
        }
    }

    /// Reuses the existing buffers if the kind is the same, since every record makes a copy.
    fn clone_from(&mut self, source: &Self) {
        match (self, source) {
            (Self::Alarms(codes), Self::Alarms(from)) => codes.clone_from(from),
            (Self::Anomaly(past), Self::Anomaly(from)) => past.clone_from(from),
            (Self::Count(met), Self::Count(from)) => met.clone_from(from),
            (place, source) => *place = source.clone(),
        }
    }
}

impl Memory {
    /// Returns the approximate number of bytes that it takes in a delta.
    pub(crate) fn encoded_bytes(&self) -> usize {
        match self {
            Self::Anomaly(Past { estimate, .. }) => {
                48 + match estimate {
                    Estimate::Ewma(_) => 24,
                    Estimate::Zscore(zscore) => 20 * zscore.buckets.len(),
                    Estimate::Mad(mad) => 4 * mad.values.len(),
                }
            }
            Self::Alarms(codes) => codes.iter().map(|code| 2 + code.len()).sum(),
            Self::Flatline(_) => 30,
            Self::Count(met) => 16 + 4 * met.gaps.len(),
            Self::Stepped => 1,
        }
    }
}
