//! The required effects of time alone.

use serde_json::{Value, json};

use super::{
    Device, Episode, Life, Moment, Oracle,
    condition::{Found, stable_at},
    past::{closes, opens},
};

enum Timer {
    Offline,
    Forget,
    Quiet,
    Notice,
    Silence,
    Hold,
    Hours,
}

impl Oracle<'_> {
    /// Lets the shard's time pass up to a record.
    pub(super) fn wait(&mut self, at: &Moment) {
        while let Some(end) = self.first_end().filter(|end| *end <= self.time.max(at.ingest)) {
            let end = end.max(self.time);
            let then = at.now(end);
            self.pass(&then);
            self.end_rows(&then);
        }
        self.pass(at);
    }

    fn pass(&mut self, at: &Moment) {
        let until = self.time.max(at.ingest);
        let busy = self.devices.keys().filter(|id| self.idle.get(*id).is_none_or(|due| *due <= until));
        for id in busy.cloned().collect::<Vec<_>>() {
            let mut device = self.devices.remove(&id).unwrap_or_default();
            let mut now = self.time;
            let next = loop {
                match self.due(&device, now) {
                    Some((due, rule, timer)) if due <= until => {
                        now = now.max(due);
                        let at = at.now(now);
                        self.ring(&mut device, &rule, timer, &at, until);
                        self.composites(&mut device, &at);
                        self.speak(&mut device);
                    }
                    later => break later.map_or(i64::MAX, |(due, ..)| due),
                }
            };
            self.idle.insert(id.clone(), next);
            self.devices.insert(id, device);
        }
        self.time = until;
    }

    /// Returns the next effect of time alone on a device. If several fall on the same moment, the device comes first
    /// and then its rules by id.
    fn due(&self, device: &Device, now: i64) -> Option<(i64, String, Timer)> {
        let offline = self.offline_at(device).map(|due| (due, String::new(), Timer::Offline));
        let rules = self.rules(&device.registration).filter_map(|(id, rule)| {
            let life = device.lives.get(id);
            let waits = match life {
                Some(life @ Life { open: Some(episode), .. }) => {
                    self.due_of_episode(rule, device, now, (life, episode))
                }
                life => self.due_of_quiet(rule, device, now, life),
            };
            let hours = self.hours(rule, device, now, life).map(|due| (due, Timer::Hours));
            let (due, timer) = waits.into_iter().chain(hours).min_by_key(|(due, _)| *due)?;
            Some((due, id.clone(), timer))
        });
        offline.into_iter().chain(rules).min_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)))
    }

    /// Returns the same for a rule that does not fire.
    fn due_of_quiet(&self, rule: &Value, device: &Device, now: i64, life: Option<&Life>) -> Option<(i64, Timer)> {
        let run = life.map_or(&[][..], |life| &life.looks[life.forgotten..]).iter().rev();
        let Some(first) = run.take_while(|look| look.breach).last() else {
            return self.silence(rule, device, now).map(|due| (due, Timer::Silence));
        };
        if rule["metric"].is_null() {
            return Some((first.t + rule["hold"]["duration_ms"].as_i64().unwrap_or(0), Timer::Hold));
        }
        let forget = device.heard.filter(|_| rule["hold"]["on_gap"] == "reset");
        forget.map(|heard| (heard + self.max_gap(rule, device).1 + 1, Timer::Forget))
    }

    fn due_of_episode(
        &self,
        rule: &Value,
        device: &Device,
        now: i64,
        (life, episode): (&Life, &Episode),
    ) -> Option<(i64, Timer)> {
        let Life { looks, told_at, firings, .. } = life;
        let ms = |value: &Value| value.as_i64();
        let first = looks[episode.from..].iter().rev().take_while(|look| look.calm).last();
        let keep = ms(&rule["keep_firing_for_ms"]).unwrap_or(0);
        let quiet = first.map(|look| (look.ingest.max(look.t) + keep, Timer::Quiet));
        let again = first.and_then(|_| self.silence(rule, device, now)).map(|due| (due, Timer::Silence));
        let severity = self.severity(rule);
        let stable = stable_at(firings, rule, i64::MIN);
        let muted = ms(&rule["muted_until"]);
        let repeat = ms(&severity["repeat_every_ms"]).zip(*told_at).map(|(every, told)| told + every);
        let notice = match (episode.told, episode.counted) {
            (true, _) => repeat.map(|again| again.max(muted.unwrap_or(again))),
            (false, true) => {
                let cooled = told_at.map(|told| told + ms(&severity["cooldown_ms"]).unwrap_or(0));
                Some(cooled.max(stable).max(muted).unwrap_or(episode.since))
            }
            (false, false) => None,
        };
        let notice = notice.filter(|_| rule["shadow"] != true).map(|due| (due, Timer::Notice));
        quiet.into_iter().chain(again).chain(notice).min_by_key(|(due, _)| *due)
    }

    /// Returns when a rule about silence fires, if nothing arrives: after its own silence, or the one after which the
    /// device counts as offline. Before its hours, and after them, it waits for them.
    fn silence(&self, rule: &Value, device: &Device, now: i64) -> Option<i64> {
        if rule["condition"]["type"] != "no_data" {
            return None;
        }
        let due = match rule["condition"]["after_ms"].as_i64() {
            Some(after) => device.heard? + after + 1,
            None => device.offline?,
        };
        if rule["active"].is_null() {
            return Some(due);
        }
        opens(&rule["active"], self.timezone(&device.registration), due.max(now))
    }

    /// Returns when the hours of a rule without samples start or end under a condition that is met.
    fn hours(&self, rule: &Value, device: &Device, now: i64, life: Option<&Life>) -> Option<i64> {
        if !self.is_met(rule, device, life) {
            return None;
        }
        let calm = life.is_none_or(|life| match &life.open {
            Some(episode) => life.looks[episode.from..].last().is_some_and(|look| look.calm),
            None => life.looks.last().is_none_or(|look| !look.breach),
        });
        if rule["active"].is_null() {
            // What another set's hours held back is found at once. A fleet rule or a composite rule is evaluated when
            // it arrives.
            return Some(now).filter(|_| calm && rule["condition"]["type"] == "device_alarm");
        }
        let turns = if calm { opens } else { closes };
        turns(&rule["active"], self.timezone(&device.registration), now)
    }

    fn ring(&mut self, device: &mut Device, id: &str, timer: Timer, at: &Moment, until: i64) {
        let mut life = match &timer {
            Timer::Offline => {
                device.offline = Some(at.t);
                return;
            }
            _ => device.lives.remove(id).unwrap_or_default(),
        };
        let rule = &self.set["rules"][id];
        match timer {
            Timer::Forget => life.forgotten = life.looks.len(),
            Timer::Notice => {
                let told_at = life.told_at.replace(at.t);
                let told = life.open.as_ref().filter(|episode| episode.told);
                let next = told.and_then(|episode| self.due_of_episode(rule, device, at.t, (&life, episode)));
                let hours = self.hours(rule, device, at.t, Some(&life));
                let is_repeat = |due: i64| due <= until && hours.is_none_or(|hours| hours >= due);
                if !next.is_some_and(|(due, timer)| matches!(timer, Timer::Notice) && is_repeat(due)) {
                    life.told_at = told_at;
                    self.tell(&mut life, (id, rule), &device.registration, at);
                }
            }
            Timer::Hold | Timer::Hours | Timer::Silence => {
                let found = match rule["condition"]["type"].as_str() {
                    Some("fleet") => self.count(device, at),
                    Some("device_alarm") => {
                        let found = self.alarmed(&life, rule, &device.registration, at);
                        Found { value: found.breach.into(), ..found }
                    }
                    Some("no_data") => {
                        let silence = |heard: i64| json!({ "kind": "silence", "last_ingest": heard });
                        let evidence = device.heard.map_or(Value::Null, silence);
                        Found { evidence, ..Found::plain(true) }
                    }
                    _ => Found::plain(self.holds_now(rule, &device.registration, at)),
                };
                self.look(&mut life, (id, rule), &device.registration, found, false, at);
            }
            Timer::Quiet => {
                if let Some(episode) = life.open.take() {
                    self.close(id, &device.registration, at, &episode, "Cleared");
                }
            }
            Timer::Offline => {}
        }
        device.lives.insert(id.to_owned(), life);
    }
}
