//! What conditions remember, in cases that a session under a single set of rules cannot show.

use fleetform_engine::{
    effect::{AlertState, ResolveReason},
    memory::Memory,
};
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Host, START_MS, Stream};

/// The alerts of a rule under the example's set with this change, in seconds from the start: when each started to
/// hold, and when it made its last transition.
fn alerts(rule: &str, change: Value, stream: &Stream) -> Vec<(i64, i64, AlertState)> {
    let mut set: Value = serde_json::from_slice(EXAMPLE).unwrap();
    set["rules"][rule].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let memory = Memory::new();
    let sha256 = memory.add_rule_set(&serde_json::to_vec(&set).unwrap());
    let mut all = Stream::default();
    all.rules(1, &sha256, START_MS);
    all.records.extend(stream.records.clone());
    Host::new(&memory).deliver_all(&all);
    let seconds = |at: i64| (at - START_MS) / 1_000;
    let of_rule = memory.rows().alerts.into_values().filter(|alert| alert.rule.as_str() == rule);
    of_rule.map(|alert| (seconds(alert.since.0), seconds(alert.at.0), alert.state)).collect()
}

fn pump(samples: &[(i64, &str)]) -> Stream {
    let mut stream = Stream::default();
    stream.register("pump-0", "pump", "zone-a");
    samples.iter().for_each(|(second, state)| stream.reading("pump-0", json!({ "state": state }), second * 1_000));
    stream
}

#[test]
fn a_step_before_the_hours_of_a_rule_is_known_in_them() {
    // Saturday 05:31 in New York is a minute after the start.
    let hours = json!({ "active": { "days": ["sat"], "from_minute": 331, "to_minute": 400 } });
    let stepped = pump(&[(0, "running"), (10, "stopped"), (20, "stopped"), (70, "stopped")]);
    assert_eq!(alerts("stopped-while-running", hours.clone(), &stepped), [(70, 70, AlertState::Firing)]);
    let by_way_of_a_fault = pump(&[(0, "running"), (10, "fault"), (20, "stopped"), (70, "stopped")]);
    assert_eq!(alerts("stopped-while-running", hours, &by_way_of_a_fault), []);
}

#[test]
fn a_step_among_the_first_samples_counts_once_there_are_enough() {
    let three = json!({ "min_samples": 3 });
    let stepped = pump(&[(0, "running"), (10, "stopped"), (20, "stopped")]);
    assert_eq!(alerts("stopped-while-running", three, &stepped), [(20, 20, AlertState::Firing)]);
}

#[test]
fn a_value_that_moves_now_and_then_ends_a_flat_line() {
    let mut stream = Stream::default();
    stream.register("probe-0", "quality-probe", "zone-a");
    // The value stays the same for six minutes, then moves at every third sample.
    for minute in 0..=20 {
        let turbidity = (minute.max(5) - 3) / 3;
        stream.reading("probe-0", json!({ "turbidity": turbidity }), minute * 60_000);
    }
    let kept = json!({ "keep_firing_for_ms": 600_000 });
    let ended = AlertState::Resolved { reason: ResolveReason::Cleared };
    assert_eq!(alerts("turbidity-stuck", kept, &stream), [(0, 960, ended)]);
}

#[test]
fn a_delta_goes_from_one_rule_set_to_one_other() {
    let mut without: Value = serde_json::from_slice(EXAMPLE).unwrap();
    without["rules"].as_object_mut().unwrap().remove("burst");
    without["device_types"]["flow-meter"]["readings"].as_object_mut().unwrap().remove("pressure");
    let memory = Memory::new();
    let (with, without) = (memory.add_rule_set(EXAMPLE), memory.add_rule_set(&serde_json::to_vec(&without).unwrap()));

    let mut stream = Stream::default();
    stream.register("meter-0", "flow-meter", "zone-a");
    stream.reading("meter-0", json!({ "pressure": 90 }), 0);
    stream.rules(1, &with, START_MS);
    let begun = stream.records.len();
    stream.rules(2, &without, START_MS + 1_000);
    stream.rules(3, &with, START_MS + 2_000);
    let changed = stream.records.len();
    stream.reading("meter-0", json!({ "pressure": 10 }), 60_000);

    let mut writer = Host::new(&memory);
    writer.deliver(&stream, 0, begun);
    assert_eq!(writer.deliver(&stream, begun, changed).counts.deltas, 2);
    // The previous value is gone with the set that did not know it, also for a host that reads the chain.
    let outcome = Host::new(&memory).deliver(&stream, changed, stream.records.len());
    assert_eq!((outcome.failure, outcome.counts.fired), (None, 0));
}
