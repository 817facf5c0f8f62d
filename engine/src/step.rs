//! One record through the engine: rules, state and a record go in, new state and effects come out. No clock, no
//! randomness, no I/O: whoever repeats it gets the same.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use smol_str::{SmolStr, format_smolstr};

use crate::{
    compiled::{Compiled, Rule},
    counts::Counts,
    drive::StreamRecord,
    effect::{AlertState, Effects, NoticeKind, QUARANTINE_BYTES_MAX, Quarantined, ResolveReason},
    episode::{self, Scene},
    machine::{self, Moved},
    position::{Position, SequenceNumber},
    reason::{Reason, Refusal},
    record::{self, Payload, Record},
    rehome,
    rule::{Finding, Seen},
    sample::Samples,
    state::{Device, Firing, Instance, Notice, Phase, Registration, RuleSetRef, ShardState},
    units::Timestamp,
    value::Value,
    verdict::{self, Judgement, Standing, Verdict, Why, WhyNot},
};

/// What a run of records collects, and the buffers it works in.
#[derive(Debug)]
pub struct Run {
    shard: SmolStr,
    /// What the world is asked to do.
    pub effects: Effects,
    /// What was seen.
    pub counts: Counts,
    /// Every answer to every sample, for those who ask why; `None` does not collect any.
    pub trace: Option<Vec<Judgement>>,
    samples: Samples,
    payload: Vec<u8>,
}

/// How a record was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// It is part of the state.
    Done,
    /// It names a newer rule set, which must be loaded first: then [`adopt`] or [`ignore_rule_set`]. Nothing has
    /// changed so far.
    NeedsRuleSet {
        /// The set's version.
        version: u64,
        /// Its address.
        sha256: SmolStr,
    },
}

impl Run {
    /// A run over records of a shard.
    pub fn new(shard: &str) -> Self {
        Self {
            shard: SmolStr::new(shard),
            effects: Effects::default(),
            counts: Counts::default(),
            trace: None,
            samples: Samples::default(),
            payload: Vec::new(),
        }
    }
}

/// Takes one record. A record that the state has applied before is skipped.
pub fn step(rules: &Compiled, state: &mut ShardState, record: &StreamRecord<'_>, run: &mut Run) -> Stepped {
    if state.head.position.covers(&record.sequence) && !mutant!(PositionNotChecked) {
        run.counts.skipped += 1;
        return Stepped::Done;
    }
    let mut payload = std::mem::take(&mut run.payload);
    let (ingested_at, read) = record::read(record, &mut payload);
    let taken = match read {
        Ok(Record::Telemetry { device, payload: bytes }) => {
            let bytes = match bytes {
                Payload::Plain(bytes) => bytes,
                Payload::Decoded => &payload,
            };
            telemetry(rules, state, &device, bytes, &record.sequence, ingested_at, run)
        }
        Ok(Record::Unread) => {
            run.counts.unread += 1;
            Ok(())
        }
        Ok(Record::Device(registration)) => {
            register(rules, state, registration, &record.sequence, ingested_at, run);
            Ok(())
        }
        Ok(Record::Rules { version, sha256 }) => {
            if version > state.head.rule_set.version || mutant!(OlderRuleSetAdopted) {
                run.payload = payload;
                return Stepped::NeedsRuleSet { version, sha256 };
            }
            run.counts.stale_rule_sets += 1;
            Ok(())
        }
        Err(refusal) => Err(refusal),
    };
    run.payload = payload;
    if let Err(refusal) = taken {
        quarantine(record, ingested_at, refusal, run);
    }
    pass(state, record, ingested_at, run);
    Stepped::Done
}

/// Takes a `rules` record whose set was loaded: `new` is in force from the next record on.
pub fn adopt(
    old: &Compiled,
    new: &Compiled,
    version: u64,
    state: &mut ShardState,
    record: &StreamRecord<'_>,
    run: &mut Run,
) {
    let (ingested_at, _) = record::read(record, &mut run.payload);
    if old.sha256 != new.sha256 {
        let Run { shard, effects, counts, .. } = run;
        let first = effects.alerts.len();
        let mut tally = Tally { effects, counts, trace: None, before: first };
        let sequence = &record.sequence;
        rehome::rehome_all(old, new, state, &mut |device, home, rule, instance, reason| {
            let scene = Scene { rules: old, home, shard, sequence, sample: 0, at: ingested_at, ingested_at };
            end(&scene, &mut tally, device, rule, instance, reason);
        });
    }
    state.head.rule_set = RuleSetRef { version, sha256: new.sha256.clone() };
    run.counts.rule_sets += 1;
    pass(state, record, ingested_at, run);
}

/// Takes a `rules` record whose set cannot be used: the shard stays with the one it has.
pub fn ignore_rule_set(state: &mut ShardState, record: &StreamRecord<'_>, run: &mut Run) {
    let (ingested_at, _) = record::read(record, &mut run.payload);
    run.counts.unusable_rule_sets += 1;
    pass(state, record, ingested_at, run);
}

/// The record is part of the state from here on.
fn pass(state: &mut ShardState, record: &StreamRecord<'_>, ingested_at: Timestamp, run: &mut Run) {
    state.head.position = Position::After(record.sequence);
    state.head.shard_time = state.head.shard_time.max(ingested_at);
    run.counts.records += 1;
    run.counts.newest_ingest = run.counts.newest_ingest.max(Some(ingested_at));
}

fn quarantine(record: &StreamRecord<'_>, ingested_at: Timestamp, refusal: Refusal, run: &mut Run) {
    *run.counts.quarantined.entry(refusal.reason).or_default() += 1;
    let kept = record.data.len().min(QUARANTINE_BYTES_MAX);
    let detail = if kept < record.data.len() {
        format_smolstr!("{} (the first {kept} of {} bytes are kept)", refusal.detail, record.data.len())
    } else {
        refusal.detail
    };
    run.effects.quarantined.push(Quarantined {
        reason: refusal.reason.into(),
        detail,
        shard: run.shard.clone(),
        sequence: record.sequence.padded(),
        ingested_at,
        data: STANDARD.encode(&record.data[..kept]),
    });
}

fn register(
    rules: &Compiled,
    state: &mut ShardState,
    registration: Registration,
    sequence: &SequenceNumber,
    ingested_at: Timestamp,
    run: &mut Run,
) {
    let known = state.find(registration.id.as_str());
    let before = known.map(|index| &state.devices[index as usize]);
    let is_stale = before.is_some_and(|before| registration.revision <= before.registration.revision);
    if is_stale && !mutant!(OlderRegistrationApplied) {
        run.counts.stale_registrations += 1;
        return;
    }
    let registration = registration.into();
    let device = match before {
        None => Device::new(registration, rules),
        Some(before) => {
            let Run { shard, effects, counts, .. } = run;
            let first = effects.alerts.len();
            let mut tally = Tally { effects, counts, trace: None, before: first };
            rehome::rehome(rules, rules, before, registration, &mut |device, home, rule, instance, reason| {
                let scene = Scene { rules, home, shard, sequence, sample: 0, at: ingested_at, ingested_at };
                end(&scene, &mut tally, device, rule, instance, reason);
            })
        }
    };
    state.put(device);
    run.counts.registrations += 1;
}

/// Where the outcome of a sample goes.
struct Tally<'a> {
    effects: &'a mut Effects,
    counts: &'a mut Counts,
    trace: Option<&'a mut Vec<Judgement>>,
    /// How many transitions there were before this record.
    before: usize,
}

impl Tally<'_> {
    /// The place of the next transition among those of its record.
    fn ordinal(&self) -> u32 {
        (self.effects.alerts.len() - self.before) as u32
    }
}

/// Ends an episode, and says so to those who were told of it.
fn end(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &Device, rule: &Rule, over: Instance, reason: ResolveReason) {
    let Phase::Firing(firing) = over.phase else { return };
    let alert = episode::alert(scene, tally.ordinal(), device, rule, &firing, AlertState::Resolved { reason });
    tally.counts.resolved += 1;
    if firing.notice == Notice::Given {
        tally.counts.notifications += 1;
        tally.effects.notifications.push(episode::notification(alert.clone(), NoticeKind::Resolved, 0, 0));
    }
    tally.effects.alerts.push(alert);
}

fn telemetry(
    rules: &Compiled,
    state: &mut ShardState,
    device: &str,
    bytes: &[u8],
    sequence: &SequenceNumber,
    ingested_at: Timestamp,
    run: &mut Run,
) -> Result<(), Refusal> {
    let Some(index) = state.find(device) else {
        return Err(Refusal::new(Reason::UnknownDevice, "the device was never registered"));
    };
    let known = &state.devices[index as usize];
    let Some(home) = known.home else { return Err(homeless(rules, &known.registration)) };
    run.samples.read(bytes, rules, home, &known.registration.id, ingested_at)?;

    let Run { shard, effects, counts, trace, samples, .. } = run;
    counts.unknown_readings += samples.unknown_readings;
    counts.untimed += samples.untimed;
    counts.future += samples.future;
    counts.too_old += samples.too_old;
    if samples.values.is_empty() {
        counts.heartbeats += 1;
    }
    let device = state.touch(index);
    device.last_ingest = device.last_ingest.max(Some(ingested_at));
    let before = effects.alerts.len();
    let mut tally = Tally { effects, counts, trace: trace.as_mut(), before };
    for (number, sample) in (0..).zip(&samples.samples) {
        let scene = Scene { rules, home, shard, sequence, sample: number, at: sample.at, ingested_at };
        tally.counts.samples += 1;
        tally.counts.event_lag_ms_max = tally.counts.event_lag_ms_max.max(scene.delay().0);
        for (metric, value) in &samples.values[sample.values.clone()] {
            evaluate(&scene, &mut tally, device, *metric, *value);
        }
    }
    Ok(())
}

fn homeless(rules: &Compiled, registration: &Registration) -> Refusal {
    if registration.retired {
        Refusal::new(Reason::RetiredDevice, "the device was retired")
    } else if rules.type_of(&registration.device_type).is_none() {
        Refusal::new(Reason::UnknownType, format_smolstr!("device type `{}`", registration.device_type))
    } else {
        Refusal::new(Reason::UnknownZone, format_smolstr!("zone `{}`", registration.zone))
    }
}

/// One value of one metric: every rule that reads it moves.
fn evaluate(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device, metric: u16, value: Value) {
    let state = &mut device.metrics[usize::from(metric)];
    if state.newest.is_some_and(|newest| scene.at < newest || (scene.at == newest && !mutant!(DuplicateEvaluated))) {
        tally.counts.late += 1;
        return;
    }
    let previous = state.value.zip(state.newest);
    let gap = state.newest.map(|newest| scene.at.since(newest));
    state.newest = Some(scene.at);
    state.value = Some(value);
    state.seen = state.seen.saturating_add(1);
    let seen = state.seen;

    let device_type = scene.rules.device_type(scene.home);
    let plan = scene.rules.plan(scene.home);
    for slot in plan.by_metric[usize::from(metric)].clone() {
        let slot = slot as usize;
        let rule = &device_type.rules[plan.rules[slot] as usize];
        let held = device.instances[slot].held();
        let look = Seen { value, at: scene.at, previous, held, attributes: &device.attributes };
        let verdict = if seen < rule.min_samples {
            Verdict::Hold(WhyNot::TooFewSamples { seen })
        } else if let Some(finding) = rule.test.look(&look, &mut device.instances[slot].memory) {
            let moved = machine::advance(rule, &mut device.instances[slot], &finding, scene.at, gap);
            follow(scene, tally, device, slot, rule, moved, finding)
        } else {
            Verdict::Hold(WhyNot::NothingToCompare)
        };
        if let Some(trace) = &mut tally.trace {
            trace.push(Judgement {
                device: device.registration.id.clone(),
                rule: rule.id.clone(),
                metric: Some(device_type.metrics[usize::from(metric)].id.clone()),
                at: scene.at,
                standing: Standing::of(&device.instances[slot]),
                verdict,
            });
        }
    }
}

/// What a move means to the world.
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
                firing.value = finding.value;
                firing.evidence = finding.evidence;
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
            };
            tally.counts.fired += 1;
            tally.effects.alerts.push(episode::alert(
                scene,
                tally.ordinal(),
                device,
                rule,
                &firing,
                AlertState::Firing,
            ));
            device.instances[slot].phase = Phase::Firing(Box::new(firing));
            let verdict = tell(scene, tally, device, slot, rule);
            match verdict {
                Verdict::Hold(WhyNot::TooLate { .. }) => tally.counts.too_late += 1,
                Verdict::Hold(WhyNot::Shadow) => tally.counts.shadowed += 1,
                Verdict::Send(_) | Verdict::Hold(_) => {}
            }
            verdict
        }
        Moved::Resolved => {
            let mut over = instance.clone();
            instance.phase = Phase::Inactive;
            if let Phase::Firing(firing) = &mut over.phase {
                firing.value = finding.value;
                firing.evidence = finding.evidence;
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

/// Decides whether a running episode is told of now, and tells.
fn tell(scene: &Scene<'_>, tally: &mut Tally<'_>, device: &mut Device, slot: usize, rule: &Rule) -> Verdict {
    let Instance { phase, noticed_at, suppressed, .. } = &mut device.instances[slot];
    let Phase::Firing(firing) = phase else { return Verdict::Hold(WhyNot::Inactive) };
    let verdict = verdict::on_firing(scene, rule, firing, *noticed_at, *suppressed);
    match verdict {
        Verdict::Send(_) => {
            firing.notice = Notice::Given;
            *noticed_at = Some(if mutant!(CooldownByDeviceTime) { scene.at } else { scene.ingested_at });
            let held_back = std::mem::take(suppressed);
            tally.counts.notifications += 1;
            if let Phase::Firing(firing) = &device.instances[slot].phase {
                let alert = episode::alert(scene, tally.ordinal(), device, rule, firing, AlertState::Firing);
                tally.effects.notifications.push(episode::notification(alert, NoticeKind::Firing, 0, held_back));
            }
        }
        Verdict::Hold(WhyNot::CoolingDown { .. }) if firing.notice == Notice::Owed { counted: false } => {
            firing.notice = Notice::Owed { counted: true };
            *suppressed = suppressed.saturating_add(1);
            tally.counts.cooled_down += 1;
        }
        Verdict::Hold(_) => {}
    }
    verdict
}
