//! Simulated devices with the engine: the platform accepts what they send, except for what must be refused.

use std::sync::Arc;

use fleetform_engine::{
    compiled::Compiled,
    counts::Counts,
    rule_set::RuleSet,
    session::Session,
    state::Registration,
    units::{Millis, Timestamp},
};
use fleetform_fleet::{Event, Fleet, Group, Kind, Mix, NameTemplate, Options, Profile};
use fleetform_tests::rendering::rendered;

const START: Timestamp = Timestamp(1_769_855_400_000);
const HOUR: Millis = Millis::from_secs(3_600);

const PLATFORMS: [&str; 3] = [
    include_str!("../../platform.toml"),
    include_str!("../fixtures/contracts/platform.toml"),
    include_str!("../fixtures/golden/source-spelling/platform.toml"),
];

fn rule_set(text: &str) -> Vec<u8> {
    let tree = rendered(text);
    let path = tree.iter().find(|(path, _)| path.as_str().ends_with("rules/rule-set.json")).expect("a rule set").0;
    tree.get(path).expect("the rule set").to_vec()
}

fn groups(rules: &RuleSet, count: u32) -> Vec<Group> {
    let zone = rules.zones.keys().next().expect("a zone");
    let group = |device_type: &_| Group { device_type: Clone::clone(device_type), zone: zone.clone(), count };
    rules.device_types.keys().map(group).collect()
}

fn options(mix: &str, seed: u64) -> Options {
    Options {
        seed,
        start: START,
        length: HOUR,
        mix: mix.parse::<Mix>().expect("a mix"),
        names: NameTemplate::parse("sim-{n:4}").expect("a template"),
        last_will: true,
    }
}

fn all_profiles() -> String {
    Profile::ALL.map(Profile::as_str).join(",")
}

fn run(rules: &RuleSet, count: u32, options: Options) -> Vec<Event> {
    Fleet::new(rules, &groups(rules, count), options).expect("names").collect()
}

/// Everything that the engine counts during a run.
struct Taken {
    counts: Vec<Counts>,
    events: Vec<Event>,
}

impl Taken {
    fn sum(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.counts.iter().map(of).sum()
    }
}

fn take(bytes: &[u8], count: u32, options: Options) -> Taken {
    let (rules, compiled) =
        (RuleSet::from_bytes(bytes).expect("a rule set"), Compiled::from_bytes(bytes).expect("a rule set"));
    let mut session = Session::new(&rules, Arc::new(compiled));
    let mut fleet = Fleet::new(&rules, &groups(&rules, count), options).expect("names");
    for device in fleet.devices() {
        let registration = Registration {
            id: device.id.clone(),
            revision: 1,
            device_type: device.device_type.clone(),
            zone: device.zone.clone(),
            attributes: Vec::new(),
            retired: false,
        };
        session.register(&registration, START);
    }
    let (mut counts, mut events) = (Vec::new(), Vec::new());
    while let Some(event) = fleet.next() {
        let id = fleet.devices()[event.device].id.clone();
        let answer = session.take(id.as_str(), &fleet.record(&event), event.at);
        let quarantined: u64 = answer.counts.quarantined.values().sum();
        assert_eq!(
            quarantined,
            u64::from(event.is_malformed),
            "{:?} {}",
            answer.counts.quarantined,
            String::from_utf8_lossy(&event.payload)
        );
        counts.push(answer.counts);
        events.push(event);
    }
    // Devices that are gone at the end are missed some time after it.
    counts.push(session.tick(START.after(Millis(HOUR.0 * 2))).counts);
    Taken { counts, events }
}

#[test]
fn the_engine_takes_all_but_what_is_malformed() {
    for text in PLATFORMS {
        let taken = take(&rule_set(text), 22, options(&all_profiles(), 5));
        let sent: usize = taken.events.iter().map(|event| event.samples).sum();
        assert_eq!(taken.sum(|counts| counts.samples + counts.too_old), sent as u64);
        let malformed = taken.events.iter().filter(|event| event.is_malformed).count();
        assert!(malformed > 0, "{} messages and none is malformed", taken.events.len());
        assert_eq!(taken.sum(|counts| counts.unknown_readings), 0);
    }
}

#[test]
fn each_profile_does_to_the_engine_what_it_is_for() {
    let bytes = rule_set(PLATFORMS[0]);
    let of = |profile: &str| take(&bytes, 8, options(profile, 9));
    let steady = of("steady");
    assert_eq!(steady.sum(|counts| counts.late + counts.future + counts.untimed), 0);
    assert!(steady.sum(|counts| counts.samples) > 1_000);
    assert!(of("duplicates").sum(|counts| counts.late) > 0);
    assert!(of("disorder").sum(|counts| counts.late) > 0);
    assert!(of("skew").sum(|counts| counts.future) > 0);
    // All devices were gone for a while, and like the others they are missed once the run is over.
    let silence = of("silence");
    let devices = 8 * RuleSet::from_bytes(&bytes).expect("a rule set").device_types.len() as u64;
    assert!(silence.events.iter().any(|event| event.payload == b"{\"status\":\"offline\"}"));
    assert_eq!(steady.sum(|counts| counts.offline), devices);
    assert_eq!(silence.sum(|counts| counts.offline), 2 * devices);
}

#[test]
fn a_seed_tells_all() {
    let rules = RuleSet::from_bytes(&rule_set(PLATFORMS[0])).expect("a rule set");
    let once = run(&rules, 6, options(&all_profiles(), 3));
    assert_eq!(once, run(&rules, 6, options(&all_profiles(), 3)));
    assert_ne!(once, run(&rules, 6, options(&all_profiles(), 4)));
    assert!(once.is_sorted_by_key(|event| event.at));
    assert!(once.iter().all(|event| event.at >= START && event.at < START.after(HOUR)));
}

#[test]
fn a_fleet_sends_as_often_as_the_platform_file_says() {
    let rules = RuleSet::from_bytes(&rule_set(PLATFORMS[0])).expect("a rule set");
    let fleet = Fleet::new(&rules, &groups(&rules, 3), options("steady", 1)).expect("names");
    let (every, reports): (Vec<Millis>, Vec<Millis>) = fleet
        .devices()
        .iter()
        .map(|device| &rules.device_types[&device.device_type])
        .map(|device_type| (device_type.send_every_ms, device_type.report_every_ms))
        .unzip();
    let mut messages = vec![0_u64; every.len()];
    let mut samples = vec![0_u64; every.len()];
    for event in fleet.filter(|event| event.kind == Kind::Telemetry) {
        messages[event.device] += 1;
        samples[event.device] += event.samples as u64;
    }
    for (device, sent) in messages.iter().enumerate() {
        assert_eq!(*sent, HOUR.0 / every[device].0, "device {device}");
        // The first message holds one sample, and each further one holds what was measured since.
        assert_eq!(samples[device], 1 + (sent - 1) * (every[device].0 / reports[device].0), "device {device}");
    }
}
