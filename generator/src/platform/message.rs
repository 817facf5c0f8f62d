//! `[message]`: the paths of the parts of a message.

use std::collections::BTreeMap;

use fleetform_engine::{
    ids::MetricId,
    rule_set::{TimestampFormat, UnknownReading},
};
use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use crate::{
    check::{bounds::Bounds, context::Context},
    diagnostic::{Code, Diagnostic},
    schema::types::{Duration, Table},
    source::At,
};

/// A path: keys joined by dots.
const PATH_PATTERN: &str = r"^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*){0,7}$";

const DEVICE_ID: &str = "deviceId";
const TIMESTAMP: &str = "timestamp";
const READINGS: &str = "readings";
const MAX_FUTURE_SKEW: &str = "2m";
const MAX_PAST: &str = "24h";

/// `[message]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMessage {
    /// Path of the device's own id, which is compared with the one in the topic and never trusted.
    #[schemars(regex(pattern = PATH_PATTERN), extend("default" = DEVICE_ID))]
    pub(crate) device_id: Option<String>,
    /// Path of the device's timestamp.
    #[schemars(regex(pattern = PATH_PATTERN), extend("default" = TIMESTAMP))]
    pub(crate) timestamp: Option<String>,
    /// Format of that timestamp.
    #[schemars(extend("default" = "rfc3339"))]
    pub(crate) timestamp_format: Option<RawTimestampFormat>,
    /// Path of the readings object.
    #[schemars(regex(pattern = PATH_PATTERN), extend("default" = READINGS))]
    pub(crate) readings: Option<String>,
    /// Path of the array of samples in a batched message. Default: messages are never batched.
    #[schemars(regex(pattern = PATH_PATTERN))]
    pub(crate) batch: Option<String>,
    /// Path of each health value. Every device type has these values as metrics.
    pub(crate) health: Option<Table<MetricId, HealthPath>>,
    /// How far a device's time may be ahead of the ingest time before the ingest time replaces it.
    #[schemars(extend("default" = MAX_FUTURE_SKEW))]
    pub(crate) max_future_skew: Option<Duration>,
    /// How far a device's time may be behind the ingest time before the sample is stored but not evaluated.
    #[schemars(extend("default" = MAX_PAST))]
    pub(crate) max_past: Option<Duration>,
    /// What happens to readings that the device type does not declare.
    #[schemars(extend("default" = "store"))]
    pub(crate) unknown_reading: Option<RawUnknownReading>,
}

/// The path of a health value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(crate) struct HealthPath(#[schemars(regex(pattern = PATH_PATTERN))] String);

/// How a device formats a time.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawTimestampFormat {
    Rfc3339,
    EpochS,
    EpochMs,
}

/// What happens to readings that the device type does not declare.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawUnknownReading {
    Store,
    Drop,
    Reject,
}

/// The paths of the parts of a message. The form in the rule set is the checked form.
pub type Message = fleetform_engine::rule_set::MessageFormat;

impl RawMessage {
    /// Checks the table: each part of a message has its own path.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> Message {
        let path = |given: &Option<String>, default: &str| SmolStr::new(given.as_deref().unwrap_or(default));
        let message = Message {
            device_id: path(&self.device_id, DEVICE_ID),
            timestamp: path(&self.timestamp, TIMESTAMP),
            timestamp_format: match self.timestamp_format {
                None | Some(RawTimestampFormat::Rfc3339) => TimestampFormat::Rfc3339,
                Some(RawTimestampFormat::EpochS) => TimestampFormat::EpochS,
                Some(RawTimestampFormat::EpochMs) => TimestampFormat::EpochMs,
            },
            readings: path(&self.readings, READINGS),
            batch: self.batch.as_deref().map(SmolStr::new),
            health: self
                .health
                .iter()
                .flat_map(|health| &health.0)
                .map(|(id, path)| (id.clone(), SmolStr::new(&path.0)))
                .collect(),
            max_future_skew_ms: Bounds::new("0s", "1h").check(
                self.max_future_skew,
                MAX_FUTURE_SKEW,
                &at.key("max_future_skew"),
                context,
            ),
            max_past_ms: Bounds::new("1m", "30d").check(self.max_past, MAX_PAST, &at.key("max_past"), context),
            unknown_reading: match self.unknown_reading {
                None | Some(RawUnknownReading::Store) => UnknownReading::Store,
                Some(RawUnknownReading::Drop) => UnknownReading::Drop,
                Some(RawUnknownReading::Reject) => UnknownReading::Reject,
            },
        };
        check_paths(&message, at, context);
        message
    }
}

/// Reports a path that is used twice, or that leads into another part: each value has exactly one meaning.
fn check_paths(message: &Message, at: &At<'_>, context: &Context<'_>) {
    let health = at.key("health");
    let keys: Vec<At<'_>> = ["device_id", "timestamp", "readings", "batch"].iter().map(|key| at.key(key)).collect();
    let health_keys: Vec<At<'_>> = message.health.keys().map(|metric| health.key(metric.as_str())).collect();
    let paths = [Some(&message.device_id), Some(&message.timestamp), Some(&message.readings), message.batch.as_ref()];
    let all = keys.iter().zip(paths).filter_map(|(at, path)| path.map(|path| (at, path)));
    let mut seen: BTreeMap<&str, &At<'_>> = BTreeMap::new();
    for (at, path) in all.chain(health_keys.iter().zip(message.health.values())) {
        let overlapping = seen.iter().find(|(other, _)| lies_in(path, other) || lies_in(other, path));
        if let Some((other_path, first)) = overlapping {
            // Of a default and a written key, the written one is reported.
            let (at, other) = if context.is_written(at) { (at, *first) } else { (*first, at) };
            let problem = if path.as_str() == *other_path {
                format!("two parts of a message have the path `{path}`")
            } else {
                format!("the paths `{path}` and `{other_path}` lead into each other")
            };
            context.report(
                Diagnostic::new(Code::Duplicate, context.value(at), problem)
                    .related(context.value(other), "the other part")
                    .help("give each part a path of its own"),
            );
        } else {
            seen.insert(path, at);
        }
    }
}

/// Whether a path equals another one or continues it.
fn lies_in(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
