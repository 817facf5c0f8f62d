//! `export`: exports days of the table of samples as Parquet files, those that are over or those that an event names,
//! and removes days from the table that have been there long enough.

use std::ops::RangeInclusive;

use bytes::Bytes;
use fleetform_engine::units::{Millis, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    export::{Exports, Report},
    host::{Deadline, Failure, Handler},
    iceberg::snapshot::Day,
    telemetry::{Metrics, Unit},
};

/// Time that must be left to start another day of a zone.
const BEGIN_TIME: Millis = Millis(90_000);

/// The handler.
#[derive(Debug)]
pub struct Export<E> {
    /// The exporter.
    pub exporter: E,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
}

/// The requested days. A schedule requests none, which means all.
#[derive(Debug, Default, Deserialize)]
struct Event {
    from: Option<String>,
    to: Option<String>,
}

/// The answer to the caller.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The number of days of zones that were exported.
    pub exported: usize,
    /// The number of samples in them.
    pub samples: u64,
    /// The number of days of zones that were already exported completely.
    pub unchanged: usize,
    /// The number of rows removed from the table.
    pub removed: u64,
}

impl<E: Exports + Send> Handler for Export<E> {
    type Answer = Answer;

    async fn handle(&self, body: Bytes, deadline: Deadline, metrics: &mut Metrics) -> Result<Answer, Failure> {
        let days = days(&body).map_err(|message| Failure { kind: "bad_event", message })?;
        let has_time = || deadline.left((self.clock)()) > BEGIN_TIME;
        let report = self.exporter.run(&days, self.clock, has_time).await;
        let report = report.map_err(|error| Failure { kind: "unavailable", message: error.to_string() })?;
        let now = (self.clock)();
        let behind = report.behind().map_or(Millis(0), |day| now.since(day.end()));
        let samples = report.exported.iter().map(|(_, samples)| samples).sum();
        metrics.put("ExportedSamples", Unit::Count, count(samples));
        metrics.put("ExportedBytes", Unit::Count, count(report.bytes));
        metrics.put("ExportFailures", Unit::Count, report.failed.len() as i64);
        metrics.put("RemovedRows", Unit::Count, count(report.removed));
        metrics.put("ExportBehindMs", Unit::Milliseconds, count(behind.0));
        match failure(&report) {
            Some(failure) => Err(failure),
            None => Ok(Answer {
                exported: report.exported.len(),
                samples,
                unchanged: report.unchanged,
                removed: report.removed,
            }),
        }
    }
}

/// A failure for what is not done. Lambda invokes the function again, which continues where it stopped.
fn failure(report: &Report) -> Option<Failure> {
    if let Some((partition, error)) = report.failed.first() {
        let (day, zone, more) = (partition.day, &partition.zone, report.failed.len() - 1);
        let message = format!("{day} of zone `{zone}`: {error}; and {more} more");
        return Some(Failure { kind: "not_exported", message });
    }
    if let Some(error) = &report.not_removed {
        return Some(Failure { kind: "not_removed", message: error.to_string() });
    }
    let left = report.left.first()?;
    let message = format!("there was no time for {} days of zones, from {} on", report.left.len(), left.day);
    Some(Failure { kind: "unfinished", message })
}

fn days(body: &[u8]) -> Result<RangeInclusive<Day>, String> {
    let Event { from, to } = serde_json::from_slice(body)
        .map_err(|error| format!("the event is no object with `from` and `to`: {error}"))?;
    let day = |name: &str, day: Option<String>, otherwise: i32| match day {
        Some(day) => day.parse().map_err(|error| format!("`{name}`: {error}")),
        None => Ok(Day(otherwise)),
    };
    let (from, to) = (day("from", from, i32::MIN)?, day("to", to, i32::MAX)?);
    if from > to {
        return Err(format!("`from` is {from}, and `to` is before it: {to}"));
    }
    Ok(from..=to)
}

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_days_or_none() {
        assert_eq!(days(br#"{"source":"aws.scheduler"}"#), Ok(Day(i32::MIN)..=Day(i32::MAX)));
        assert_eq!(days(br#"{"from":"1970-01-02","to":"1970-01-03"}"#), Ok(Day(1)..=Day(2)));
        for wrong in [&b"[]"[..], br#"{"from":"yesterday"}"#, br#"{"from":"1970-01-03","to":"1970-01-02"}"#] {
            assert!(days(wrong).is_err());
        }
    }
}
