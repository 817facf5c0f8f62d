//! Records that arrive twice, in any batches, or broken: the required output of the stream for any input.

use crate::support::{EXAMPLE, Host, START_MS, Stream, settings};
use fleetform_engine::{
    drive::Settings,
    effect::{AlertState, NoticeKind, ResolveReason},
    memory::{Memory, Rows},
};
use serde_json::{Value, json};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

fn pressure(stream: &mut Stream, seconds: i64, value: f64) {
    stream.reading("sensor-001", json!({ "pressure": value }), seconds * SECOND);
}

fn one_logger() -> Stream {
    let mut stream = Stream::default();
    stream.register("sensor-001", "pressure-logger", "zone-a");
    stream
}

fn rows(stream: &Stream) -> Rows {
    let memory = Memory::new();
    Host::new(&memory).deliver_all(stream);
    memory.rows()
}

/// Seconds after the start at which the rule's episodes fired, with the start of each.
fn firings(stream: &Stream, rule: &str) -> Vec<(i64, i64)> {
    let mut firings: Vec<(i64, i64)> = rows(stream)
        .outbox
        .into_values()
        .filter(|notification| notification.alert.rule.as_str() == rule && notification.kind == NoticeKind::Firing)
        .map(|notification| {
            let alert = notification.alert;
            ((alert.at.0 - START_MS) / SECOND, (alert.since.0 - START_MS) / SECOND)
        })
        .collect();
    firings.sort_unstable();
    firings
}

fn high_pressure(samples: &[(i64, f64)]) -> Vec<(i64, i64)> {
    let mut stream = one_logger();
    for (seconds, value) in samples {
        pressure(&mut stream, *seconds, *value);
    }
    firings(&stream, "high-pressure")
}

#[test]
fn case_23_breach_every_minute_fires_at_300_the_sixth_sample() {
    assert_eq!(high_pressure(&[(0, 65.0), (60, 65.0), (120, 65.0), (180, 65.0), (240, 65.0)]), []);
    assert_eq!(high_pressure(&[(0, 65.0), (60, 65.0), (120, 65.0), (180, 65.0), (240, 65.0), (300, 65.0)]), [(300, 0)]);
}

#[test]
fn case_23_the_last_one_at_299_instead_does_not_fire() {
    assert_eq!(high_pressure(&[(0, 65.0), (60, 65.0), (120, 65.0), (180, 65.0), (240, 65.0), (299, 65.0)]), []);
}

#[test]
fn case_23_a_good_sample_starts_the_time_again() {
    let mut samples = vec![(0, 65.0), (60, 65.0), (90, 50.0)];
    samples.extend((0..6).map(|n| (120 + 60 * n, 65.0)));
    assert_eq!(high_pressure(&samples), [(420, 120)]);
}

#[test]
fn case_23_a_gap_starts_the_time_again() {
    let mut samples = vec![(0, 65.0), (240, 65.0), (300, 65.0), (360, 65.0), (420, 65.0), (480, 65.0)];
    assert_eq!(high_pressure(&samples), []);
    samples.push((540, 65.0));
    assert_eq!(high_pressure(&samples), [(540, 240)]);
}

#[test]
fn case_23_a_duplicate_has_no_effect() {
    let samples = |second: &[(i64, f64)]| {
        let mut samples = vec![(0, 65.0), (60, 65.0)];
        samples.extend(second);
        samples.extend([(120, 65.0), (180, 65.0), (240, 65.0), (300, 65.0)]);
        high_pressure(&samples)
    };
    assert_eq!(samples(&[]), [(300, 0)]);
    assert_eq!(samples(&[(60, 65.0)]), [(300, 0)]);
    // Even one with another value: the first one counts.
    assert_eq!(samples(&[(60, 10.0)]), [(300, 0)]);
}

#[test]
fn case_23_between_clear_value_and_threshold_it_stays_firing() {
    let mut stream = one_logger();
    for n in 0..=5 {
        pressure(&mut stream, 60 * n, 70.0);
    }
    pressure(&mut stream, 360, 57.0);
    let alerts = rows(&stream).alerts;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts.values().next().unwrap().state, AlertState::Firing);
    pressure(&mut stream, 420, 55.0);
    let alerts = rows(&stream).alerts;
    let resolved = AlertState::Resolved { reason: ResolveReason::Cleared };
    assert_eq!(alerts.values().next().unwrap().state, resolved);
}

#[test]
fn case_23_the_threshold_itself_is_not_a_breach() {
    assert_eq!(high_pressure(&[(0, 60.0), (60, 60.0), (120, 60.0), (180, 60.0), (240, 60.0), (300, 60.0)]), []);
}

#[test]
fn case_24_the_same_batch_ten_times_gives_one_outbox_row() {
    let mut stream = one_logger();
    for n in 0..=5 {
        pressure(&mut stream, 60 * n, 65.0);
    }
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    for _ in 0..5 {
        host.deliver_all(&stream);
    }
    // Five more times to new hosts.
    for _ in 0..5 {
        Host::new(&memory).deliver_all(&stream);
    }
    let rows = memory.rows();
    assert_eq!(rows.outbox.len(), 1);
    assert_eq!(rows.contradictions, [""; 0]);
    assert_eq!(memory.objects().keys().filter(|key| key.starts_with("log/")).count(), 1);
}

#[test]
fn case_26_readings_that_are_no_object_are_set_aside_and_an_empty_object_is_a_heartbeat() {
    let mut stream = one_logger();
    for (payload, _) in cases_26() {
        stream.message("sensor-001", &payload, START_MS);
    }
    stream.message("sensor-001", &json!({ "readings": {} }), START_MS);
    let memory = Memory::new();
    let outcome = Host::new(&memory).deliver_all(&stream);
    let reasons: Vec<String> = memory.rows().quarantine.into_values().map(|record| record.reason.to_string()).collect();
    let expected: Vec<&str> = cases_26().into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, expected);
    assert_eq!(outcome.counts.heartbeats, 1);
}

fn cases_26() -> Vec<(Value, &'static str)> {
    vec![
        (json!({ "timestamp": "2026-01-31T10:30:00Z" }), "missing_readings"),
        (json!({ "readings": "none" }), "wrong_type"),
        (json!({ "readings": [1, 2] }), "wrong_type"),
        (json!({ "readings": null }), "wrong_type"),
    ]
}

#[test]
fn case_27_a_number_in_quotes_is_no_number() {
    let mut stream = one_logger();
    stream.reading("sensor-001", json!({ "pressure": "61" }), 0);
    let quarantined = rows(&stream).quarantine.into_values().next().unwrap();
    assert_eq!(
        (quarantined.reason.as_str(), quarantined.detail.as_str()),
        ("wrong_type", "`pressure` is text, not a number")
    );
}

#[test]
fn case_28_a_payload_that_names_another_device_is_set_aside_and_the_other_is_untouched() {
    let mut stream = one_logger();
    stream.register("sensor-002", "pressure-logger", "zone-a");
    for n in 0..5 {
        stream.reading("sensor-002", json!({ "pressure": 65.0 }), n * MINUTE);
    }
    let at = START_MS + 5 * MINUTE;
    let spoofed = json!({
        "deviceId": "sensor-002", "timestamp": "2026-01-31T10:34:30Z", "readings": { "pressure": 10.0 },
    });
    stream.message("sensor-001", &spoofed, at);
    stream.reading("sensor-002", json!({ "pressure": 65.0 }), 5 * MINUTE);
    let rows = rows(&stream);
    let reasons: Vec<&str> = rows.quarantine.values().map(|record| record.reason.as_str()).collect();
    assert_eq!(reasons, ["spoofed_device_id"]);
    // Had the forged sample counted, the time would have started again.
    assert_eq!(rows.outbox.len(), 1);
    assert_eq!(rows.outbox.values().next().unwrap().alert.subject(), "sensor-002");
}

#[test]
fn case_29_times_in_2099_and_1970_are_not_believed() {
    let mut stream = one_logger();
    let hot = |timestamp: &str| json!({ "timestamp": timestamp, "readings": { "pressure": 1.0, "temperature": 55.0 } });
    stream.message("sensor-001", &hot("1970-01-01T00:00:00Z"), START_MS + MINUTE);
    let memory = Memory::new();
    let outcome = Host::new(&memory).deliver_all(&stream);
    assert_eq!((outcome.counts.too_old, outcome.counts.fired), (1, 0));

    stream.message("sensor-001", &hot("2099-01-01T00:00:00Z"), START_MS + 2 * MINUTE);
    let memory = Memory::new();
    let outcome = Host::new(&memory).deliver_all(&stream);
    assert_eq!((outcome.counts.future, outcome.counts.fired), (1, 1));
    let fired = memory.rows().outbox.into_values().next().unwrap();
    assert_eq!(fired.alert.at.0, START_MS + 2 * MINUTE);
    // The next sample is not considered late.
    stream.reading("sensor-001", json!({ "pressure": 1.0, "temperature": 20.0 }), 3 * MINUTE);
    let outcome = Host::new(&Memory::new()).deliver_all(&stream);
    assert_eq!(outcome.counts.late, 0);
}

#[test]
fn case_30_five_hundred_bad_records_are_set_aside_and_the_next_batch_flows() {
    let mut stream = one_logger();
    for n in 0..500 {
        stream.put("sensor-001", format!("{{ broken {n}"), START_MS);
    }
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    host.deliver(&stream, 0, 1);
    let outcome = host.deliver(&stream, 1, 501);
    assert_eq!((outcome.failed_from, outcome.failure), (None, None));
    assert_eq!(memory.rows().quarantine.len(), 500);
    stream.reading("sensor-001", json!({ "pressure": 1.0, "temperature": 55.0 }), 0);
    let outcome = host.deliver(&stream, 501, 502);
    assert_eq!((outcome.failed_from, outcome.counts.fired), (None, 1));
}

#[test]
fn case_36_a_thousand_transitions_in_one_batch_are_exact_and_in_the_outbox_once() {
    let mut stream = Stream::default();
    let devices: Vec<String> = (0..500).map(|n| format!("logger-{n}")).collect();
    for device in &devices {
        stream.register(device, "pressure-logger", "zone-a");
    }
    for device in &devices {
        stream.reading(device, json!({ "pressure": 1.0, "temperature": 55.0 }), 0);
    }
    for device in &devices {
        stream.reading(device, json!({ "pressure": 1.0, "temperature": 20.0 }), MINUTE);
        stream.reading(device, json!({ "pressure": 1.0, "temperature": 20.0 }), 4 * MINUTE);
    }
    let memory = Memory::new();
    for _ in 0..2 {
        Host::new(&memory).deliver_all(&stream);
    }
    let rows = memory.rows();
    assert_eq!((rows.outbox.len(), rows.alerts.len()), (1_000, 500));
    assert!(rows.contradictions.is_empty());
    for device in &devices {
        let kinds: Vec<NoticeKind> = rows
            .outbox
            .values()
            .filter(|notification| notification.alert.subject() == device)
            .map(|notification| notification.kind)
            .collect();
        assert_eq!(kinds.len(), 2);
        assert!(kinds.contains(&NoticeKind::Firing) && kinds.contains(&NoticeKind::Resolved));
    }
}

#[test]
fn the_source_systems_message_is_processed_and_its_alert_fires_once_and_again_after_the_cooldown() {
    let mut stream = Stream::default();
    stream.register("sensor-001", "pressure-logger", "zone-a");
    let message = json!({
        "deviceId": "sensor-001", "timestamp": "2026-01-31T10:30:00Z",
        "readings": { "flowRate": 125.5, "pressure": 45.2, "temperature": 18.3 },
        "batteryLevel": 85, "signalStrength": -65,
    });
    stream.put("sensor-001", message.to_string(), START_MS);
    let outcome = Host::new(&Memory::new()).deliver_all(&stream);
    assert_eq!((outcome.counts.samples, outcome.counts.unknown_readings), (1, 1));
    assert!(outcome.counts.quarantined.is_empty());

    // 65 each minute for five minutes; good again; high again within the cooldown and still high at its end.
    for minute in 1..=12 {
        pressure(&mut stream, 60 * minute, if minute == 7 { 50.0 } else { 65.0 });
    }
    assert_eq!(firings(&stream, "high-pressure"), [(360, 60)]);
    pressure(&mut stream, 780, 65.0);
    assert_eq!(firings(&stream, "high-pressure"), [(360, 60), (780, 480)]);
}

/// Seconds after the start at which `valve-offline` fired, for a valve that is missed only after two hours of silence
/// and sends a position at 0 s; events are (seconds, connected, version).
fn gone(events: &[(i64, bool, u64)]) -> Vec<i64> {
    let mut rules: Value = serde_json::from_slice(EXAMPLE).expect("a rule set");
    rules["device_types"]["valve"]["offline_after_ms"] = json!(7_200_000);
    let memory = Memory::new();
    let rule_set_sha256 = memory.add_rule_set(&serde_json::to_vec(&rules).expect("JSON"));
    let mut stream = Stream::default();
    stream.register("valve-0", "valve", "zone-a");
    stream.reading("valve-0", json!({ "position": 1.0 }), 0);
    for (seconds, connected, version) in events {
        let fields = match connected {
            true => json!({ "e": "connected", "v": version }),
            false => json!({ "e": "disconnected", "v": version, "r": "CONNECTION_LOST" }),
        };
        stream.wrap("lifecycle", "valve-0", fields, START_MS + seconds * SECOND);
    }
    let last = events.last().map_or(0, |(seconds, ..)| seconds * SECOND);
    stream.wrap("tick", "tick", json!({}), START_MS + last + 10 * MINUTE);
    Host::with(&memory, Settings { rule_set_sha256, ..settings(&memory) }).deliver_all(&stream);
    let rows = memory.rows().outbox.into_values();
    let firings = rows.filter(|notification| {
        notification.alert.rule.as_str() == "valve-offline" && notification.kind == NoticeKind::Firing
    });
    let mut at: Vec<i64> = firings.map(|notification| (notification.alert.at.0 - START_MS) / SECOND).collect();
    at.sort_unstable();
    at
}

/// The broker gives both ends of a connection the same version ("Lifecycle events", AWS IoT Core developer guide).
#[test]
fn a_disconnect_has_the_version_of_its_connect() {
    assert_eq!(gone(&[(10, true, 6), (20, false, 6)]), [140]);
    // Out of order, and twice.
    assert_eq!(gone(&[(10, false, 6), (20, true, 6)]), [130]);
    assert_eq!(gone(&[(10, true, 6), (20, false, 6), (25, true, 6)]), [140]);
    // Back under a new connection before the grace is over.
    assert_eq!(gone(&[(10, true, 6), (20, false, 6), (100, true, 7), (101, false, 6)]), Vec::<i64>::new());
}

/// The broker counts a client's connections from 0 again once the client has been away for about an hour.
#[test]
fn versions_that_begin_anew_are_taken() {
    let away = 20 + 3_600;
    assert_eq!(gone(&[(10, true, 6), (20, false, 6), (away, true, 0), (away + 60, false, 0)]), [140, away + 180]);
    // Two minutes away do not restart the count: these are old events that arrive late.
    assert_eq!(gone(&[(10, true, 6), (20, false, 6), (60, true, 7), (90, false, 0)]), Vec::<i64>::new());
}

#[test]
fn case_32_a_disconnect_after_a_newer_connect_leaves_the_device_online() {
    let told = |disconnected: u64| {
        let memory = Memory::new();
        let mut stream = Stream::default();
        stream.register("valve-0", "valve", "zone-a");
        stream.reading("valve-0", json!({ "position": 1.0 }), 0);
        stream.wrap("lifecycle", "valve-0", json!({ "e": "connected", "v": 6 }), START_MS + 1_000);
        let gone = json!({ "e": "disconnected", "v": disconnected, "r": "CONNECTION_LOST" });
        stream.wrap("lifecycle", "valve-0", gone, START_MS + 2_000);
        // Messages from elsewhere keep the device from being silent, and advance the time.
        for at in (3..180).step_by(50) {
            stream.wrap("tick", "tick", json!({}), START_MS + at * 1_000);
        }
        Host::new(&memory).deliver_all(&stream);
        let rows = memory.rows();
        let gone: Vec<i64> = rows
            .outbox
            .values()
            .filter(|notification| notification.alert.rule.as_str() == "valve-offline")
            .map(|notification| notification.alert.at.0 - START_MS)
            .collect();
        gone
    };
    // Silence counts either way, after 60 s; a disconnect by itself only after 120 s of grace.
    assert_eq!(told(5), [60_001]);
    assert_eq!(told(7), [60_001]);
}
