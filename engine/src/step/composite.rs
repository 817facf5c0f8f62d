//! Composite rules of a device, after the rules that they read.

use super::judge::{Tally, judge};
use crate::{
    episode::Scene,
    rule::{Finding, Test},
    state::{Device, Phase},
    value::Value,
};

/// Moves every composite rule of a device, by the shard's time: what it reads has no sample's time in common.
pub(super) fn evaluate(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device) {
    let device_type = scene.rules.device_type(scene.home);
    let plan = scene.rules.plan(scene.home);
    for slot in plan.without_metric.clone() {
        let slot = slot as usize;
        let rule = &device_type.rules[plan.rules[slot] as usize];
        let Test::Composite(test) = &rule.test else { continue };
        let fires = |id: &crate::ids::RuleId| {
            device.instances.iter().any(|(slot, instance)| {
                matches!(instance.phase, Phase::Firing(_)) && device_type.rules[plan.rules[slot] as usize].id == *id
            })
        };
        let breach = test.holds(fires)
            && rule
                .active
                .as_ref()
                .is_none_or(|active| active.covers(scene.ingested_at, scene.rules.timezone(scene.home)));
        if !breach && matches!(device.instances[slot].phase, Phase::Inactive) {
            continue;
        }
        let scene = Scene { at: scene.ingested_at, ..*scene };
        let verdict = judge(&scene, tally, device, slot, Finding::new(breach, !breach, Value::Bool(breach)), None);
        tally.note(&scene, device, slot, verdict);
    }
}
