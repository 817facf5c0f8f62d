//! `[export]`: when each day of samples is exported to Parquet files, and how those are laid out.

pub(crate) mod schedule;

use fleetform_engine::units::Millis;
use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{message::Message, retention::Retention, storage::RawEngine, zone::check_timezone};
use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    schema::types::Duration,
    source::At,
};
use schedule::Rhythm;

/// When exports run unless the file sets it.
const SCHEDULE: &str = "cron(30 2 * * ? *)";

/// How long a late sample may stay invisible to Timestream queries after it was written ("Writes", best practices in
/// the Amazon Timestream developer guide).
const MAGNETIC_DELAY: Millis = Millis::from_secs(6 * 3_600);

const DAY: Millis = Millis::from_secs(86_400);

/// `[export]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawExport {
    /// When exports run, as an Amazon EventBridge Scheduler expression: `cron(…)` or `rate(…)`.
    #[schemars(extend("default" = SCHEDULE))]
    pub(crate) schedule: Option<String>,
    /// The IANA time zone that `schedule` is evaluated in.
    #[schemars(extend("default" = "UTC"))]
    pub(crate) timezone: Option<String>,
    /// The order of the folders: zones that contain days, or days that contain zones.
    #[schemars(extend("default" = ["zone", "day"], "minItems" = 2, "maxItems" = 2))]
    pub(crate) partition_by: Option<Vec<Key>>,
    /// File format: Apache Parquet.
    #[serde(rename = "format")]
    #[schemars(extend("default" = "parquet"))]
    pub(crate) _format: Option<Format>,
    /// Compression of the columns: `zstd` makes the smallest files; `snappy` and `gzip` are for readers that lack it.
    #[schemars(extend("default" = "zstd"))]
    pub(crate) compression: Option<Compression>,
}

/// File formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Format {
    Parquet,
}

/// Compression of the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Compression {
    /// Zstandard.
    #[default]
    Zstd,
    /// Snappy.
    Snappy,
    /// Gzip.
    Gzip,
}

impl Compression {
    /// Its spelling in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
        }
    }
}

/// What folders are partitioned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Key {
    Zone,
    Day,
}

/// When and how days are exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// An EventBridge Scheduler expression.
    pub schedule: SmolStr,
    /// The longest time between two runs, in whole days if the schedule follows the calendar.
    pub longest_gap: Millis,
    /// The IANA name of the time zone that the expression is evaluated in.
    pub timezone: SmolStr,
    /// How long after its end a day is exported: until then, its samples may still arrive in time.
    pub after: Millis,
    /// The order of the folders.
    pub layout: Layout,
    /// Compression of the columns.
    pub compression: Compression,
}

/// The order of the folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Zones that contain days.
    ZoneDay,
    /// Days that contain zones.
    DayZone,
}

impl Layout {
    /// The items of `export.partition_by`, joined by a comma.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ZoneDay => "zone,day",
            Self::DayZone => "day,zone",
        }
    }
}

impl RawExport {
    /// Checks the table against the retention times.
    pub(crate) fn check(
        &self,
        engine: RawEngine,
        message: &Message,
        retention: &Retention,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Export {
        let schedule = self.schedule.as_deref().unwrap_or(SCHEDULE);
        let after = match engine {
            RawEngine::Iceberg => message.max_past_ms,
            RawEngine::Timestream => Millis(message.max_past_ms.0.saturating_add(MAGNETIC_DELAY.0)),
        };
        let rhythm = Rhythm::parse(schedule);
        let longest_gap = rhythm.as_ref().map_or(Millis(0), |rhythm| rhythm.longest_gap);
        match rhythm {
            Ok(rhythm) => check_in_time(engine, rhythm, after, retention, at, context),
            Err(problem) => {
                let diagnostic =
                    Diagnostic::new(Code::InvalidSchedule, context.value(&at.key("schedule")), problem.to_string());
                context.report(diagnostic.help(format!("each night at half past two: \"{SCHEDULE}\"")));
            }
        }
        let timezone = self.timezone.as_deref().unwrap_or("UTC");
        check_timezone(timezone, &at.key("timezone"), context);
        Export {
            schedule: schedule.into(),
            longest_gap,
            timezone: timezone.into(),
            after,
            layout: self.check_layout(at, context),
            compression: self.compression.unwrap_or_default(),
        }
    }

    fn check_layout(&self, at: &At<'_>, context: &Context<'_>) -> Layout {
        match self.partition_by.as_deref() {
            None | Some([Key::Zone, Key::Day]) => Layout::ZoneDay,
            Some([Key::Day, Key::Zone]) => Layout::DayZone,
            Some(_) if context.is_broken(&at.key("partition_by")) => Layout::ZoneDay,
            Some(_) => {
                let message = "the folders are made by zone and by day, each once";
                let diagnostic = Diagnostic::new(Code::Duplicate, context.value(&at.key("partition_by")), message);
                context.report(diagnostic.help("write [\"zone\", \"day\"] or [\"day\", \"zone\"]"));
                Layout::ZoneDay
            }
        }
    }
}

/// How long before its samples leave Timestream a day is first queried in exported files, including the duration of a
/// run.
const QUERIED_IN_FILES: Millis = Millis::from_secs(2 * 3_600);

/// Reports a schedule that exports a day only after its retention in the table has ended.
fn check_in_time(
    engine: RawEngine,
    rhythm: Rhythm,
    after: Millis,
    retention: &Retention,
    at: &At<'_>,
    context: &Context<'_>,
) {
    let latest = Millis(after.0.saturating_add(rhythm.longest_gap.0));
    let kept = match engine {
        RawEngine::Iceberg => retention.warm,
        // A sample leaves by its own time, so the first of a day leaves a day before the last.
        RawEngine::Timestream => Millis(retention.warm.0.saturating_sub(DAY.0 + QUERIED_IN_FILES.0)),
    };
    if latest <= kept {
        return;
    }
    let warm = At::root("retention");
    let warm = warm.key("warm");
    let message = format!(
        "a day may be exported as late as `{}` after its end, and `retention.warm` is `{}`{}",
        Duration::write(latest),
        Duration::write(retention.warm),
        match engine {
            RawEngine::Iceberg => "",
            RawEngine::Timestream => ", counted from each sample",
        }
    );
    let schedule = at.key("schedule");
    // At least one of the two is written, because the defaults are consistent.
    let (place, other) = if context.is_written(&schedule) { (&schedule, &warm) } else { (&warm, &schedule) };
    let mut diagnostic = Diagnostic::new(Code::TimesOutOfOrder, context.value(place), message);
    if context.is_written(other) {
        diagnostic = diagnostic.related(context.value(other), "does not fit to this");
    }
    context.report(diagnostic.help("export more often, or keep samples in their table for longer"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    const PLATFORM: &str = include_str!("../../../tests/fixtures/valid/minimal/platform.toml");

    /// The problems found in a platform with these tables, and the number of related locations of each.
    fn found(tables: &str) -> Vec<(Code, usize)> {
        let checked = check("platform.toml", format!("{PLATFORM}\n{tables}"));
        checked.diagnostics.into_iter().map(|found| (found.code, found.related.len())).collect()
    }

    #[test]
    fn case_07_a_tier_that_ends_before_the_next_begins_names_both_places() {
        let order = Code::TimesOutOfOrder;
        let hot = "[storage]\nhot = \"dynamodb\"\n";
        assert_eq!(found(&format!("{hot}[retention]\nhot = \"20d\"\nwarm = \"14d\"")), [(order, 1)]);
        assert_eq!(found("[retention]\nwarm = \"60d\"\ncold = \"30d\""), [(order, 1)]);
        let monthly = "[export]\nschedule = \"cron(0 3 1 * ? *)\"";
        assert_eq!(found(&format!("[retention]\nwarm = \"7d\"\n{monthly}")), [(order, 1)]);
        // If the other one is a default, there is only one location.
        assert_eq!(found(monthly), [(order, 0)]);
        assert_eq!(found(&format!("{hot}[retention]\nhot = \"30d\"\nwarm = \"30d\"")), []);
        assert_eq!(found("[retention]\nwarm = \"2d\"\n[export]\nschedule = \"rate(1 day)\""), []);
    }
}
