//! Fleet rules by the reports of devices on the stream: sent once for each change and applied once, whatever arrives
//! twice, late or under another rule set.

use fleetform_engine::{
    counts::Counts,
    drive::Outcome,
    effect::{AlertState, Member, ResolveReason},
    memory::{Memory, Rows},
};
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Host, Put, START_MS, Stream};

/// A stream on which the reports of devices are put as soon as they are published.
struct Town<'a> {
    host: Host<'a>,
    stream: Stream,
    taken: usize,
    /// Number of `member` records put on the stream.
    put: usize,
    counts: Vec<Counts>,
}

impl<'a> Town<'a> {
    /// Six hydrants in zone-b, which is part of zone-a; none is open.
    fn new(memory: &'a Memory) -> Self {
        let (stream, counts) = Default::default();
        let mut town = Self { host: Host::new(memory), stream, taken: 0, put: 0, counts };
        for n in 1..=6 {
            town.stream.register(&format!("h-{n}"), "hydrant", "zone-b");
        }
        for n in 1..=6 {
            town.open(n, 0, false);
        }
        town.settle();
        town
    }

    fn open(&mut self, hydrant: usize, at: i64, open: bool) {
        self.stream.reading(&format!("h-{hydrant}"), json!({ "open": open }), at * 1_000);
    }

    /// Delivers everything, and the reports that follow from it, until there are no more reports.
    fn settle(&mut self) -> Outcome {
        loop {
            let outcome = self.host.deliver(&self.stream, self.taken, self.stream.records.len());
            assert_eq!(outcome.failure, None);
            self.counts.push(outcome.counts.clone());
            self.taken = self.stream.records.len();
            let members = said(&self.rows());
            if members.len() == self.put {
                return outcome;
            }
            // In any order, and twice: a repeated report changes nothing.
            let at = self.stream.records.last().unwrap().arrived_at;
            for member in members.iter().rev().chain(&members) {
                self.stream.put(&member.partition_key(), member.record(), at);
            }
            self.put = members.len();
        }
    }

    fn rows(&self) -> Rows {
        self.host.memory.rows()
    }

    /// Where the newest episode of a rule in a zone stands.
    fn state(&self, rule: &str, zone: &str) -> Option<AlertState> {
        let rows = self.rows();
        let of_rule = rows.alerts.values().filter(|alert| alert.rule.as_str() == rule);
        let here = of_rule.filter(|alert| alert.subject() == format!("zone/{zone}"));
        here.max_by_key(|alert| alert.version()).map(|alert| alert.state.clone())
    }

    /// The last report of a device to a fleet: in, registered, how often.
    fn last(&self, device: &str, rule: &str, zone: &str) -> Option<(bool, bool, u64)> {
        let members = said(&self.rows()).into_iter();
        let here =
            members.filter(|it| (it.device.as_str(), it.rule.as_str(), it.zone.as_str()) == (device, rule, zone));
        here.max_by_key(|member| member.n).map(|member| (member.inside, member.registered, member.n))
    }
}

fn said(rows: &Rows) -> Vec<Member> {
    rows.members.values().cloned().collect()
}

fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut set: Value = serde_json::from_slice(EXAMPLE).unwrap();
    change(&mut set);
    serde_json::to_vec(&set).unwrap()
}

const FIRING: Option<AlertState> = Some(AlertState::Firing);

fn resolved(reason: ResolveReason) -> Option<AlertState> {
    Some(AlertState::Resolved { reason })
}

#[test]
fn a_fleet_fires_in_every_zone_around_its_devices_and_is_about_none_of_them() {
    let memory = Memory::new();
    let mut town = Town::new(&memory);
    for n in 1..=3 {
        town.open(n, 10, true);
    }
    town.settle();
    assert_eq!((town.state("hydrants-open", "zone-a"), town.state("hydrants-open", "zone-b")), (FIRING, FIRING));
    let rows = town.rows();
    let alert = rows.alerts.values().find(|alert| alert.subject() == "zone/zone-a").unwrap();
    assert_eq!((&alert.device, &alert.device_type, alert.limit.as_str()), (&None, &None, ">= 3 devices"));
    assert_eq!(
        serde_json::to_value(&alert.evidence).unwrap(),
        json!({ "kind": "fleet", "devices": 3, "registered": 6 })
    );
    assert_eq!(rows.contradictions, Vec::<String>::new());
    // One membership per zone and rule for each device, and one more for each that opened: nothing else changed.
    assert_eq!(rows.members.len(), 6 * 4 + 3 * 2);
    assert_eq!(town.last("h-1", "hydrants-open", "zone-a"), Some((true, true, 2)));
    assert_eq!(town.last("h-4", "hydrants-silent", "zone-b"), Some((false, true, 1)));
}

#[test]
fn the_end_of_an_alert_is_explained_as_its_value_is() {
    let memory = Memory::new();
    let mut town = Town::new(&memory);
    let at_once = memory.add_rule_set(&changed(|set| set["rules"]["hydrants-open"]["keep_firing_for_ms"] = json!(0)));
    town.stream.rules(1, &at_once, START_MS + 5_000);
    for n in 1..=3 {
        town.open(n, 10, true);
    }
    town.settle();
    town.open(3, 20, false);
    town.settle();
    assert_eq!(town.state("hydrants-open", "zone-a"), resolved(ResolveReason::Cleared));
    let rows = town.rows();
    let alert = rows.alerts.values().find(|alert| alert.subject() == "zone/zone-a").unwrap();
    let said = serde_json::to_value((&alert.value, &alert.evidence)).unwrap();
    assert_eq!(said, json!([2.0, { "kind": "fleet", "devices": 2, "registered": 6 }]));
}

#[test]
fn what_was_said_before_is_counted_and_changes_nothing() {
    let memory = Memory::new();
    let mut town = Town::new(&memory);
    let before = town.rows();
    let members = said(&before);
    let older = Member { generation: 0, n: 99, inside: true, ..members[0].clone() };
    for member in members.iter().chain([&older]) {
        town.stream.put(&member.partition_key(), member.record(), START_MS + 1_000);
    }
    let counts = town.settle().counts;
    assert_eq!((counts.stale_members, counts.members), (members.len() as u64 + 1, 0));
    assert_eq!(town.rows(), before);
}

#[test]
fn what_was_given_up_of_what_devices_say_can_be_put_again() {
    let memory = Memory::new();
    let mut town = Town::new(&memory);
    for n in 1..=3 {
        town.open(n, 10, true);
    }
    let outcome = town.host.deliver(&town.stream, town.taken, town.stream.records.len());
    assert_eq!(outcome.failure, None);
    town.taken = town.stream.records.len();
    let given_up: Vec<Member> = said(&town.rows()).into_iter().filter(|member| member.n == 2).collect();
    town.put += given_up.len();
    let newer = Member { version: 9, sha256: "0".repeat(64).into(), ..given_up[0].clone() };
    for member in given_up.iter().chain([&newer]) {
        let put = Put { key: member.partition_key().into(), data: member.record(), arrived_at: START_MS + 11_000 };
        town.stream.redrive(&put, START_MS + 90_000);
    }
    let counts = town.settle().counts;
    // The set that it names may be gone by now, and a newer one has been announced to every shard.
    assert_eq!((counts.members, counts.stale_members, counts.unusable_rule_sets), (6, 1, 0));
    assert_eq!((town.state("hydrants-open", "zone-a"), town.state("hydrants-open", "zone-b")), (FIRING, FIRING));
}

#[test]
fn who_comes_back_into_service_is_not_silent_yet() {
    let memory = Memory::new();
    let mut town = Town::new(&memory);
    let registration = |revision: u64, retired: bool| json!({ "rev": revision, "type": "hydrant", "zone": "zone-b", "retired": retired });
    town.stream.registration("h-1", registration(2, true), START_MS + 20_000);
    town.stream.registration("h-1", registration(3, false), START_MS + 3_600_000);
    town.stream.registration("h-7", registration(1, false), START_MS + 3_600_000);
    town.settle();
    let at = START_MS + 3_700_000;
    town.stream.put("tick", json!({ "ff": 1, "k": "tick", "t": at }).to_string(), at);
    town.settle();
    assert_eq!(town.last("h-1", "hydrants-silent", "zone-b"), Some((false, true, 3)));
    assert_eq!(town.last("h-2", "hydrants-silent", "zone-b"), Some((true, true, 2)));
}

#[test]
fn who_moves_or_retires_leaves_the_zones_behind() {
    let memory = Memory::new();
    let mut town = Town::new(&memory);
    for n in 1..=3 {
        town.open(n, 10, true);
    }
    town.settle();
    let registration =
        |zone: &str, retired: bool| json!({ "rev": 2, "type": "hydrant", "zone": zone, "retired": retired });
    town.stream.registration("h-1", registration("zone-a", false), START_MS + 20_000);
    town.stream.registration("h-2", registration("zone-b", true), START_MS + 20_000);
    town.settle();
    assert_eq!(town.last("h-1", "hydrants-open", "zone-b"), Some((false, false, 3)));
    assert_eq!(town.last("h-1", "hydrants-open", "zone-a"), Some((true, true, 2)));
    assert_eq!(town.last("h-2", "hydrants-open", "zone-a"), Some((false, false, 3)));
    // Four are left in zone-b, and five in zone-a, two of them open: both are clear, and quiet for a minute.
    town.open(4, 90, false);
    town.settle();
    for zone in ["zone-a", "zone-b"] {
        assert_eq!(town.state("hydrants-open", zone), resolved(ResolveReason::Cleared), "{zone}");
    }
}

#[test]
fn a_new_fleet_rule_hears_of_every_device_and_one_that_is_gone_of_none() {
    let memory = Memory::new();
    let mut town = Town::new(&memory);
    let without = memory.add_rule_set(&changed(|set| {
        set["rules"].as_object_mut().unwrap().remove("hydrants-open");
    }));
    let again = memory.add_rule_set(EXAMPLE);
    for n in 1..=3 {
        town.open(n, 10, true);
    }
    town.settle();
    town.stream.rules(1, &without, START_MS + 20_000);
    town.settle();
    assert_eq!(town.state("hydrants-open", "zone-a"), resolved(ResolveReason::RuleRemoved));
    assert_eq!(town.last("h-6", "hydrants-open", "zone-a"), Some((false, false, 2)));
    town.stream.rules(2, &again, START_MS + 30_000);
    town.settle();
    assert_eq!(town.last("h-6", "hydrants-open", "zone-a"), Some((false, true, 3)));
    assert_eq!(town.state("hydrants-open", "zone-a"), FIRING);
}

#[test]
fn a_rule_with_another_limit_is_looked_at_at_once_and_one_that_counts_another_state_hears_of_it_first() {
    let memory = Memory::new();
    let mut town = Town::new(&memory);
    let two = memory.add_rule_set(&changed(|set| {
        set["rules"]["hydrants-open"]["condition"]["threshold"] = json!({ "devices": 2.0 });
    }));
    let silent =
        memory.add_rule_set(&changed(|set| set["rules"]["hydrants-open"]["condition"]["of"] = json!("offline")));
    town.open(1, 10, true);
    town.open(2, 10, true);
    town.settle();
    assert_eq!(town.state("hydrants-open", "zone-a"), None);
    let before = town.rows().members.len();
    town.stream.rules(1, &two, START_MS + 20_000);
    town.settle();
    assert_eq!((town.state("hydrants-open", "zone-a"), town.rows().members.len()), (FIRING, before));
    town.stream.rules(2, &silent, START_MS + 30_000);
    town.settle();
    // No device is silent, and open ones no longer count.
    assert_eq!(town.state("hydrants-open", "zone-a"), resolved(ResolveReason::RuleChanged));
    assert_eq!(town.last("h-1", "hydrants-open", "zone-a"), Some((false, true, 3)));
}

#[test]
fn a_member_brings_the_set_that_it_was_said_under() {
    let memory = Memory::new();
    let mut town = Town::new(&memory);
    let one = memory.add_rule_set(&changed(|set| {
        set["rules"]["hydrants-open"]["condition"]["threshold"] = json!({ "devices": 1.0 });
    }));
    let template = said(&town.rows()).into_iter().find(|member| member.rule.as_str() == "hydrants-open").unwrap();
    let news = Member { n: 7, inside: true, version: 1, sha256: one.into(), ..template.clone() };
    town.stream.put(&news.partition_key(), news.record(), START_MS + 1_000);
    let counts = town.settle().counts;
    assert_eq!((counts.rule_sets, counts.members, counts.records), (1, 1, 1));
    // It counts under the set that it names.
    assert_eq!(town.state("hydrants-open", news.zone.as_str()), FIRING);

    // A record whose set cannot be used is skipped, and its report is kept for another set.
    let later = Member { n: 8, inside: false, version: 2, sha256: "0".repeat(64).into(), ..template };
    town.stream.put(&later.partition_key(), later.record(), START_MS + 2_000);
    let counts = town.settle().counts;
    assert_eq!((counts.unusable_rule_sets, counts.members, counts.rule_sets), (1, 1, 0));
}

#[test]
fn what_is_said_of_a_rule_that_nobody_knows_yet_counts_once_it_is_known() {
    let memory = Memory::new();
    let without = memory.add_rule_set(&changed(|set| {
        set["rules"].as_object_mut().unwrap().remove("hydrants-silent");
    }));
    let with = memory.add_rule_set(EXAMPLE);
    let mut town = Town::new(&memory);
    town.stream.rules(1, &without, START_MS + 1_000);
    town.settle();
    let template = said(&town.rows()).into_iter().find(|it| it.rule.as_str() == "hydrants-silent").unwrap();
    for n in 0..6 {
        let device = format!("far-{n}").parse().unwrap();
        let news = Member { device, n: 1, inside: true, registered: true, version: 1, ..template.clone() };
        town.stream.put(&news.partition_key(), news.record(), START_MS + 2_000);
    }
    town.settle();
    town.stream.rules(2, &with, START_MS + 3_000);
    town.stream.wrap("tick", "", json!({}), START_MS + 40_000);
    town.settle();
    // Six of twelve in that zone: more than 40 %, from the adoption on.
    town.stream.wrap("tick", "", json!({}), START_MS + 124_000);
    for n in 1..=6 {
        town.open(n, 50, false);
    }
    town.settle();
    assert_eq!(town.state("hydrants-silent", template.zone.as_str()), FIRING);
}

#[test]
fn what_is_wrong_with_a_member_sets_it_aside() {
    let memory = Memory::new();
    let mut town = Town::new(&memory);
    let member = said(&town.rows())[0].clone();
    let good: Value = serde_json::from_slice(&member.record()).unwrap();
    let bad = |change: &dyn Fn(&mut Value)| {
        let mut record = good.clone();
        change(&mut record);
        record.to_string()
    };
    let key = member.partition_key();
    for field in ["d", "rule", "zone", "generation", "version", "sha256", "n", "in", "registered"] {
        town.stream.put(&key, bad(&|record| drop(record.as_object_mut().unwrap().remove(field))), START_MS);
    }
    town.stream.put(&key, bad(&|record| record["n"] = json!("7")), START_MS);
    town.stream.put(&key, bad(&|record| record["d"] = json!("zone/zone-a/hydrants-open")), START_MS);
    town.stream.put(&key, bad(&|record| record["of"] = json!("somewhere")), START_MS);
    town.stream.put("zone/zone-a/other", member.record(), START_MS);
    // A plain record cannot address the fleet as a device either.
    town.stream.put(&key, r#"{"readings":{"open":true}}"#, START_MS);
    let counts = town.settle().counts;
    let reasons: Vec<(String, u64)> = counts.quarantined.iter().map(|(why, n)| (why.to_string(), *n)).collect();
    let expected = [("bad_envelope", 12), ("unknown_device", 1), ("identity_mismatch", 1)];
    let mut expected: Vec<_> = expected.map(|(why, n)| (why.to_owned(), n)).into();
    expected.sort();
    let mut found = reasons;
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_run_dropped_at_any_point_says_everything_and_says_one_thing() {
    let life = |town: &mut Town<'_>| {
        for n in 1..=4 {
            town.open(n, 10, true);
        }
        town.open(1, 20, false);
    };
    let undisturbed = Memory::new();
    let mut town = Town::new(&undisturbed);
    life(&mut town);
    town.settle();
    let expected = town.rows();
    for polls in 1..60 {
        let memory = Memory::new();
        let mut town = Town::new(&memory);
        life(&mut town);
        let dropped = town.host.deliver_for(&town.stream, town.taken, town.stream.records.len(), polls);
        town.settle();
        let rows = town.rows();
        assert_eq!((rows.contradictions.len(), &rows.members), (0, &expected.members), "after {polls} polls");
        assert_eq!(rows.outbox.len(), expected.outbox.len(), "after {polls} polls");
        if dropped.is_some() {
            assert!(polls > 10, "the run is worth being dropped");
            return;
        }
    }
    panic!("the run never ended");
}
