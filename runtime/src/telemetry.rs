//! A function's own telemetry: JSON logs on standard error, CloudWatch embedded metrics on standard output.
//!
//! Never sees a payload. Libraries log from WARN upwards only, since their finer levels print request bodies.

use std::{
    collections::BTreeMap,
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use fleetform_engine::units::Timestamp;
use serde_json::{Map, Value, json};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::Common;

/// The namespace of every metric.
pub const NAMESPACE: &str = "fleetform";

/// Sends logs to standard error as JSON, one object a line, each with the fields of its invocation's span.
///
/// `AWS_LAMBDA_LOG_LEVEL` (`TRACE` … `ERROR`) sets the level of our own events; INFO if it is unset or unknown.
pub fn init_logs(level: Option<&str>) {
    let level = level.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let targets = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("fleetform_runtime", level)
        .with_target("fleetform_engine", level);
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .with_writer(std::io::stderr),
        )
        .with(targets)
        .init();
    // The default hook prints the message in plain text over several lines, and a message may quote data.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
}

/// The current time by the machine's clock. Only hosts call this; the engine receives times.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The unit of a metric, as CloudWatch spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of items.
    Count,
    /// A duration.
    Milliseconds,
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
        }
    }
}

/// The metrics of one invocation.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    values: Vec<(&'static str, Unit, i64)>,
    by_reason: BTreeMap<(&'static str, String), i64>,
}

impl Metrics {
    /// Records a value.
    pub fn put(&mut self, name: &'static str, unit: Unit, value: i64) {
        self.values.push((name, unit, value));
    }

    /// Adds to a count that has a reason; the sum over all reasons is recorded under the name alone.
    pub fn count_by_reason(&mut self, name: &'static str, reason: &str, count: i64) {
        *self.by_reason.entry((name, reason.to_owned())).or_default() += count;
    }

    /// The lines of the embedded metric format, as of `now`.
    ///
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
    pub fn lines(&self, common: &Common, now: Timestamp) -> Vec<String> {
        let mut totals = self.values.clone();
        for ((name, _), count) in &self.by_reason {
            match totals.iter_mut().find(|(total, ..)| total == name) {
                Some((.., total)) => *total += count,
                None => totals.push((name, Unit::Count, *count)),
            }
        }
        let mut lines = Vec::new();
        if !totals.is_empty() {
            lines.push(line(common, now, None, &totals));
        }
        for ((name, reason), count) in &self.by_reason {
            lines.push(line(common, now, Some(reason), &[(name, Unit::Count, *count)]));
        }
        lines
    }

    /// Writes the metrics to standard output, where CloudWatch Logs picks them up.
    pub fn emit(&self, common: &Common) {
        let mut text = self.lines(common, now()).join("\n");
        if !text.is_empty() {
            text.push('\n');
            // A closed pipe loses metrics and nothing else.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
        }
    }
}

fn line(common: &Common, now: Timestamp, reason: Option<&str>, metrics: &[(&'static str, Unit, i64)]) -> String {
    let mut dimensions = vec!["Platform", "Environment"];
    let mut line = Map::new();
    line.insert("Platform".to_owned(), json!(common.platform));
    line.insert("Environment".to_owned(), json!(common.environment));
    if let Some(reason) = reason {
        dimensions.push("Reason");
        line.insert("Reason".to_owned(), json!(reason));
    }
    let definitions: Vec<Value> =
        metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit.as_str() })).collect();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now.0,
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": definitions }]
        }),
    );
    for (name, _, value) in metrics {
        line.insert((*name).to_owned(), json!(value));
    }
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use fleetform_engine::ids::{EnvironmentId, PlatformName};

    use super::*;

    #[test]
    fn one_line_of_totals_and_one_for_each_reason() {
        let common = Common {
            platform: PlatformName::new("riverton").expect("a name"),
            environment: EnvironmentId::new("dev").expect("an id"),
        };
        let mut metrics = Metrics::default();
        assert!(metrics.lines(&common, Timestamp(5)).is_empty());
        metrics.put("Records", Unit::Count, 500);
        metrics.put("EventLagMs", Unit::Milliseconds, 1_200);
        metrics.count_by_reason("Quarantined", "bad_json", 2);
        metrics.count_by_reason("Quarantined", "wrong_type", 1);
        metrics.count_by_reason("Quarantined", "bad_json", 1);
        let lines: Vec<Value> =
            metrics.lines(&common, Timestamp(5)).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["Records"], 500);
        assert_eq!(lines[0]["Quarantined"], 4);
        let directive = &lines[0]["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "fleetform");
        assert_eq!(directive["Dimensions"], json!([["Platform", "Environment"]]));
        assert_eq!(directive["Metrics"][1], json!({ "Name": "EventLagMs", "Unit": "Milliseconds" }));
        assert_eq!((&lines[1]["Reason"], &lines[1]["Quarantined"]), (&json!("bad_json"), &json!(3)));
        assert_eq!(
            lines[2]["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
            json!([["Platform", "Environment", "Reason"]])
        );
    }
}
