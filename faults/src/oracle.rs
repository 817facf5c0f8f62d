//! What a log should come to, worked out from the whole of it: the rows that the engine must have written, as text.
//!
//! It shares no logic with the engine. Where the engine carries a state forward, this looks back over everything that
//! a device ever sent; where the engine compiles, this reads the artifact's JSON. It is slow, and simple to check
//! against `docs/semantics.md`.

mod condition;
mod fleet;
mod overrides;
mod past;
mod timers;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

pub(crate) use condition::row;
use condition::{Found, covers, is_at_home, judge, stable_at};
pub(crate) use fleet::said;
use overrides::{Kept, contacts, muted};

use crate::{
    stream::Shard,
    workload::{Fact, Put, Sample},
};

/// The rows of one shard.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) notices: Vec<String>,
    pub(crate) alerts: Vec<String>,
    pub(crate) quarantine: Vec<String>,
    /// What devices said to fleets.
    pub(crate) members: Vec<String>,
}

struct Oracle<'a> {
    /// The set that was adopted.
    adopted: &'a Value,
    /// The same with its rules as the rows want them.
    set: &'a Value,
    version: u64,
    /// What is set for rules apart from the set, by rule.
    rows: BTreeMap<String, Value>,
    kept: &'a Kept,
    /// The highest ingest time.
    time: i64,
    devices: BTreeMap<String, Device>,
    out: Expected,
    /// The newest row of every episode, by where it began.
    episodes: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Device {
    registration: Value,
    series: HashMap<String, Vec<(i64, Value)>>,
    lives: BTreeMap<String, Life>,
    heard: Option<i64>,
    /// The last that it has said, by fleet rule and zone.
    said: BTreeMap<(String, String), Value>,
    /// The newest that devices have said, where this is a fleet.
    members: BTreeMap<String, Value>,
}

/// Everything that one rule has seen on one device since it last began anew.
#[derive(Clone, Default)]
struct Life {
    looks: Vec<Look>,
    /// Every sample that it has seen, those too that were too few to look at.
    past: Vec<(i64, Value)>,
    /// Looks before this one no longer make a condition hold.
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
    /// Whether the rule is clear here, which for M of N is not only a matter of this look.
    calm: bool,
    /// Whether the time that a condition holds starts again here.
    anew: bool,
}

#[derive(Clone)]
struct Episode {
    name: String,
    since: i64,
    /// Index of the first look after the one that began it.
    from: usize,
    value: Value,
    told: bool,
    counted: bool,
}

#[derive(Clone)]
struct Moment {
    sequence: String,
    sample: usize,
    t: i64,
    ingest: i64,
}

/// Works out the rows of every shard of a stream that starts with a rule set. `sets` are those that can be had.
/// Beside them stands in words which fleets do not know the last that a device has said.
pub(crate) fn expect(shards: &[Shard], first: &Value, sets: &HashMap<String, Value>) -> (Vec<Expected>, Vec<String>) {
    let kept = Kept::default();
    let mut done: Vec<Oracle<'_>> = Vec::new();
    for (index, shard) in shards.iter().enumerate() {
        let (rows, devices, episodes, out) = Default::default();
        let (adopted, kept) = (first, &kept);
        let mut oracle = Oracle { adopted, set: first, version: 0, rows, kept, time: 0, devices, episodes, out };
        // A shard begins with its first record, or with that of a shard that came from it.
        if begins(shards, index) {
            oracle.inherit(shard, &shard.parents.iter().map(|parent| &done[*parent]).collect::<Vec<_>>());
        }
        for put in &shard.records {
            if let Fact::Poison(reason) = put.fact {
                oracle.out.quarantine.push(format!("{} {reason}", put.record.sequence));
                continue;
            }
            let ingest = put.claimed.map_or(put.record.arrived_at, |t| t.min(put.record.arrived_at));
            let at = Moment { sequence: put.record.sequence.to_string(), sample: 0, t: ingest, ingest };
            oracle.wait(&at);
            if let Err(reason) = oracle.take(put, &at, sets) {
                oracle.out.quarantine.push(format!("{} {reason}", put.record.sequence));
            }
            // Whatever has changed about a device is said at the record's end.
            if let Some((id, mut device)) = oracle.devices.remove_entry(&put.record.partition_key) {
                oracle.speak(&mut device);
                oracle.devices.insert(id, device);
            }
        }
        done.push(oracle);
    }
    // An episode may go over to another shard: its newest row is in the last one that knows it.
    let mut known = BTreeSet::new();
    for Oracle { out, episodes, .. } in done.iter_mut().rev() {
        let own = std::mem::take(episodes).into_iter().filter(|(name, _)| known.insert(name.clone()));
        out.alerts = own.map(|(_, row)| row).collect();
    }
    let unheard = fleet::unheard(&done);
    (done.into_iter().map(|oracle| oracle.out).collect(), unheard)
}

fn begins(shards: &[Shard], index: usize) -> bool {
    let mut children = shards.iter().enumerate().filter(|(_, shard)| shard.parents.contains(&index));
    !shards[index].records.is_empty() || children.any(|(child, _)| begins(shards, child))
}

impl<'a> Oracle<'a> {
    /// Begins with what its parents knew of the keys that it takes.
    fn inherit(&mut self, shard: &Shard, parents: &[&Self]) {
        let Some(newest) = parents.iter().max_by_key(|parent| parent.version) else { return };
        (self.version, self.time) = (newest.version, parents.iter().map(|parent| parent.time).max().unwrap_or(0));
        for (rule, row) in parents.iter().flat_map(|parent| &parent.rows) {
            if self.rows.get(rule).is_none_or(|known| row["rev"].as_u64() > known["rev"].as_u64()) {
                self.rows.insert(rule.clone(), row.clone());
            }
        }
        self.adopted = newest.adopted;
        let set = self.in_force(newest.adopted);
        let at = Moment { sequence: shard.first.to_string(), sample: 0, t: self.time, ingest: self.time };
        for parent in parents {
            self.set = parent.set;
            for (id, device) in parent.devices.iter().filter(|(id, _)| shard.range.takes(id)) {
                let mut device = device.clone();
                self.rehome(&mut device, None, &at, set, None);
                if parent.adopted != newest.adopted || parent.rows != self.rows {
                    self.set = set;
                    self.look_around(&mut device, &at);
                    self.set = parent.set;
                }
                self.devices.insert(id.clone(), device);
            }
        }
        self.set = set;
    }

    fn take(&mut self, put: &Put, at: &Moment, sets: &'a HashMap<String, Value>) -> Result<(), &'static str> {
        match &put.fact {
            Fact::Message(device, samples) => self.message(device, samples, at),
            Fact::Bad(None, reason) | Fact::Poison(reason) => Err(reason),
            Fact::Bad(Some(device), reason) => self.known(device).and(Err(reason)),
            Fact::Status(device, true) => self.message(device, &[], at),
            Fact::Status(device, false) => self.known(device),
            Fact::Device(id, registration) => {
                let mut device = self.devices.remove(id).unwrap_or_default();
                if device.registration.is_null() || registration["rev"].as_u64() > device.registration["rev"].as_u64() {
                    self.rehome(&mut device, Some(registration), at, self.set, None);
                }
                self.devices.insert(id.clone(), device);
                Ok(())
            }
            Fact::Rules(version, sha256) => {
                if let Some(set) = sets.get(sha256).filter(|_| *version > self.version) {
                    self.adopt(*version, set, at);
                }
                Ok(())
            }
            Fact::Override(row) => {
                self.override_rule(row, at);
                Ok(())
            }
            Fact::Member(member) => {
                self.member(member, at, sets);
                Ok(())
            }
        }
    }

    fn adopt(&mut self, version: u64, set: &'a Value, at: &Moment) {
        (self.version, self.adopted) = (version, set);
        self.change(at, None);
    }

    /// Brings every device under the set and the rows that are in force now.
    fn change(&mut self, at: &Moment, reason: Option<&str>) {
        let set = self.in_force(self.adopted);
        for (id, mut device) in std::mem::take(&mut self.devices) {
            self.rehome(&mut device, None, at, set, reason);
            self.devices.insert(id, device);
        }
        self.set = set;
        for (id, mut device) in std::mem::take(&mut self.devices) {
            self.look_around(&mut device, at);
            self.devices.insert(id, device);
        }
    }

    /// A device under another registration, another set, or both. Episodes end for a reason of their own, or for this one.
    fn rehome(&mut self, device: &mut Device, to: Option<&Value>, at: &Moment, set: &'a Value, reason: Option<&str>) {
        let to = to.unwrap_or(&device.registration).clone();
        let before = std::mem::replace(&mut device.registration, to);
        let at_home = is_at_home(set, &device.registration);
        for (id, mut life) in std::mem::take(&mut device.lives) {
            let (old, new) = (&self.set["rules"][&id], &set["rules"][&id]);
            let covered = at_home && covers(&id, new, &device.registration);
            let alike = ["metric", "condition"].iter().all(|key| old[key] == new[key]);
            if !(covered && alike && old["hold"]["by"] == new["hold"]["by"]) {
                let gone = if device.registration["retired"] == true { "DeviceRetired" } else { "RuleRemoved" };
                if let Some(episode) = life.open.take() {
                    let changed = if covered { "RuleChanged" } else { gone };
                    self.close(&id, &before, at, &episode, reason.unwrap_or(changed));
                }
                (life.looks, life.past, life.forgotten) = (Vec::new(), Vec::new(), 0);
            }
            if covered {
                device.lives.insert(id, life);
            }
        }
        if !at_home {
            device.series.clear();
        }
    }

    fn known(&self, device: &str) -> Result<(), &'static str> {
        let registration = &self.devices.get(device).ok_or("unknown_device")?.registration;
        match registration["retired"] == true {
            true => Err("retired_device"),
            false if is_at_home(self.set, registration) => Ok(()),
            false => Err("unknown_zone"),
        }
    }

    fn message(&mut self, id: &str, samples: &[Sample], at: &Moment) -> Result<(), &'static str> {
        self.known(id)?;
        let mut device = self.devices.remove(id).unwrap_or_default();
        device.heard = device.heard.max(Some(at.ingest));
        for (rule, life) in &mut device.lives {
            let is_silence = self.set["rules"][rule]["condition"]["type"] == "no_data";
            if let Some(mut episode) = life.open.take_if(|_| is_silence) {
                episode.value = false.into();
                self.close(rule, &device.registration, at, &episode, "Cleared");
            }
        }
        let samples: Vec<&Sample> = samples.iter().filter(|sample| !sample.values.is_empty()).collect();
        let believed = |sample: &Sample| sample.time.filter(|t| *t <= at.ingest + 120_000);
        let mut untimed = samples.iter().filter(|sample| believed(sample).is_none()).count() as i64;
        let mut timed = Vec::new();
        for sample in samples {
            untimed -= i64::from(believed(sample).is_none());
            timed.push((believed(sample).unwrap_or(at.ingest - untimed), &sample.values));
        }
        timed.retain(|(t, _)| at.ingest - t <= 86_400_000);
        timed.sort_by_key(|(t, _)| *t);
        for (sample, (t, values)) in timed.into_iter().enumerate() {
            for (metric, value) in values {
                self.sample(&mut device, metric, value.clone(), &Moment { sample, t, ..at.clone() });
            }
        }
        self.devices.insert(id.to_owned(), device);
        Ok(())
    }

    fn sample(&mut self, device: &mut Device, metric: &str, value: Value, at: &Moment) {
        let series = device.series.entry(metric.to_owned()).or_default();
        if series.last().is_some_and(|(newest, _)| at.t <= *newest) {
            return;
        }
        series.push((at.t, value));
        let rules: Vec<_> = self.rules(&device.registration).filter(|(_, rule)| rule["metric"] == metric).collect();
        for (id, rule) in rules {
            let series = &device.series[metric];
            let mut life = device.lives.remove(id).unwrap_or_default();
            life.past.extend(series.last().cloned());
            if (series.len() as u64) < rule["min_samples"].as_u64().unwrap_or(0) {
                device.lives.insert(id.clone(), life);
                continue;
            }
            let held = life.looks.last().is_some_and(|look| look.breach);
            let max_gap = self.max_gap(rule, device).0;
            let found = match rule["condition"]["type"].as_str() {
                Some("count") => past::count(&rule["condition"], &life.past),
                Some("flatline") => {
                    let longest = Some(max_gap).filter(|_| rule["hold"]["on_gap"] == "reset");
                    past::flatline(&rule["condition"], &life.past, longest)
                }
                _ => judge(rule, series, held, &device.registration),
            };
            if let Some(mut found) = found {
                let zone = device.registration["zone"].as_str().unwrap_or_default();
                if !past::is_open(&rule["active"], &self.set["zones"][zone]["timezone"], at.t) {
                    (found.breach, found.clear) = (false, true);
                }
                let gap = series.len() > 1 && at.t - series[series.len() - 2].0 > max_gap;
                self.look(&mut life, (id, rule), &device.registration, found, gap, at);
            }
            device.lives.insert(id.clone(), life);
        }
    }

    fn look(
        &mut self,
        life: &mut Life,
        (id, rule): (&str, &Value),
        registration: &Value,
        Found { breach, clear, value, since }: Found,
        gap: bool,
        at: &Moment,
    ) {
        let hold = &rule["hold"];
        let anew = gap && hold["on_gap"] == "reset";
        life.looks.push(Look { t: at.t, ingest: at.ingest, breach, clear, calm: clear, anew });
        let newest = life.looks.len() - 1;
        let enough = hold["breach"].as_u64().map(|breach| (breach as usize, hold["of"].as_u64().unwrap_or(1) as usize));
        let window = |looks: &[Look], of, holds: fn(&Look) -> bool| {
            looks.iter().rev().take(of).filter(|look| holds(look)).count()
        };
        if let Some((breach, of)) = enough {
            life.looks[newest].calm = window(&life.looks, of, |look| !look.clear) < breach;
        }
        if let Some(episode) = &mut life.open {
            episode.value = value;
            let first = life.looks[episode.from..].iter().rev().take_while(|look| look.calm).last();
            let keep = rule["keep_firing_for_ms"].as_i64().unwrap_or(0);
            match life.open.take_if(|_| first.is_some_and(|first| at.t - first.t >= keep)) {
                Some(episode) => self.close(id, registration, at, &episode, "Cleared"),
                None => self.tell(life, (id, rule), registration, at),
            }
            return;
        }
        let length = hold["duration_ms"].as_i64().unwrap_or(0);
        let since = match enough {
            // The condition itself knows since when.
            _ if since.is_some() => since.filter(|since| breach && at.t - since >= length),
            Some((breach, of)) => Some(at.t).filter(|_| window(&life.looks, of, |look| look.breach) >= breach),
            None => {
                let run = life.looks[life.forgotten..].iter().rev().take_while(|look| look.breach).count();
                let run = &life.looks[newest + 1 - run..];
                let start = run.iter().rposition(|look| look.anew).unwrap_or(0);
                run.get(start).map(|look| look.t).filter(|since| at.t - since >= length)
            }
        };
        if let Some(since) = since {
            self.fire(life, (id, rule), registration, (since, value), at);
        }
    }

    fn fire(
        &mut self,
        life: &mut Life,
        (id, rule): (&str, &Value),
        registration: &Value,
        (since, value): (i64, Value),
        at: &Moment,
    ) {
        let (device, fleet) = (&registration["d"], &registration["fleet_zone"]);
        let name = format!("{id} {device} {fleet} {} {} {}", at.sequence, at.sample, at.t);
        let episode = Episode { name, since, from: life.looks.len(), value, told: false, counted: false };
        self.history(id, registration, at, &episode, "Firing");
        life.open = Some(episode);
        let flapped = stable_at(&life.firings, rule, at.ingest).is_some();
        let muted = muted(rule, at);
        if !muted {
            life.firings.push(at.ingest);
        }
        if muted || flapped || rule["shadow"] == true || stable_at(&life.firings, rule, at.ingest).is_none() {
            return self.tell(life, (id, rule), registration, at);
        }
        life.told_at = Some(at.ingest);
        life.held_back += 1;
        life.open.iter_mut().for_each(|episode| episode.counted = true);
        self.notice(life, id, registration, at, ("Flapping", life.held_back));
    }

    fn tell(&mut self, life: &mut Life, (id, rule): (&str, &Value), registration: &Value, at: &Moment) {
        let Some(episode) = life.open.as_mut().filter(|_| rule["shadow"] != true) else { return };
        let severity = self.severity(rule);
        let over = |key: &str| life.told_at.zip(severity[key].as_i64()).is_none_or(|(told, ms)| at.ingest >= told + ms);
        if episode.told {
            if severity["repeat_every_ms"].is_number() && over("repeat_every_ms") && !muted(rule, at) {
                life.told_at = Some(at.ingest);
                let suppressed = std::mem::take(&mut life.held_back);
                self.notice(life, id, registration, at, ("Repeat", suppressed));
            }
        } else if at.ingest - at.t > 900_000 {
            // Too old to be news.
        } else if stable_at(&life.firings, rule, at.ingest).is_some() || !over("cooldown_ms") || muted(rule, at) {
            life.held_back += u64::from(!std::mem::replace(&mut episode.counted, true));
        } else {
            (episode.told, life.told_at) = (true, Some(at.ingest));
            let suppressed = std::mem::take(&mut life.held_back);
            self.notice(life, id, registration, at, ("Firing", suppressed));
        }
    }

    fn notice(&mut self, life: &Life, id: &str, registration: &Value, at: &Moment, (kind, suppressed): (&str, u64)) {
        if let Some(episode) = &life.open {
            let row = self.row(id, registration, at, episode, "Firing");
            let to = contacts(&self.set["rules"][id]);
            self.out.notices.push(format!("{row} {kind} suppressed={suppressed}{to}"));
        }
    }

    fn close(&mut self, id: &str, registration: &Value, at: &Moment, episode: &Episode, reason: &str) {
        self.history(id, registration, at, episode, reason);
        if episode.told {
            let row = self.row(id, registration, at, episode, reason);
            let to = contacts(&self.set["rules"][id]);
            self.out.notices.push(format!("{row} Resolved suppressed=0{to}"));
        }
    }

    fn history(&mut self, id: &str, registration: &Value, at: &Moment, episode: &Episode, state: &str) {
        let row = self.row(id, registration, at, episode, state);
        self.episodes.insert(episode.name.clone(), row);
    }

    fn row(&self, id: &str, registration: &Value, at: &Moment, episode: &Episode, state: &str) -> String {
        let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
        let severity = text(&self.set["rules"][id]["severity"]);
        row(
            (&at.sequence, at.t, at.ingest),
            (id, &text(&registration["d"]), &text(&registration["zone"])),
            (&severity, state, episode.since, &episode.value),
        )
    }

    /// The rules that a device meets.
    fn rules(&self, registration: &Value) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let rules = self.set["rules"].as_object().filter(|_| is_at_home(self.set, registration));
        let registration = registration.clone();
        rules.into_iter().flatten().filter(move |(id, rule)| covers(id, rule, &registration))
    }

    fn severity(&self, rule: &Value) -> &'a Value {
        &self.set["severities"][rule["severity"].as_str().unwrap_or_default()]
    }

    /// The longest time between two samples that is no gap, and the silence that is one.
    fn max_gap(&self, rule: &Value, device: &Device) -> (i64, i64) {
        let ms = |value: &Value| value.as_i64().unwrap_or(0);
        let of = &self.set["device_types"][device.registration["type"].as_str().unwrap_or_default()];
        let max_gap = rule["hold"]["max_gap_ms"].as_i64().unwrap_or(3 * ms(&of["report_every_ms"]));
        (max_gap, max_gap + ms(&of["send_every_ms"]))
    }
}
