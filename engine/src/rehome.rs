//! What remains of a device when its registration or the rule set changes: everything that still has a name there. An
//! episode whose rule has another meaning, or is gone, ends.

use std::sync::Arc;

use crate::{
    compiled::{Compiled, Home, Kind, Metric, Rule},
    effect::ResolveReason,
    state::{Device, Instance, Phase, Registration, ShardState},
    value::Value,
};

/// Called for each episode that ends because of the change, with the old rule and its last state.
pub(crate) type Ended<'a> = dyn FnMut(&Device, Home, &Rule, Instance, ResolveReason) + 'a;

/// Moves a device to a new registration, a new rule set, or both.
pub(crate) fn rehome(
    old: &Compiled,
    new: &Compiled,
    device: &Device,
    registration: Arc<Registration>,
    ended: &mut Ended<'_>,
) -> Device {
    let mut moved = Device::new(registration, new);
    // One that is put into service again has not been heard from since.
    if !device.registration.retired || moved.registration.retired {
        moved.last_ingest = device.last_ingest;
        moved.presence = device.presence;
    }
    moved.memberships = device.memberships.clone();
    moved.fleet = device.fleet.clone();
    let Some(old_home) = device.home else { return moved };
    let (old_type, old_plan) = (old.device_type(old_home), old.plan(old_home));
    let mut instances: Vec<Option<&Instance>> =
        (0..old_plan.rules.len()).map(|slot| Some(&device.instances[slot])).collect();

    if let Some(new_home) = moved.home {
        let (new_type, new_plan) = (new.device_type(new_home), new.plan(new_home));
        let same_metrics = std::ptr::eq(old_type, new_type);
        for (index, metric) in new_type.metrics.iter().enumerate() {
            let before = if same_metrics { Some(index) } else { old_type.metric_of(metric.id.as_str()) };
            if let Some(before) = before {
                let state = &device.metrics[before];
                let value = state.value().and_then(|value| carry(value, &old_type.metrics[before], metric));
                moved.metrics[index] = state.with_value(value);
            }
        }
        for (index, rule) in new_plan.rules.iter().enumerate() {
            let rule = &new_type.rules[*rule as usize];
            let before = old_plan.rules.iter().position(|old_rule| old_type.rules[*old_rule as usize].id == rule.id);
            let Some(before) = before else { continue };
            let Some(instance) = instances[before].take() else { continue };
            let old_rule = &old_type.rules[old_plan.rules[before] as usize];
            let (old_metric, metric) = (old_type.metric(old_rule), new_type.metric(rule));
            let same = rule.means_the_same(metric, old_rule, old_metric) || mutant!(ChangedRuleKeepsEpisode);
            let carried = if same {
                let mut kept = instance.clone();
                if let Phase::Firing(firing) = &mut kept.phase {
                    match carry_between(firing.value, old_metric, metric) {
                        Some(value) => firing.value = value,
                        None => {
                            ended(device, old_home, old_rule, instance.clone(), ResolveReason::RuleChanged);
                            kept = cooled(instance);
                        }
                    }
                }
                kept
            } else {
                if matches!(instance.phase, Phase::Firing(_)) {
                    ended(device, old_home, old_rule, instance.clone(), ResolveReason::RuleChanged);
                }
                cooled(instance)
            };
            if !carried.is_default() {
                moved.instances[index] = carried;
            }
        }
    }

    let reason = if moved.registration.retired { ResolveReason::DeviceRetired } else { ResolveReason::RuleRemoved };
    for (instance, rule) in instances.into_iter().zip(&old_plan.rules) {
        if let Some(instance) = instance
            && matches!(instance.phase, Phase::Firing(_))
        {
            ended(device, old_home, &old_type.rules[*rule as usize], instance.clone(), reason);
        }
    }
    moved
}

/// Moves every device to a new rule set. Devices whose new state a reader of the chain could not derive become part
/// of the delta.
pub(crate) fn rehome_all(old: &Compiled, new: &Compiled, state: &mut ShardState, ended: &mut Ended<'_>) {
    state.touch_all();
    for index in 0..state.devices.len() {
        let device = &state.devices[index];
        let stands = device.instances.iter().any(|(_, instance)| !instance.is_default());
        let moved = rehome(old, new, device, device.registration.clone(), ended);
        if stands {
            state.put(moved);
        } else {
            state.replace(index, moved);
        }
    }
}

/// Keeps the cooldown of a rule that starts from scratch: a change of its threshold does not notify everyone again at
/// once.
fn cooled(instance: &Instance) -> Instance {
    Instance {
        noticed_at: instance.noticed_at,
        suppressed: instance.suppressed,
        flaps: instance.flaps.clone(),
        ..Instance::default()
    }
}

/// Carries a value over between two metrics of a rule; a value without a metric is kept as it is.
fn carry_between(value: Value, old: Option<&Metric>, new: Option<&Metric>) -> Option<Value> {
    match (old, new) {
        (Some(old), Some(new)) => carry(value, old, new),
        (None, None) => Some(value),
        (Some(_), None) | (None, Some(_)) => None,
    }
}

/// Carries a value over to a metric's new description, if it is still valid there.
fn carry(value: Value, old: &Metric, new: &Metric) -> Option<Value> {
    match (value, &new.kind) {
        (Value::Number(_), Kind::Float { .. } | Kind::Int { .. }) | (Value::Bool(_), Kind::Bool) => Some(value),
        (Value::Word(word), Kind::Enum { index, .. }) => {
            index.get(&old.words()[usize::from(word)]).map(|word| Value::Word(*word))
        }
        (Value::Number(_) | Value::Bool(_) | Value::Word(_), _) => None,
    }
}
