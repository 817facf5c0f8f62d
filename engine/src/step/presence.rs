//! Whether a device is there: its messages, what it says of itself on its channel `status`, and what the broker says of
//! its connection. A device that has never sent anything is not missed.

use serde::Deserialize;

use super::{
    Moment, Run, composite, fleet,
    judge::{Tally, judge, rule_of},
    registration,
};
use crate::{
    compiled::Compiled,
    due,
    episode::Scene,
    reason::{Reason, Refusal},
    record::{Lifecycle, payload},
    rule::{Finding, Test},
    state::{Device, Phase, ShardState},
    value::Value,
};

/// A device has sent something: it is there.
pub(super) fn alive(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device) {
    device.last_ingest = device.last_ingest.max(Some(scene.ingested_at));
    device.presence.gone_at = None;
    back(scene, tally, device);
}

/// Whatever waited for the device to come back ends, and waiting for its next silence begins.
fn back(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device) {
    device.presence.offline_since = None;
    let device_type = scene.rules.device_type(scene.home);
    tally.look_at(due::offline(device, device_type.offline_after));
    for slot in scene.rules.plan(scene.home).without_metric.clone() {
        let slot = slot as usize;
        let rule = rule_of(scene, slot);
        let Test::NoData { .. } = rule.test else { continue };
        if matches!(device.instances[slot].phase, Phase::Inactive) {
            let due = due::of_instance(rule, device, slot, scene.rules.timezone(scene.home));
            tally.look_at(due.map(|(due, _)| due));
        } else {
            let verdict = judge(scene, tally, device, slot, Finding::new(false, true, Value::Bool(false)), None);
            tally.note(scene, device, slot, verdict);
        }
    }
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    status: std::borrow::Cow<'a, str>,
}

/// Takes a message on the channel `status`, which may be the device's last will.
pub(super) fn status(
    rules: &Compiled,
    state: &mut ShardState,
    device: &str,
    bytes: &[u8],
    moment: &Moment<'_>,
    run: &mut Run,
) -> Result<(), Refusal> {
    let (index, home) = registration::known(rules, state, device)?;
    let Status { status } = payload(bytes, &rules.device_id_path, device, Reason::BadStatus)?;
    let online = match &*status {
        "online" => true,
        "offline" => false,
        _ => return Err(Refusal::new(Reason::BadStatus, "`status` is neither `online` nor `offline`")),
    };
    let Run { shard, effects, counts, trace, .. } = run;
    let mut tally = Tally::new(effects, counts, trace.as_mut(), moment.before);
    let scene = moment.scene(rules, home, shard);
    let device = state.touch(index);
    if online {
        alive(&scene, &mut tally, device);
        composite::evaluate(&scene, &mut tally, device);
    } else {
        gone(&scene, &mut tally, device);
    }
    let due = tally.due;
    state.look_at(index, due);
    fleet::report(rules, state, index, moment.ingested_at, run);
    Ok(())
}

/// Takes what the broker says of a connection. It comes out of order and twice; the version tells.
pub(super) fn lifecycle(
    rules: &Compiled,
    state: &mut ShardState,
    lifecycle: &Lifecycle<'_>,
    moment: &Moment<'_>,
    run: &mut Run,
) {
    let Ok((index, home)) = registration::known(rules, state, &lifecycle.device) else {
        // Tools and gateways connect as well.
        run.counts.unread += 1;
        return;
    };
    let known = state.devices[index as usize].presence.version;
    // Who is pushed off by a second connection of the same client has not gone.
    if known.is_some_and(|known| lifecycle.version <= known) || lifecycle.duplicate {
        run.counts.stale_presence += 1;
        return;
    }
    let Run { shard, effects, counts, trace, .. } = run;
    let mut tally = Tally::new(effects, counts, trace.as_mut(), moment.before);
    let scene = moment.scene(rules, home, shard);
    let device = state.touch(index);
    device.presence.version = Some(lifecycle.version);
    if lifecycle.connected {
        device.presence.gone_at = None;
        let silent = due::offline_by_silence(device, rules.device_type(home).offline_after);
        if silent.is_none_or(|due| scene.ingested_at < due) {
            back(&scene, &mut tally, device);
            composite::evaluate(&scene, &mut tally, device);
        }
    } else {
        gone(&scene, &mut tally, device);
    }
    let due = tally.due;
    state.look_at(index, due);
    fleet::report(rules, state, index, moment.ingested_at, run);
}

/// A device is said to have gone. It has some time to come back.
fn gone(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device) {
    device.presence.gone_at.get_or_insert(scene.ingested_at);
    tally.look_at(due::offline(device, scene.rules.device_type(scene.home).offline_after));
}
