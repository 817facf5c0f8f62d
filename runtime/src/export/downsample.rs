//! Whether aggregates are exported along with a day's samples, and over which intervals.
//!
//! An aggregate covers all samples of its interval: those in the table, and those in earlier exports. So none is made
//! once these may have expired, and existing ones stay unchanged.

use fleetform_engine::units::{Millis, Timestamp};

use super::{Exporter, manifest::Manifest};
use crate::iceberg::snapshot::Day;

/// How aggregates are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Downsample {
    /// The length of an interval: a fraction of a day, in whole seconds.
    pub every: Millis,
    /// How long after its end a day is sure to have all of its exported files, which is how long they are kept.
    pub until: Millis,
}

impl<C, F, K> Exporter<C, F, K> {
    /// The length in seconds of the intervals over which an export aggregates a day; `None` if it makes no aggregates.
    /// All intervals of a day have the same length, even if the setting has changed.
    pub(super) fn every_s(&self, earlier: &[Manifest], day: Day, now: Timestamp) -> Option<u64> {
        let Downsample { every, until } = self.downsample.filter(|asked| now.since(day.end()) < asked.until)?;
        debug_assert!(every > Millis(0) && until > Millis(0));
        let known = earlier.iter().find_map(|export| export.aggregates.as_ref());
        Some(known.map_or(every.as_secs(), |known| known.every_s))
    }

    /// Whether the exports of a day lack aggregates that are wanted.
    pub(super) fn lacks_aggregates(&self, earlier: &[Manifest], day: Day, now: Timestamp) -> bool {
        !are_whole(earlier) && self.every_s(earlier, day, now).is_some()
    }
}

/// Whether all exported samples of a day are aggregated. Then another export's aggregates only cover the intervals that
/// change with it; otherwise it makes all of them.
pub(super) fn are_whole(earlier: &[Manifest]) -> bool {
    let last = earlier.iter().rev().find(|export| !export.is_removal());
    last.is_none_or(|export| export.aggregates.is_some())
}

#[cfg(test)]
#[path = "downsample_tests.rs"]
mod tests;
