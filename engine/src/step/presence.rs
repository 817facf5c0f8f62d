//! Whether a device is online: by its messages, by what it reports on its `status` channel, and by what the broker
//! reports about its connection. A device that has never sent anything is missed only after it was reported gone.

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
    state::{Device, Phase, Presence, ShardState},
    units::{Millis, Timestamp},
    value::Value,
};

/// Whether a redriven record refers to a time after which the device has been heard from.
pub(super) fn is_history(scene: &Scene<'_>, device: &Device) -> bool {
    is_before(scene, device.last_ingest.max(device.presence.gone_at))
}

/// Whether a redriven message is older than one that the device has sent since.
pub(super) fn is_old_message(scene: &Scene<'_>, device: &Device) -> bool {
    is_before(scene, device.last_ingest)
}

fn is_before(scene: &Scene<'_>, newest: Option<Timestamp>) -> bool {
    scene.known_at > scene.ingested_at && newest >= Some(scene.ingested_at)
}

/// Handles a sign of life: the device has sent something. A later report that it is gone stands.
pub(super) fn alive(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device) {
    device.last_ingest = device.last_ingest.max(Some(scene.ingested_at));
    if device.presence.gone_at <= Some(scene.ingested_at) {
        device.presence.count_anew(scene.ingested_at);
        device.presence.gone_at = None;
    }
    back(scene, tally, device, Sign::Message);
}

/// What shows that a device is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Message,
    /// The device has not sent anything yet.
    Connection,
}

/// Ends whatever waited for the device to come back, and starts waiting for its next silence. A record that lies
/// behind the shard's time does not end a silence that continues after it.
fn back(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device, sign: Sign) {
    let offline_after = scene.rules.device_type(scene.home).offline_after;
    let is_past = |due: Option<Timestamp>| due.is_some_and(|due| due <= scene.now);
    let is_offline = is_past(due::absence(device, offline_after));
    if !is_offline {
        device.presence.offline_since = None;
    }
    tally.look_at(due::offline(device, offline_after));
    for slot in scene.rules.plan(scene.home).without_metric.clone() {
        let slot = slot as usize;
        let rule = rule_of(scene, slot);
        let Test::NoData { after } = rule.test else { continue };
        if sign == Sign::Connection && after.is_some() && !mutant!(ConnectionTakenAsMessage) {
            // This rule waits for a message.
            continue;
        }
        if matches!(device.instances[slot].phase, Phase::Inactive) {
            let due = due::of_slot(scene.rules, scene.home, device, slot, scene.ingested_at);
            tally.look_at(due.map(|(due, _)| due));
            continue;
        }
        let goes_on = after.map_or(is_offline, |after| is_past(due::by_silence(device, after)));
        if !goes_on || mutant!(ConnectionTakenAsMessage) {
            let verdict = judge(scene, tally, device, slot, Finding::new(false, true, Value::Bool(false)), None);
            tally.note(scene, device, slot, verdict);
        }
    }
}

/// Half of the "approximately one hour" without a connection after which the broker counts a client's connections
/// from 0 again: far longer than any event is delayed, and certainly shorter than the hour ("Lifecycle events", AWS
/// IoT Core developer guide).
const COUNTED_ANEW_AFTER: Millis = Millis::from_secs(1_800);

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
    let (_, index, home) = registration::known(rules, state, device)?;
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
    if is_history(&scene, device) {
        tally.counts.late += 1;
        return Ok(());
    }
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

impl Presence {
    /// Forgets the version once a client has been away for about an hour: the broker then counts its connections from
    /// 0 again, so an earlier version says nothing about those that follow.
    fn count_anew(&mut self, now: Timestamp) {
        if self.gone_at.is_some_and(|gone| now.since(gone) >= COUNTED_ANEW_AFTER) {
            self.order = None;
        }
    }
}

/// Takes what the broker reports about a connection. Such events arrive out of order and twice; the version orders
/// them.
pub(super) fn lifecycle(
    rules: &Compiled,
    state: &mut ShardState,
    lifecycle: &Lifecycle<'_>,
    moment: &Moment<'_>,
    run: &mut Run,
) {
    let Ok((_, index, home)) = registration::known(rules, state, &lifecycle.device) else {
        // Tools and gateways also connect.
        run.counts.unread += 1;
        return;
    };
    let mut presence = state.devices[index as usize].presence;
    presence.count_anew(moment.ingested_at);
    // A client that is displaced by its own second connection is not gone.
    let is_older = presence.order.is_some_and(|known| lifecycle.order() <= known);
    if (is_older && !mutant!(OlderConnectionBelieved)) || lifecycle.duplicate {
        run.counts.stale_presence += 1;
        return;
    }
    let Run { shard, effects, counts, trace, .. } = run;
    let mut tally = Tally::new(effects, counts, trace.as_mut(), moment.before);
    let scene = moment.scene(rules, home, shard);
    let device = state.touch(index);
    if is_history(&scene, device) {
        // The connection count may have restarted since.
        tally.counts.late += 1;
        return;
    }
    device.presence.order = Some(lifecycle.order());
    if lifecycle.connected {
        device.presence.gone_at = None;
        back(&scene, &mut tally, device, Sign::Connection);
        composite::evaluate(&scene, &mut tally, device);
    } else {
        gone(&scene, &mut tally, device);
    }
    let due = tally.due;
    state.look_at(index, due);
    fleet::report(rules, state, index, moment.ingested_at, run);
}

/// Handles a report that a device is gone. The device has a grace period to come back.
fn gone(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device) {
    device.presence.gone_at.get_or_insert(scene.ingested_at);
    tally.look_at(due::offline(device, scene.rules.device_type(scene.home).offline_after));
}
