//! Who is notified of an episode, and when.

use serde_json::Value;

use super::{
    Life, Moment, Oracle,
    condition::stable_at,
    overrides::{contacts, muted},
};

impl Oracle<'_> {
    pub(super) fn tell(&mut self, life: &mut Life, (id, rule): (&str, &Value), registration: &Value, at: &Moment) {
        let Some(episode) = life.open.as_mut().filter(|_| rule["shadow"] != true) else { return };
        let severity = self.severity(rule);
        let over = |key: &str| life.told_at.zip(severity[key].as_i64()).is_none_or(|(told, ms)| at.ingest >= told + ms);
        if episode.told {
            if severity["repeat_every_ms"].is_number() && over("repeat_every_ms") && !muted(rule, at) {
                life.told_at = Some(at.ingest);
                let suppressed = std::mem::take(&mut life.held_back);
                self.notice(life, id, registration, at, ("Repeat", suppressed));
            }
        } else if at.known - at.t > 900_000 {
            // Too old for a notice.
        } else if stable_at(&life.firings, rule, at.ingest).is_some() || !over("cooldown_ms") || muted(rule, at) {
            life.held_back += u64::from(!std::mem::replace(&mut episode.counted, true));
        } else {
            (episode.told, life.told_at) = (true, Some(at.ingest));
            let suppressed = std::mem::take(&mut life.held_back);
            self.notice(life, id, registration, at, ("Firing", suppressed));
        }
    }

    pub(super) fn notice(
        &mut self,
        life: &Life,
        id: &str,
        registration: &Value,
        at: &Moment,
        (kind, suppressed): (&str, u64),
    ) {
        if let Some(episode) = &life.open {
            let row = self.row(id, registration, at, episode, "Firing");
            let to = contacts(&self.set["rules"][id]);
            self.out.notices.push(format!("{row} {kind} suppressed={suppressed}{to}"));
        }
    }
}
