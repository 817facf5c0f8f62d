//! Fleet rules: devices report their state to the fleets around them on the stream, and a fleet rule in a zone moves
//! by these reports. The two need not be in the same shard, and know nothing about each other except what those
//! records carry.

use super::{
    Moment, Run,
    judge::{Tally, judge, rule_of},
    timers::holds_now,
};
use crate::{
    compiled::{Belonging, Compiled},
    effect::Member,
    episode::Scene,
    fleet::Membership,
    rule::{Finding, Test},
    rule_set::FleetOf,
    state::{Device, Phase, ShardState},
    units::Timestamp,
};

/// Reports to every fleet what has changed about a device since the last report. Every caller that may have changed
/// something calls this; without a change, nothing is reported.
pub(super) fn report(rules: &Compiled, state: &mut ShardState, index: u32, at: Timestamp, run: &mut Run) {
    let device = &state.devices[index as usize];
    let belonging = device.home.map_or(&[][..], |home| &rules.plan(home).fleets);
    let known = device.memberships.all();
    if (belonging.is_empty() && known.is_empty()) || device.fleet.is_some() {
        return;
    }
    let is_known = |fleet: &Belonging, known: &Membership| (&fleet.rule, &fleet.zone) == (&known.rule, &known.zone);
    let mut news = Vec::new();
    for fleet in belonging {
        let inside = is_in(fleet, device);
        let said = known.iter().find(|known| is_known(fleet, known));
        if said.is_none_or(|said| !said.registered || said.inside != inside || said.of != fleet.of) {
            let (rule, zone, of) = (fleet.rule.clone(), fleet.zone.clone(), fleet.of.clone());
            news.push(Membership { rule, zone, n: 0, inside, registered: true, of });
        }
    }
    for left in known.iter().filter(|known| known.registered) {
        if !belonging.iter().any(|fleet| is_known(fleet, left)) {
            news.push(Membership { inside: false, registered: false, ..left.clone() });
        }
    }
    if news.is_empty() {
        return;
    }
    let rule_set = state.head.rule_set.clone();
    let device = state.touch(index);
    for news in news {
        let Membership { rule, zone, n, inside, registered, of } = device.memberships.say(news).clone();
        run.effects.members.push(Member {
            device: device.registration.id.clone(),
            rule,
            zone,
            generation: run.generation,
            version: rule_set.version,
            sha256: rule_set.sha256.clone(),
            n,
            inside,
            registered,
            of: Some(of),
            at,
        });
        run.counts.memberships += 1;
    }
}

/// Whether a device is in the state that a fleet counts.
fn is_in(fleet: &Belonging, device: &Device) -> bool {
    match (&fleet.of, fleet.slot) {
        (FleetOf::Offline, _) => device.presence.offline_since.is_some(),
        (FleetOf::Rule(_), Some(slot)) => {
            matches!(device.instances[slot as usize].phase, Phase::Firing(_))
        }
        (FleetOf::Rule(_), None) => false,
    }
}

/// Takes a `member` record. One that is not above the last of its device is ignored.
pub(super) fn take(rules: &Compiled, state: &mut ShardState, member: &Member, moment: &Moment<'_>, run: &mut Run) {
    let key = member.partition_key();
    let found = state.find(&key);
    let known = found.and_then(|index| state.devices[index as usize].fleet.as_ref());
    if known.is_some_and(|fleet| !fleet.is_news(member)) {
        run.counts.stale_members += 1;
        return;
    }
    run.counts.members += 1;
    let index = found.unwrap_or_else(|| state.put(Device::of_fleet(&member.rule, &member.zone, rules)));
    if let Some(fleet) = &mut state.touch(index).fleet {
        fleet.take(member);
    }
    evaluate(rules, state, index, moment, run);
}

/// Reacts to a new set in force: devices report their current state, and fleets are evaluated under its rules.
pub(super) fn adopted(rules: &Compiled, state: &mut ShardState, moment: &Moment<'_>, run: &mut Run) {
    for index in 0..state.devices.len() as u32 {
        if state.devices[index as usize].fleet.is_some() {
            evaluate(rules, state, index, moment, run);
        } else {
            report(rules, state, index, moment.ingested_at, run);
        }
    }
}

/// Moves a fleet rule in a zone by what is known there, at the shard's time, since the reports of devices share no
/// time.
fn evaluate(rules: &Compiled, state: &mut ShardState, index: u32, moment: &Moment<'_>, run: &mut Run) {
    let now = state.head.shard_time.max(moment.ingested_at);
    let Run { shard, effects, counts, trace, .. } = run;
    // Not every set knows the rule and the zone. One that does finds every report made until then.
    let device = &state.devices[index as usize];
    let Some((home, (rule, _))) = device.home.zip(device.registration.id.fleet()) else { return };
    let (of_fleets, plan) = (rules.device_type(home), rules.plan(home));
    let is_it = |index: &u32| of_fleets.rules[*index as usize].id == rule;
    let Some(slot) = plan.rules.iter().position(is_it) else { return };
    let mut tally = Tally::new(effects, counts, trace.as_mut(), moment.before);
    let scene = Scene { at: now, ingested_at: now, known_at: now, now, ..moment.scene(rules, home, shard) };
    let device = state.touch(index);
    if let Some(finding) = finding(&scene, device, slot) {
        let verdict = judge(&scene, &mut tally, device, slot, finding, None);
        tally.note(&scene, device, slot, verdict);
    }
    let due = tally.due;
    state.look_at(index, due);
}

/// Returns what a fleet rule finds in its zone now; `None` for any other kind.
pub(super) fn finding(scene: &Scene<'_>, device: &mut Device, slot: usize) -> Option<Finding> {
    let rule = rule_of(scene, slot);
    let Test::Fleet(test) = &rule.test else { return None };
    let (devices, registered) = device.fleet.as_mut()?.count(&test.of);
    let found = test.look(devices, registered);
    let breach = found.breach && holds_now(rule, scene.home, scene.rules, scene.at);
    Some(Finding { breach, clear: !breach, ..found })
}
