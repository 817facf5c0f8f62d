//! The life of a rule on a device: inactive, pending, firing, and the rows that report it.

use serde_json::Value;

use super::{
    Episode, Life, Look, Moment, Oracle,
    condition::{Found, row, stable_at},
    overrides::{contacts, muted},
};

impl Oracle<'_> {
    pub(super) fn look(
        &mut self,
        life: &mut Life,
        (id, rule): (&str, &Value),
        registration: &Value,
        Found { breach, clear, value, since, evidence }: Found,
        gap: bool,
        at: &Moment,
    ) {
        let hold = &rule["hold"];
        let anew = gap && hold["on_gap"] == "reset";
        life.looks.push(Look { t: at.t, ingest: at.ingest, breach, clear, calm: clear, since, anew });
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
            if !evidence.is_null() {
                episode.evidence = evidence;
            }
            match life.open.take_if(|_| first.is_some_and(|first| at.t - first.t >= keep)) {
                Some(episode) => self.close(id, registration, at, &episode, "Cleared"),
                None => self.tell(life, (id, rule), registration, at),
            }
            return;
        }
        let length = hold["duration_ms"].as_i64().unwrap_or(0);
        let since = match enough {
            Some((breach, of)) => Some(at.t).filter(|_| window(&life.looks, of, |look| look.breach) >= breach),
            None => {
                let run = life.looks[life.forgotten..].iter().rev().take_while(|look| look.breach).count();
                let run = &life.looks[newest + 1 - run..];
                let start = run.iter().rposition(|look| look.anew).unwrap_or(0);
                // The condition itself may determine the start, until a gap.
                let own = |look: &Look| look.since.filter(|_| start == 0).unwrap_or(look.t);
                run.get(start).map(own).filter(|since| at.t - since >= length)
            }
        };
        if let Some(since) = since {
            self.fire(life, (id, rule), registration, (since, value, evidence), at);
        }
    }

    pub(super) fn fire(
        &mut self,
        life: &mut Life,
        (id, rule): (&str, &Value),
        registration: &Value,
        (since, value, evidence): (i64, Value, Value),
        at: &Moment,
    ) {
        let (device, fleet) = (&registration["d"], &registration["fleet_zone"]);
        let name = format!("{id} {device} {fleet} {} {} {}", at.sequence, at.sample, at.t);
        let episode = Episode { name, since, from: life.looks.len(), value, evidence, told: false, counted: false };
        self.history(id, registration, at, &episode, "Firing");
        life.open = Some(episode);
        let flapped = stable_at(&life.firings, rule, at.ingest).is_some();
        let unheard = muted(rule, at) || rule["shadow"] == true || at.known - at.t > 900_000;
        if !unheard {
            life.firings.push(at.ingest);
        }
        if unheard || flapped || stable_at(&life.firings, rule, at.ingest).is_none() {
            return self.tell(life, (id, rule), registration, at);
        }
        life.told_at = Some(at.ingest);
        life.held_back += 1;
        life.open.iter_mut().for_each(|episode| episode.counted = true);
        self.notice(life, id, registration, at, ("Flapping", life.held_back));
    }

    pub(super) fn close(&mut self, id: &str, registration: &Value, at: &Moment, episode: &Episode, reason: &str) {
        self.history(id, registration, at, episode, reason);
        if episode.told {
            let row = self.row(id, registration, at, episode, reason);
            let to = contacts(&self.set["rules"][id]);
            self.out.notices.push(format!("{row} Resolved suppressed=0{to}"));
        }
    }

    pub(super) fn history(&mut self, id: &str, registration: &Value, at: &Moment, episode: &Episode, state: &str) {
        let row = self.row(id, registration, at, episode, state);
        self.episodes.insert(episode.name.clone(), row);
    }

    pub(super) fn row(&self, id: &str, registration: &Value, at: &Moment, episode: &Episode, state: &str) -> String {
        let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
        let severity = text(&self.set["rules"][id]["severity"]);
        row(
            (&at.sequence, at.t, at.ingest),
            (id, &text(&registration["d"]), &text(&registration["zone"])),
            (&severity, state, episode.since),
            (&episode.value, &episode.evidence),
        )
    }
}
