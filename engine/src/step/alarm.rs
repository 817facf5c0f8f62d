//! Alarms that a device raises itself, on its `alerts` channel.

use serde::Deserialize;
use smol_str::SmolStr;

use super::{
    Moment, Run, composite, fleet,
    judge::{Tally, judge, rule_of},
    presence, registration,
    timers::holds_now,
};
use crate::{
    compiled::Compiled,
    effect::Evidence,
    reason::{Reason, Refusal},
    record::payload,
    rule::{
        Finding, Test,
        memory::{ALARMS_MAX, Memory},
    },
    rule_set::is_alarm_code,
    state::{Instance, ShardState},
    value::Value,
};

#[derive(Deserialize)]
struct Alarm {
    code: SmolStr,
    active: bool,
}

/// Takes a message on the channel `alerts`.
pub(super) fn take(
    rules: &Compiled,
    state: &mut ShardState,
    device: &str,
    bytes: &[u8],
    moment: &Moment<'_>,
    run: &mut Run,
) -> Result<(), Refusal> {
    let (_, index, home) = registration::known(rules, state, device)?;
    let alarm: Alarm = payload(bytes, &rules.device_id_path, device, Reason::BadAlarm)?;
    if !is_alarm_code(&alarm.code) {
        return Err(Refusal::new(Reason::BadAlarm, "`code` has 1 to 64 printable characters"));
    }
    let Run { shard, effects, counts, trace, .. } = run;
    let mut tally = Tally::new(effects, counts, trace.as_mut(), moment.before);
    let scene = moment.scene(rules, home, shard);
    let device = state.touch(index);
    if presence::is_history(&scene, device) {
        tally.counts.late += 1;
        return Ok(());
    }
    tally.counts.alarms += 1;
    presence::alive(&scene, &mut tally, device);
    for slot in rules.plan(home).without_metric.clone() {
        let slot = slot as usize;
        let rule = rule_of(&scene, slot);
        let Test::DeviceAlarm { codes } = &rule.test else { continue };
        if !codes.is_empty() && codes.binary_search(&alarm.code).is_err() {
            continue;
        }
        let instance = &mut device.instances[slot];
        let any = remember(instance, &alarm);
        let breach = any && holds_now(rule, home, rules, scene.at);
        let mut finding = Finding::new(breach, !breach, Value::Bool(any));
        finding.evidence = evidence(instance);
        let verdict = judge(&scene, &mut tally, device, slot, finding, None);
        tally.note(&scene, device, slot, verdict);
    }
    composite::evaluate(&scene, &mut tally, device);
    let due = tally.due;
    state.look_at(index, due);
    fleet::report(rules, state, index, moment.ingested_at, run);
    Ok(())
}

/// Records which alarms are active. If more are active than can be kept, the rule still fires. Returns `true` if any
/// is active.
fn remember(instance: &mut Instance, alarm: &Alarm) -> bool {
    let mut active = match instance.memory.take().map(|memory| *memory) {
        Some(Memory::Alarms(active)) => active,
        Some(Memory::Anomaly(_) | Memory::Flatline(_) | Memory::Count(_) | Memory::Stepped) | None => Vec::new(),
    };
    match (active.binary_search(&alarm.code), alarm.active) {
        (Err(at), true) if active.len() < ALARMS_MAX => active.insert(at, alarm.code.clone()),
        (Ok(_), false) if mutant!(AlarmEndsAll) => active.clear(),
        (Ok(at), false) => {
            active.remove(at);
        }
        (Ok(_), true) | (Err(_), _) => {}
    }
    let any = !active.is_empty();
    if any {
        instance.memory = Some(Box::new(Memory::Alarms(active)));
    }
    any
}

/// Returns the first of the active alarms.
pub(super) fn evidence(instance: &Instance) -> Option<Evidence> {
    match instance.memory.as_deref() {
        Some(Memory::Alarms(active)) => active.first().map(|code| Evidence::Alarm { code: code.clone() }),
        Some(Memory::Anomaly(_) | Memory::Flatline(_) | Memory::Count(_) | Memory::Stepped) | None => None,
    }
}
