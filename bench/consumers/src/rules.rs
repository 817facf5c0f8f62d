//! A number of rules over one device type, both as a rule set and as the plain list that the peers read.
//!
//! The first ten apply everywhere, one for each reading; the others apply to one zone each. Thresholds increase, so
//! that the number of crossings of a sample does not grow with the number of rules: only the two lowest of a reading
//! are ever crossed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::corpus::{DEVICE_TYPE, PERIOD_MS, READINGS, ZONES, zone};

/// The cooldown of every rule, in milliseconds.
pub const COOLDOWN_MS: i64 = 300_000;

/// A rule in the form that the peers read: `metric > threshold`, in one zone or everywhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The rule's id.
    pub id: String,
    /// The key of the reading.
    pub metric: String,
    /// The value that the reading must exceed.
    pub threshold: f64,
    /// The zone in which it applies; `None` for everywhere.
    pub zone: Option<String>,
}

/// The first `count` rules.
pub fn rules(count: usize) -> Vec<Rule> {
    (0..count)
        .map(|index| {
            let round = index / READINGS.len();
            let (threshold, zone) = match round.checked_sub(1) {
                None => (100.0, None),
                Some(round) => (101.0 + (round / ZONES) as f64, Some(zone(round))),
            };
            Rule { id: format!("rule-{index}"), metric: READINGS[index % READINGS.len()].to_owned(), threshold, zone }
        })
        .collect()
}

/// A reading's id, which becomes a column name: its key in a different spelling.
fn metric_id(key: &str) -> String {
    key.replace("flowRate", "flow_rate")
}

/// The rule set with the first `count` rules, as the bytes of the artifact.
pub fn rule_set(count: usize) -> Vec<u8> {
    let zones: serde_json::Map<String, Value> = (0..ZONES)
        .map(|index| (zone(index), json!({ "title": zone(index), "timezone": "UTC", "contacts": ["oncall"] })))
        .collect();
    let readings: serde_json::Map<String, Value> = READINGS
        .iter()
        .map(|key| (metric_id(key), json!({ "key": key, "value": { "type": "float" }, "required": false, "unit": "" })))
        .collect();
    let rules: serde_json::Map<String, Value> = rules(count)
        .into_iter()
        .map(|rule| {
            let mut written = json!({
                "metric": metric_id(&rule.metric),
                "condition": { "type": "threshold", "operator": ">", "threshold": rule.threshold },
                "severity": "high", "device_types": [DEVICE_TYPE],
                "hold": { "by": "duration", "duration_ms": 0, "on_gap": "reset" },
                "keep_firing_for_ms": 0, "min_samples": 0, "enabled": true, "shadow": false,
            });
            if let Some(zone) = rule.zone {
                written["zones"] = json!([zone]);
            }
            (rule.id, written)
        })
        .collect();
    let set = json!({
        "format_version": 1, "platform": "bench", "environment": "dev",
        "message": {
            "device_id": "deviceId", "timestamp": "timestamp", "timestamp_format": "rfc3339", "readings": "readings",
            "batch": "records",
            "health": { "battery_level": "batteryLevel" },
            "max_future_skew_ms": 120_000, "max_past_ms": 86_400_000, "unknown_reading": "store",
        },
        "max_alert_delay_ms": 900_000,
        "zones": zones,
        "device_types": { DEVICE_TYPE: {
            "report_every_ms": PERIOD_MS, "send_every_ms": PERIOD_MS, "offline_after_ms": 300_000,
            "readings": readings, "attributes": {},
        } },
        "severities": { "high": { "rank": 1, "cooldown_ms": COOLDOWN_MS } },
        "contacts": { "oncall": { "sms": false, "email": true } },
        "routes": [{ "match": {}, "to": ["zone"], "channels": ["email"], "continue": false }],
        "rules": rules,
    });
    set.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use fleetform_engine::compiled::Compiled;

    use super::*;

    #[test]
    fn every_number_of_rules_is_a_rule_set() {
        for count in [1, 10, 100, 1_000, 10_000] {
            assert_eq!(rules(count).len(), count);
            Compiled::from_bytes(&rule_set(count)).expect("a rule set");
        }
    }
}
