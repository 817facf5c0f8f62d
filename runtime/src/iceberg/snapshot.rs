//! What a table's metadata says about its rows: the columns as they are now, and where the newest snapshot is.

use std::{collections::BTreeMap, fmt, str::FromStr};

use fleetform_engine::units::{Millis, Timestamp};
use jiff::{ToSpan as _, civil};
use serde::Deserialize;
use smol_str::SmolStr;

use super::{Metadata, Unfit};
use crate::frame;

/// A table as it was at a time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// Its id.
    pub snapshot_id: i64,
    /// Its place among all snapshots.
    #[serde(default)]
    pub sequence_number: i64,
    /// Where the list of its manifests is.
    pub manifest_list: String,
    /// What was done, and how much there is then.
    #[serde(default)]
    pub summary: BTreeMap<String, String>,
}

impl Metadata {
    /// The newest snapshot; none while the table never had a row.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| Some(snapshot.snapshot_id) == self.current_snapshot_id)
    }

    /// The columns of the current schema.
    ///
    /// # Errors
    /// If there is no current schema, or a column in it that no table of samples has.
    pub fn columns(&self) -> Result<Vec<frame::Field>, Unfit> {
        Ok(self.schema()?.into_iter().map(|(id, column)| frame::Field { id, column }).collect())
    }
}

/// A part of the table: what its devices sampled in a zone on a day of UTC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The day, by which partitions are in order.
    pub day: Day,
    /// The zone.
    pub zone: SmolStr,
}

/// A day of UTC, in days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The day of a moment.
    pub fn of(at: Timestamp) -> Self {
        let days = at.0.div_euclid(DAY_MS).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        Self(i32::try_from(days).unwrap_or(i32::MAX))
    }

    /// When it begins.
    pub fn begin(self) -> Timestamp {
        Timestamp(i64::from(self.0) * DAY_MS)
    }

    /// When it is over.
    pub fn end(self) -> Timestamp {
        self.begin().after(Millis::from_days(1))
    }
}

const DAY_MS: i64 = Millis::from_days(1).0.cast_signed();

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match civil::date(1970, 1, 1).checked_add(i64::from(self.0).days()) {
            Ok(date) => write!(f, "{date}"),
            Err(_) => write!(f, "day{}", self.0),
        }
    }
}

impl FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let date: civil::Date = text.parse().map_err(|_| NoDay)?;
        let days = civil::date(1970, 1, 1).until(date).map_err(|_| NoDay)?.get_days();
        Ok(Self(days))
    }
}

/// A text is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a day is written as in 2026-01-31")]
pub struct NoDay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_and_read() {
        for (day, text) in [(0, "1970-01-01"), (-1, "1969-12-31"), (20_484, "2026-01-31")] {
            assert_eq!(Day(day).to_string(), text);
            assert_eq!(text.parse(), Ok(Day(day)));
        }
        assert_eq!("2026-02-30".parse::<Day>(), Err(NoDay));
    }

    #[test]
    fn a_moment_is_of_the_day_that_ends_next() {
        let day = Day(20_484);
        assert_eq!(Day::of(Timestamp(day.end().0 - 1)), day);
        assert_eq!(Day::of(day.end()), Day(20_485));
        assert_eq!(Day::of(Timestamp(-1)), Day(-1));
    }
}
