//! What a log should come to, worked out from the whole of it: the rows that the engine must have written, as text.
//!
//! It shares no logic with the engine. Where the engine carries a state forward, this looks back over everything that
//! a device ever sent; where the engine compiles, this reads the artifact's JSON. It is slow, and simple to check
//! against `docs/semantics.md`.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::workload::{Fact, Put, Sample};

/// The rows of one shard.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) notices: Vec<String>,
    pub(crate) alerts: Vec<String>,
    pub(crate) quarantine: Vec<String>,
}

/// Works out the rows of a shard that starts with a rule set. `sets` are those that can be had, by address.
pub(crate) fn expect(log: &[Put], first: &Value, sets: &HashMap<String, Value>) -> Expected {
    let mut oracle = Oracle {
        set: first,
        version: 0,
        devices: BTreeMap::new(),
        out: Expected::default(),
        episodes: BTreeMap::new(),
    };
    for put in log {
        let ingest = put.claimed.map_or(put.record.arrived_at, |t| t.min(put.record.arrived_at));
        let at = Moment { sequence: put.record.sequence.to_string(), sample: 0, t: 0, ingest };
        if let Err(reason) = oracle.take(put, at, sets) {
            oracle.out.quarantine.push(format!("{} {reason}", put.record.sequence));
        }
    }
    let Oracle { mut out, episodes, .. } = oracle;
    out.alerts = episodes.into_values().collect();
    out
}

struct Oracle<'a> {
    set: &'a Value,
    version: u64,
    devices: BTreeMap<String, Device>,
    out: Expected,
    /// The newest row of every episode, by where it began.
    episodes: BTreeMap<String, String>,
}

#[derive(Default)]
struct Device {
    registration: Value,
    series: HashMap<String, Vec<(i64, Value)>>,
    lives: BTreeMap<String, Life>,
}

/// Everything that one rule has seen on one device since it last began anew.
#[derive(Default)]
struct Life {
    looks: Vec<Look>,
    open: Option<Episode>,
    told_at: Option<i64>,
    held_back: u64,
}

struct Look {
    t: i64,
    breach: bool,
    clear: bool,
    /// Whether the time that a condition holds starts again here.
    anew: bool,
}

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

impl<'a> Oracle<'a> {
    fn take(&mut self, put: &Put, mut at: Moment, sets: &'a HashMap<String, Value>) -> Result<(), &'static str> {
        at.t = at.ingest;
        match &put.fact {
            Fact::Message(device, samples) => self.message(device, samples, &at),
            Fact::Bad(None, reason) => Err(reason),
            Fact::Bad(Some(device), reason) => {
                self.known(device)?;
                Err(reason)
            }
            Fact::Unread => Ok(()),
            Fact::Device(id, registration) => {
                let mut device = self.devices.remove(id).unwrap_or_default();
                if device.registration.is_null() || registration["rev"].as_u64() > device.registration["rev"].as_u64() {
                    let removed = if registration["retired"] == true { "DeviceRetired" } else { "RuleRemoved" };
                    self.move_device(&mut device, registration.clone(), &at, self.set, removed);
                }
                self.devices.insert(id.clone(), device);
                Ok(())
            }
            Fact::Rules(version, sha256) => {
                if let Some(set) = sets.get(sha256).filter(|_| *version > self.version) {
                    for (id, mut device) in std::mem::take(&mut self.devices) {
                        let registration = device.registration.clone();
                        self.move_device(&mut device, registration, &at, set, "RuleRemoved");
                        self.devices.insert(id, device);
                    }
                    (self.version, self.set) = (*version, set);
                }
                Ok(())
            }
        }
    }

    /// A device under another registration, another set, or both.
    fn move_device(&mut self, device: &mut Device, to: Value, at: &Moment, set: &'a Value, removed: &str) {
        let before = std::mem::replace(&mut device.registration, to);
        let at_home = is_at_home(set, &device.registration);
        for (id, mut life) in std::mem::take(&mut device.lives) {
            let (old, new) = (&self.set["rules"][&id], &set["rules"][&id]);
            let covered = at_home && covers(new, &device.registration);
            let same = ["metric", "condition"].iter().all(|key| old[key] == new[key])
                && old["hold"]["by"] == new["hold"]["by"];
            if !(covered && same) {
                let reason = if covered { "RuleChanged" } else { removed };
                if let Some(episode) = life.open.take() {
                    self.close(&id, &before, at, &episode, reason);
                }
                life.looks.clear();
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
        if registration["retired"] == true {
            return Err("retired_device");
        }
        if is_at_home(self.set, registration) { Ok(()) } else { Err("unknown_zone") }
    }

    fn message(&mut self, id: &str, samples: &[Sample], at: &Moment) -> Result<(), &'static str> {
        self.known(id)?;
        let believed = |sample: &Sample| sample.time.filter(|t| *t <= at.ingest + 120_000);
        let mut untimed =
            samples.iter().filter(|sample| !sample.values.is_empty() && believed(sample).is_none()).count() as i64;
        let mut timed = Vec::new();
        for sample in samples.iter().filter(|sample| !sample.values.is_empty()) {
            untimed -= i64::from(believed(sample).is_none());
            timed.push((believed(sample).unwrap_or(at.ingest - untimed), &sample.values));
        }
        timed.retain(|(t, _)| at.ingest - t <= 86_400_000);
        timed.sort_by_key(|(t, _)| *t);
        let mut device = self.devices.remove(id).unwrap_or_default();
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
        let rules = self.set["rules"].as_object().into_iter().flatten();
        for (id, rule) in rules.filter(|(_, rule)| rule["metric"] == metric && covers(rule, &device.registration)) {
            let series = &device.series[metric];
            if (series.len() as u64) < rule["min_samples"].as_u64().unwrap_or(0) {
                continue;
            }
            let life = device.lives.entry(id.clone()).or_default();
            let held = life.looks.last().is_some_and(|look| look.breach);
            if let Some((breach, clear, value)) = self.judge(rule, series, held, &device.registration) {
                self.look(life, (id, rule), &device.registration, series, (breach, clear, value), at);
            }
        }
    }

    /// Whether a rule's condition holds, whether it is clear, and of which value.
    fn judge(
        &self,
        rule: &Value,
        series: &[(i64, Value)],
        held: bool,
        registration: &Value,
    ) -> Option<(bool, bool, Value)> {
        let condition = &rule["condition"];
        let (t, value) = series.last()?;
        let before = series.len().checked_sub(2).map(|index| &series[index]);
        let compare = |value: f64, threshold: f64| {
            let clear = condition["clear"].as_f64();
            match condition["operator"].as_str() {
                Some(">") => (value > threshold, value <= clear.unwrap_or(threshold)),
                Some(">=") => (value >= threshold, value < clear.unwrap_or(threshold)),
                Some("<") => (value < threshold, value >= clear.unwrap_or(threshold)),
                operator => unreachable!("no rule of the workload has {operator:?}"),
            }
        };
        let ((breach, clear), shown) = match condition["type"].as_str()? {
            "threshold" => {
                let threshold = condition["threshold"].as_f64().unwrap_or_else(|| {
                    let attribute = condition["threshold"]["attribute"].as_str().unwrap_or_default();
                    registration["attributes"].get(attribute).and_then(Value::as_f64).unwrap_or(60.0)
                });
                (compare(number(value), threshold), value.clone())
            }
            "range" => {
                let outside = number(value) < number(&condition["min"]) || number(value) > number(&condition["max"]);
                ((outside, !outside), value.clone())
            }
            "rate_of_change" => {
                let (t_before, before) = before?;
                let rate = (number(value) - number(before)) * number(&condition["per_ms"]) / (t - t_before) as f64;
                (compare(rate, number(&condition["threshold"])), rate.into())
            }
            _ => {
                let equal = *value == condition["equals"];
                let came = condition.get("from").is_none_or(|from| match before {
                    Some((_, before)) if *before == condition["equals"] => held,
                    Some((_, before)) => before == from,
                    None => false,
                });
                ((equal && came, !(equal && came)), value.clone())
            }
        };
        Some((breach, clear && !breach, shown))
    }

    fn look(
        &mut self,
        life: &mut Life,
        (id, rule): (&str, &Value),
        registration: &Value,
        series: &[(i64, Value)],
        (breach, mut clear, value): (bool, bool, Value),
        at: &Moment,
    ) {
        let hold = &rule["hold"];
        let report_every =
            &self.set["device_types"][registration["type"].as_str().unwrap_or_default()]["report_every_ms"];
        let max_gap = hold["max_gap_ms"].as_i64().unwrap_or(3 * report_every.as_i64().unwrap_or(0));
        let gap = series.len() > 1 && at.t - series[series.len() - 2].0 > max_gap;
        life.looks.push(Look { t: at.t, breach, clear, anew: gap && hold["on_gap"] == "reset" });
        let window = |holds: fn(&Look) -> bool| {
            let of = hold["of"].as_u64().unwrap_or(1) as usize;
            life.looks.iter().rev().take(of).filter(|look| holds(look)).count() as u64
        };
        let (by_samples, enough) = (hold["by"] == "samples", hold["breach"].as_u64().unwrap_or(1));
        if by_samples {
            clear = window(|look| !look.clear) < enough;
        }
        match &mut life.open {
            Some(episode) => {
                episode.value = value;
                // A window is clear or not at each of its looks; the mark replaces that of the single value.
                if let Some(episode_over) = quiet(life, clear, by_samples, rule["keep_firing_for_ms"].as_i64()) {
                    self.close(id, registration, at, &episode_over, "Cleared");
                    return;
                }
            }
            None => {
                let run = life.looks.iter().rev().take_while(|look| look.breach).count();
                let run = &life.looks[life.looks.len() - run..];
                let since = match run.iter().rposition(|look| look.anew) {
                    _ if by_samples => Some(at.t).filter(|_| window(|look| look.breach) >= enough),
                    Some(start) => Some(run[start].t),
                    None => run.first().map(|look| look.t),
                };
                let length = hold["duration_ms"].as_i64().unwrap_or(0);
                let Some(since) = since.filter(|since| by_samples || at.t - since >= length) else { return };
                let name = format!("{id} {} {} {}", registration["d"], at.sequence, at.sample);
                let from = life.looks.len();
                life.open = Some(Episode { name, since, from, value, told: false, counted: false });
                let episode = life.open.as_ref().into_iter();
                episode.for_each(|episode| self.history(id, registration, at, episode, "Firing"));
            }
        }
        self.tell(life, (id, rule), registration, at);
    }

    fn tell(&mut self, life: &mut Life, (id, rule): (&str, &Value), registration: &Value, at: &Moment) {
        let Some(episode) = life.open.as_mut().filter(|episode| !episode.told) else { return };
        if rule["shadow"] == true || at.ingest - at.t > 900_000 {
            return;
        }
        let cooldown = &self.set["severities"][rule["severity"].as_str().unwrap_or_default()]["cooldown_ms"];
        if life.told_at.is_some_and(|told_at| at.ingest < told_at + cooldown.as_i64().unwrap_or(0)) {
            life.held_back += u64::from(!std::mem::replace(&mut episode.counted, true));
            return;
        }
        episode.told = true;
        life.told_at = Some(at.ingest);
        let suppressed = std::mem::take(&mut life.held_back);
        let row = self.row(id, registration, at, episode, "Firing");
        self.out.notices.push(format!("{row} suppressed={suppressed}"));
    }

    fn close(&mut self, id: &str, registration: &Value, at: &Moment, episode: &Episode, reason: &str) {
        self.history(id, registration, at, episode, reason);
        if episode.told {
            let row = self.row(id, registration, at, episode, reason);
            self.out.notices.push(format!("{row} suppressed=0"));
        }
    }

    fn history(&mut self, id: &str, registration: &Value, at: &Moment, episode: &Episode, state: &str) {
        let row = self.row(id, registration, at, episode, state);
        self.episodes.insert(episode.name.clone(), row);
    }

    fn row(&self, id: &str, registration: &Value, at: &Moment, episode: &Episode, state: &str) -> String {
        row(
            (&at.sequence, at.sample as u64, at.t, at.ingest),
            (id, registration["d"].as_str().unwrap_or_default(), registration["zone"].as_str().unwrap_or_default()),
            (self.set["rules"][id]["severity"].as_str().unwrap_or_default(), state, episode.since, &episode.value),
        )
    }
}

/// Ends the open episode if every look of the last while was clear.
fn quiet(life: &mut Life, clear: bool, by_samples: bool, keep_for: Option<i64>) -> Option<Episode> {
    let from = life.open.as_ref()?.from;
    let newest = life.looks.last_mut()?;
    let t = newest.t;
    if by_samples {
        // Kept apart from `clear`, which later windows count.
        newest.anew = clear;
    }
    let calm = |look: &&Look| if by_samples { look.anew } else { look.clear };
    let first = life.looks[from..].iter().rev().take_while(calm).last()?;
    if t - first.t >= keep_for.unwrap_or(0) { life.open.take() } else { None }
}

fn is_at_home(set: &Value, registration: &Value) -> bool {
    registration["retired"] != true
        && set["zones"].get(registration["zone"].as_str().unwrap_or_default()).is_some()
        && set["device_types"].get(registration["type"].as_str().unwrap_or_default()).is_some()
}

fn covers(rule: &Value, registration: &Value) -> bool {
    let has = |key: &str, value: &Value| rule[key].as_array().is_none_or(|of| of.contains(value));
    rule["enabled"] == true && has("device_types", &registration["type"]) && has("zones", &registration["zone"])
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// A row as text: when it was written, whose it is, and what it says.
pub(crate) fn row(
    (sequence, sample, t, ingest): (&str, u64, i64, i64),
    (rule, device, zone): (&str, &str, &str),
    (severity, state, since, value): (&str, &str, i64, &Value),
) -> String {
    let value = value.as_f64().map_or_else(|| value.to_string(), |number| format!("{number}"));
    format!(
        "{sequence}/{sample} {rule} {device} {zone} {severity} {state} t={t} ingest={ingest} since={since} value={value}"
    )
}
