//! Rules that read no samples: alarms that a device raises itself, and rules that read its other rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Device, Life, Moment, Oracle, condition::Found, past::is_open};

impl Oracle<'_> {
    /// A device has raised or ended an alarm.
    pub(super) fn alarm(&mut self, device: &mut Device, (code, active): (&str, bool), at: &Moment) {
        for (id, rule) in self.rules(&device.registration).collect::<Vec<_>>() {
            let codes = rule["condition"]["codes"].as_array().filter(|codes| !codes.is_empty());
            let named = codes.is_none_or(|codes| codes.contains(&code.into()));
            if rule["condition"]["type"] == "device_alarm" && named {
                let mut life = device.lives.remove(id).unwrap_or_default();
                life.past.push((at.ingest, json!([code, active])));
                let found = self.alarmed(&life, rule, &device.registration, at);
                self.look(&mut life, (id, rule), &device.registration, found, false, at);
                device.lives.insert(id.clone(), life);
            }
        }
    }

    /// Whether an alarm that a rule has received is active, within the rule's hours.
    pub(super) fn alarmed(&self, life: &Life, rule: &Value, registration: &Value, at: &Moment) -> Found {
        let first = alarm_of(life);
        let breach = first.is_some() && self.holds_now(rule, registration, at);
        let evidence = first.map_or(Value::Null, |code| json!({ "kind": "alarm", "code": code }));
        Found { value: first.is_some().into(), evidence, ..Found::plain(breach) }
    }

    /// Whether the condition of a rule without samples is met, whatever its hours.
    pub(super) fn is_met(&self, rule: &Value, device: &Device, life: Option<&Life>) -> bool {
        match rule["condition"]["type"].as_str() {
            Some("device_alarm") => life.is_some_and(|life| alarm_of(life).is_some()),
            Some("fleet") => self.part(device).1,
            Some("composite") => fits(rule, device),
            _ => false,
        }
    }

    /// Evaluates every composite rule of a device, each after those that it reads.
    pub(super) fn composites(&mut self, device: &mut Device, at: &Moment) {
        let at = Moment { shard: at.shard, ..at.now(at.known) };
        let mut left: Vec<_> =
            self.rules(&device.registration).filter(|(_, rule)| rule["condition"]["type"] == "composite").collect();
        while !left.is_empty() {
            let waiting: BTreeSet<&String> = left.iter().map(|(id, _)| *id).collect();
            let (later, now): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, rule)| {
                ["all", "any", "not"].iter().any(|list| reads(rule, list).iter().any(|id| waiting.contains(id)))
            });
            for (id, rule) in now {
                let breach = fits(rule, device) && self.holds_now(rule, &device.registration, &at);
                let mut life = device.lives.remove(id).unwrap_or_default();
                // A rule that does not change is not evaluated.
                let holds = match &life.open {
                    Some(episode) => life.looks[episode.from..].last().is_none_or(|look| !look.calm),
                    None => life.looks.last().is_some_and(|look| look.breach),
                };
                if breach != holds {
                    self.look(&mut life, (id, rule), &device.registration, Found::plain(breach), false, &at);
                }
                device.lives.insert(id.clone(), life);
            }
            left = later;
        }
    }

    /// Whether a moment lies within a rule's hours, by the clock of its device's zone.
    pub(super) fn holds_now(&self, rule: &Value, registration: &Value, at: &Moment) -> bool {
        is_open(&rule["active"], self.timezone(registration), at.t)
    }

    pub(super) fn timezone(&self, registration: &Value) -> &Value {
        &self.set["zones"][registration["zone"].as_str().unwrap_or_default()]["timezone"]
    }
}

/// Returns the first active alarm among those that a rule has received.
fn alarm_of(life: &Life) -> Option<&str> {
    let newest: BTreeMap<&str, bool> =
        life.past.iter().map(|(_, word)| (word[0].as_str().unwrap_or_default(), word[1] == true)).collect();
    newest.into_iter().find(|(_, active)| *active).map(|(code, _)| code)
}

/// Returns the rules that a composite rule names in one of its lists.
fn reads(rule: &Value, list: &str) -> Vec<String> {
    let named = rule["condition"][list].as_array().into_iter().flatten();
    named.filter_map(|id| id.as_str().map(str::to_owned)).collect()
}

/// Whether the rules that a composite rule reads meet its condition.
fn fits(rule: &Value, device: &Device) -> bool {
    let fires = |id: &String| device.lives.get(id).is_some_and(|life| life.open.is_some());
    let any = reads(rule, "any");
    reads(rule, "all").iter().all(fires)
        && (any.is_empty() || any.iter().any(fires))
        && !reads(rule, "not").iter().any(fires)
}
