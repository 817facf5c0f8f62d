//! Composite rules are evaluated in the same step in which something that they read changes, whatever changed it.

use fleetform_engine::{
    effect::{Alert, AlertState, NoticeKind, ResolveReason},
    memory::Memory,
};
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Host, START_MS, Stream, sequence};

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

/// The newest alert of the rule and when it changed, identical for hosts that read the chain before each record and
/// for a single batch.
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

#[test]
fn a_heartbeat_that_is_put_again_does_not_take_it_out_of_its_hours() {
    // 05:30 to 05:32 in the valve's zone, when the log starts.
    let by_night = changed(|set| set["rules"][RULE]["active"] = set["rules"]["valve-by-night"]["active"].clone());
    let memories = memories();
    let mut stream = Stream::default();
    stream.rules(1, &memories.each_ref().map(|memory| memory.add_rule_set(&by_night))[0], START_MS);
    stream.records.extend(leaking().records);
    let mut lost = Stream::default();
    lost.reading("valve-0", json!({}), -3_600_000);
    stream.redrive(&lost.records[0], START_MS + 20_000);
    assert_eq!(newest(&memories, &stream), (AlertState::Firing, 10_000));
}

#[test]
fn a_set_that_comes_with_an_old_word_does_not_take_it_out_of_its_hours() {
    // 05:30 to 05:32 in the valve's zone, when the log starts.
    let by_night = |set: &mut Value| set["rules"][RULE]["active"] = set["rules"]["valve-by-night"]["active"].clone();
    let first = changed(by_night);
    let second = changed(|set| {
        by_night(set);
        set["rules"]["valve-flaps"]["enabled"] = json!(false);
    });
    let memories = memories();
    let mut stream = Stream::default();
    let [first, second] = [first, second].map(|set| memories.each_ref().map(|memory| memory.add_rule_set(&set)));
    stream.rules(1, &first[0], START_MS);
    stream.records.extend(leaking().records);
    stream.rules(2, &second[0], START_MS - 3_600_000);
    assert_eq!(newest(&memories, &stream), (AlertState::Firing, 10_000));
}

#[test]
fn what_begins_as_an_override_ends_has_one_name_whatever_record_finds_it() {
    let held_back = changed(|set| {
        set["rules"]["valve-flaps"]["condition"]["threshold"] = json!(99.0);
        set["rules"][RULE]["condition"] = json!({ "type": "composite", "all": ["valve-open"], "not": ["valve-flaps"] });
    });
    let episode = |finds: &dyn Fn(&mut Stream)| {
        let memory = Memory::new();
        let mut stream = Stream::default();
        stream.rules(1, &memory.add_rule_set(&held_back), START_MS);
        stream.register("valve-0", "valve", "zone-a");
        let row = json!({ "rev": 1, "threshold": 50.0, "until": START_MS + 40_000 });
        stream.override_rule("valve-flaps", row, 5_000);
        stream.reading("valve-0", json!({ "position": 95 }), 10_000);
        finds(&mut stream);
        Host::new(&memory).deliver_all(&stream);
        let alert = memory.rows().alerts.into_values().find(|alert| alert.rule.as_str() == RULE);
        alert.map(|alert| (alert.episode, alert.since.0 - START_MS))
    };
    assert_eq!(episode(&|stream| stream.reading("valve-0", json!({ "position": 95 }), 20_000)), None);
    let by_a_sample = episode(&|stream| stream.reading("valve-0", json!({ "position": 95 }), 45_000));
    let by_a_tick = episode(&|stream| stream.wrap("tick", "valve-0", json!({}), START_MS + 40_000));
    assert_eq!(by_a_sample.as_ref().map(|(_, since)| *since), Some(40_000));
    assert_eq!(by_a_sample, by_a_tick);
}

#[test]
fn one_that_is_yet_to_be_told_of_waits_for_its_own_time_when_another_moves() {
    let changed = changed(|set| {
        set["severities"]["high"]["cooldown_ms"] = json!(5_000);
        set["rules"]["valve-alarmed"] = set["rules"][RULE].clone();
        set["rules"]["valve-alarmed"]["condition"] = json!({ "type": "composite", "any": ["valve-alarm"] });
    });
    let memory = Memory::new();
    let mut stream = leaking();
    for (active, after_ms) in [(false, 20_000), (true, 30_000)] {
        let alarm = json!({ "code": "leak", "active": active });
        stream.wrapped("valve-0", alarm.to_string().as_bytes(), "alerts", START_MS + after_ms);
    }
    // Its second firing is held back by a cooldown that another set ends, under which another rule starts to fire.
    stream.rules(1, &memory.add_rule_set(&changed), START_MS + 40_000);
    stream.reading("valve-0", json!({ "position": 95 }), 50_000);
    Host::new(&memory).deliver_all(&stream);
    let told = |rule: &str| {
        let notices = memory.rows().outbox.into_values().filter(|notice| notice.alert.rule.as_str() == rule);
        let told = notices.map(|notice| (notice.alert.at.0 - START_MS, notice.alert.sequence.to_string()));
        told.max().expect("it was told of")
    };
    let record = |index: usize| sequence(index).padded().to_string();
    assert_eq!(told("valve-alarmed"), (40_000, record(stream.records.len() - 2)));
    assert_eq!(told(RULE), (40_000, record(stream.records.len() - 1)));
}

/// Notices of the rule that it reads are repeated at the same moments.
#[test]
fn of_the_repetitions_that_a_silence_has_held_up_the_last_is_told() {
    let repeated = changed(|set| {
        set["severities"]["high"]["repeat_every_ms"] = json!(60_000);
        set["rules"][RULE]["condition"] = json!({ "type": "composite", "any": ["valve-alarm"] });
    });
    let memory = Memory::new();
    let mut stream = Stream::default();
    stream.rules(1, &memory.add_rule_set(&repeated), START_MS);
    stream.records.extend(leaking().records);
    stream.wrap("tick", "valve-0", json!({}), START_MS + 3_600_000);
    Host::new(&memory).deliver_all(&stream);
    for rule in ["valve-alarm", RULE] {
        let notices = memory.rows().outbox.into_values().filter(|notice| notice.alert.rule.as_str() == rule);
        let again: Vec<_> = notices.filter(|notice| notice.kind == NoticeKind::Repeat).collect();
        assert_eq!(again.iter().map(|notice| notice.alert.at.0 - START_MS).collect::<Vec<_>>(), [3_550_000], "{rule}");
    }
}
