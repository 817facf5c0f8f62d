//! A shard for interactive use, to find out what rules would do: records go in one by one, and every response of the
//! engine is returned at once. The engine is the one that evaluates a stream, complete in every part. Only the state
//! log is missing, since a session is never resumed.

mod message;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use smol_str::SmolStr;

use crate::{
    compiled::Compiled,
    counts::Counts,
    drive::StreamRecord,
    effect::{Effects, Observed},
    ids::{DeviceId, MetricId, RuleId, ZoneId},
    position::SequenceNumber,
    rule_set::{MessageFormat, RuleSet},
    state::{Phase, Registration, RuleSetRef, ShardState},
    step::{self, Run, Stepped},
    units::Timestamp,
    verdict::{Judgement, Standing},
};

pub use message::{at_path, moment, put_at_path, samples, write_time};

/// Name of a session's only shard.
const SHARD: &str = "session";

/// Generation of its stream, used here only in the names of episodes.
const GENERATION: u32 = 1;

/// One shard from its first record on, under one rule set.
#[derive(Debug)]
pub struct Session<'r> {
    message: &'r MessageFormat,
    rules: Arc<Compiled>,
    state: ShardState,
    taken: u64,
}

/// The results of one record.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Every rule that the record met or moved, in the order of evaluation.
    pub judgements: Vec<Judgement>,
    /// The effects that the record requests.
    pub effects: Effects,
    /// Counts of what was seen.
    pub counts: Counts,
}

/// Where a rule stands on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Inactive, pending or firing.
    pub standing: Standing,
    /// The value that a running episode compared last.
    pub value: Option<Observed>,
}

impl<'r> Session<'r> {
    /// Creates a shard before its first record. `rules` is the set in its compiled form, which many sessions can
    /// share.
    pub fn new(set: &'r RuleSet, rules: Arc<Compiled>) -> Self {
        let state = ShardState::new(RuleSetRef { version: 0, sha256: rules.sha256.clone() });
        Self { message: &set.message, rules, state, taken: 0 }
    }

    /// Registers a device, as `fleetform devices add` does.
    pub fn register(&mut self, registration: &Registration, at: Timestamp) -> Answer {
        let attributes: BTreeMap<&str, f64> =
            registration.attributes.iter().map(|(id, value)| (id.as_str(), value.get())).collect();
        let record = json!({
            "ff": 1, "k": "device", "d": registration.id, "rev": registration.revision, "t": at,
            "type": registration.device_type, "zone": registration.zone, "attributes": attributes,
            "retired": registration.retired,
        });
        self.take(registration.id.as_str(), record.to_string().as_bytes(), at)
    }

    /// Sends a device's message whose values were taken at `at` and which arrived without delay.
    pub fn sample(&mut self, device: &DeviceId, at: Timestamp, values: &[(MetricId, Observed)]) -> Answer {
        let known = self.state.find(device.as_str()).and_then(|index| self.state.devices[index as usize].home);
        let of_type = known.map(|home| &self.rules.device_type(home).metrics);
        let key = |id: &MetricId| {
            let metric = of_type.into_iter().flatten().find(|metric| metric.id == *id);
            metric.map_or_else(|| id.as_str().to_owned(), |metric| metric.key.to_string())
        };
        let record = message::wrapped(self.message, device, at, values, key);
        self.take(device.as_str(), record.as_bytes(), at)
    }

    /// Sends an alarm that a device raises or ends, as it arrives on the device's `alerts` channel.
    pub fn alarm(&mut self, device: &DeviceId, at: Timestamp, code: &str, active: bool) -> Answer {
        let record = message::alarm(device, at, code, active);
        self.take(device.as_str(), record.as_bytes(), at)
    }

    /// Lets time pass, with the tick that the sweep sends to a silent shard.
    pub fn tick(&mut self, at: Timestamp) -> Answer {
        let record = json!({ "ff": 1, "k": "tick", "t": at });
        self.take("tick", record.to_string().as_bytes(), at)
    }

    /// Takes any record of a stream, followed by the records that devices then send to fleets. A record that names
    /// another rule set is counted as unusable: a session has only its own.
    pub fn take(&mut self, partition_key: &str, data: &[u8], arrived_at: Timestamp) -> Answer {
        let mut run = Run::new(SHARD, GENERATION);
        run.trace = Some(Vec::new());
        self.step(partition_key, data, arrived_at, &mut run);
        let said = run.effects.members.clone();
        for member in &said {
            self.step(&member.partition_key(), &member.record(), arrived_at, &mut run);
        }
        // What a session has seen is never undone, so no copies of it need be kept.
        self.state.begin();
        Answer { judgements: run.trace.unwrap_or_default(), effects: run.effects, counts: run.counts }
    }

    fn step(&mut self, partition_key: &str, data: &[u8], arrived_at: Timestamp, run: &mut Run) {
        self.taken += 1;
        let sequence = SequenceNumber::from(self.taken);
        let record = StreamRecord { sequence, partition_key, arrived_at, data };
        match step::step(&self.rules, &mut self.state, &record, run) {
            Stepped::Done => {}
            Stepped::Overridden(rules) => self.rules = rules,
            Stepped::NeedsRuleSet { .. } => {
                self.rules = step::ignore_rule_set(&self.rules, &mut self.state, &record, run);
            }
        }
    }

    /// Returns the zone of a device, if it was ever registered.
    pub fn zone(&self, device: &DeviceId) -> Option<&ZoneId> {
        let index = self.state.find(device.as_str())?;
        Some(&self.state.devices[index as usize].registration.zone)
    }

    /// Whether a device was ever registered.
    pub fn is_registered(&self, device: &DeviceId) -> bool {
        self.state.find(device.as_str()).is_some()
    }

    /// Returns where a fleet rule stands in a zone. `None` if no device that the rule counts was ever registered
    /// there.
    pub fn fleet(&self, zone: &ZoneId, rule: &RuleId) -> Option<Place> {
        self.place(&DeviceId::of_fleet(rule, zone), rule)
    }

    /// Returns where a rule stands on a device. `None` if the device is not registered or the rule does not cover it.
    pub fn place(&self, device: &DeviceId, rule: &RuleId) -> Option<Place> {
        let device = &self.state.devices[self.state.find(device.as_str())? as usize];
        let home = device.home?;
        let device_type = self.rules.device_type(home);
        let plan = self.rules.plan(home);
        let slot = plan.rules.iter().position(|index| device_type.rules[*index as usize].id == *rule)?;
        let instance = &device.instances[slot];
        let words: &[SmolStr] =
            device_type.metric(&device_type.rules[plan.rules[slot] as usize]).map_or(&[], |metric| metric.words());
        let value = match &instance.phase {
            Phase::Inactive | Phase::Pending { .. } => None,
            Phase::Firing(firing) => Some(firing.value.observed(words)),
        };
        Some(Place { standing: Standing::of(instance), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::DeviceTypeId,
        units::Finite,
        verdict::{Verdict, Why},
    };

    const EXAMPLE: &[u8] = include_bytes!("../../tests/fixtures/rule-set.json");

    fn number(value: f64) -> Observed {
        Observed::Number(Finite::new(value).unwrap())
    }

    fn example() -> (RuleSet, Arc<Compiled>) {
        (RuleSet::from_bytes(EXAMPLE).unwrap(), Compiled::from_bytes(EXAMPLE).unwrap().into())
    }

    fn session<'r>((set, rules): &'r (RuleSet, Arc<Compiled>)) -> (Session<'r>, DeviceId, RuleId) {
        let mut session = Session::new(set, rules.clone());
        let device = DeviceId::new("logger-0").unwrap();
        let registration = Registration {
            id: device.clone(),
            revision: 1,
            device_type: DeviceTypeId::new("pressure-logger").unwrap(),
            zone: ZoneId::new("zone-a").unwrap(),
            attributes: Vec::new(),
            retired: false,
        };
        assert_eq!(session.register(&registration, Timestamp(0)).counts.registrations, 1);
        (session, device, RuleId::new("high-pressure").unwrap())
    }

    #[test]
    fn a_rule_is_followed_from_sample_to_sample() {
        let example = example();
        let (mut session, device, rule) = session(&example);
        let pressure = MetricId::new("pressure").unwrap();
        let inactive = Place { standing: Standing::Inactive, value: None };
        assert_eq!(session.place(&device, &rule), Some(inactive));
        for minute in 0..5 {
            let at = Timestamp(minute * 60_000);
            let answer = session.sample(&device, at, &[(pressure.clone(), number(65.0))]);
            assert_eq!(answer.effects, Effects::default(), "minute {minute}");
            let pending = Place { standing: Standing::Pending { since: Timestamp(0) }, value: None };
            assert_eq!(session.place(&device, &rule), Some(pending), "minute {minute}");
        }
        let answer = session.sample(&device, Timestamp(300_000), &[(pressure, number(66.5))]);
        assert_eq!(answer.judgements[0].verdict, Verdict::Send(Why::Fired { suppressed: 0 }));
        assert_eq!(answer.effects.notifications.len(), 1);
        let firing = Place { standing: Standing::Firing { since: Timestamp(0) }, value: Some(number(66.5)) };
        assert_eq!(session.place(&device, &rule), Some(firing));
    }

    #[test]
    fn time_passes_without_a_message_and_leaves_no_row() {
        let example = example();
        let (mut session, device, rule) = session(&example);
        let before = session.place(&device, &rule);
        let answer = session.tick(Timestamp(90_000));
        assert!(answer.effects.is_empty() && answer.counts.quarantined.is_empty(), "{answer:?}");
        assert_eq!(session.place(&device, &rule), before);
        assert_eq!(session.state.shard_time(), Timestamp(90_000));
    }

    #[test]
    fn silence_is_noticed_by_ticks_alone() {
        let example = example();
        let mut session = Session::new(&example.0, example.1.clone());
        let (device, rule) = (DeviceId::new("valve-0").unwrap(), RuleId::new("valve-offline").unwrap());
        let registration = Registration {
            id: device.clone(),
            revision: 1,
            device_type: DeviceTypeId::new("valve").unwrap(),
            zone: ZoneId::new("zone-a").unwrap(),
            attributes: Vec::new(),
            retired: false,
        };
        session.register(&registration, Timestamp(0));
        session.sample(&device, Timestamp(0), &[(MetricId::new("position").unwrap(), number(1.0))]);
        assert!(session.tick(Timestamp(60_000)).judgements.iter().all(|judgement| judgement.rule != rule));
        let answer = session.tick(Timestamp(90_000));
        let fired = answer.judgements.iter().find(|judgement| judgement.rule == rule).unwrap();
        assert!(fired.by_timer);
        let standing = session.place(&device, &rule).map(|place| place.standing);
        // More than a minute of silence is a minute and a millisecond.
        assert_eq!(standing, Some(Standing::Firing { since: Timestamp(60_001) }));
    }

    #[test]
    fn a_fleet_hears_at_once_what_its_devices_say() {
        let example = example();
        let mut session = Session::new(&example.0, example.1.clone());
        let (zone, rule) = (ZoneId::new("zone-a").unwrap(), RuleId::new("hydrants-open").unwrap());
        assert_eq!(session.fleet(&zone, &rule), None);
        for n in 0..6_i32 {
            let id = DeviceId::new(&format!("h-{n}")).unwrap();
            let registration = Registration {
                id: id.clone(),
                revision: 1,
                device_type: DeviceTypeId::new("hydrant").unwrap(),
                zone: zone.clone(),
                attributes: Vec::new(),
                retired: false,
            };
            session.register(&registration, Timestamp(0));
            let open = (MetricId::new("open").unwrap(), Observed::Bool(n < 3));
            session.sample(&id, Timestamp(1_000 + i64::from(n)), &[open]);
        }
        let place = session.fleet(&zone, &rule).unwrap();
        assert_eq!(place.value, Some(number(3.0)));
        assert!(matches!(place.standing, Standing::Firing { .. }));
    }

    #[test]
    fn a_record_of_another_rule_set_is_counted_and_changes_nothing() {
        let example = example();
        let (mut session, device, rule) = session(&example);
        let record = format!(r#"{{"ff":1,"k":"rules","version":7,"sha256":"{}","t":1}}"#, "0".repeat(64));
        let answer = session.take("rules", record.as_bytes(), Timestamp(1));
        assert_eq!((answer.counts.unusable_rule_sets, answer.counts.records), (1, 1));
        assert!(session.place(&device, &rule).is_some());
    }

    #[test]
    fn nothing_is_known_of_a_stranger_or_of_a_rule_elsewhere() {
        let example = example();
        let (session, device, rule) = session(&example);
        assert_eq!(session.place(&DeviceId::new("other").unwrap(), &rule), None);
        assert_eq!(session.place(&device, &RuleId::new("burst").unwrap()), None);
    }
}
