//! Composite rules are looked at in the step in which something that they read changes, whatever changed it.

use fleetform_engine::{
    effect::{Alert, AlertState, ResolveReason},
    memory::Memory,
};
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Host, START_MS, Stream};

const RULE: &str = "valve-open-and-leaking";
const CLEARED: AlertState = AlertState::Resolved { reason: ResolveReason::Cleared };

/// A valve that is open and leaks, ten seconds after the start.
fn leaking() -> Stream {
    let mut stream = Stream::default();
    stream.register("valve-0", "valve", "zone-a");
    stream.reading("valve-0", json!({ "position": 95 }), 0);
    let alarm = json!({ "code": "leak", "active": true });
    stream.wrapped("valve-0", alarm.to_string().as_bytes(), "alerts", START_MS + 10_000);
    stream
}

/// The newest alert of the rule, and when it changed: record by record by hosts that read the chain, and all at once.
fn newest(memories: &[Memory; 2], stream: &Stream) -> (AlertState, i64) {
    for index in 0..stream.records.len() {
        assert_eq!(Host::new(&memories[0]).deliver(stream, index, index + 1).failure, None);
    }
    Host::new(&memories[1]).deliver_all(stream);
    let [cold, warm] = memories.each_ref().map(|memory| {
        let alerts: Vec<Alert> =
            memory.rows().alerts.into_values().filter(|alert| alert.rule.as_str() == RULE).collect();
        alerts.into_iter().max_by_key(|alert| alert.at).expect("the rule has fired")
    });
    assert_eq!(cold, warm);
    (warm.state, warm.at.0 - START_MS)
}

fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut set: Value = serde_json::from_slice(EXAMPLE).unwrap();
    change(&mut set);
    serde_json::to_vec(&set).unwrap()
}

fn memories() -> [Memory; 2] {
    [Memory::new(), Memory::new()]
}

#[test]
fn it_ends_with_a_rule_that_operators_switch_off() {
    let mut stream = leaking();
    assert_eq!(newest(&memories(), &stream), (AlertState::Firing, 10_000));
    stream.override_rule("valve-alarm", json!({ "rev": 1, "enabled": false }), 20_000);
    assert_eq!(newest(&memories(), &stream), (CLEARED, 20_000));
}

#[test]
fn it_ends_with_a_rule_of_which_another_set_knows_nothing() {
    let without = changed(|set| {
        set["rules"]["valve-alarm"]["enabled"] = json!(false);
    });
    let memories = memories();
    let mut stream = leaking();
    stream.rules(1, &memories.each_ref().map(|memory| memory.add_rule_set(&without))[0], START_MS + 20_000);
    assert_eq!(newest(&memories, &stream), (CLEARED, 20_000));
}

#[test]
fn it_ends_with_a_rule_that_a_device_leaves_behind() {
    let elsewhere = changed(|set| set["rules"]["valve-alarm"]["zones"] = json!(["zone-a"]));
    let memories = memories();
    let mut stream = Stream::default();
    stream.rules(1, &memories.each_ref().map(|memory| memory.add_rule_set(&elsewhere))[0], START_MS);
    stream.records.extend(leaking().records);
    stream.registration("valve-0", json!({ "rev": 2, "type": "valve", "zone": "zone-b" }), START_MS + 20_000);
    assert_eq!(newest(&memories, &stream), (CLEARED, 20_000));
}

#[test]
fn it_fires_at_once_where_all_that_it_reads_does_already() {
    let without = changed(|set| set["rules"][RULE]["enabled"] = json!(false));
    let memories = memories();
    let mut stream = Stream::default();
    let [first, second] = [&without[..], EXAMPLE].map(|set| memories.each_ref().map(|memory| memory.add_rule_set(set)));
    stream.rules(1, &first[0], START_MS);
    stream.records.extend(leaking().records);
    stream.rules(2, &second[0], START_MS + 20_000);
    assert_eq!(newest(&memories, &stream), (AlertState::Firing, 20_000));
}

#[test]
fn a_heartbeat_ends_what_waits_for_the_device() {
    let mut stream = Stream::default();
    stream.register("valve-0", "valve", "zone-a");
    stream.reading("valve-0", json!({ "position": 95 }), 0);
    stream.wrap("tick", "valve-0", json!({}), START_MS + 70_000);
    assert_eq!(newest(&memories(), &stream), (AlertState::Firing, 60_001));
    stream.reading("valve-0", json!({}), 80_000);
    assert_eq!(newest(&memories(), &stream), (CLEARED, 80_000));
}
