//! Composite rules of a device, evaluated after the rules that they read.

use super::{
    Moment, Run,
    judge::{Tally, judge, rule_of},
    timers::holds_now,
};
use crate::{
    compiled::Compiled,
    due,
    episode::Scene,
    ids::RuleId,
    rule::{Finding, Test, composite::Composite},
    state::{Device, Phase, ShardState},
    units::Timestamp,
    value::Value,
};

/// Evaluates every composite rule of a device at the time of the record, since the rules that it reads share no
/// sample time. It reads what holds now, so a redriven record does not take it back to the record's first time.
pub(super) fn evaluate(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device) {
    look(scene, tally, device, |_, _| true);
}

/// Evaluates the composite rules whose phase changes because time has passed. The others wait for their own time, and
/// so do their notices.
pub(super) fn follow(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device) {
    look(scene, tally, device, moves);
}

/// Evaluates the composite rules for which `is_due` returns `true`, given the phase and whether the condition holds.
fn look(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device, is_due: fn(&Phase, bool) -> bool) {
    let scene = Scene { at: scene.known_at, ingested_at: scene.known_at, ..*scene };
    for (slot, test) in composites(&scene) {
        let breach = holds(&scene, device, slot, test);
        if !is_due(&device.instances[slot].phase, breach) {
            tally.look_at(hours(&scene, device, slot));
            continue;
        }
        if !breach && matches!(device.instances[slot].phase, Phase::Inactive) {
            tally.look_at(hours(&scene, device, slot));
            continue;
        }
        let verdict = judge(&scene, tally, device, slot, Finding::new(breach, !breach, Value::Bool(breach)), None);
        tally.note(&scene, device, slot, verdict);
    }
}

/// Evaluates the composite rules after a device's registration or the rules in force have changed: alerts that they
/// read may have ended, and alerts that they now read may already fire. If no rule changes its phase, the device is
/// left untouched.
pub(super) fn settle(rules: &Compiled, state: &mut ShardState, index: u32, moment: &Moment<'_>, run: &mut Run) {
    let device = &state.devices[index as usize];
    let Some(home) = device.home else { return };
    let Run { shard, effects, counts, trace, .. } = run;
    let scene = moment.scene(rules, home, shard);
    let moves_now = |(slot, test)| moves(&device.instances[slot].phase, holds(&scene, device, slot, test));
    if mutant!(CompositeNotSettled) {
        return;
    }
    if !composites(&scene).any(moves_now) {
        let due = composites(&scene).filter_map(|(slot, _)| hours(&scene, device, slot)).min();
        state.look_at(index, due);
        return;
    }
    let mut tally = Tally::new(effects, counts, trace.as_mut(), moment.before);
    // A rule that keeps its phase under another set waits for its own time.
    look(&scene, &mut tally, state.touch(index), moves);
    let due = tally.due;
    state.look_at(index, due);
}

/// Whether a finding changes the phase of a rule.
fn moves(phase: &Phase, breach: bool) -> bool {
    match phase {
        Phase::Inactive => breach,
        Phase::Pending { .. } => !breach,
        Phase::Firing(firing) => breach == firing.quiet_since.is_some(),
    }
}

/// Returns the composite rules of a device by their slots, each after those that it reads.
fn composites<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (usize, &'a Composite)> + use<'a> {
    let (device_type, plan) = (scene.rules.device_type(scene.home), scene.rules.plan(scene.home));
    plan.without_metric.clone().map(|slot| slot as usize).filter_map(|slot| {
        let Test::Composite(test) = &device_type.rules[plan.rules[slot] as usize].test else { return None };
        Some((slot, test))
    })
}

/// Returns when an inactive rule must be checked because of its hours alone.
fn hours(scene: &Scene<'_>, device: &Device, slot: usize) -> Option<Timestamp> {
    rule_of(scene, slot).active.as_ref()?;
    due::of_slot(scene.rules, scene.home, device, slot, scene.known_at).map(|(due, _)| due)
}

/// Whether a composite rule holds on a device now, within its hours.
fn holds(scene: &Scene<'_>, device: &Device, slot: usize, test: &Composite) -> bool {
    let fires = |id: &RuleId| {
        let mut instances = device.instances.iter();
        instances.any(|(slot, instance)| matches!(instance.phase, Phase::Firing(_)) && rule_of(scene, slot).id == *id)
    };
    test.holds(fires) && holds_now(rule_of(scene, slot), scene.home, scene.rules, scene.known_at)
}
