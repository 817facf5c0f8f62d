//! Every message, word for word.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn rules(summary: Value) -> RuleSet {
    let mut rules = json!({
        "format_version": 1, "platform": "riverton-water", "environment": "dev",
        "message": {
            "device_id": "deviceId", "timestamp": "timestamp", "timestamp_format": "rfc3339", "readings": "readings",
            "health": {}, "max_future_skew_ms": 0, "max_past_ms": 0, "unknown_reading": "store"
        },
        "max_alert_delay_ms": 900_000,
        "zones": { "zone-a": { "title": "North reservoir", "timezone": "America/New_York", "contacts": [] } },
        "device_types": { "pressure-logger": {
            "report_every_ms": 60_000, "send_every_ms": 60_000, "offline_after_ms": 600_000, "attributes": {},
            "readings": { "pressure": {
                "key": "pressure", "value": { "type": "float" }, "required": true, "unit": "[psi]"
            } }
        } },
        "severities": {}, "contacts": {}, "routes": [],
        "rules": { "high-pressure": {
            "metric": "pressure", "condition": { "type": "threshold", "operator": ">", "threshold": 60.0 },
            "severity": "high", "device_types": ["pressure-logger"],
            "hold": { "by": "duration", "duration_ms": 300_000, "on_gap": "reset" },
            "keep_firing_for_ms": 0, "min_samples": 0, "enabled": true, "shadow": false,
            "runbook": "https://wiki.riverton.example/runbooks/high-pressure"
        } }
    });
    rules["rules"]["high-pressure"]["summary"] = summary;
    serde_json::from_value(rules).expect("a rule set")
}

fn notice(kind: &str, state: Value, suppressed: u32) -> Notification {
    serde_json::from_value(json!({
        "id": "n1", "kind": kind, "suppressed": suppressed, "created_at": 1_769_855_700_000_i64,
        "alert": {
            "episode": "e", "rule": "high-pressure", "device": "sensor-001", "device_type": "pressure-logger",
            "zone": "zone-a", "severity": "high", "metric": "pressure", "state": state,
            "since": 1_769_855_400_000_i64, "at": 1_769_855_700_000_i64, "ingested_at": 1_769_855_700_000_i64,
            "value": 65.299_999_999, "limit": "> 60", "duration_ms": 300_000, "shard": "s", "sequence": "1",
            "sample": 0, "rule_set": "x"
        }
    }))
    .expect("a notice")
}

fn firing(summary: &str) -> Message {
    message(&rules(json!(summary)), &notice("firing", json!({ "is": "firing" }), 0))
}

#[test]
fn every_gap_of_a_summary_is_filled_and_others_stay() {
    for (summary, filled) in [
        (
            "{device} in {zone}: {value} psi for {duration} (limit {threshold})",
            "sensor-001 in North reservoir: 65.3 psi for 5m (limit 60)",
        ),
        ("{metric} {severity} {rule}", "pressure high high-pressure"),
        ("since {since}", "since 2026-01-31 05:30:00 EST"),
        ("{unheard} {Device} {} { {device", "{unheard} {Device} {} { {device"),
        ("{{device}}", "{sensor-001}"),
        ("plain", "plain"),
    ] {
        assert_eq!(firing(summary).summary, filled);
    }
}

#[test]
fn a_filled_gap_is_not_filled_again() {
    let mut notice = notice("firing", json!({ "is": "firing" }), 0);
    notice.alert.value = Observed::Word("{device}".into());
    assert_eq!(message(&rules(json!("{value}")), &notice).summary, "{device}");
}

#[test]
fn a_rule_without_summary_says_what_it_saw() {
    let message = message(&rules(Value::Null), &notice("firing", json!({ "is": "firing" }), 0));
    assert_eq!(message.sms, "[HIGH] sensor-001 in North reservoir: pressure is 65.3");
    assert_eq!(message.subject, "[HIGH] high-pressure: sensor-001 in North reservoir");
}

#[test]
fn an_end_says_why() {
    for (reason, words) in [
        ("cleared", "the value is good again"),
        ("rule_changed", "the rule was changed"),
        ("rule_removed", "the rule no longer applies"),
        ("device_retired", "the device was retired"),
    ] {
        let notice = notice("resolved", json!({ "is": "resolved", "reason": reason }), 0);
        let message = message(&rules(json!("{value}")), &notice);
        assert_eq!(message.sms, format!("[OK] high-pressure on sensor-001 in North reservoir ended: {words}"));
        assert!(message.email.contains("Ended      2026-01-31 05:35:00 EST"), "{}", message.email);
    }
}

#[test]
fn what_explains_an_alert_is_part_of_the_email() {
    let email = |condition: Value, limit: &str, evidence: Value| {
        let mut rules = rules(Value::Null);
        let rule = Arc::make_mut(&mut rules.rules).values_mut().next().expect("a rule");
        rule.condition = serde_json::from_value(condition).expect("a condition");
        let mut notice = notice("firing", json!({ "is": "firing" }), 0);
        notice.alert.limit = limit.into();
        notice.alert.evidence = Some(serde_json::from_value(evidence).expect("evidence"));
        if !rule.condition.reads_samples() {
            (notice.alert.metric, notice.alert.device, notice.alert.device_type) = (None, None, None);
        }
        message(&rules, &notice).email
    };
    let anomaly = json!({
        "type": "anomaly", "method": "zscore", "window_ms": 3_600_000, "sensitivity": 6.0, "min_std": 0.5,
        "min_rel_std": 0.0, "min_consecutive": 3, "rebaseline_after_ms": 1_800_000, "direction": "both"
    });
    let evidence = json!({ "kind": "anomaly", "mean": 61.25, "sigma": 0.5, "score": 8.1, "n": 110 });
    let text = email(anomaly, "6 deviations from the mean", evidence);
    assert!(
        text.contains(
            "Value      pressure 65.3 psi\n\
             Limit      6 deviations from the mean\n\
             Expected   61.25 psi, deviation 0.5 psi, score 8.1, from 110 samples\n"
        ),
        "{text}"
    );
    let count = json!({
        "type": "count", "of": { "compared": { "operator": ">", "threshold": 60.0 } }, "window_ms": 600_000,
        "at_least": 3
    });
    let text = email(count, "3 samples > 60 in 600000 ms", json!({ "kind": "count", "samples": 3 }));
    assert!(text.contains("Limit      3 samples > 60 in 600000 ms\nCounted    3 samples\n"), "{text}");
    let fleet = json!({ "type": "fleet", "of": "offline", "operator": ">", "threshold": { "percent": 20.0 } });
    let text = email(fleet, "> 20 % of devices", json!({ "kind": "fleet", "devices": 5, "registered": 12 }));
    assert!(
        text.contains("Value      65.3 % of devices\nLimit      > 20 % of devices\nDevices    5 of 12\n"),
        "{text}"
    );
    let threshold = json!({ "type": "threshold", "operator": ">", "threshold": 60.0 });
    for (evidence, line) in [
        (json!({ "kind": "fleet", "devices": 3, "registered": 12 }), "Devices    3 of 12\n"),
        (json!({ "kind": "alarm", "code": "E42" }), "Alarm      E42\n"),
        (json!({ "kind": "silence", "last_ingest": 1_769_855_700_000_i64 }), "Last heard 2026-01-31 05:35:00 EST\n"),
    ] {
        let text = email(threshold.clone(), "> 60", evidence);
        assert!(text.contains(&format!("Limit      > 60 psi\n{line}")), "{text}");
    }
}

#[test]
fn an_email_says_everything() {
    let message = message(&rules(json!("{device}")), &notice("firing", json!({ "is": "firing" }), 2));
    assert_eq!(
        message.email,
        "sensor-001\n\n\
         Rule       high-pressure\n\
         Severity   high\n\
         Device     sensor-001 (pressure-logger)\n\
         Zone       North reservoir (zone-a)\n\
         Value      pressure 65.3 psi\n\
         Limit      > 60 psi\n\
         Since      2026-01-31 05:30:00 EST\n\
         Held back  2 firings of this rule on this device since the last notice\n\
         Runbook    https://wiki.riverton.example/runbooks/high-pressure\n\
         \nSent by riverton-water (dev), notice n1\n"
    );
    assert_eq!(message.sms, "[HIGH] sensor-001 (2 earlier firings held back)");
}

#[test]
fn a_notice_of_a_rule_that_is_gone_still_reads() {
    let mut rules = rules(json!("{value}"));
    rules.rules = Arc::default();
    rules.zones.clear();
    let notice = notice("resolved", json!({ "is": "resolved", "reason": "rule_removed" }), 0);
    assert_eq!(
        message(&rules, &notice).sms,
        "[OK] high-pressure on sensor-001 in zone-a ended: the rule no longer applies"
    );
}

#[test]
fn a_text_message_is_one_part_of_plain_characters() {
    let septets = |text: &str| text.chars().map(|c| if GSM_EXTENDED.contains(c) { 2 } else { 1 }).sum::<usize>();
    for summary in ["x", "“Überdruck” – 21 °C", "日本語の警報", &"{".repeat(200), &"ü".repeat(139), &"long ".repeat(60)]
    {
        let sms = firing(summary).sms;
        assert!(septets(&sms) <= SMS_SEPTETS_MAX, "{sms}");
        assert!(
            sms.chars().all(|c| c.is_ascii_alphanumeric() || GSM_BASIC.contains(c) || GSM_EXTENDED.contains(c)),
            "{sms}"
        );
    }
    assert_eq!(firing("“Überdruck” – 21 °C").sms, "[HIGH] \"Überdruck\" - 21 oC");
    assert!(firing(&"long ".repeat(60)).sms.ends_with("..."));
}

#[test]
fn a_subject_is_one_short_line_of_ascii() {
    let mut rules = rules(json!("x"));
    rules.zones.values_mut().for_each(|zone| zone.title = format!("Zürich\n{}", "ab".repeat(80)).into());
    let subject = message(&rules, &notice("firing", json!({ "is": "firing" }), 0)).subject;
    assert!(subject.len() <= SUBJECT_CHARACTERS_MAX && subject.chars().all(|c| matches!(c, ' '..='~')), "{subject}");
}

#[test]
fn lengths_and_values_read_like_the_platform_file() {
    for (ms, text) in [(0, "0s"), (90_000, "1m30s"), (5_400_000, "1h30m"), (86_400_000, "1d"), (1_500, "1s500ms")] {
        assert_eq!(length(Millis(ms)), text);
    }
    let number = |value| self::value(&serde_json::from_value(json!(value)).expect("a value"));
    assert_eq!(
        (number(0.0), number(1e-7), number(60.0), number(-0.25)),
        ("0".into(), "0.0000001".into(), "60".into(), "-0.25".into())
    );
    assert_eq!(self::value(&Observed::Bool(true)), "true");
    assert_eq!(spoken("Cel"), "°C");
}
