//! What the passing of time alone must do.

use serde_json::Value;

use super::{Device, Life, Moment, Oracle, condition::stable_at, fleet};

enum Timer {
    Forget,
    Quiet(i64),
    Notice,
    Silence,
    Hold,
}

impl Oracle<'_> {
    /// Lets the shard's time pass up to a record.
    pub(super) fn wait(&mut self, at: &Moment) {
        while let Some(end) = self.first_end().filter(|end| *end <= self.time.max(at.ingest)) {
            let end = end.max(self.time);
            let then = Moment { t: end, ingest: end, ..at.clone() };
            self.pass(&then);
            self.end_rows(&then);
        }
        self.pass(at);
    }

    fn pass(&mut self, at: &Moment) {
        let until = self.time.max(at.ingest);
        for (id, mut device) in std::mem::take(&mut self.devices) {
            let mut now = self.time;
            while let Some((due, rule, timer)) = self.due(&device).filter(|(due, _, _)| *due <= until) {
                now = now.max(due);
                let at = Moment { t: now, ingest: now, ..at.clone() };
                self.ring(&mut device, &rule, timer, &at);
                self.speak(&mut device);
            }
            self.devices.insert(id, device);
        }
        self.time = until;
    }

    /// What time alone does next to a device.
    fn due(&self, device: &Device) -> Option<(i64, String, Timer)> {
        let rules = self.rules(&device.registration).filter_map(|(id, rule)| {
            let ms = |value: &Value| value.as_i64();
            let Some(Life { looks, forgotten, open, told_at, firings, .. }) = device.lives.get(id) else {
                return silence(rule, device).map(|due| (due, id.clone(), Timer::Silence));
            };
            let Some(episode) = open else {
                let pending = looks.len() > *forgotten && looks.last().is_some_and(|look| look.breach);
                let forget = pending && rule["hold"]["on_gap"] == "reset";
                let forget = device.heard.filter(|_| forget).map(|heard| heard + self.max_gap(rule, device).1 + 1);
                let silence = silence(rule, device).map(|due| (due, id.clone(), Timer::Silence));
                if let (Some(since), true) = (fleet::since(looks), device.registration["fleet"] == **id) {
                    let length = rule["hold"]["duration_ms"].as_i64().unwrap_or(0);
                    return Some((since + length, id.clone(), Timer::Hold));
                }
                return forget.map(|due| (due, id.clone(), Timer::Forget)).or(silence);
            };
            let first = looks[episode.from..].iter().rev().take_while(|look| look.calm).last();
            let keep = ms(&rule["keep_firing_for_ms"]).unwrap_or(0);
            let quiet = first.map(|look| (look.ingest + keep, id.clone(), Timer::Quiet(look.t + keep)));
            let severity = self.severity(rule);
            let stable = stable_at(firings, rule, i64::MIN);
            let muted = ms(&rule["muted_until"]);
            let again = ms(&severity["repeat_every_ms"]).zip(*told_at).map(|(every, told)| told + every);
            let notice = match (episode.told, episode.counted) {
                (true, _) => again.map(|again| again.max(muted.unwrap_or(again))),
                (false, true) => {
                    let cooled = told_at.map(|told| told + ms(&severity["cooldown_ms"]).unwrap_or(0));
                    Some(cooled.max(stable).max(muted).unwrap_or(episode.since))
                }
                (false, false) => None,
            };
            let notice = notice.filter(|_| rule["shadow"] != true).map(|due| (due, id.clone(), Timer::Notice));
            quiet.into_iter().chain(notice).min_by_key(|(due, _, _)| *due)
        });
        rules.min_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)))
    }

    fn ring(&mut self, device: &mut Device, id: &str, timer: Timer, at: &Moment) {
        let mut life = device.lives.remove(id).unwrap_or_default();
        let rule = &self.set["rules"][id];
        match timer {
            Timer::Forget => life.forgotten = life.looks.len(),
            Timer::Notice => self.tell(&mut life, (id, rule), &device.registration, at),
            Timer::Hold => self.look(&mut life, (id, rule), &device.registration, self.count(device), false, at),
            Timer::Silence => self.fire(&mut life, (id, rule), &device.registration, (at.t, true.into()), at),
            Timer::Quiet(t) => {
                if let Some(episode) = life.open.take() {
                    self.close(id, &device.registration, &Moment { t: at.t.max(t), ..at.clone() }, &episode, "Cleared");
                }
            }
        }
        device.lives.insert(id.to_owned(), life);
    }
}

/// When a rule about silence fires.
fn silence(rule: &Value, device: &Device) -> Option<i64> {
    let after = rule["condition"]["after_ms"].as_i64().filter(|_| rule["condition"]["type"] == "no_data");
    after.zip(device.heard).map(|(after, heard)| heard + after + 1)
}
