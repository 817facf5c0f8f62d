//! The passing of time: runs everything that becomes due before a record moves the shard's time past it.

use super::{
    Moment, Run, composite, fleet,
    judge::{Tally, judge, resolve, rule_of, tell},
};
use crate::{
    compiled::{Compiled, Home},
    due::{self, Timer},
    effect::Evidence,
    episode::{Cause, Scene},
    rule::Finding,
    state::{Device, Notice, Phase, ShardState},
    units::Timestamp,
    value::Value,
};

/// Runs what is due up to the record's ingest time, in the order of (due, device, rule), and advances the shard's
/// time.
pub(super) fn run(rules: &Compiled, state: &mut ShardState, moment: &Moment<'_>, run: &mut Run) {
    let before = state.head.shard_time;
    let until = before.max(moment.ingested_at);
    for index in state.queue.unknown(state.devices.len()) {
        let due =
            state.devices.get(index as usize).and_then(|device| due::earliest(rules, device, state.head.shard_time));
        state.look_at(index, due.map(|(due, _)| due));
    }
    while let Some((queued, index)) = state.queue.next(until, &mut state.devices) {
        let device = &state.devices[index as usize];
        let Some(((due, timer), home)) = due::earliest(rules, device, state.head.shard_time).zip(device.home) else {
            continue;
        };
        if due > queued {
            state.look_at(index, Some(due));
            continue;
        }
        // A rule of a new set may find that its condition has held for a long time.
        let now = due.max(state.head.shard_time);
        let scene = Scene {
            cause: Cause::of_due(due, before),
            at: now,
            ingested_at: now,
            known_at: now,
            now,
            ..moment.scene(rules, home, &run.shard)
        };
        let mut tally = Tally::new(&mut run.effects, &mut run.counts, run.trace.as_mut(), moment.before);
        tally.counts.timers += 1;
        let device = state.touch(index);
        fire(&scene, &mut tally, device, timer, until);
        composite::follow(&scene, &mut tally, device);
        let next = due::earliest(rules, &state.devices[index as usize], now);
        debug_assert_ne!(next, Some((due, timer)), "a timer that has run is not due again");
        state.look_at(index, next.filter(|next| *next != (due, timer)).map(|(due, _)| due));
        fleet::report(rules, state, index, now, run);
        // Later timers of this record never run before this moment.
        state.head.shard_time = now;
    }
    state.head.shard_time = until;
}

fn fire(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device, timer: Timer, until: Timestamp) {
    let (slot, verdict) = match timer {
        Timer::Offline => {
            device.presence.offline_since = Some(scene.at);
            tally.counts.offline += 1;
            return;
        }
        Timer::Silence(slot) => {
            let mut finding = Finding::new(true, false, Value::Bool(true));
            finding.evidence = device.last_ingest.map(|last_ingest| Evidence::Silence { last_ingest });
            (slot, judge(scene, tally, device, slot, finding, None))
        }
        Timer::Forget(slot) => {
            device.instances[slot].phase = Phase::Inactive;
            (slot, crate::verdict::Verdict::Hold(crate::verdict::WhyNot::Forgotten))
        }
        Timer::Hold(slot) | Timer::Hours(slot) => {
            let finding = fleet::finding(scene, device, slot).unwrap_or_else(|| {
                let breach = holds_now(rule_of(scene, slot), scene.home, scene.rules, scene.at);
                let evidence = super::alarm::evidence(&device.instances[slot]);
                Finding { evidence, ..Finding::new(breach, !breach, Value::Bool(breach)) }
            });
            (slot, judge(scene, tally, device, slot, finding, None))
        }
        Timer::Quiet(slot) => {
            let Phase::Firing(firing) = &device.instances[slot].phase else { return };
            let value = firing.value;
            if mutant!(TimerCountsAsSample) {
                (slot, judge(scene, tally, device, slot, Finding::new(false, true, value), None))
            } else {
                (slot, resolve(scene, tally, device, slot, value))
            }
        }
        Timer::Notice(slot) => {
            if passes_over(scene, device, slot, until) {
                return;
            }
            (slot, tell(scene, tally, device, slot, rule_of(scene, slot)))
        }
    };
    tally.note(scene, device, slot, verdict);
}

/// Skips a repetition if the same record also reveals the next one, with nothing in between: of the repetitions that
/// were not sent in time, the last is enough. Returns whether it was skipped.
fn passes_over(scene: &Scene<'_>, device: &mut Device, slot: usize, until: Timestamp) -> bool {
    let instance = &mut device.instances[slot];
    if !matches!(&instance.phase, Phase::Firing(firing) if firing.notice == Notice::Given) {
        return false;
    }
    let before = instance.noticed_at.replace(scene.at);
    let next = due::of_slot(scene.rules, scene.home, device, slot, scene.at);
    let is_followed = matches!(next, Some((due, Timer::Notice(_))) if due <= until);
    if !is_followed {
        device.instances[slot].noticed_at = before;
    }
    is_followed
}

/// Whether a moment lies within a rule's hours.
pub(super) fn holds_now(rule: &crate::compiled::Rule, home: Home, rules: &Compiled, at: Timestamp) -> bool {
    rule.active.as_ref().is_none_or(|active| active.covers(at, rules.timezone(home)))
}
