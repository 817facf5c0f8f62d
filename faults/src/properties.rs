//! Properties of any log without faults: how it is cut, how often it is delivered, which environment receives it and
//! when it happened change nothing. Each property is a function of a seed, so that ten thousand cases are ten
//! thousand seeds.

use std::{collections::BTreeSet, fmt, sync::Arc};

use fleetform_engine::{drive::Settings, position::SequenceNumber, rule_set::RuleSet, units::Millis};
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    fate::Faults,
    random::Random,
    report::found,
    services::Services,
    tables::Rows,
    workload::{Fact, Put, START_MS, Workload},
    world::{Delivery, Happened, Record, World},
};

/// Maximum number of records in a case.
const RECORDS_MAX: u64 = 60;
const WEEK_MS: i64 = 7 * 86_400_000;

/// A change that changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// Batches cut anywhere, delivered to any environment.
    BatchSplit,
    /// A part of the log delivered again, to environments that know it and to others that do not.
    Replay,
    /// Every record put twice.
    Duplicate,
    /// The records of different devices in another order, where no rule waits for time to pass.
    Interleaving,
    /// Everything some days earlier or later.
    TimeShift,
    /// A state read from its bases and deltas before every batch.
    StateRoundTrip,
    /// A rule set with the same meaning is adopted.
    NoOpReload,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BatchSplit => "batch split",
            Self::Replay => "replay",
            Self::Duplicate => "duplicate",
            Self::Interleaving => "interleaving",
            Self::TimeShift => "time shift",
            Self::StateRoundTrip => "state round trip",
            Self::NoOpReload => "no-op reload",
        })
    }
}

impl Property {
    /// Every property.
    pub const ALL: [Self; 7] = [
        Self::BatchSplit,
        Self::Replay,
        Self::Duplicate,
        Self::Interleaving,
        Self::TimeShift,
        Self::StateRoundTrip,
        Self::NoOpReload,
    ];

    /// Checks one case. Returns the number of its outbox rows.
    ///
    /// # Errors
    /// The differences.
    pub fn check(self, seed: u64) -> Result<usize, String> {
        let mut random = Random::new(seed);
        let records = 5 + random.below(RECORDS_MAX - 5) as usize;
        let mut later = random.clone();
        let workload = Workload::calm(&mut random, records, START_MS);
        let sets = &workload.rule_sets;
        let log = &workload.shards[0].records;
        let plain = Table::of(&Host::new(sets, HOUR).deliver(log, &[]), START_MS, true);
        let table = match self {
            Self::BatchSplit => {
                let cuts = cuts(&mut random, log.len(), 6);
                Table::of(&Host::new(sets, HOUR).among(3, random).deliver(log, &cuts), START_MS, true)
            }
            Self::Replay => {
                let mut host = Host::new(sets, HOUR);
                host.deliver(log, &[]);
                let from = random.below(log.len() as u64) as usize;
                host.deliver(&log[from..], &[]);
                Table::of(&host.among(2, random).deliver(&log[from..], &[]), START_MS, true)
            }
            Self::StateRoundTrip => {
                let cuts = cuts(&mut random, log.len(), 10);
                // Without a minimum time between bases, every delta has one.
                let every = if random.per_mille(500) { Millis(0) } else { HOUR };
                let mut host = Host::new(sets, every);
                host.forgets = true;
                Table::of(&host.deliver(log, &cuts), START_MS, true)
            }
            Self::TimeShift => {
                // Rules have hours, and hours have weekdays.
                let start = START_MS + random.between(-43, 43) * WEEK_MS;
                let moved = Workload::calm(&mut later, records, start);
                Table::of(&Host::new(sets, HOUR).deliver(&moved.shards[0].records, &[]), start, true)
            }
            Self::NoOpReload => {
                let mut set: Value = serde_json::from_slice(&sets[0]).unwrap_or_default();
                if random.per_mille(700) {
                    set["rules"]["low-battery"]["summary"] = json!("said in other words");
                    set["zones"]["zone-a"]["title"] = json!("The same zone");
                }
                let set: RuleSet = serde_json::from_value(set).map_err(|error| error.to_string())?;
                let sets = [sets[0].clone(), set.to_bytes()];
                let at = random.below(log.len() as u64) as usize;
                let mut reloaded = log.clone();
                reloaded.insert(at, reload(&log[at], &sets[1]));
                // The announcement of the set may be the record that reveals a moment which otherwise the next record
                // would.
                let table = Table::of(&Host::new(&sets, HOUR).deliver(&reloaded, &[]), START_MS, false);
                return table.is(&Table::of(&Host::new(&sets, HOUR).deliver(log, &[]), START_MS, false));
            }
            Self::Duplicate => {
                let twice: Vec<Put> = log.iter().flat_map(|put| [put.clone(), put.clone()]).collect();
                let table = Table::of(&Host::new(sets, HOUR).deliver(&renumbered(&twice), &[]), START_MS, false);
                return table.told_as(&Table::of(&Host::new(sets, HOUR).deliver(log, &[]), START_MS, false));
            }
            Self::Interleaving => {
                let sets = &[timeless(&sets[0])?];
                let other = interleaved(&mut random, log);
                let table = Table::of(&Host::new(sets, HOUR).deliver(&renumbered(&other), &[]), START_MS, false);
                return table.is(&Table::of(&Host::new(sets, HOUR).deliver(log, &[]), START_MS, false));
            }
        };
        table.is(&plain)
    }
}

const HOUR: Millis = Millis::from_secs(3_600);

/// Rows as text, sorted: outbox, history, quarantine.
struct Table([Vec<String>; 3]);

impl Table {
    /// Formats rows. Times count from the start. Without numbers, a row does not show which record made it.
    fn of(rows: &Rows, start: i64, numbered: bool) -> Self {
        let mut tables = found(rows, start);
        for table in &mut tables {
            for row in table.iter_mut().filter(|_| !numbered) {
                *row = row.split_once(' ').map_or_else(String::new, |(_, rest)| rest.to_owned());
            }
            table.sort();
        }
        Self(tables)
    }

    fn is(&self, other: &Self) -> Result<usize, String> {
        match self.0.iter().zip(&other.0).find(|(mine, theirs)| mine != theirs) {
            None => Ok(self.0[0].len()),
            Some((mine, theirs)) => {
                let only = |of: &[String], not: &[String]| of.iter().find(|row| !not.contains(row)).cloned();
                Err(format!("{:?} in place of {:?}", only(mine, theirs), only(theirs, mine)))
            }
        }
    }

    /// Whether both contain the same notices.
    fn told_as(self, other: &Self) -> Result<usize, String> {
        let [notices, _, _] = self.0;
        Self([notices, other.0[1].clone(), other.0[2].clone()]).is(other)
    }
}

/// Environments that receive a log without faults.
struct Host {
    world: World,
    settings: Settings,
    environments: Vec<usize>,
    random: Random,
    /// Whether every batch goes to a new environment.
    forgets: bool,
}

impl Host {
    fn new(rule_sets: &[Vec<u8>], checkpoint_every: Millis) -> Self {
        let clock = Arc::new(Clock::new(START_MS));
        let services = Arc::new(Services::new(clock.clone(), Faults::None));
        let addresses: Vec<String> = rule_sets.iter().map(|set| services.add_rule_set(set)).collect();
        let settings = Settings {
            generation: 1,
            repair: 0,
            rule_set_sha256: addresses[0].clone(),
            checkpoint_every,
            record_age_max: Millis::from_secs(6 * 3_600),
        };
        let mut world = World::new(clock, services, Random::new(7));
        let environments = vec![world.start_environment(&settings, 0)];
        Self { world, settings, environments, random: Random::new(9), forgets: false }
    }

    /// Lets batches from here on go to any of this many additional environments.
    fn among(mut self, more: usize, random: Random) -> Self {
        for _ in 0..more {
            self.environments.push(self.world.start_environment(&self.settings, 0));
        }
        self.random = random;
        self
    }

    fn deliver(&mut self, log: &[Put], cuts: &[usize]) -> Rows {
        let mut from = 0;
        for cut in cuts.iter().copied().chain([log.len()]) {
            if self.forgets {
                self.environments = vec![self.world.start_environment(&self.settings, 0)];
            }
            let records = log[from..cut].iter().map(|put| put.record.clone()).collect();
            let environment = *self.random.pick(&self.environments);
            self.world.invoke(environment, Delivery { shard: "shardId-000000000000".into(), records });
            loop {
                match self.world.next() {
                    Some(Happened::Ended(_, outcome)) => {
                        assert!(outcome.failure.is_none(), "nothing fails here: {:?}", outcome.failure);
                        break;
                    }
                    Some(_) => {}
                    None => unreachable!("an invocation ends"),
                }
            }
            from = cut;
        }
        self.world.services.rows()
    }
}

fn cuts(random: &mut Random, length: usize, most: u64) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..random.below(most)).map(|_| random.below(length as u64 + 1) as usize).collect();
    cuts.sort_unstable();
    cuts
}

/// Returns the announcement of a rule set, placed just before a record, which moves the time no further than that
/// record does.
fn reload(put: &Put, set: &[u8]) -> Put {
    let before = &put.record;
    let digits = before.sequence.digits();
    // Numbers lie far apart, and none of them ends in zeros only.
    let (front, back) = digits.split_at(digits.len() - 9);
    let earlier = back.parse::<u64>().unwrap_or(1).saturating_sub(1);
    let (version, sha256, t) =
        (1, RuleSet::sha256(set).to_string(), put.claimed.map_or(before.arrived_at, |t| t.min(before.arrived_at)));
    let data = json!({ "ff": 1, "k": "rules", "version": version, "sha256": sha256, "t": t }).to_string();
    let record = Record {
        sequence: SequenceNumber::new(&format!("{front}{earlier:09}")).unwrap_or(before.sequence),
        partition_key: "rules".into(),
        arrived_at: t,
        data: data.into(),
    };
    Put { record: Arc::new(record), claimed: Some(t), fact: Fact::Rules(version, sha256) }
}

/// Returns a set under which time alone moves nothing: such a change would be noticed by whichever record comes next.
fn timeless(set: &[u8]) -> Result<Vec<u8>, String> {
    let mut set: Value = serde_json::from_slice(set).map_err(|error| error.to_string())?;
    for severity in set["severities"].as_object_mut().into_iter().flatten().map(|(_, severity)| severity) {
        *severity = json!({ "rank": severity["rank"], "cooldown_ms": 0 });
    }
    let rules = set["rules"].as_object_mut().ok_or("a set has rules")?;
    // A fleet rule may count silence, and reports to it arrive in the order of the devices.
    rules.retain(|_, rule| rule["condition"]["type"] != "no_data" && rule["condition"]["type"] != "fleet");
    let left: BTreeSet<String> = rules.keys().cloned().collect();
    for (_, rule) in rules.iter_mut().filter(|(_, rule)| rule["condition"]["type"] == "composite") {
        for list in ["all", "any", "not"] {
            if let Some(of) = rule["condition"].get_mut(list).and_then(Value::as_array_mut) {
                of.retain(|id| left.contains(id.as_str().unwrap_or_default()));
            }
        }
    }
    for (_, rule) in rules {
        rule["keep_firing_for_ms"] = json!(0);
        if rule["hold"]["by"] == "duration" {
            rule["hold"]["on_gap"] = json!("hold");
            if rule["metric"].is_null() {
                rule["hold"]["duration_ms"] = json!(0);
            }
        }
        let has_samples = !rule["metric"].is_null();
        if let Some(rule) = rule.as_object_mut() {
            rule.remove("flap_limit");
            // Without samples, hours start and end by time alone.
            rule.retain(|key, _| has_samples || key != "active");
        }
    }
    let set: RuleSet = serde_json::from_value(set).map_err(|error| error.to_string())?;
    Ok(set.to_bytes())
}

fn renumbered(log: &[Put]) -> Vec<Put> {
    (1_u64..)
        .zip(log)
        .map(|(number, put)| {
            let sequence = SequenceNumber::new(&number.to_string()).unwrap_or(put.record.sequence);
            Put { record: Arc::new(Record { sequence, ..(*put.record).clone() }), ..put.clone() }
        })
        .collect()
}

/// Returns the log in another order that keeps the order of every device's own records.
fn interleaved(random: &mut Random, log: &[Put]) -> Vec<Put> {
    let mut queues: Vec<(&str, std::collections::VecDeque<&Put>)> = Vec::new();
    for put in log {
        let key = put.record.partition_key.as_str();
        match queues.iter_mut().find(|(device, _)| *device == key) {
            Some((_, queue)) => queue.push_back(put),
            None => queues.push((key, [put].into())),
        }
    }
    let mut order = Vec::new();
    while !queues.is_empty() {
        let index = random.below(queues.len() as u64) as usize;
        order.extend(queues[index].1.pop_front().cloned());
        if queues[index].1.is_empty() {
            queues.swap_remove(index);
        }
    }
    order
}
