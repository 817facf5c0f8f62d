//! Logs to simulate: what devices send, the mistakes of people and gateways, the moves of devices, and the rule sets
//! that are rolled out, all drawn from a seed. Each record's bytes are stored with their meaning, so that they need
//! not be parsed again. The expected result is not known here.

mod redrive;
mod words;

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::rule_set::RuleSet;
use serde_json::{Value, json};

use redrive::Losses;

use crate::{
    poison,
    random::Random,
    rules,
    stream::{Shard, Stream},
    world::Record,
};

/// 2026-01-31T10:30:00Z
pub(crate) const START_MS: i64 = 1_769_855_400_000;

/// A whole log and the rule sets that it names.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Artifacts; the first is in force from the start.
    pub rule_sets: Vec<Vec<u8>>,
    /// Shards, parents before their children.
    pub shards: Vec<Shard>,
    /// When the last record arrives, in milliseconds.
    pub ends_at: i64,
    /// When each later set is rolled out to the environments, before its records are put.
    pub rollouts: Vec<i64>,
    /// Where another stream replaces the first one.
    pub replacement: Option<Replacement>,
}

/// How another stream replaces the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replacement {
    /// Time from which records go to the new stream.
    pub at: i64,
    /// How long the first stream is still delivered alongside the new one, in milliseconds; `None` if the new one
    /// waits until it is empty.
    pub beside_ms: Option<i64>,
}

/// A record and its meaning.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    /// The record as the stream keeps it.
    pub record: Arc<Record>,
    /// The ingest time that it states.
    pub claimed: Option<i64>,
    /// What it means.
    pub fact: Fact,
}

/// The meaning of a record.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    /// A device sent samples.
    Message(String, Vec<Sample>),
    /// A record that is refused for this reason; if a device is named, only if that device is known at all.
    Bad(Option<String>, &'static str),
    /// A record on which the engine panics or dies. It is set aside for this reason and has no other effect, not even
    /// on time.
    Poison(&'static str),
    /// A device reports that it is online or gone.
    Status(String, bool),
    /// A device raises or ends an alarm with this code.
    Alarm(String, &'static str, bool),
    /// The broker reports on a device's connection.
    Connection(String, Connection),
    /// A device is registered, with these fields.
    Device(String, Value),
    /// A rule set with this version and address is to be adopted.
    Rules(u64, String),
    /// Operators set an override of a rule, with these fields.
    Override(Value),
    /// A record that was lost or set aside is redriven.
    Again(Box<Self>),
    /// The engine reports what a device is to a fleet.
    Member(Value),
}

/// The start or end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// Rises from connection to connection, until the broker restarts the count.
    pub version: u64,
    /// Whether it is a connect.
    pub connected: bool,
    /// Whether it ends because of a second client with the same id.
    pub duplicate: bool,
}

/// One sample as a device means it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Its time, if it has a readable one.
    pub time: Option<i64>,
    /// Its values by metric; text is left out.
    pub values: Vec<(&'static str, Value)>,
}

struct Device {
    id: String,
    meter: bool,
    punctual: bool,
    zone: &'static str,
    revision: u64,
    mood: usize,
    silent_until: i64,
    /// Version of its newest connection.
    connections: u64,
    running: bool,
    /// The temperature at which its sensor is stuck.
    stuck: Option<i64>,
}

/// A device that sends messages but is never registered.
const STRANGER: &str = "nobody-0";

impl Workload {
    /// Writes the log of a seed, with about this many records.
    pub(crate) fn new(random: &mut Random, records: usize) -> Self {
        let shard_count = 1 + random.below(3) as usize;
        let mut sets = vec![rules::first(random)];
        let rollout_count = random.below(4) as usize;
        for _ in 0..rollout_count {
            let next = rules::changed(random, sets.last().unwrap_or(&Value::Null));
            sets.push(next);
        }
        let step = random.between(2_000, 12_000);
        let length = step * (records / shard_count) as i64;
        let mut rollouts: Vec<i64> =
            (0..rollout_count).map(|_| START_MS + random.between(length / 8, length)).collect();
        rollouts.sort_unstable();
        let rule_sets: Vec<Vec<u8>> = sets.iter().map(canonical).collect();
        let mut writer = Writer::new(START_MS, random.fork(), shard_count as u64, &rule_sets, &rollouts);
        let reshards = random.below(4) * random.below(2);
        let mut at: Vec<usize> = (0..reshards).map(|_| random.below(records as u64) as usize).collect();
        at.sort_unstable();
        // Finding a killer takes many attempts, which need time.
        writer.poison_until = START_MS + length - length / 10;
        writer.revisions = random.per_mille(700).then(BTreeMap::new);
        let step = step / shard_count as i64;
        // Drawn separately from everything else, so that existing seeds keep their meaning.
        let mut apart = random.clone().fork();
        let replaced = apart.per_mille(300).then(|| {
            let beside_ms = apart.per_mille(500).then(|| apart.between(0, 120_000));
            (apart.between(records as i64 / 8, records as i64 * 7 / 8) as usize, 1 + apart.below(3), beside_ms)
        });
        if apart.per_mille(300) {
            writer.losses = Some(Losses::new(apart.fork()));
        }
        writer.fill(records, step, &at, replaced.map(|(index, shards, _)| (index, shards)));
        let replacement =
            replaced.map(|(index, _, beside_ms)| Replacement { at: START_MS + step * index as i64, beside_ms });
        Self { shards: writer.stream.shards, rule_sets, ends_at: START_MS + length + 60_000, rollouts, replacement }
    }

    /// Writes a log of one shard and one rule set.
    pub(crate) fn calm(random: &mut Random, records: usize, start: i64) -> Self {
        let rule_sets = vec![canonical(&rules::first(random))];
        // Few devices and long steps let a rule run its course within few records.
        let step = random.between(5_000, 60_000);
        let mut writer = Writer::new(start, random.fork(), 1, &rule_sets, &[]);
        writer.fill(records, step, &[], None);
        let ends_at = start + step * records as i64;
        Self { shards: writer.stream.shards, rule_sets, ends_at, rollouts: Vec::new(), replacement: None }
    }
}

/// Encodes a set as the generator would.
fn canonical(set: &Value) -> Vec<u8> {
    let set: RuleSet = serde_json::from_value(set.clone()).expect("the sets made here have the artifact's form");
    set.to_bytes()
}

/// Writes a log.
struct Writer<'a> {
    start: i64,
    random: Random,
    stream: Stream,
    devices: Vec<Device>,
    rule_sets: &'a [Vec<u8>],
    rollouts: &'a [i64],
    last: Option<Put>,
    /// Records that the engine does not survive come before this time.
    poison_until: i64,
    /// The newest revision of each rule's override; `None` if no overrides are set.
    revisions: Option<BTreeMap<String, u64>>,
    /// Records that are given up or set aside, and redriven; `None` if there are none.
    losses: Option<Losses>,
}

impl<'a> Writer<'a> {
    fn new(start: i64, mut random: Random, shards: u64, rule_sets: &'a [Vec<u8>], rollouts: &'a [i64]) -> Self {
        let stream = Stream::new(&mut random, shards, start);
        let devices = (0..shards as i64 * random.between(3, 8))
            .map(|number| Device {
                id: format!("device-{number}"),
                meter: random.per_mille(600),
                punctual: random.per_mille(400),
                zone: if random.per_mille(500) { "zone-a" } else { "zone-b" },
                revision: 1,
                mood: 0,
                silent_until: 0,
                connections: 0,
                running: true,
                stuck: None,
            })
            .collect();
        let (last, revisions, losses) = Default::default();
        Self { start, random, stream, devices, rule_sets, rollouts, last, poison_until: start, revisions, losses }
    }

    /// Writes one record per step. Before some of them the stream is resharded, and before one it is replaced by a
    /// stream with the given number of shards.
    fn fill(&mut self, records: usize, step: i64, reshards: &[usize], replaced: Option<(usize, u64)>) {
        for device in 0..self.devices.len() {
            self.register(device, self.start);
        }
        for index in 0..records {
            if let Some((_, shards)) = replaced.filter(|(replaced, _)| *replaced == index) {
                self.stream.replace(&mut self.random, shards, self.start + step * index as i64);
            }
            let at = self.start + step * index as i64 + self.random.below(step as u64) as i64;
            for _ in reshards.iter().filter(|reshard| **reshard == index) {
                self.stream.reshard(&mut self.random, at);
            }
            for shard in self.stream.open_shards() {
                let Shard { told, lag, .. } = self.stream.shards[shard];
                if self.rollouts.get(told).is_some_and(|rollout| at > rollout + 20_000 + lag) {
                    self.rules(shard, told + 1, at);
                }
            }
            self.anything(at);
            self.redrive(at);
        }
    }

    fn put(&mut self, key: &str, data: &str, at: i64, claimed: Option<i64>, fact: Fact) {
        if self.losses.as_mut().is_some_and(|losses| losses.take((key, data), claimed.map_or(at, |t| t.min(at)), &fact))
        {
            return;
        }
        self.stream.put(&mut self.random, key, data, at, claimed, fact.clone());
        let record = Record {
            sequence: self.stream.shards[0].first,
            partition_key: key.into(),
            arrived_at: at,
            data: data.into(),
        };
        self.last = Some(Put { record: Arc::new(record), claimed, fact });
    }

    fn register(&mut self, device: usize, at: i64) {
        let Device { id, meter, zone, revision, .. } = &self.devices[device];
        let mut record = json!({
            "ff": 1, "k": "device", "d": id, "rev": revision, "type": if *meter { "meter" } else { "pump" },
            "zone": zone, "t": at,
        });
        if *meter && self.random.per_mille(400) {
            record["attributes"] = json!({ "max_pressure": self.random.between(56, 70) });
        }
        if *revision > 1 && self.random.per_mille(100) {
            record["retired"] = json!(true);
        }
        let id = id.clone();
        self.put(&id, &record.to_string(), at, Some(at), Fact::Device(id.clone(), record.clone()));
    }

    fn rules(&mut self, shard: usize, version: usize, at: i64) {
        let announce = |writer: &mut Self, version: usize, sha256: &str| {
            let record = json!({ "ff": 1, "k": "rules", "version": version, "sha256": sha256, "t": at }).to_string();
            let fact = Fact::Rules(version as u64, sha256.to_owned());
            writer.stream.put_into(&mut writer.random, shard, "rules", &record, at, Some(at), fact);
        };
        self.stream.shards[shard].told = version;
        if self.random.per_mille(200) {
            announce(self, version, &"0".repeat(64));
        }
        let sha256 = RuleSet::sha256(&self.rule_sets[version]);
        announce(self, version, &sha256);
        if self.random.per_mille(300) {
            let older = RuleSet::sha256(&self.rule_sets[version - 1]);
            announce(self, version - 1, &older);
        }
    }

    /// Operators change a row, and every shard is notified. A notification that does not reach a shard, or arrives
    /// twice, stands for a relay that failed or tried again.
    fn override_rule(&mut self, at: i64) {
        let Some(revisions) = &mut self.revisions else { return };
        let random = &mut self.random;
        let rule = *random.pick(&[
            "high-pressure",
            "pressed-and-hot",
            "alarmed",
            "odd-pressure",
            "many-offline",
            "very-hot",
            "pressure-held",
            "vibration-high",
            "temperature-range",
            "burst",
            "low-battery",
            "silent",
            "off",
            "many-low",
        ]);
        let revision = revisions.entry(rule.to_owned()).or_default();
        if !random.per_mille(200) {
            *revision += 1 + random.below(2);
        }
        let mut row = json!({ "ff": 1, "k": "override", "rule": rule, "rev": *revision, "t": at });
        match random.below(10) {
            0..2 => row["enabled"] = json!(random.per_mille(400)),
            2..4 => row["muted_until"] = json!(at + random.between(-60_000, 1_800_000)),
            4..7 => row["threshold"] = json!(random.between(5, 110)),
            7 => row["contacts"] = json!([random.pick(&["oncall", "oncall", "nobody"])]),
            8 => row["removed"] = json!(true),
            _ => {
                row["enabled"] = json!(true);
                row["muted_until"] = json!(at + random.between(0, 600_000));
                row["contacts"] = json!(["oncall"]);
            }
        }
        if random.per_mille(500) {
            row["until"] = json!(at + random.between(-10_000, 1_200_000));
        }
        let text = row.to_string();
        for shard in self.stream.open_shards() {
            let times = if self.random.per_mille(100) { 0 } else { 1 + self.random.below(2) * self.random.below(2) };
            for _ in 0..times {
                let fact = Fact::Override(row.clone());
                self.stream.put_into(&mut self.random, shard, "override", &text, at, Some(at), fact);
            }
        }
    }

    fn anything(&mut self, at: i64) {
        let device = self.random.below(self.devices.len() as u64) as usize;
        match self.random.below(1_000) {
            0..12 => {
                let moved = &mut self.devices[device];
                moved.revision = (moved.revision + 1).saturating_sub(self.random.below(3));
                moved.zone = *self.random.pick(&["zone-a", "zone-b", "zone-a", "zone-b", "zone-c"]);
                self.register(device, at);
                self.devices[device].revision = self.devices[device].revision.max(1) + 1;
            }
            12 if at < self.poison_until => {
                let (bytes, reason) = *self.random.pick(&[(poison::PANICS, "panic"), (poison::KILLS, "killer")]);
                let id = self.devices[device].id.clone();
                self.put(&id, bytes, at, Some(at), Fact::Poison(reason));
            }
            12..45 => self.bad(device, at),
            45..72 => {
                if let Some(Put { record, claimed, fact }) = self.last.clone() {
                    self.put(&record.partition_key, &String::from_utf8_lossy(&record.data), at, claimed, fact);
                }
            }
            72..75 => self.override_rule(at),
            75..80 => self.devices[device].silent_until = at + self.random.between(60_000, 900_000),
            80..100 => self.alarm(device, at),
            100..107 => self.status(device, at),
            107..117 => self.connection(device, at),
            _ => {
                if self.devices[device].silent_until <= at {
                    self.message(device, at);
                }
            }
        }
    }

    fn message(&mut self, device: usize, at: i64) {
        let id = self.devices[device].id.clone();
        let (mut payload, samples) = if self.devices[device].meter && self.random.per_mille(120) {
            let batch: Vec<_> = (0..self.random.between(1, 4)).map(|_| self.sample(device, at)).collect();
            let (payloads, samples): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            (json!({ "records": payloads }), samples)
        } else {
            let (mut payload, mut sample) = self.sample(device, at);
            if self.random.per_mille(300) {
                payload["batteryLevel"] = json!(self.random.between(10, 40));
                sample.values.push(("battery_level", payload["batteryLevel"].clone()));
            }
            (payload, vec![sample])
        };
        if self.random.per_mille(500) {
            payload["deviceId"] = json!(id);
        }
        let fact = Fact::Message(id.clone(), samples);
        if self.random.per_mille(120) {
            self.put(&id, &payload.to_string(), at, None, fact);
        } else {
            let t = at + self.random.between(-300, 50);
            let data = json!({
                "ff": 1, "k": "message", "p": STANDARD.encode(payload.to_string()), "d": id, "ch": "telemetry", "c": id,
                "t": t,
            });
            self.put(&id, &data.to_string(), at, Some(t), fact);
        }
    }

    fn sample(&mut self, device: usize, at: i64) -> (Value, Sample) {
        let random = &mut self.random;
        let device = &mut self.devices[device];
        if random.per_mille(140) {
            device.mood = random.below(4) as usize;
        }
        let mut readings = json!({});
        let mut values = Vec::new();
        let mut add = |metric: &'static str, key: &str, value: Value| {
            readings[key] = value.clone();
            values.push((metric, value));
        };
        if random.per_mille(20) {
            // A heartbeat.
        } else if device.meter {
            let (low, high) = [(20, 54), (54, 62), (61, 110), (95, 130)][device.mood];
            add("pressure", "pressure", json!(random.between(low * 4, high * 4) as f64 / 4.0));
            if random.per_mille(600) {
                if random.per_mille(80) {
                    device.stuck = match device.stuck {
                        Some(_) => None,
                        None => Some(random.between(0, 54)),
                    };
                }
                let temperature = match device.stuck {
                    Some(at) => at + random.between(0, 1),
                    None => random.between(0, 56),
                };
                add("temperature", "temp", json!(temperature));
            }
            if random.per_mille(300) {
                add("door_open", "doorOpen", json!(random.per_mille(500)));
            }
        } else {
            let high = [4, 9, 14, 20][device.mood];
            add("vibration", "vibration", json!(random.between(0, high)));
            if random.per_mille(700) {
                device.running = random.per_mille(800);
                let state = if device.running { "running" } else { *random.pick(&["stopped", "stopped", "fault"]) };
                add("state", "state", json!(state));
            }
            if random.per_mille(50) {
                readings["note"] = json!("serviced");
            }
        }
        // Many devices report on the minute, so that durations are reached exactly.
        let at = if device.punctual { at - at % 10_000 } else { at };
        let time = match random.below(100) {
            0..4 => None,
            4..9 => Some(at - random.between(0, 240_000)),
            9 => Some(at + random.between(100_000, 400_000)),
            10 => Some(at - random.between(86_000_000, 87_000_000)),
            11..13 => Some(at - random.between(800_000, 1_000_000)),
            _ if device.punctual => Some(at),
            _ => Some(at - random.between(0, 400)),
        };
        let mut payload = json!({ "readings": readings });
        match time {
            Some(time) => payload["timestamp"] = json!(rfc3339(time)),
            None if random.per_mille(300) => payload["timestamp"] = json!("soon"),
            None => {}
        }
        (payload, Sample { time, values })
    }
}

fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}
