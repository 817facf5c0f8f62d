//! Rule sets and registrations that arrive while episodes run: what continues, what ends and why.

use fleetform_engine::{
    drive::Failure,
    effect::{AlertState, ResolveReason},
    memory::{Fault, Memory, Operation, Rows},
};
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Host, START_MS, Stream, sequence, settings};

const MINUTE: i64 = 60_000;

/// The example with one thing changed.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut set: Value = serde_json::from_slice(EXAMPLE).unwrap();
    change(&mut set);
    serde_json::to_vec(&set).unwrap()
}

/// Two devices at 70 psi and 55 degrees for five minutes, then a rule set, then the last sample again.
fn reloaded(set: &[u8]) -> (Rows, fleetform_engine::counts::Counts) {
    let memory = Memory::new();
    let sha256 = memory.add_rule_set(set);
    let mut stream = Stream::default();
    stream.register("logger-0", "pressure-logger", "zone-a");
    stream.register("pump-0", "pump", "zone-a");
    for n in 0..5 {
        stream.reading("logger-0", json!({ "pressure": 70.0, "temperature": 55.0 }), n * MINUTE);
    }
    stream.rules(7, &sha256, START_MS + 4 * MINUTE);
    stream.rules(6, &"0".repeat(64), START_MS + 4 * MINUTE);
    stream.reading("logger-0", json!({ "pressure": 70.0, "temperature": 55.0 }), 5 * MINUTE);
    let outcome = Host::new(&memory).deliver_all(&stream);
    // One record at a time, each to a new host, gives the same result.
    let piecewise = Memory::new();
    piecewise.add_rule_set(set);
    for index in 0..stream.records.len() {
        assert_eq!(Host::new(&piecewise).deliver(&stream, index, index + 1).failure, None);
    }
    assert_eq!(piecewise.rows(), memory.rows());
    (memory.rows(), outcome.counts)
}

fn states(rows: &Rows, rule: &str) -> Vec<AlertState> {
    rows.alerts.values().filter(|alert| alert.rule.as_str() == rule).map(|alert| alert.state.clone()).collect()
}

#[test]
fn a_rule_set_that_changes_nothing_changes_nothing() {
    let (rows, counts) = reloaded(EXAMPLE);
    assert_eq!((counts.rule_sets, counts.stale_rule_sets), (1, 1));
    assert_eq!(states(&rows, "high-pressure"), [AlertState::Firing]);
    assert_eq!(states(&rows, "very-hot"), [AlertState::Firing]);
    // Titles, urgency and recipients are not part of a rule's meaning.
    let (rows, _) = reloaded(&changed(|set| {
        set["zones"]["zone-a"]["title"] = json!("Another name");
        set["rules"]["very-hot"]["severity"] = json!("low");
        set["rules"]["very-hot"]["summary"] = json!("hot");
    }));
    assert_eq!(states(&rows, "high-pressure"), [AlertState::Firing]);
    assert_eq!(states(&rows, "very-hot"), [AlertState::Firing]);
    assert_eq!(rows.outbox.len(), 2);
}

#[test]
fn a_rule_that_means_something_else_begins_anew() {
    let (rows, _) = reloaded(&changed(|set| {
        set["rules"]["high-pressure"]["condition"]["threshold"] = json!(61.0);
        set["rules"]["very-hot"]["condition"]["threshold"] = json!(51.0);
    }));
    assert_eq!(states(&rows, "high-pressure"), []);
    // Its episode ended with the rule, and a new one started with the next sample.
    let mut hot = states(&rows, "very-hot");
    hot.sort_by_key(|state| *state == AlertState::Firing);
    assert_eq!(hot, [AlertState::Resolved { reason: ResolveReason::RuleChanged }, AlertState::Firing]);
}

#[test]
fn a_shorter_duration_keeps_the_time_that_has_passed() {
    let (rows, _) = reloaded(&changed(|set| set["rules"]["pressure-held"]["condition"]["threshold"] = json!(60.0)));
    assert_eq!(states(&rows, "pressure-held"), []);
    let (rows, _) = reloaded(&changed(|set| set["rules"]["high-pressure"]["hold"]["duration_ms"] = json!(250_000)));
    let alert = rows.alerts.values().find(|alert| alert.rule.as_str() == "high-pressure").unwrap();
    assert_eq!((alert.since.0, alert.at.0), (START_MS, START_MS + 5 * MINUTE));
}

#[test]
fn a_rule_that_is_gone_or_disabled_or_elsewhere_resolves_its_episodes() {
    for set in [
        changed(|set| drop(set["rules"].as_object_mut().unwrap().remove("very-hot"))),
        changed(|set| set["rules"]["very-hot"]["enabled"] = json!(false)),
        changed(|set| set["rules"]["very-hot"]["zones"] = json!(["zone-b"])),
    ] {
        let (rows, _) = reloaded(&set);
        assert_eq!(states(&rows, "very-hot"), [AlertState::Resolved { reason: ResolveReason::RuleRemoved }]);
        assert_eq!(states(&rows, "high-pressure"), [AlertState::Firing]);
    }
}

#[test]
fn a_rule_set_that_cannot_be_used_is_ignored_when_it_is_put_and_fatal_once_adopted() {
    let mut stream = Stream::default();
    stream.register("logger-0", "pressure-logger", "zone-a");
    stream.rules(1, &"0".repeat(64), START_MS);
    let memory = Memory::new();
    let broken = memory.add_rule_set(b"{\"format_version\": 99}");
    stream.rules(2, &broken, START_MS);
    let outcome = Host::new(&memory).deliver_all(&stream);
    assert_eq!((outcome.counts.unusable_rule_sets, outcome.counts.rule_sets), (2, 0));

    // The chain names a set that is not where this host looks for it.
    let elsewhere = Memory::new();
    for (key, bytes) in memory.objects() {
        elsewhere.overwrite(&key, bytes);
    }
    let mut host = Host::with(&elsewhere, settings(&Memory::new()));
    stream.reading("logger-0", json!({ "pressure": 70.0 }), 0);
    let failure = host.deliver(&stream, 3, 4).failure.unwrap();
    assert!(matches!(failure, Failure::RuleSet { .. }), "{failure}");
}

#[test]
fn a_rule_set_that_cannot_be_fetched_now_ends_the_run_before_its_record() {
    let memory = Memory::new();
    let sha256 = memory.add_rule_set(&changed(|set| set["max_alert_delay_ms"] = json!(1)));
    let mut stream = Stream::default();
    stream.register("logger-0", "pressure-logger", "zone-a");
    stream.rules(1, &sha256, START_MS);
    stream.reading("logger-0", json!({ "pressure": 1.0, "temperature": 55.0 }), 0);
    let mut host = Host::new(&memory);
    host.deliver(&stream, 0, 0);
    memory.fail(move |operation, key| (operation == Operation::Load && key == sha256).then_some(Fault::Refused));
    let outcome = host.deliver(&stream, 0, 3);
    assert_eq!(outcome.failed_from, Some(sequence(1)));
    assert_eq!(outcome.counts.registrations, 1);
    memory.heal();
    assert_eq!(host.deliver(&stream, 1, 3).counts.rule_sets, 1);
}

#[test]
fn registrations_move_and_retire_devices_and_old_ones_are_ignored() {
    let mut stream = Stream::default();
    let registration =
        |rev: u64, zone: &str, retired: bool| json!({ "rev": rev, "type": "pump", "zone": zone, "retired": retired });
    stream.registration("pump-0", registration(5, "zone-a", false), START_MS);
    for n in 0..3 {
        stream.reading("pump-0", json!({ "vibration": 20.0, "state": "fault" }), n * 10_000);
    }
    stream.registration("pump-0", registration(4, "zone-b", false), START_MS + 30_000);
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    assert_eq!(host.deliver_all(&stream).counts.stale_registrations, 1);
    assert_eq!(states(&memory.rows(), "vibration-high"), [AlertState::Firing]);

    // `vibration-high` covers only zone-a; the other rules go with the pump.
    stream.registration("pump-0", registration(6, "zone-b", false), START_MS + 40_000);
    host.deliver_all(&stream);
    assert_eq!(states(&memory.rows(), "vibration-high"), [AlertState::Resolved { reason: ResolveReason::RuleRemoved }]);
    assert_eq!(states(&memory.rows(), "pump-fault"), [AlertState::Firing]);

    stream.registration("pump-0", registration(7, "zone-b", true), START_MS + 50_000);
    stream.reading("pump-0", json!({ "vibration": 20.0 }), 60_000);
    host.deliver_all(&stream);
    assert_eq!(states(&memory.rows(), "pump-fault"), [AlertState::Resolved { reason: ResolveReason::DeviceRetired }]);
    let reasons: Vec<String> = memory.rows().quarantine.values().map(|record| record.reason.to_string()).collect();
    assert_eq!(reasons, ["retired_device"]);
}
