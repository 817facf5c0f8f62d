//! Redriven records: what was lost is recovered, and no notice is sent of what is long past.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::{effect::AlertState, memory::Memory};
use serde_json::json;

use crate::support::{Host, Put, START_MS, Stream};

const DEVICE: &str = "sensor-001";
const HOUR_MS: i64 = 3_600_000;

/// A stream with a registered device, and the records of a breach that fires at the sixth sample.
fn registered() -> (Stream, Vec<Put>) {
    let (mut stream, mut lost) = (Stream::default(), Stream::default());
    stream.register(DEVICE, "pressure-logger", "zone-a");
    for minute in 0..=5 {
        lost.reading(DEVICE, json!({ "pressure": 65.0 }), minute * 60_000);
    }
    (stream, lost.records)
}

impl Stream {
    /// Puts a record again with its original bytes.
    pub(crate) fn redrive(&mut self, put: &Put, at: i64) {
        let (original, ingested_at) = (STANDARD.encode(&put.data), put.arrived_at);
        let record = json!({ "ff": 1, "k": "redrive", "p": original, "t": ingested_at });
        self.put(&put.key, record.to_string(), at);
    }
}

#[test]
fn what_was_lost_fires_in_history_and_is_told_of_at_the_first_sample_of_now() {
    let (mut stream, mut lost) = (Stream::default(), Stream::default());
    stream.register(DEVICE, "pressure-logger", "zone-a");
    lost.reading(DEVICE, json!({ "pressure": 50.0, "temperature": 55.0 }), 0);
    let now = START_MS + HOUR_MS;
    stream.put("tick", json!({ "ff": 1, "k": "tick", "t": now }).to_string(), now);
    stream.redrive(&lost.records[0], now);
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    let outcome = host.deliver_all(&stream);
    assert_eq!((outcome.counts.redriven, outcome.counts.fired, outcome.counts.too_late), (1, 1, 1));
    assert_eq!(outcome.counts.newest_ingest.map(|at| at.0), Some(now), "an old record is no sign of a lag");
    assert_eq!(memory.rows().outbox.len(), 0);
    let alert = memory.rows().alerts.into_values().next().expect("it is in the history");
    assert_eq!((alert.state, alert.at.0, alert.ingested_at.0), (AlertState::Firing, START_MS, START_MS));

    let before = stream.records.len();
    stream.reading(DEVICE, json!({ "pressure": 50.0, "temperature": 56.0 }), HOUR_MS + 60_000);
    let outcome = host.deliver(&stream, before, stream.records.len());
    assert_eq!((outcome.counts.fired, memory.rows().outbox.len()), (0, 1));
}

#[test]
fn a_condition_that_must_last_does_not_outlast_the_time_that_has_gone_on() {
    let (mut stream, lost) = registered();
    let now = START_MS + HOUR_MS;
    stream.put("tick", json!({ "ff": 1, "k": "tick", "t": now }).to_string(), now);
    lost.iter().for_each(|put| stream.redrive(put, now));
    let outcome = Host::new(&Memory::new()).deliver_all(&stream);
    assert_eq!((outcome.counts.redriven, outcome.counts.late, outcome.counts.fired), (6, 0, 0));
}

#[test]
fn the_same_records_in_time_are_told_of_at_once() {
    let (mut stream, lost) = registered();
    lost.iter().for_each(|put| stream.redrive(put, put.arrived_at + 60_000));
    let memory = Memory::new();
    let outcome = Host::new(&memory).deliver_all(&stream);
    assert_eq!((outcome.counts.fired, memory.rows().outbox.len()), (1, 1));
}

#[test]
fn what_was_evaluated_before_changes_nothing() {
    let (mut stream, lost) = registered();
    stream.records.extend(lost.clone());
    stream.reading(DEVICE, json!({ "pressure": 50.0 }), 360_000);
    lost.iter().for_each(|put| stream.redrive(put, START_MS + 400_000));
    let memory = Memory::new();
    let outcome = Host::new(&memory).deliver_all(&stream);
    assert_eq!((outcome.counts.late, outcome.counts.fired, outcome.counts.resolved), (6, 1, 1));
    let kinds: Vec<_> = memory.rows().outbox.into_values().map(|notice| notice.kind).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
}

#[test]
fn an_old_word_about_presence_does_not_undo_a_newer_one() {
    let (mut stream, _) = registered();
    let mut said = Stream::default();
    said.wrapped(DEVICE, br#"{"status":"offline"}"#, "status", START_MS + 1_000);
    said.wrapped(DEVICE, br#"{"code":"E7","active":true}"#, "alerts", START_MS + 1_000);
    stream.reading(DEVICE, json!({ "pressure": 50.0 }), 60_000);
    said.records.iter().for_each(|put| stream.redrive(put, START_MS + 120_000));
    // Long enough for the grace period in which a device may come back, but not for its silence.
    let later = START_MS + 60_000 + 130_000;
    stream.put("tick", json!({ "ff": 1, "k": "tick", "t": later }).to_string(), later);
    let memory = Memory::new();
    let outcome = Host::new(&memory).deliver_all(&stream);
    assert_eq!((outcome.counts.late, outcome.counts.offline, outcome.counts.alarms), (2, 0, 0));
}

#[test]
fn an_old_word_of_the_broker_does_not_undo_a_newer_message() {
    let (mut stream, _) = registered();
    let mut said = Stream::default();
    said.wrap("lifecycle", DEVICE, json!({ "e": "disconnected", "v": 5, "r": "CONNECTION_LOST" }), START_MS + 1_000);
    stream.reading(DEVICE, json!({ "pressure": 50.0 }), 60_000);
    said.records.iter().for_each(|put| stream.redrive(put, START_MS + 120_000));
    let later = START_MS + 60_000 + 130_000;
    stream.put("tick", json!({ "ff": 1, "k": "tick", "t": later }).to_string(), later);
    let before = stream.records.len();
    // The connection count may have restarted since, so this report counts, whatever its number.
    stream.wrap("lifecycle", DEVICE, json!({ "e": "disconnected", "v": 4, "r": "CONNECTION_LOST" }), later + 1_000);
    stream.put("tick", json!({ "ff": 1, "k": "tick", "t": later + 200_000 }).to_string(), later + 200_000);
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    let outcome = host.deliver(&stream, 0, before);
    assert_eq!((outcome.counts.late, outcome.counts.offline), (1, 0));
    let outcome = host.deliver(&stream, before, stream.records.len());
    assert_eq!((outcome.counts.stale_presence, outcome.counts.offline), (0, 1));
}

#[test]
fn a_message_that_was_lost_ends_no_silence_that_goes_on_behind_it() {
    let seconds = |n: i64| n * 1_000;
    let silent = |lost_at: i64| {
        let (mut stream, mut lost) = (Stream::default(), Stream::default());
        stream.register("valve-1", "valve", "zone-a");
        stream.reading("valve-1", json!({ "position": 1.0 }), 0);
        lost.reading("valve-1", json!({ "position": 1.0 }), seconds(lost_at));
        let now = START_MS + seconds(200);
        stream.put("tick", json!({ "ff": 1, "k": "tick", "t": now }).to_string(), now);
        stream.redrive(&lost.records[0], now + seconds(1));
        stream.put("tick", json!({ "ff": 1, "k": "tick", "t": now }).to_string(), now + seconds(2));
        let memory = Memory::new();
        Host::new(&memory).deliver_all(&stream);
        let rows = memory.rows();
        let firing = rows.alerts.values().filter(|row| row.state == AlertState::Firing);
        let mut firing: Vec<String> = firing.map(|row| row.rule.to_string()).collect();
        firing.sort();
        (firing, rows.outbox.len())
    };
    let [offline, quiet] = ["valve-offline", "valve-quiet"].map(str::to_owned);
    assert_eq!(silent(20), (vec![offline.clone(), quiet.clone()], 2));
    // It was heard from forty seconds ago, which is too long for one rule only.
    assert_eq!(silent(160), (vec![quiet], 3));
    // Quiet for another twenty seconds, its end is notified then.
    assert_eq!(silent(190), (vec!["valve-quiet".to_owned()], 3));
}

#[test]
fn what_is_still_wrong_is_set_aside_again_as_it_came_and_can_be_put_again() {
    let (mut stream, _) = registered();
    let bad = Put { key: DEVICE.into(), data: b"{\"reading\":7}".to_vec(), arrived_at: START_MS };
    stream.records.push(bad.clone());
    stream.redrive(&bad, START_MS + HOUR_MS);
    let memory = Memory::new();
    Host::new(&memory).deliver_all(&stream);
    let rows: Vec<_> = memory.rows().quarantine.into_values().collect();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!((row.reason.as_str(), row.partition_key.as_str()), ("missing_readings", DEVICE));
        assert_eq!(STANDARD.decode(&row.data).unwrap(), bad.data);
        assert_eq!(row.ingested_at.0, START_MS);
    }
}

#[test]
fn what_the_platform_itself_puts_is_not_put_again() {
    let (mut stream, _) = registered();
    let tick = json!({ "ff": 1, "k": "tick", "t": START_MS });
    let rules = json!({ "ff": 1, "k": "rules", "version": 9, "sha256": "0".repeat(64), "t": START_MS });
    let again = json!({ "ff": 1, "k": "redrive", "p": STANDARD.encode(tick.to_string()), "t": START_MS });
    for record in [tick, rules, again] {
        stream.redrive(&Put { key: DEVICE.into(), data: record.to_string().into(), arrived_at: START_MS }, START_MS);
    }
    let memory = Memory::new();
    let outcome = Host::new(&memory).deliver_all(&stream);
    assert_eq!((outcome.counts.rule_sets, outcome.counts.unusable_rule_sets), (0, 0));
    let reasons: Vec<_> = memory.rows().quarantine.into_values().map(|row| row.reason).collect();
    assert_eq!(reasons, ["bad_envelope"; 3]);
}
