//! Overrides of rules: they are part of a shard's state, and every host that reads the chain evaluates under them.

use std::collections::BTreeMap;

use fleetform_engine::{
    drive::Outcome,
    effect::{AlertState, ResolveReason},
    memory::Memory,
};
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Host, START_MS, Stream};

const DEVICE: &str = "sensor-001";

impl Stream {
    pub(crate) fn override_rule(&mut self, rule: &str, fields: Value, at: i64) {
        let mut record = json!({ "ff": 1, "k": "override", "rule": rule, "t": START_MS + at });
        record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.put("override", record.to_string(), START_MS + at);
    }

    fn hot(&mut self, temperature: f64, at: i64) {
        self.reading(DEVICE, json!({ "pressure": 50.0, "temperature": temperature }), at);
    }
}

fn registered() -> Stream {
    let mut stream = Stream::default();
    stream.register(DEVICE, "pressure-logger", "zone-a");
    stream
}

/// The stream taken record by record, each by a host that has to read the chain, and in one batch: the rows are the
/// same.
fn taken(stream: &Stream) -> (Memory, Outcome) {
    let (cold, warm) = (Memory::new(), Memory::new());
    for index in 0..stream.records.len() {
        let outcome = Host::new(&cold).deliver(stream, index, index + 1);
        assert_eq!(outcome.failure, None);
    }
    let outcome = Host::new(&warm).deliver_all(stream);
    assert_eq!(cold.rows().outbox, warm.rows().outbox);
    assert_eq!(cold.rows().alerts, warm.rows().alerts);
    assert_eq!(cold.rows().quarantine, warm.rows().quarantine);
    (warm, outcome)
}

#[test]
fn another_threshold_ends_what_fired_and_counts_for_whoever_reads_the_chain() {
    let mut stream = registered();
    stream.hot(55.0, 0);
    stream.override_rule("very-hot", json!({ "rev": 1, "threshold": 58.0 }), 1_000);
    stream.hot(56.0, 2_000);
    stream.hot(58.0, 3_000);
    let (memory, outcome) = taken(&stream);
    assert_eq!((outcome.counts.overrides, outcome.counts.fired, outcome.counts.resolved), (1, 2, 1));
    let states: BTreeMap<_, _> = memory.rows().alerts.into_values().map(|row| (row.limit, row.state)).collect();
    let ended = AlertState::Resolved { reason: ResolveReason::Overridden };
    assert_eq!(states, BTreeMap::from([(">= 50".into(), ended), (">= 58".into(), AlertState::Firing)]));
}

#[test]
fn an_older_row_changes_nothing_and_the_same_one_neither() {
    let mut stream = registered();
    stream.override_rule("very-hot", json!({ "rev": 2, "enabled": false }), 0);
    stream.override_rule("very-hot", json!({ "rev": 1, "enabled": true }), 1_000);
    stream.override_rule("very-hot", json!({ "rev": 2, "enabled": true }), 2_000);
    stream.hot(55.0, 3_000);
    let (_, outcome) = taken(&stream);
    assert_eq!((outcome.counts.overrides, outcome.counts.stale_overrides, outcome.counts.fired), (1, 2, 0));
    stream.override_rule("very-hot", json!({ "rev": 3, "removed": true, "enabled": false }), 4_000);
    stream.hot(55.0, 5_000);
    let (_, outcome) = taken(&stream);
    assert_eq!((outcome.counts.overrides, outcome.counts.fired), (2, 1));
}

#[test]
fn a_row_ends_at_its_moment_and_what_was_due_before_is_done_under_it() {
    let mut stream = registered();
    stream.override_rule("very-hot", json!({ "rev": 1, "threshold": 40.0, "until": START_MS + 60_000 }), 0);
    stream.hot(45.0, 1_000);
    // One record passes the end of the override and much else: the episode ends at that end, not at the record.
    stream.hot(45.0, 600_000);
    let (memory, outcome) = taken(&stream);
    assert_eq!((outcome.counts.fired, outcome.counts.resolved, outcome.counts.ended_overrides), (1, 1, 1));
    let row = memory.rows().alerts.into_values().next().unwrap();
    assert_eq!((row.at.0, row.ingested_at.0), (START_MS + 60_000, START_MS + 60_000));
    // An override that arrives after its end sets nothing, but its revision is recorded.
    stream.override_rule("very-hot", json!({ "rev": 2, "threshold": 40.0, "until": START_MS + 60_000 }), 601_000);
    stream.override_rule("very-hot", json!({ "rev": 2, "threshold": 40.0 }), 602_000);
    stream.hot(45.0, 603_000);
    let (_, outcome) = taken(&stream);
    assert_eq!((outcome.counts.fired, outcome.counts.stale_overrides), (1, 1));
}

#[test]
fn what_a_rule_cannot_be_is_ignored_and_counted() {
    let mut stream = registered();
    for (rule, fields) in [
        // Its clear value, 55, would lie on the wrong side.
        ("high-pressure", json!({ "threshold": 50.0 })),
        ("flow-range", json!({ "threshold": 50.0 })),
        ("very-hot", json!({ "contacts": ["nobody"] })),
        ("very-hot", json!({ "contacts": [] })),
    ] {
        let mut fields = fields;
        fields["rev"] = json!(7);
        stream.override_rule(rule, fields, 0);
    }
    stream.hot(55.0, 1_000);
    let (memory, outcome) = taken(&stream);
    assert_eq!((outcome.counts.unusable_overrides, outcome.counts.overrides, outcome.counts.fired), (4, 0, 1));
    assert_eq!(memory.rows().quarantine.len(), 0);
    // A revision of an ignored row is not recorded.
    stream.override_rule("very-hot", json!({ "rev": 1, "enabled": false }), 2_000);
    assert_eq!(taken(&stream).1.counts.overrides, 1);
}

#[test]
fn a_row_with_a_field_of_the_wrong_type_is_set_aside() {
    let mut stream = registered();
    stream.override_rule("very-hot", json!({ "rev": 1, "threshold": "58" }), 0);
    stream.override_rule("very-hot", json!({ "threshold": 58 }), 0);
    let (memory, _) = taken(&stream);
    let reasons: Vec<_> = memory.rows().quarantine.into_values().map(|row| row.reason).collect();
    assert_eq!(reasons, ["bad_envelope", "bad_envelope"]);
}

#[test]
fn the_notice_names_who_is_told_instead() {
    let mut stream = registered();
    stream.override_rule("very-hot", json!({ "rev": 1, "contacts": ["oncall"] }), 0);
    stream.hot(55.0, 1_000);
    let (memory, _) = taken(&stream);
    let notice = memory.rows().outbox.into_values().next().unwrap();
    assert_eq!(notice.contacts.iter().map(|contact| contact.as_str()).collect::<Vec<_>>(), ["oncall"]);
}

#[test]
fn rows_outlive_the_rule_set_and_wait_for_a_rule_that_comes_later() {
    let mut set: Value = serde_json::from_slice(EXAMPLE).unwrap();
    set["rules"]["hotter"] = set["rules"]["very-hot"].clone();
    let (cold, warm) = (Memory::new(), Memory::new());
    let later = fleetform_engine::rule_set::RuleSet::from_bytes(set.to_string().as_bytes()).unwrap().to_bytes();
    let mut stream = registered();
    stream.override_rule("hotter", json!({ "rev": 1, "threshold": 58.0 }), 0);
    stream.override_rule("very-hot", json!({ "rev": 1, "enabled": false }), 0);
    stream.hot(55.0, 1_000);
    let sha256 = warm.add_rule_set(&later);
    cold.add_rule_set(&later);
    stream.rules(1, &sha256, START_MS + 2_000);
    stream.hot(57.0, 3_000);
    stream.hot(58.0, 4_000);
    for index in 0..stream.records.len() {
        assert_eq!(Host::new(&cold).deliver(&stream, index, index + 1).failure, None);
    }
    let outcome = Host::new(&warm).deliver_all(&stream);
    assert_eq!((outcome.counts.overrides, outcome.counts.rule_sets, outcome.counts.fired), (2, 1, 1));
    assert_eq!(cold.rows().outbox, warm.rows().outbox);
    let row = warm.rows().alerts.into_values().next().unwrap();
    assert_eq!((row.rule.as_str(), row.limit.as_str()), ("hotter", ">= 58"));
}

#[test]
fn a_mute_ends_by_the_time_of_the_shard_also_for_a_record_that_lags_behind() {
    let mut stream = registered();
    stream.override_rule("very-hot", json!({ "rev": 1, "muted_until": START_MS + 200_000 }), 1_000);
    stream.hot(20.0, 500_000);
    let message = json!({ "deviceId": DEVICE, "readings": { "pressure": 50.0, "temperature": 55.0 } }).to_string();
    stream.register("sensor-002", "pressure-logger", "zone-a");
    stream.wrapped("sensor-002", message.replace(DEVICE, "sensor-002").as_bytes(), "telemetry", START_MS + 150_000);
    stream.records.last_mut().unwrap().arrived_at = START_MS + 501_000;
    let (memory, _) = taken(&stream);
    assert_eq!(memory.rows().outbox.len(), 1);
}
