//! Everything that can be wrong with a message, and everything unusual that is not an error.

use fleetform_engine::{memory::Memory, reason::Reason};
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Host, START_MS, Stream, settings};

/// The outcome of one message, put unchanged: from the pressure logger, unless `pump ` or `meter ` precedes it.
fn outcome_of(payload: &[u8], change: impl FnOnce(&mut Value)) -> (Vec<String>, fleetform_engine::counts::Counts) {
    let mut set: Value = serde_json::from_slice(EXAMPLE).unwrap();
    change(&mut set);
    let memory = Memory::new();
    let mut settings = settings(&memory);
    settings.rule_set_sha256 = memory.add_rule_set(&serde_json::to_vec(&set).unwrap());
    let mut stream = Stream::default();
    stream.register("sensor-001", "pressure-logger", "zone-a");
    stream.register("pump-0", "pump", "zone-a");
    stream.register("meter-0", "flow-meter", "zone-a");
    let (device, payload) = match payload {
        [b'p', b'u', b'm', b'p', b' ', payload @ ..] => ("pump-0", payload),
        [b'm', b'e', b't', b'e', b'r', b' ', payload @ ..] => ("meter-0", payload),
        payload => ("sensor-001", payload),
    };
    stream.put(device, payload, START_MS);
    let outcome = Host::with(&memory, settings).deliver_all(&stream);
    let rows = memory.rows().quarantine.into_values();
    (rows.map(|record| format!("{}: {}", record.reason, record.detail)).collect(), outcome.counts)
}

fn refusal(payload: impl AsRef<[u8]>) -> String {
    outcome_of(payload.as_ref(), |_| {}).0.pop().unwrap_or_default()
}

fn with(readings: &str) -> String {
    format!(r#"{{"timestamp":"2026-01-31T10:30:00Z","readings":{readings}}}"#)
}

#[test]
fn every_mistake_has_its_reason() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"extra":{open}{close},"readings":{{}}}}"#)
    };
    let many = |count: usize| {
        let keys: Vec<String> = (0..count).map(|n| format!(r#""extra{n}":1"#)).collect();
        with(&format!("{{\"pressure\":1,{}}}", keys.join(",")))
    };
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "bad_json: at line 1 column 0"),
        ("{".into(), "bad_json: at line 1 column 1"),
        (r#"{"readings":{}} x"#.into(), "bad_json: at line 1 column 17"),
        ("7".into(), "bad_json: the message is a number"),
        (with(r#"{"pressure":NaN}"#), "bad_json: at line 1 column 60"),
        (with(r#"{"pressure":1e400}"#), "bad_number: at line 1 column 64"),
        (with(r#"{"pressure":1.0000000001e15}"#), "bad_number: `pressure` is beyond ±1e15"),
        (with(r#"{"pressure":true}"#), "wrong_type: `pressure` is true or false, not a number"),
        (with(r#"{"pressure":null}"#), "wrong_type: `pressure` is null, not a number"),
        (with(r#"{"pressure":[1]}"#), "wrong_type: `pressure` is an array, not a number"),
        (with(r#"{"pressure":{"v":1}}"#), "wrong_type: `pressure` is an object, not a number"),
        (with(r#"{"pressure":361}"#), "out_of_range: `pressure` lies outside its declared bounds"),
        (with(r#"{"pressure":-0.1}"#), "out_of_range: `pressure` lies outside its declared bounds"),
        (with(r#"{"temperature":20}"#), "missing_reading: `pressure` is required"),
        (with(r#"{"pressure":1,"pressure":1}"#), "duplicate_key: `pressure` is there twice"),
        (with(r#"{"pressure":1,"\u0070ressure":1}"#), "duplicate_key: `pressure` is there twice"),
        (r#"{"readings":{},"a":{"b":[{"c":1,"c":1}]}}"#.into(), "duplicate_key: `c` is there twice"),
        (nested(15), ""),
        (nested(16), "too_deep: 16 levels are the most"),
        (nested(5_000), "too_deep: 16 levels are the most"),
        (many(63), ""),
        (many(64), "too_many_metrics: a sample has at most 64"),
        (r#"{"deviceId":"sensor-002","readings":{}}"#.into(), "spoofed_device_id: the payload names another device"),
        (r#"{"deviceId":1,"readings":{}}"#.into(), "wrong_type: the device id is a number, not text"),
        (r#"{"batteryLevel":"85","readings":{}}"#.into(), "wrong_type: `batteryLevel` is text, not a number"),
        (r#"{"records":{}}"#.into(), "wrong_type: the batch is an object, not an array"),
        (r#"{"records":[1]}"#.into(), "wrong_type: a sample of the batch is a number, not an object"),
        (r#"{"records":[{}]}"#.into(), "missing_readings: there is no object of readings"),
        (r#"[{"deviceId":"sensor-002","readings":{}}]"#.into(), "spoofed_device_id: the payload names another device"),
        ("pump {\"readings\":{\"state\":1}}".into(), "wrong_type: `state` is a number, not one of its words"),
        ("pump {\"readings\":{\"state\":\"Fault\"}}".into(), "unknown_value: `state` is none of its declared words"),
        ("pump {\"readings\":{\"doorOpen\":\"true\"}}".into(), "wrong_type: `doorOpen` is text, not true or false"),
        ("pump {\"readings\":{\"note\":7}}".into(), "wrong_type: `note` is a number, not text"),
        (
            "meter {\"readings\":{\"flowRate\":1,\"pressure\":1,\"cycles\":1.5}}".into(),
            "wrong_type: `cycles` is a number, not a whole number",
        ),
        ("meter {\"readings\":{\"flowRate\":1,\"pressure\":1,\"cycles\":3.0}}".into(), ""),
    ];
    for (payload, expected) in cases {
        let shown: String = payload.chars().take(200).collect();
        assert_eq!((refusal(&payload).as_str(), &shown), (expected, &shown));
    }
    assert_eq!(refusal(b"{\"readings\":{\"\xff\":1}}"), "bad_utf8: at byte 14");
    assert_eq!(
        refusal(format!(r#"{{"readings":{{}},"pad":"{}"}}"#, "x".repeat(131_072))),
        "too_large: the message has 131096 bytes; 131072 are the most"
    );
}

#[test]
fn a_detail_never_shows_a_value_and_a_key_only_so_far() {
    let secret = "s3cret";
    for payload in [
        with(&format!(r#"{{"pressure":"{secret}"}}"#)),
        format!(r#"{{"deviceId":"{secret}","readings":{{}}}}"#),
        format!(r#"{{"readings":"{secret}"}}"#),
    ] {
        assert!(!refusal(&payload).contains(secret));
    }
    let long = "k".repeat(1_000);
    let refused = refusal(with(&format!(r#"{{"pressure":1,"{long}":1,"{long}":1}}"#)));
    assert_eq!(refused, format!("duplicate_key: `{}` is there twice", "k".repeat(64)));
}

#[test]
fn devices_that_are_not_known_are_set_aside() {
    let memory = Memory::new();
    let mut stream = Stream::default();
    stream.reading("nobody", json!({ "pressure": 1.0 }), 0);
    stream.register("tap-0", "tap", "zone-a");
    stream.reading("tap-0", json!({ "pressure": 1.0 }), 0);
    stream.register("pump-9", "pump", "zone-z");
    stream.reading("pump-9", json!({ "vibration": 1.0 }), 0);
    Host::new(&memory).deliver_all(&stream);
    let reasons: Vec<String> = memory.rows().quarantine.values().map(|record| record.reason.to_string()).collect();
    assert_eq!(reasons, ["unknown_device", "unknown_type", "unknown_zone"]);
}

#[test]
fn readings_that_are_not_declared_are_counted_or_refused() {
    let payload = with(r#"{"pressure":1,"flavour":"salty"}"#);
    let (quarantined, counts) = outcome_of(payload.as_bytes(), |_| {});
    assert_eq!((quarantined.len(), counts.unknown_readings, counts.samples), (0, 1, 1));
    let (quarantined, _) = outcome_of(payload.as_bytes(), |set| set["message"]["unknown_reading"] = json!("reject"));
    assert_eq!(quarantined, ["unknown_reading: `flavour`"]);
}

#[test]
fn batches_are_read_at_their_path_or_as_an_array_and_sorted_by_time() {
    let sample = |minute: u8, pressure: u32| json!({ "timestamp": format!("2026-01-31T10:{minute}:00Z"), "readings": { "pressure": pressure } });
    for payload in [
        json!({ "records": [sample(29, 65), sample(27, 65), sample(28, 65)], "batteryLevel": 15 }),
        json!({ "batteryLevel": 15, "records": [sample(29, 65), sample(27, 65), sample(28, 65)] }),
        json!([sample(29, 65), sample(27, 65), sample(28, 65)]),
    ] {
        let (quarantined, counts) = outcome_of(payload.to_string().as_bytes(), |_| {});
        assert_eq!((quarantined.len(), counts.late), (0, 0));
        // Health values at the root of a batched message are a sample of their own, taken as it arrived.
        let health = u64::from(payload.is_object());
        assert_eq!((counts.samples, counts.untimed, counts.fired), (3 + health, health, health));
    }
    let (_, counts) = outcome_of(br#"{"records":[]}"#, |_| {});
    assert_eq!((counts.heartbeats, counts.samples), (1, 0));
}

#[test]
fn times_are_read_as_the_platform_says() {
    for (format, timestamp) in [
        ("rfc3339", json!("2026-01-31T10:29:59.5Z")),
        ("epoch_s", json!(1_769_855_399.5)),
        ("epoch_ms", json!(1_769_855_399_500_i64)),
    ] {
        let payload = json!({ "timestamp": timestamp, "readings": { "pressure": 1 } }).to_string();
        let (_, counts) = outcome_of(payload.as_bytes(), |set| set["message"]["timestamp_format"] = json!(format));
        assert_eq!((counts.untimed, counts.event_lag_ms_max), (0, 500), "{format}");
    }
    for timestamp in [json!("noon"), json!(17), json!(null), json!({ "s": 1 })] {
        let payload = json!({ "timestamp": timestamp, "readings": { "pressure": 1 } }).to_string();
        let (quarantined, counts) = outcome_of(payload.as_bytes(), |_| {});
        assert_eq!((quarantined.len(), counts.untimed, counts.event_lag_ms_max), (0, 1, 0));
    }
}

/// Each is refused at a limit, or costs no more than its size suggests.
#[test]
fn hostile_messages_end_where_they_must() {
    let many_keys: Vec<String> = (0..12_000).map(|n| format!("\"k{n}\":1")).collect();
    let payloads = [
        ("missing_readings: there is no object of readings", format!("{{{}}}", many_keys.join(","))),
        ("bad_number: at line 1 column 100024", format!("{{\"readings\":{{\"pressure\":{}}}}}", "9".repeat(100_000))),
        ("too_deep: 16 levels are the most", "[".repeat(131_072)),
    ];
    for (reason, payload) in payloads {
        assert_eq!(refusal(&payload), reason, "{}", &payload[..40]);
    }
    let batch = format!("{{\"records\":[{}{{\"readings\":{{}}}}]}}", "{\"readings\":{}},".repeat(8_000));
    let (refused, counts) = outcome_of(batch.as_bytes(), |_| {});
    assert_eq!((refused.len(), counts.heartbeats), (0, 1));
}

#[test]
fn reasons_are_told_apart_by_stable_words() {
    let words: std::collections::BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    assert!(
        words
            .iter()
            .all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit()))
    );
}

#[test]
fn the_other_channels_are_read_as_strictly_as_telemetry() {
    let nested = format!(r#"{{"status":"online","x":{}{}}}"#, "[".repeat(16), "]".repeat(16));
    let cases: [(&str, &str, &str); 8] = [
        ("status", r#"["online"]"#, "bad_status: the message is an array"),
        ("alerts", r#"["leak",true]"#, "bad_alarm: the message is an array"),
        ("alerts", r#"{"code":"leak","code":"burst","active":true}"#, "duplicate_key: `code` is there twice"),
        ("status", r#"{"status":"online","status":"offline"}"#, "duplicate_key: `status` is there twice"),
        (
            "status",
            r#"{"deviceId":"a","status":"online","deviceId":"sensor-001"}"#,
            "duplicate_key: `deviceId` is there twice",
        ),
        ("status", &nested, "too_deep: 16 levels are the most"),
        ("alerts", r#"{"code":"leak","active":true,"x":1e999}"#, "bad_number: at line 1 column 38"),
        ("status", r#"{"status":"online","deviceId":"sensor-001"}"#, ""),
    ];
    for (channel, payload, expected) in cases {
        let memory = Memory::new();
        let mut stream = Stream::default();
        stream.register("sensor-001", "pressure-logger", "zone-a");
        stream.wrapped("sensor-001", payload.as_bytes(), channel, START_MS);
        Host::new(&memory).deliver_all(&stream);
        let rows = memory.rows().quarantine.into_values();
        let refusals: Vec<String> = rows.map(|record| format!("{}: {}", record.reason, record.detail)).collect();
        assert_eq!(refusals.join("; "), expected, "{payload}");
    }
}
