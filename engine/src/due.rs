//! When the passing of the shard's time alone changes something about a device: a pure function of the device's
//! state.

use jiff::tz::TimeZone;

use crate::{
    compiled::{Compiled, Duration, Home, Rule},
    rule::{Test, memory::Memory},
    rule_set::OnGap,
    state::{Device, Instance, Notice, Phase},
    units::{Millis, Timestamp},
};

/// How long a device that is reported gone may take to come back.
pub(crate) const GONE_GRACE: Millis = Millis::from_secs(120);

/// What is due. A slot is the index of a rule in the device's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The device counts as offline.
    Offline,
    /// The silence that a rule of kind `no_data` waits for has lasted long enough.
    Silence(usize),
    /// A started breach is forgotten: its samples have stopped.
    Forget(usize),
    /// A condition without samples has held for long enough.
    Hold(usize),
    /// The hours of a rule start or end while its condition, which has no samples, is met.
    Hours(usize),
    /// An episode has been quiet for long enough.
    Quiet(usize),
    /// A held-back notice or a repetition is sent.
    Notice(usize),
}

/// Returns the first thing that is due on a device, at the shard's time `now`. If several are due at the same moment,
/// the device comes first and then its rules by id.
pub(crate) fn earliest(rules: &Compiled, device: &Device, now: Timestamp) -> Option<(Timestamp, Timer)> {
    let home = device.home?;
    let (device_type, plan) = (rules.device_type(home), rules.plan(home));
    let mut first = offline(device, device_type.offline_after).map(|due| (due, Timer::Offline, ""));
    // A rule that reads samples and is in its initial state waits for a sample.
    let kept = device.instances.iter().map(|(slot, _)| slot);
    for slot in kept.chain(plan.without_metric.clone().map(|slot| slot as usize)) {
        let Some((due, timer)) = of_slot(rules, home, device, slot, now) else { continue };
        let rule = &device_type.rules[plan.rules[slot] as usize];
        if first.is_none_or(|(known, _, id)| (due, rule.id.as_str()) < (known, id)) {
            first = Some((due, timer, rule.id.as_str()));
        }
    }
    first.map(|(due, timer, _)| (due, timer))
}

/// Returns when a device counts as offline; `None` if it does already.
pub(crate) fn offline(device: &Device, offline_after: Millis) -> Option<Timestamp> {
    if device.presence.offline_since.is_some() { None } else { absence(device, offline_after) }
}

/// Returns when a device counts as offline if nothing arrives, whether or not it does already.
pub(crate) fn absence(device: &Device, offline_after: Millis) -> Option<Timestamp> {
    let silent = by_silence(device, offline_after);
    let gone =
        device.presence.gone_at.map(|gone| gone.after(if mutant!(GoneWithoutGrace) { Millis(0) } else { GONE_GRACE }));
    silent.into_iter().chain(gone).min()
}

/// Returns when a device has been silent for longer than this, if nothing arrives.
pub(crate) fn by_silence(device: &Device, length: Millis) -> Option<Timestamp> {
    device.last_ingest.map(|last| past(last, length))
}

/// Returns the first moment at which more than `length` has passed.
fn past(since: Timestamp, length: Millis) -> Timestamp {
    since.after(length).after(Millis(1))
}

/// Returns what is due first for one rule on a device.
pub(crate) fn of_slot(
    rules: &Compiled,
    home: Home,
    device: &Device,
    slot: usize,
    now: Timestamp,
) -> Option<(Timestamp, Timer)> {
    let rule = &rules.device_type(home).rules[rules.plan(home).rules[slot] as usize];
    let waits = of_instance(rule, device, slot, rules.timezone(home), now);
    let hours = hours(rules, home, device, slot, now).map(|due| (due, Timer::Hours(slot)));
    waits.into_iter().chain(hours).min_by_key(|(due, _)| *due)
}

fn of_instance(
    rule: &Rule,
    device: &Device,
    slot: usize,
    timezone: &TimeZone,
    now: Timestamp,
) -> Option<(Timestamp, Timer)> {
    let instance = &device.instances[slot];
    match &instance.phase {
        Phase::Inactive => silence(rule, device, timezone, now).map(|due| (due, Timer::Silence(slot))),
        Phase::Pending { since } => match rule.duration {
            Duration::Time { length, .. } if rule.metric.is_none() => Some((since.after(length), Timer::Hold(slot))),
            Duration::Time { on_gap: OnGap::Reset, forget_after, .. } => {
                device.last_ingest.map(|last| (past(last, forget_after), Timer::Forget(slot)))
            }
            Duration::Time { on_gap: OnGap::Hold, .. } | Duration::Samples { .. } => None,
        },
        Phase::Firing(firing) => {
            // If the device's clock is ahead of the shard's, it has not been quiet for that long by its own clock
            // yet.
            let quiet = firing.quiet_since.map(|quiet| quiet.at.max(quiet.ingested_at).after(rule.keep_firing_for));
            let quiet = quiet.map(|due| (due, Timer::Quiet(slot)));
            let again = firing.quiet_since.and_then(|_| silence(rule, device, timezone, now));
            let again = again.map(|due| (due, Timer::Silence(slot)));
            let notice = match firing.notice {
                Notice::Given => {
                    let again = rule.repeat_every.zip(instance.noticed_at).map(|(every, last)| last.after(every));
                    again.map(|again| rule.muted_until.map_or(again, |until| again.max(until)))
                }
                Notice::Owed { counted: true } => {
                    let cooled = instance.noticed_at.map(|last| last.after(rule.cooldown));
                    let flaps = instance.flaps.as_ref();
                    let stable = flaps.zip(rule.flap_limit).and_then(|(flaps, limit)| flaps.stable_at(limit.per_ms));
                    // A notice that was muted and no longer is, is due at once.
                    cooled.max(stable).max(rule.muted_until).or(Some(firing.since))
                }
                Notice::Owed { counted: false } => None,
            };
            let notice = notice.filter(|_| !rule.shadow).map(|due| (due, Timer::Notice(slot)));
            [quiet, again, notice].into_iter().flatten().min_by_key(|(due, _)| *due)
        }
    }
}

/// Returns when the hours of a rule without samples start or end, if its condition stays met: no record need arrive
/// then.
fn hours(rules: &Compiled, home: Home, device: &Device, slot: usize, now: Timestamp) -> Option<Timestamp> {
    let (of_type, plan) = (&rules.device_type(home).rules, &rules.plan(home).rules);
    let rule = &of_type[plan[slot] as usize];
    let is_alarm = matches!(rule.test, Test::DeviceAlarm { .. });
    if (rule.active.is_none() && !is_alarm) || mutant!(HoursNeedRecords) {
        return None;
    }
    let instance = &device.instances[slot];
    let is_met = match &rule.test {
        Test::DeviceAlarm { .. } => matches!(instance.memory.as_deref(), Some(Memory::Alarms(_))),
        Test::Fleet(test) => device.fleet.as_ref().is_some_and(|fleet| {
            let (devices, registered) = fleet.counted(&test.of);
            test.look(devices, registered).breach
        }),
        Test::Composite(test) => test.holds(|id| {
            let fires = |(_, instance): &(usize, &Instance)| matches!(instance.phase, Phase::Firing(_));
            device.instances.iter().filter(fires).any(|(slot, _)| of_type[plan[slot] as usize].id == *id)
        }),
        Test::Threshold(_)
        | Test::Range(_)
        | Test::RateOfChange(_)
        | Test::State(_)
        | Test::Anomaly(_)
        | Test::Flatline(_)
        | Test::Count(_)
        | Test::NoData { .. } => false,
    };
    let is_calm = match &instance.phase {
        Phase::Inactive => true,
        Phase::Pending { .. } => false,
        Phase::Firing(firing) => firing.quiet_since.is_some(),
    };
    match (&rule.active, is_calm) {
        _ if !is_met => None,
        (Some(active), true) => active.next(now, rules.timezone(home)),
        (Some(active), false) => active.end(now, rules.timezone(home)),
        // An alarm that another set's hours held back.
        (None, true) => Some(now),
        (None, false) => None,
    }
}

/// Returns when a rule of kind `no_data` fires if the device stays silent. A device that has not been heard from yet
/// never fires it.
fn silence(rule: &Rule, device: &Device, timezone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let Test::NoData { after } = &rule.test else { return None };
    let due = match after {
        Some(after) => by_silence(device, *after)?,
        None => device.presence.offline_since?,
    };
    match &rule.active {
        // A firing that is found late, as under a new set, must also fall into the rule's hours.
        Some(_) if mutant!(SilenceOutsideHours) => Some(due),
        Some(active) => active.next(if mutant!(LateSilenceOutsideHours) { due } else { due.max(now) }, timezone),
        None => Some(due),
    }
}
