//! Messages as devices write them: building one from values, and reading its time. What a message means is not
//! decided here, so a session's messages take the same path as any others.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    effect::Observed,
    ids::{DeviceId, MetricId},
    rule_set::{MessageFormat, TimestampFormat},
    sample::time,
    units::Timestamp,
};

/// Returns a message with these values, as the topic rule wraps it. Every value other than a health value is a
/// reading, whose key is the metric's own spelling in the format.
pub(super) fn wrapped(
    format: &MessageFormat,
    device: &DeviceId,
    at: Timestamp,
    values: &[(MetricId, Observed)],
    key: impl Fn(&MetricId) -> String,
) -> String {
    let mut message = Map::new();
    let mut readings = Map::new();
    put_at_path(&mut message, &format.device_id, json!(device));
    put_at_path(&mut message, &format.timestamp, write_time(at, format.timestamp_format));
    for (metric, value) in values {
        match format.health.get(metric) {
            Some(path) => put_at_path(&mut message, path, json!(value)),
            None => {
                readings.insert(key(metric), json!(value));
            }
        }
    }
    put_at_path(&mut message, &format.readings, Value::Object(readings));
    let payload = STANDARD.encode(Value::Object(message).to_string());
    json!({ "ff": 1, "k": "message", "p": payload, "d": device, "ch": "telemetry", "c": device, "t": at }).to_string()
}

/// Returns an alarm, as the topic rule wraps it.
pub(super) fn alarm(device: &DeviceId, at: Timestamp, code: &str, active: bool) -> String {
    let payload = STANDARD.encode(json!({ "code": code, "active": active }).to_string());
    json!({ "ff": 1, "k": "message", "p": payload, "d": device, "ch": "alerts", "c": device, "t": at }).to_string()
}

/// Returns the newest time that a message states for its samples; `None` if it states no readable time.
pub fn moment(format: &MessageFormat, message: &Value) -> Option<Timestamp> {
    samples(format, message).into_iter().filter_map(|(at, _)| at).max()
}

/// Returns the samples of a message with the time that each states. The part around a batch counts as a sample of its
/// own.
pub fn samples<'v>(format: &MessageFormat, message: &'v Value) -> Vec<(Option<Timestamp>, &'v Value)> {
    let batch = format.batch.as_deref().and_then(|path| at_path(message, path)).and_then(Value::as_array);
    let inside = message.as_array().or(batch).into_iter().flatten();
    inside.chain([message]).map(|sample| (read(format, sample), sample)).collect()
}

/// Returns the value at a path: keys joined by `.`.
pub fn at_path<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

fn read(format: &MessageFormat, sample: &Value) -> Option<Timestamp> {
    match at_path(sample, &format.timestamp)? {
        Value::String(text) => time::from_text(text, format.timestamp_format),
        Value::Number(number) => time::from_number(number.as_f64()?, format.timestamp_format),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Formats a moment as a message states it.
pub fn write_time(at: Timestamp, format: TimestampFormat) -> Value {
    match format {
        // A moment outside the calendar is left to the ingest time, as for a device without a clock.
        TimestampFormat::Rfc3339 => at.to_rfc3339().map_or(Value::Null, Value::String),
        TimestampFormat::EpochS => json!(at.0 as f64 / 1_000.0),
        TimestampFormat::EpochMs => json!(at.0),
    }
}

/// Puts a value at a path: keys joined by `.`. Paths do not overlap: the rule set's check has ruled that out.
pub fn put_at_path(message: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            message.insert(path.to_owned(), value);
        }
        Some((key, rest)) => {
            if let Value::Object(inner) = message.entry(key).or_insert_with(|| Value::Object(Map::new())) {
                put_at_path(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rule_set::RuleSet,
        units::{Finite, Millis},
    };

    const START: Timestamp = Timestamp(1_769_855_400_250);

    fn format() -> MessageFormat {
        let set = RuleSet::from_bytes(include_bytes!("../../tests/fixtures/rule-set.json")).unwrap();
        MessageFormat { batch: Some("records".into()), ..set.message }
    }

    #[test]
    fn a_message_states_the_time_that_it_was_given_in_every_format_and_at_any_depth() {
        for timestamp_format in [TimestampFormat::Rfc3339, TimestampFormat::EpochS, TimestampFormat::EpochMs] {
            let format = MessageFormat {
                device_id: "data.id".into(),
                timestamp: "data.when".into(),
                readings: "data.values".into(),
                timestamp_format,
                ..format()
            };
            let device = DeviceId::new("logger-0").unwrap();
            let value = Observed::Number(Finite::new(65.5).unwrap());
            let metric = MetricId::new("flow_rate").unwrap();
            let record = wrapped(&format, &device, START, &[(metric, value)], |_| "flowRate".into());
            let record: Value = serde_json::from_str(&record).unwrap();
            let payload: Value =
                serde_json::from_slice(&STANDARD.decode(record["p"].as_str().unwrap()).unwrap()).unwrap();
            assert_eq!(payload["data"]["values"]["flowRate"], 65.5);
            assert_eq!(payload["data"]["id"], "logger-0");
            assert_eq!(moment(&format, &payload), Some(START), "{timestamp_format:?}");
        }
    }

    #[test]
    fn the_time_of_a_batch_is_that_of_its_newest_sample() {
        let sample = |ms: u64| json!({ "timestamp": write_time(START.after(Millis(ms)), TimestampFormat::Rfc3339) });
        let newest = Some(START.after(Millis(2_000)));
        assert_eq!(moment(&format(), &json!([sample(0), sample(2_000), sample(1_000)])), newest);
        assert_eq!(moment(&format(), &json!({ "records": [sample(2_000), sample(0), 7] })), newest);
        assert_eq!(moment(&format(), &json!({ "records": [{}], "timestamp": "soon" })), None);
        assert_eq!(moment(&format(), &json!("soon")), None);
    }
}
