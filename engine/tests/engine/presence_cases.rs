//! Rules about silence, in cases that a session under a single set of rules cannot show.

use fleetform_engine::memory::Memory;
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Host, START_MS, Stream};

/// How often `valve-quiet` has fired on a valve that had been silent for a minute and a half when the rule was added,
/// with these hours from half past five, the time it was last heard from.
fn firings(minutes: i64) -> usize {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut set: Value = serde_json::from_slice(EXAMPLE).unwrap();
        change(&mut set["rules"]["valve-quiet"]);
        serde_json::to_vec(&set).unwrap()
    };
    let memory = Memory::new();
    let without = memory.add_rule_set(&changed(&|rule| rule["enabled"] = json!(false)));
    let hours = json!({ "days": ["sat"], "from_minute": 330, "to_minute": 330 + minutes });
    let with = memory.add_rule_set(&changed(&|rule| rule["active"] = hours.clone()));
    let mut stream = Stream::default();
    stream.rules(1, &without, START_MS);
    stream.register("valve-0", "valve", "zone-a");
    stream.reading("valve-0", json!({ "position": 1 }), 0);
    stream.rules(2, &with, START_MS + 90_000);
    stream.wrap("tick", "valve-0", json!({}), START_MS + 100_000);
    Host::new(&memory).deliver_all(&stream);
    memory.rows().alerts.into_values().filter(|alert| alert.rule.as_str() == "valve-quiet").count()
}

#[test]
fn silence_that_a_new_rule_finds_late_is_found_in_its_hours() {
    assert_eq!(firings(2), 1);
    assert_eq!(firings(1), 0, "they were over when it came");
}

/// A message whose ingest time lies behind its arrival, as when the broker was slow to hand it over.
fn lagging(stream: &mut Stream, device: &str, ingested_at: i64, arrived_at: i64) {
    let message = json!({ "deviceId": device, "readings": {} }).to_string();
    stream.wrapped(device, message.as_bytes(), "telemetry", START_MS + ingested_at);
    stream.records.last_mut().unwrap().arrived_at = START_MS + arrived_at;
}

fn tick(stream: &mut Stream, at: i64) {
    stream.put("tick", json!({ "ff": 1, "k": "tick", "t": START_MS + at }).to_string(), START_MS + at);
}

/// Rules that have fired, once for each episode, and the number of notices.
fn rows(stream: &Stream) -> (Vec<String>, usize) {
    let memory = Memory::new();
    Host::new(&memory).deliver_all(stream);
    let rows = memory.rows();
    let mut fired: Vec<String> = rows.alerts.values().map(|alert| alert.rule.to_string()).collect();
    fired.sort();
    (fired, rows.outbox.len())
}

#[test]
fn a_message_that_lags_behind_ends_no_silence_that_continues_after_it() {
    let mut stream = Stream::default();
    stream.register("valve-0", "valve", "zone-a");
    stream.reading("valve-0", json!({ "position": 1 }), 0);
    tick(&mut stream, 200_000);
    lagging(&mut stream, "valve-0", 20_000, 201_000);
    tick(&mut stream, 202_000);
    assert_eq!(rows(&stream), (vec!["valve-offline".to_owned(), "valve-quiet".to_owned()], 2));
}

#[test]
fn a_message_from_before_a_device_was_gone_does_not_bring_it_back() {
    for redriven in [false, true] {
        let mut stream = Stream::default();
        stream.register("probe-0", "quality-probe", "zone-a");
        stream.wrapped("probe-0", br#"{"status":"offline"}"#, "status", START_MS + 30_000);
        let mut before = Stream::default();
        lagging(&mut before, "probe-0", 20_000, 31_000);
        match redriven {
            true => stream.redrive(&before.records[0], START_MS + 31_000),
            false => stream.records.append(&mut before.records),
        }
        let heard = stream.records.len();
        tick(&mut stream, 149_999);
        tick(&mut stream, 150_000);
        let memory = Memory::new();
        let mut host = Host::new(&memory);
        assert_eq!(host.deliver(&stream, 0, heard + 1).counts.offline, 0);
        assert_eq!(host.deliver(&stream, heard + 1, heard + 2).counts.offline, 1, "redriven: {redriven}");
    }
}

#[test]
fn a_device_that_is_registered_again_begins_with_any_version_of_its_connection() {
    let hour = 3_600_000;
    let mut stream = Stream::default();
    stream.register("valve-0", "valve", "zone-a");
    stream.wrap("lifecycle", "valve-0", json!({ "e": "connected", "v": 5 }), START_MS + 1_000);
    let retired = json!({ "rev": 2, "type": "valve", "zone": "zone-a", "retired": true });
    stream.registration("valve-0", retired, START_MS + 2_000);
    stream.registration("valve-0", json!({ "rev": 3, "type": "valve", "zone": "zone-a" }), START_MS + hour);
    let gone = json!({ "e": "disconnected", "v": 0, "r": "CONNECTION_LOST" });
    stream.wrap("lifecycle", "valve-0", gone, START_MS + hour + 1_000);
    tick(&mut stream, hour + 121_000);
    let memory = Memory::new();
    let counts = Host::new(&memory).deliver_all(&stream).counts;
    assert_eq!((counts.stale_presence, counts.offline), (0, 1));
}
