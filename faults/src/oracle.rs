//! The expected result of a log, derived from the whole of it: the rows that the engine must have written, as text.
//!
//! Shares no logic with the engine. Where the engine carries a state forward, this looks back over everything that a
//! device ever sent; where the engine compiles, this reads the artifact's JSON. It is slow, and simple to check
//! against `docs/semantics.md`.

mod anomaly;
mod changes;
mod condition;
mod episodes;
mod fleet;
mod notices;
mod overrides;
mod own;
mod past;
mod presence;
mod records;
mod timers;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use serde_json::Value;

pub(crate) use condition::row;
use condition::{covers, is_at_home};
pub(crate) use fleet::{said, unheard_by};
use overrides::Kept;

use crate::{stream::Shard, workload::Fact};

/// The rows of one shard.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) notices: Vec<String>,
    pub(crate) alerts: Vec<String>,
    pub(crate) quarantine: Vec<String>,
    /// The reports of devices to fleets.
    pub(crate) members: Vec<String>,
}

/// A rule and its id.
type Named<'a> = (&'a String, &'a Value);

struct Oracle<'a> {
    /// The set that was adopted.
    adopted: &'a Value,
    /// The same set with the overrides applied to its rules.
    set: &'a Value,
    version: u64,
    /// Overrides by rule.
    rows: BTreeMap<String, Value>,
    kept: &'a Kept,
    /// The rules that devices meet, by the set and by the parts of a registration that decide it.
    met: RefCell<HashMap<(*const Value, String), Vec<Named<'a>>>>,
    /// The highest ingest time.
    time: i64,
    devices: BTreeMap<String, Device>,
    /// For each device, the earliest time at which time alone changes something. A device that has just changed has
    /// no entry.
    idle: HashMap<String, i64>,
    out: Expected,
    /// The newest row of every episode, by its start.
    episodes: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Device {
    registration: Value,
    series: HashMap<String, Vec<(i64, Value)>>,
    lives: BTreeMap<String, Life>,
    heard: Option<i64>,
    /// When it was reported gone, if nothing has arrived from it since.
    gone: Option<i64>,
    /// The newest of its connection events: version, and whether it is a disconnect.
    order: Option<(u64, bool)>,
    /// When it started to count as offline, if it does.
    offline: Option<i64>,
    /// Its latest reports, by fleet rule and zone.
    said: BTreeMap<(String, String), Value>,
    /// The newest reports of devices, if this is a fleet.
    members: BTreeMap<String, Value>,
}

/// Everything that one rule has seen on one device since it last started from scratch.
#[derive(Clone, Default)]
struct Life {
    looks: Vec<Look>,
    /// Every sample that it has seen, including those that came before there were enough to evaluate.
    past: Vec<(i64, Value)>,
    /// How far each of those lay from the expected value, if there was one.
    scores: Vec<Option<f64>>,
    /// Looks before this index no longer make a condition hold.
    forgotten: usize,
    open: Option<Episode>,
    told_at: Option<i64>,
    held_back: u64,
    /// Ingest times of all firings.
    firings: Vec<i64>,
}

#[derive(Clone)]
struct Look {
    t: i64,
    ingest: i64,
    breach: bool,
    clear: bool,
    /// Whether the rule is clear here, which for M of N does not depend on this look alone.
    calm: bool,
    /// Since when it breaches, if the condition itself determines that.
    since: Option<i64>,
    /// Whether the time that a condition holds starts again here.
    anew: bool,
}

#[derive(Clone)]
struct Episode {
    name: String,
    since: i64,
    /// Index of the first look after the one that started it.
    from: usize,
    value: Value,
    /// Evidence that explains the value, if there is any.
    evidence: Value,
    told: bool,
    counted: bool,
}

#[derive(Clone)]
struct Moment {
    sequence: String,
    sample: usize,
    t: i64,
    ingest: i64,
    /// When the platform could act on it: later than its ingest if it is redriven.
    known: i64,
    /// The shard's time.
    shard: i64,
}

impl Moment {
    /// Returns the same record at another time.
    fn now(&self, now: i64) -> Self {
        Self { t: now, ingest: now, known: now, shard: now, ..self.clone() }
    }
}

/// Derives the rows of every shard of a stream that starts with a rule set. `sets` are the sets that are available.
/// Also returns, as messages, the fleets that do not know a device's latest report.
pub(crate) fn expect(shards: &[Shard], first: &Value, sets: &HashMap<String, Value>) -> (Vec<Expected>, Vec<String>) {
    let kept = Kept::default();
    let mut done: Vec<Oracle<'_>> = Vec::new();
    for (index, shard) in shards.iter().enumerate() {
        let (rows, met, devices, idle, episodes, out) = Default::default();
        let (adopted, set, kept) = (first, first, &kept);
        let mut oracle = Oracle { adopted, set, version: 0, rows, kept, met, time: 0, devices, idle, episodes, out };
        // A shard starts with its first record, or with that of a child.
        if begins(shards, index) {
            oracle.inherit(shard, &ancestors(shards, shard, &done));
        }
        for put in &shard.records {
            if let Fact::Poison(reason) = put.fact {
                oracle.out.quarantine.push(format!("{} {reason}", put.record.sequence));
                continue;
            }
            let ingest = put.claimed.map_or(put.record.arrived_at, |t| t.min(put.record.arrived_at));
            let mut at = Moment {
                sequence: put.record.sequence.to_string(),
                sample: 0,
                t: ingest,
                ingest,
                known: ingest,
                shard: ingest,
            };
            oracle.wait(&at);
            at.shard = oracle.time.max(ingest);
            if matches!(put.fact, Fact::Again(_)) {
                at.known = at.shard;
            }
            if let Err(reason) = oracle.take(&put.fact, &at, sets) {
                oracle.out.quarantine.push(format!("{} {reason}", put.record.sequence));
            }
            oracle.idle.remove(&put.record.partition_key);
            // Whatever has changed about a device is reported at the end of the record.
            if let Some((id, mut device)) = oracle.devices.remove_entry(&put.record.partition_key) {
                oracle.speak(&mut device);
                oracle.devices.insert(id, device);
            }
        }
        done.push(oracle);
    }
    // An episode may move to another shard: its newest row is in the last one that knows it.
    let mut known = BTreeSet::new();
    for Oracle { out, episodes, .. } in done.iter_mut().rev() {
        let own = std::mem::take(episodes).into_iter().filter(|(name, _)| known.insert(name.clone()));
        out.alerts = own.map(|(_, row)| row).collect();
    }
    let unheard = fleet::unheard(&done);
    (done.into_iter().map(|oracle| oracle.out).collect(), unheard)
}

/// Returns what a shard starts with: its parents, or, without parents, all chains of the stream that its own
/// replaced, starting with those that know a device best.
fn ancestors<'o, 'a>(shards: &[Shard], shard: &Shard, done: &'o [Oracle<'a>]) -> Vec<&'o Oracle<'a>> {
    if !shard.parents.is_empty() {
        return shard.parents.iter().map(|parent| &done[*parent]).collect();
    }
    let before = shards.iter().zip(done).filter(|(other, _)| other.sealed && other.generation < shard.generation);
    let mut before: Vec<_> = before.map(|(other, oracle)| (oracle.time, &other.name, oracle)).collect();
    before.sort_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)));
    before.into_iter().map(|(.., oracle)| oracle).collect()
}

fn begins(shards: &[Shard], index: usize) -> bool {
    let mut children = shards.iter().enumerate().filter(|(_, shard)| shard.parents.contains(&index));
    !shards[index].records.is_empty() || shards[index].sealed || children.any(|(child, _)| begins(shards, child))
}

impl<'a> Oracle<'a> {
    /// Returns the rules that a device meets. Every record needs them, so the result is cached for each kind of
    /// device.
    fn rules(&self, registration: &Value) -> impl Iterator<Item = Named<'a>> + use<'a> {
        let of = ["type", "zone", "fleet", "retired"].map(|key| registration[key].to_string()).concat();
        let mut met = self.met.borrow_mut();
        let met = met.entry((std::ptr::from_ref(self.set), of)).or_insert_with(|| {
            let rules = self.set["rules"].as_object().filter(|_| is_at_home(self.set, registration));
            rules.into_iter().flatten().filter(|(id, rule)| covers(id, rule, registration)).collect()
        });
        met.clone().into_iter()
    }

    fn severity(&self, rule: &Value) -> &'a Value {
        &self.set["severities"][rule["severity"].as_str().unwrap_or_default()]
    }

    /// Returns the longest time between two samples that is not a gap, and the longest silence that is not one.
    fn max_gap(&self, rule: &Value, device: &Device) -> (i64, i64) {
        let ms = |value: &Value| value.as_i64().unwrap_or(0);
        let of = &self.set["device_types"][device.registration["type"].as_str().unwrap_or_default()];
        let max_gap = rule["hold"]["max_gap_ms"].as_i64().unwrap_or(3 * ms(&of["report_every_ms"]));
        (max_gap, max_gap + ms(&of["send_every_ms"]))
    }
}
