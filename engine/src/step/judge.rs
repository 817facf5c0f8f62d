//! What a finding does to a rule on a device, and its outside effects: episodes start and end, and notices are sent
//! or held back.

use smol_str::SmolStr;

use crate::{
    compiled::Rule,
    counts::Counts,
    due,
    effect::{AlertState, Effects, Evidence, NoticeKind, ResolveReason},
    episode::{self, Scene},
    machine::{self, Moved},
    rule::Finding,
    state::{Device, Firing, Flaps, Instance, Notice, Phase},
    units::{Millis, Timestamp},
    value::Value,
    verdict::{self, Judgement, Standing, Verdict, Why, WhyNot},
};

/// Number of transitions for which room is reserved once a batch has one.
const TRANSITIONS_USUAL: usize = 32;

/// Collects the outcome of a record.
pub(super) struct Tally<'a> {
    pub(super) effects: &'a mut Effects,
    pub(super) counts: &'a mut Counts,
    trace: Option<&'a mut Vec<Judgement>>,
    /// Number of transitions before this record.
    before: usize,
    /// The record's sequence number as its rows hold it, once there is one.
    sequence: Option<SmolStr>,
    /// The earliest moment at which time alone changes something about the device.
    pub(super) due: Option<Timestamp>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(
        effects: &'a mut Effects,
        counts: &'a mut Counts,
        trace: Option<&'a mut Vec<Judgement>>,
        before: usize,
    ) -> Self {
        Self { effects, counts, trace, before, sequence: None, due: None }
    }

    /// Whether decisions are traced: then every rule records a verdict, and not only those that a sample can change.
    pub(super) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Reserves room for several transitions: a batch with one transition usually has a few.
    fn make_room(&mut self) {
        let Effects { alerts, notifications, .. } = &mut *self.effects;
        if alerts.capacity() == 0 {
            alerts.reserve(TRANSITIONS_USUAL);
            notifications.reserve(TRANSITIONS_USUAL);
        }
    }

    /// Returns the place of the next transition in the stream: its record, and its index among those of the record.
    fn place(&mut self, scene: &Scene<'_>) -> (SmolStr, u32) {
        let sequence = self.sequence.get_or_insert_with(|| scene.sequence.padded()).clone();
        (sequence, (self.effects.alerts.len() - self.before) as u32)
    }

    /// Returns the place of the transition that a notice reports: the last one, if this record has made any.
    fn last_place(&mut self, scene: &Scene<'_>) -> (SmolStr, u32) {
        let (sequence, next) = self.place(scene);
        (sequence, next.saturating_sub(1))
    }

    /// Schedules a check: something about the device changes at this moment unless a record arrives before.
    pub(super) fn look_at(&mut self, due: Option<Timestamp>) {
        self.due = match (self.due, due) {
            (Some(known), Some(due)) => Some(known.min(due)),
            (known, due) => known.or(due),
        };
    }

    /// Records a verdict for the trace, if there is one.
    pub(super) fn note(&mut self, scene: &Scene<'_>, device: &Device, slot: usize, verdict: Verdict) {
        let Some(trace) = &mut self.trace else { return };
        let device_type = scene.rules.device_type(scene.home);
        let rule = &device_type.rules[scene.rules.plan(scene.home).rules[slot] as usize];
        trace.push(Judgement {
            device: device.registration.id.clone(),
            rule: rule.id.clone(),
            metric: device_type.metric(rule).map(|metric| metric.id.clone()),
            at: scene.at,
            by_timer: scene.is_timer(),
            standing: Standing::of(&device.instances[slot]),
            verdict,
        });
    }
}

/// Returns the rule of a device's slot.
pub(super) fn rule_of<'a>(scene: &Scene<'a>, slot: usize) -> &'a Rule {
    let rules = scene.rules;
    &rules.device_type(scene.home).rules[rules.plan(scene.home).rules[slot] as usize]
}

/// Moves a rule on a device by what its condition found.
pub(super) fn judge(
    scene: &Scene<'_>,
    tally: &mut Tally<'_>,
    device: &mut Device,
    slot: usize,
    finding: Finding,
    gap: Option<Millis>,
) -> Verdict {
    let rule = rule_of(scene, slot);
    let moved = machine::advance(rule, &mut device.instances[slot], &finding, scene.at, scene.ingested_at, gap);
    let verdict = follow(scene, tally, device, slot, rule, moved, finding);
    let due = due::of_slot(scene.rules, scene.home, device, slot, scene.ingested_at);
    tally.look_at(due.map(|(due, _)| due));
    verdict
}

/// Ends an episode that has been quiet for long enough. Time has passed without a sample, so none is counted.
pub(super) fn resolve(
    scene: &Scene<'_>,
    tally: &mut Tally<'_>,
    device: &mut Device,
    slot: usize,
    value: Value,
) -> Verdict {
    let rule = rule_of(scene, slot);
    let verdict = follow(scene, tally, device, slot, rule, Moved::Resolved, Finding::new(false, true, value));
    let due = due::of_slot(scene.rules, scene.home, device, slot, scene.ingested_at);
    tally.look_at(due.map(|(due, _)| due));
    verdict
}

fn follow(
    scene: &Scene<'_>,
    tally: &mut Tally<'_>,
    device: &mut Device,
    slot: usize,
    rule: &Rule,
    moved: Moved,
    finding: Finding,
) -> Verdict {
    let instance = &mut device.instances[slot];
    match moved {
        Moved::Stayed => match &mut instance.phase {
            Phase::Inactive => Verdict::Hold(WhyNot::Inactive),
            Phase::Pending { since } => Verdict::Hold(WhyNot::Pending { until: since.after(rule.duration.length()) }),
            Phase::Firing(firing) => {
                firing.explain(finding.value, finding.evidence);
                tell(scene, tally, device, slot, rule)
            }
        },
        Moved::Fired { since } => {
            let firing = Firing {
                episode: scene.episode(&rule.id, &device.registration.id),
                since,
                quiet_since: None,
                value: finding.value,
                evidence: finding.evidence,
                notice: Notice::Owed { counted: false },
                repeats: 0,
            };
            tally.counts.fired += 1;
            let place = tally.place(scene);
            let alert = episode::alert(scene, place, device, rule, &firing, AlertState::Firing);
            tally.make_room();
            tally.effects.alerts.push(alert);
            let instance = &mut device.instances[slot];
            instance.phase = Phase::Firing(Box::new(firing));
            // A firing without a notice does not count towards flapping.
            let muted = rule.muted_until.is_some_and(|until| scene.now < until);
            let heard = !(rule.shadow || muted || verdict::is_too_late(scene));
            let verdict = if heard && fired(instance, rule, scene.ingested_at) {
                tell_flapping(scene, tally, device, slot, rule)
            } else {
                tell(scene, tally, device, slot, rule)
            };
            match verdict {
                Verdict::Hold(WhyNot::TooLate { .. }) => tally.counts.too_late += 1,
                Verdict::Hold(WhyNot::Shadow) => tally.counts.shadowed += 1,
                Verdict::Send(_) | Verdict::Hold(_) => {}
            }
            verdict
        }
        Moved::Resolved => {
            let mut over = Instance { phase: std::mem::take(&mut instance.phase), ..Instance::BEGINNING };
            if let Phase::Firing(firing) = &mut over.phase {
                firing.explain(finding.value, finding.evidence.filter(|_| !mutant!(ExplanationLeftBehind)));
            }
            let told = tally.effects.notifications.len();
            end(scene, tally, device, rule, over, ResolveReason::Cleared);
            if tally.effects.notifications.len() > told {
                Verdict::Send(Why::Resolved)
            } else {
                Verdict::Hold(WhyNot::NeverSent)
            }
        }
    }
}

/// Ends an episode, and notifies those who were notified of it.
pub(super) fn end(
    scene: &Scene<'_>,
    tally: &mut Tally<'_>,
    device: &Device,
    rule: &Rule,
    over: Instance,
    reason: ResolveReason,
) {
    let Phase::Firing(firing) = over.phase else { return };
    let alert = episode::alert(scene, tally.place(scene), device, rule, &firing, AlertState::Resolved { reason });
    tally.counts.resolved += 1;
    if firing.notice == Notice::Given {
        tally.counts.notifications += 1;
        tally.effects.notifications.push(episode::notification(alert.clone(), rule, NoticeKind::Resolved, 0, 0));
    }
    tally.effects.alerts.push(alert);
}

/// Counts a firing. Returns `true` if the rule has just started to flap.
fn fired(instance: &mut Instance, rule: &Rule, at: Timestamp) -> bool {
    let Some(limit) = rule.flap_limit else { return false };
    let flaps = instance.flaps.get_or_insert_default();
    flaps.settle(limit.per_ms, at);
    flaps.recent.retain(|firing| at.since(*firing) < limit.per_ms);
    flaps.recent.push(at);
    let most = limit.firings as usize + 1;
    if flaps.recent.len() < most {
        return false;
    }
    flaps.recent.drain(..flaps.recent.len() - most);
    !std::mem::replace(&mut flaps.flapping, true)
}

impl Firing {
    /// Takes a newer value and its evidence. A value without evidence keeps the previous one: that of what it has
    /// ended, or of the last score before a detector learned from scratch.
    fn explain(&mut self, value: Value, evidence: Option<Evidence>) {
        self.value = value;
        if evidence.is_some() {
            self.evidence = evidence;
        }
    }
}

impl Flaps {
    /// Returns when a flapping rule is stable again: when it has not fired for the whole time of the limit.
    pub(crate) fn stable_at(&self, per: Millis) -> Option<Timestamp> {
        self.recent.last().filter(|_| self.flapping).map(|last| last.after(per))
    }

    fn settle(&mut self, per: Millis, now: Timestamp) {
        if self.stable_at(per).is_some_and(|stable| now >= stable) {
            *self = Self::default();
        }
    }
}

/// Sends a single notice that a rule flaps. The firing itself is held back with the others.
fn tell_flapping(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device, slot: usize, rule: &Rule) -> Verdict {
    let Phase::Firing(firing) = &mut device.instances[slot].phase else { return Verdict::Hold(WhyNot::Inactive) };
    firing.notice = Notice::Owed { counted: true };
    let firing = firing.clone();
    let alert = episode::alert(scene, tally.last_place(scene), device, rule, &firing, AlertState::Firing);
    let instance = &mut device.instances[slot];
    instance.noticed_at = Some(scene.ingested_at);
    instance.suppressed = instance.suppressed.saturating_add(1);
    tally.counts.notifications += 1;
    tally.effects.notifications.push(episode::notification(alert, rule, NoticeKind::Flapping, 0, instance.suppressed));
    Verdict::Send(Why::Flapping)
}

/// Decides whether a notice of a running episode is sent now, and sends it.
pub(super) fn tell(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device, slot: usize, rule: &Rule) -> Verdict {
    let Instance { phase, noticed_at, suppressed, flaps, .. } = &mut device.instances[slot];
    let Phase::Firing(firing) = phase else { return Verdict::Hold(WhyNot::Inactive) };
    let stable_at = rule.flap_limit.zip(flaps.as_mut()).and_then(|(limit, flaps)| {
        flaps.settle(limit.per_ms, scene.ingested_at);
        flaps.stable_at(limit.per_ms)
    });
    let verdict = verdict::on_firing(scene, rule, firing, *noticed_at, stable_at, *suppressed);
    match verdict {
        Verdict::Send(_) => {
            let kind = if firing.notice == Notice::Given {
                firing.repeats += 1;
                NoticeKind::Repeat
            } else {
                NoticeKind::Firing
            };
            firing.notice = Notice::Given;
            *noticed_at = Some(if mutant!(CooldownByDeviceTime) { scene.at } else { scene.ingested_at });
            let held_back = std::mem::take(suppressed);
            tally.counts.notifications += 1;
            if let Phase::Firing(firing) = &device.instances[slot].phase {
                let alert = episode::alert(scene, tally.last_place(scene), device, rule, firing, AlertState::Firing);
                let notice = episode::notification(alert, rule, kind, firing.repeats, held_back);
                tally.effects.notifications.push(notice);
            }
        }
        Verdict::Hold(WhyNot::CoolingDown { .. } | WhyNot::Flapping { .. } | WhyNot::Muted { .. })
            if firing.notice == Notice::Owed { counted: false } =>
        {
            firing.notice = Notice::Owed { counted: true };
            *suppressed = suppressed.saturating_add(1);
            tally.counts.cooled_down += 1;
        }
        Verdict::Hold(_) => {}
    }
    verdict
}
