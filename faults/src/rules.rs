//! Rule sets for simulations: one rule of every kind, with limits drawn by chance, and changes between two sets.

mod anomaly;
mod without_samples;

use serde_json::{Value, json};

use crate::random::Random;

/// The set that a platform starts with.
pub(crate) fn first(random: &mut Random) -> Value {
    let reading = |key: &str, value: Value, required: bool| json!({ "key": key, "value": value, "required": required, "unit": "" });
    let timezone = *random.pick(&["UTC", "Etc/GMT-3", "Etc/GMT+4", "Etc/GMT+11"]);
    let zone = || json!({ "title": "A zone", "timezone": timezone, "contacts": ["oncall"] });
    let within = |parent: &str| {
        let mut zone = zone();
        zone["parent"] = json!(parent);
        zone
    };
    json!({
        "format_version": 1, "platform": "simulated", "environment": "dev",
        "message": {
            "device_id": "deviceId", "timestamp": "timestamp", "timestamp_format": "rfc3339", "readings": "readings",
            "batch": "records", "health": { "battery_level": "batteryLevel" },
            "max_future_skew_ms": 120_000, "max_past_ms": 86_400_000, "unknown_reading": "store",
        },
        "max_alert_delay_ms": 900_000,
        "zones": { "city": zone(), "zone-a": within("city"), "zone-b": within("city") },
        "device_types": {
            "meter": {
                "report_every_ms": 60_000, "send_every_ms": 60_000, "offline_after_ms": 600_000,
                "readings": {
                    "pressure": reading("pressure", json!({ "type": "float", "min": 0.0, "max": 200.0 }), true),
                    "temperature": reading("temp", json!({ "type": "float", "min": -20.0, "max": 60.0 }), false),
                    "door_open": reading("doorOpen", json!({ "type": "bool" }), false),
                },
                "attributes": { "max_pressure": { "default": 60.0, "unit": "" } },
            },
            "pump": {
                "report_every_ms": 30_000, "send_every_ms": 30_000, "offline_after_ms": 300_000,
                "readings": {
                    "vibration": reading("vibration", json!({ "type": "int", "min": 0.0, "max": 50.0 }), true),
                    "state": reading("state", json!({ "type": "enum", "values": ["stopped", "running", "fault"] }), false),
                    "note": reading("note", json!({ "type": "string" }), false),
                },
                "attributes": {},
            },
        },
        "severities": {
            "critical": { "rank": 1, "cooldown_ms": 60_000, "repeat_every_ms": 600_000 },
            "high": { "rank": 2, "cooldown_ms": 300_000 },
            "low": { "rank": 3, "cooldown_ms": 900_000 },
        },
        "contacts": { "oncall": { "sms": true, "email": true } },
        "routes": [{ "match": {}, "to": ["zone"], "channels": ["email"], "continue": false }],
        "rules": rules(random),
    })
}

fn rules(random: &mut Random) -> Value {
    let mut rules = json!({
        "high-pressure": rule("pressure", json!({
            "type": "threshold", "operator": ">", "threshold": { "attribute": "max_pressure", "default": 60.0 }, "clear": 55.0,
        }), "high", &["meter"], held(10 * random.between(3, 30), "reset", Some(150_000))),
        "pressure-held": rule("pressure", json!({ "type": "threshold", "operator": ">=", "threshold": 100.0 }),
            "critical", &["meter"], held(10 * random.between(3, 30), "hold", None)),
        "very-hot": rule("temperature", json!({ "type": "threshold", "operator": ">=", "threshold": 50.0 }),
            "low", &["meter"], held(0, "reset", None)),
        "temperature-range": rule("temperature", json!({ "type": "range", "min": 4.0, "max": 53.0 }),
            "high", &["meter"], held(0, "reset", None)),
        "burst": rule("pressure", json!({
            "type": "rate_of_change", "operator": "<", "threshold": -(random.between(10, 60) as f64), "per_ms": 60_000,
        }), "critical", &["meter"], held(0, "reset", None)),
        "door-open": rule("door_open", json!({ "type": "state", "equals": true }),
            "low", &["meter"], held(10 * random.between(0, 9), "reset", None)),
        "vibration-high": rule("vibration", json!({ "type": "threshold", "operator": ">", "threshold": 10.0 }),
            "high", &["pump"], json!({ "by": "samples", "breach": 3, "of": 5 })),
        "vibration-trial": rule("vibration", json!({ "type": "threshold", "operator": ">", "threshold": 6.0 }),
            "high", &["pump"], held(0, "reset", None)),
        "surges": rule("pressure", json!({
            "type": "count", "of": { "compared": { "operator": ">=", "threshold": random.between(50, 80) as f64 } },
            "window_ms": 10_000 * random.between(6, 60), "at_least": random.between(2, 6),
        }), "high", &["meter"], held(10 * random.between(0, 3), "reset", None)),
        "stops-often": rule("state", json!({
            "type": "count", "of": { "equal": { "equals": "stopped" } }, "window_ms": 1_000 * random.between(60, 900),
            "at_least": random.between(1, 4),
        }), "low", &["pump"], held(0, "reset", None)),
        "stuck": rule("temperature", json!({ "type": "flatline", "tolerance": random.between(0, 3) as f64 / 2.0 }),
            "high", &["meter"], held(10 * random.between(2, 40), random.pick::<&str>(&["reset", "hold"]), None)),
        "vibration-by-day": rule("vibration", json!({ "type": "threshold", "operator": ">=", "threshold": 8.0 }),
            "low", &["pump"], held(10 * random.between(0, 6), "reset", None)),
        "pump-fault": rule("state", json!({ "type": "state", "equals": "fault" }),
            "critical", &["pump"], held(0, "reset", None)),
        "stopped-while-running": rule("state", json!({ "type": "state", "equals": "stopped", "from": "running" }),
            "high", &["pump"], held(10 * random.between(0, 6), "reset", None)),
        "low-battery": rule("battery_level", json!({ "type": "threshold", "operator": "<", "threshold": 20.0, "clear": 25.0 }),
            "low", &["meter", "pump"], held(0, "reset", None)),
        "off": rule("vibration", json!({ "type": "threshold", "operator": "<", "threshold": 5.0 }),
            "low", &["pump"], held(0, "reset", None)),
    });
    rules["very-hot"]["keep_firing_for_ms"] = json!(random.between(0, 12) * 10_000);
    rules["vibration-high"]["keep_firing_for_ms"] = json!(random.between(0, 6) * 10_000);
    rules["temperature-range"]["zones"] = json!(["zone-a"]);
    rules["burst"]["min_samples"] = json!(2);
    rules["vibration-trial"]["shadow"] = json!(true);
    rules["surges"]["keep_firing_for_ms"] = json!(random.between(0, 6) * 10_000);
    rules["surges"]["min_samples"] = json!(random.between(0, 4));
    rules["vibration-by-day"]["active"] = without_samples::hours(random);
    rules["off"]["enabled"] = json!(false);
    let mut apart = random.clone().fork();
    rules["stuck"]["keep_firing_for_ms"] = json!(apart.between(0, 12) * 10_000);
    rules["stopped-while-running"]["active"] = without_samples::hours(&mut apart);
    rules["stopped-while-running"]["min_samples"] = json!(apart.between(0, 4));
    rules["temperature-range"]["flap_limit"] = json!({ "firings": 2, "per_ms": 1_200_000 });
    for (id, rule) in without_samples::rules(random).into_iter().chain(anomaly::rules(random)) {
        rules[id] = rule;
    }
    rules
}

fn rule(metric: &str, condition: Value, severity: &str, types: &[&str], hold: Value) -> Value {
    json!({
        "metric": metric, "condition": condition, "severity": severity, "device_types": types, "hold": hold,
        "keep_firing_for_ms": 0, "min_samples": 0, "enabled": true, "shadow": false,
    })
}

fn held(seconds: i64, on_gap: &str, max_gap_ms: Option<i64>) -> Value {
    let mut hold = json!({ "by": "duration", "duration_ms": seconds * 1_000, "on_gap": on_gap });
    if let Some(max_gap_ms) = max_gap_ms {
        hold["max_gap_ms"] = json!(max_gap_ms);
    }
    hold
}

/// Rules that others read: they must exist.
const NAMED: [&str; 10] = [
    "alarmed",
    "door-open",
    "high-pressure",
    "low-battery",
    "offline",
    "pressed-and-hot",
    "pump-fault",
    "silent",
    "temperature-range",
    "very-hot",
];

/// Returns a later set, with a few of the changes that people make.
pub(crate) fn changed(random: &mut Random, before: &Value) -> Value {
    let mut set = before.clone();
    for _ in 0..random.between(1, 4) {
        let ids: Vec<String> = set["rules"].as_object().into_iter().flatten().map(|(id, _)| id.clone()).collect();
        let id = random.pick(&ids).clone();
        let rule = &mut set["rules"][&id];
        match random.below(8) {
            0 => rule["severity"] = json!(random.pick(&["critical", "high", "low"])),
            1 => rule["enabled"] = json!(random.per_mille(500)),
            2 => rule["summary"] = json!(format!("changed {}", random.below(100))),
            3 => rule["zones"] = json!([random.pick(&["zone-a", "zone-b"])]),
            4 if rule["hold"]["by"] == "duration" && rule["condition"]["type"] != "no_data" => {
                // A value that has just arrived is not a flat line yet.
                let least = i64::from(rule["condition"]["type"] == "flatline");
                rule["hold"]["duration_ms"] = json!(random.between(least, 20) * 10_000);
            }
            5 if rule["condition"]["type"] == "fleet" => {
                for limit in
                    rule["condition"]["threshold"].as_object_mut().into_iter().flatten().map(|(_, limit)| limit)
                {
                    *limit = json!((limit.as_f64().unwrap_or_default() / 2.0).round());
                }
                if id == "many-low" {
                    rule["condition"]["of"] = json!({ "rule": random.pick(&["low-battery", "silent", "low-battery"]) });
                }
            }
            5 if rule["condition"]["type"] == "composite" => {
                rule["condition"]["any"] = json!([random.pick(&["low-battery", "silent", "offline", "alarmed"])]);
            }
            5 if rule["condition"]["type"] == "device_alarm" => {
                rule["condition"]["codes"] = json!([random.pick(&["fire", "leak", "worn"])]);
            }
            5 if rule["condition"]["type"] == "no_data" => {
                rule["condition"]["after_ms"] = json!(1_000 * random.between(120, 900));
            }
            5 if rule["condition"]["type"] == "anomaly" => {
                rule["condition"]["direction"] = json!(random.pick(&["both", "up", "down"]));
            }
            5 if rule["condition"]["type"] == "count" => {
                rule["condition"]["window_ms"] = json!(10_000 * random.between(6, 60));
            }
            5 if rule["condition"]["type"] == "flatline" => {
                rule["condition"]["tolerance"] = json!(random.between(0, 3) as f64 / 2.0);
            }
            5 if rule["condition"]["threshold"].is_number() => {
                let threshold = rule["condition"]["threshold"].as_f64().unwrap_or_default();
                // Towards the side that keeps the clear value valid.
                let step = if rule["condition"]["operator"] == "<" { -1.0 } else { 1.0 };
                rule["condition"]["threshold"] = json!(threshold + step);
            }
            6 if ids.len() > 8 && !NAMED.contains(&id.as_str()) => {
                set["rules"].as_object_mut().map(|rules| rules.remove(&id));
            }
            _ => {
                // Drawn separately from everything else, so that existing seeds keep their meaning.
                let mut apart = random.clone().fork();
                if rule["metric"].is_null() {
                    rule["active"] =
                        if apart.per_mille(500) { without_samples::hours(&mut apart) } else { Value::Null };
                }
                set["zones"]["zone-c"] = json!({ "title": "New", "timezone": "UTC", "contacts": [] });
            }
        }
    }
    set
}
