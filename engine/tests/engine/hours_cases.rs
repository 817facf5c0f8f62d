//! The hours of rules that read no samples start and end on time, without any record from the device.

use fleetform_engine::{
    effect::{AlertState, ResolveReason},
    memory::Memory,
};
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Host, START_MS, Stream};

const ALARM: &str = "valve-alarm";
const COMPOSITE: &str = "valve-open-and-leaking";
const MINUTE: i64 = 60_000;

/// The example with a change, and with a composite rule that reads only alarms.
fn without_silence(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut set: Value = serde_json::from_slice(EXAMPLE).unwrap();
    set["rules"][COMPOSITE]["condition"]["any"] = json!([ALARM]);
    change(&mut set);
    serde_json::to_vec(&set).unwrap()
}

/// A valve that is open, under a set in which a rule is active from five minutes after the start, which is at 05:30
/// in its zone, until ten minutes after it.
fn watched(rule: &str, memory: &Memory) -> Stream {
    let set = without_silence(|set| {
        set["rules"][rule]["active"] = json!({ "days": ["sat"], "from_minute": 335, "to_minute": 340 });
    });
    let mut stream = Stream::default();
    stream.rules(1, &memory.add_rule_set(&set), START_MS);
    stream.register("valve-0", "valve", "zone-a");
    stream.reading("valve-0", json!({ "position": 95 }), 0);
    stream
}

fn alarm(stream: &mut Stream, active: bool, after_ms: i64) {
    let alarm = json!({ "code": "leak", "active": active });
    stream.wrapped("valve-0", alarm.to_string().as_bytes(), "alerts", START_MS + after_ms);
}

fn tick(stream: &mut Stream, after_ms: i64) {
    stream.wrap("tick", "valve-0", json!({}), START_MS + after_ms);
}

/// When the rule's alert changed last, and to what; identical for a host that reads the chain before each record and
/// for one that keeps it.
fn newest(rule: &str, memory: &Memory, stream: &Stream) -> Option<(AlertState, i64)> {
    let found = |memory: &Memory| {
        let alerts = memory.rows().alerts.into_values().filter(|alert| alert.rule.as_str() == rule);
        alerts.max_by_key(|alert| alert.at).map(|alert| (alert.state, alert.at.0 - START_MS))
    };
    let cold = Memory::new();
    let _same_sets = (watched(rule, &cold), cold.add_rule_set(&without_silence(|_| {})));
    for index in 0..stream.records.len() {
        assert_eq!(Host::new(&cold).deliver(stream, index, index + 1).failure, None);
    }
    Host::new(memory).deliver_all(stream);
    assert_eq!(found(&cold), found(memory));
    found(memory)
}

const CLEARED: AlertState = AlertState::Resolved { reason: ResolveReason::Cleared };

#[test]
fn what_holds_already_fires_as_the_hours_begin_and_ends_with_them() {
    for rule in [ALARM, COMPOSITE] {
        let memory = Memory::new();
        let mut stream = watched(rule, &memory);
        alarm(&mut stream, true, 10_000);
        tick(&mut stream, 4 * MINUTE);
        assert_eq!(newest(rule, &memory, &stream), None, "{rule}");
        tick(&mut stream, 7 * MINUTE);
        assert_eq!(newest(rule, &memory, &stream), Some((AlertState::Firing, 5 * MINUTE)), "{rule}");
        tick(&mut stream, 12 * MINUTE);
        assert_eq!(newest(rule, &memory, &stream), Some((CLEARED, 10 * MINUTE)), "{rule}");
    }
}

#[test]
fn what_has_ended_before_the_hours_begin_never_fires() {
    for rule in [ALARM, COMPOSITE] {
        let memory = Memory::new();
        let mut stream = watched(rule, &memory);
        alarm(&mut stream, true, 10_000);
        alarm(&mut stream, false, 20_000);
        tick(&mut stream, 12 * MINUTE);
        assert_eq!(newest(rule, &memory, &stream), None, "{rule}");
    }
}

#[test]
fn what_begins_and_ends_in_the_hours_is_what_it_is_without_them() {
    for rule in [ALARM, COMPOSITE] {
        let memory = Memory::new();
        let mut stream = watched(rule, &memory);
        stream.reading("valve-0", json!({ "position": 95 }), 6 * MINUTE);
        alarm(&mut stream, true, 6 * MINUTE);
        alarm(&mut stream, false, 6 * MINUTE + 20_000);
        tick(&mut stream, 12 * MINUTE);
        assert_eq!(newest(rule, &memory, &stream), Some((CLEARED, 6 * MINUTE + 20_000)), "{rule}");
    }
}

#[test]
fn an_alarm_that_its_hours_held_back_fires_when_another_set_has_none() {
    let memory = Memory::new();
    let mut stream = watched(ALARM, &memory);
    alarm(&mut stream, true, 10_000);
    stream.rules(2, &memory.add_rule_set(&without_silence(|_| {})), START_MS + 4 * MINUTE);
    tick(&mut stream, 4 * MINUTE + 30_000);
    assert_eq!(newest(ALARM, &memory, &stream), Some((AlertState::Firing, 4 * MINUTE)));
}
