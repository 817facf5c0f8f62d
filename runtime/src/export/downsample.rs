//! Whether aggregates are made beside the samples of a day, and over which intervals.
//!
//! An aggregate is made of all samples that its interval has: of those that the table has, and of those in earlier exports.
//! So none is made any more once these may have expired, and one that is there stays as it is.

use fleetform_engine::units::{Millis, Timestamp};

use super::{Exporter, manifest::Manifest};
use crate::iceberg::snapshot::Day;

/// How aggregates are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Downsample {
    /// How long an interval is: a part of a day, in whole seconds.
    pub every: Millis,
    /// How long after its end a day is sure to have all of its exported files: as long as these are kept.
    pub until: Millis,
}

impl<C, F, K> Exporter<C, F, K> {
    /// How long the intervals are of aggregates that an export makes of a day, in seconds; none if it makes none. All of one
    /// day are of one length, whatever was asked for meanwhile.
    pub(super) fn every_s(&self, earlier: &[Manifest], day: Day, now: Timestamp) -> Option<u64> {
        let Downsample { every, until } = self.downsample.filter(|asked| now.since(day.end()) < asked.until)?;
        debug_assert!(every > Millis(0) && until > Millis(0));
        let known = earlier.iter().find_map(|export| export.aggregates.as_ref());
        Some(known.map_or(every.as_secs(), |known| known.every_s))
    }

    /// Whether exports of a day lack aggregates that are asked for.
    pub(super) fn lacks_aggregates(&self, earlier: &[Manifest], day: Day, now: Timestamp) -> bool {
        !are_whole(earlier) && self.every_s(earlier, day, now).is_some()
    }
}

/// Whether all that is exported of a day has aggregates, so that those of a further export are about what changes with it.
/// One that follows an export without any makes all of them.
pub(super) fn are_whole(earlier: &[Manifest]) -> bool {
    let last = earlier.iter().rev().find(|export| !export.is_removal());
    last.is_none_or(|export| export.aggregates.is_some())
}

#[cfg(test)]
#[path = "downsample_tests.rs"]
mod tests;
