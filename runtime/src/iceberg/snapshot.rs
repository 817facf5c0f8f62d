//! What a table's metadata holds about its rows: the current columns, and the newest snapshot.

use std::{collections::BTreeMap, fmt, str::FromStr};

use fleetform_engine::units::{Millis, Timestamp};
use jiff::{ToSpan as _, civil};
use serde::Deserialize;
use smol_str::SmolStr;

use super::{Metadata, Unfit};
use crate::frame;

/// The table at one point in time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// The snapshot's id.
    pub snapshot_id: i64,
    /// The snapshot's position in the order of all snapshots.
    #[serde(default)]
    pub sequence_number: i64,
    /// The path of its manifest list.
    pub manifest_list: String,
    /// The operation, and the totals after it.
    #[serde(default)]
    pub summary: BTreeMap<String, String>,
}

impl Metadata {
    /// The newest snapshot; `None` while the table has never had a row.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| Some(snapshot.snapshot_id) == self.current_snapshot_id)
    }

    /// The columns of the current schema.
    ///
    /// # Errors
    /// If there is no current schema, or if it has a column that tables of samples do not have.
    pub fn columns(&self) -> Result<Vec<frame::Field>, Unfit> {
        Ok(self.schema()?.into_iter().map(|(id, column)| frame::Field { id, column }).collect())
    }
}

/// A partition of the table: the samples of a zone's devices on a UTC day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The day, which comes first in the order of partitions.
    pub day: Day,
    /// The zone's id.
    pub zone: SmolStr,
}

/// A UTC day, in days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The day of a point in time.
    pub fn of(at: Timestamp) -> Self {
        let days = at.0.div_euclid(DAY_MS).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        Self(i32::try_from(days).unwrap_or(i32::MAX))
    }

    /// The start of the day.
    pub fn begin(self) -> Timestamp {
        Timestamp(i64::from(self.0) * DAY_MS)
    }

    /// The end of the day, which is the start of the next.
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

/// A string is not a valid day.
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
