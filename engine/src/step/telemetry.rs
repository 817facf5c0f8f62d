//! Handles the readings of a device: evaluates every rule that reads one of them.

use super::{
    Moment, Run, composite, fleet,
    judge::{Tally, judge, rule_of},
    presence, registration,
};
use crate::{
    compiled::{Compiled, Duration, Plan},
    episode::{Cause, Scene},
    reason::Refusal,
    rule::{Finding, Seen},
    state::{Device, ShardState},
    units::{Millis, Timestamp},
    value::Value,
    verdict::{Verdict, WhyNot},
};

/// Takes a message on the channel `telemetry`.
pub(super) fn take(
    rules: &Compiled,
    state: &mut ShardState,
    device: &str,
    bytes: &[u8],
    moment: &Moment<'_>,
    run: &mut Run,
) -> Result<(), Refusal> {
    let (id, index, home) = registration::known(rules, state, device)?;
    let ingested_at = moment.ingested_at;
    run.samples.read(bytes, rules, home, id, ingested_at)?;

    let Run { shard, effects, counts, trace, samples, met, .. } = run;
    counts.unknown_readings += samples.unknown_readings;
    counts.untimed += samples.untimed;
    counts.future += samples.future;
    counts.too_old += samples.too_old;
    if samples.values.is_empty() {
        counts.heartbeats += 1;
    }
    let plan = rules.plan(home);
    let device = state.touch(index);
    let mut tally = Tally::new(effects, counts, trace.as_mut(), moment.before);
    let scene = moment.scene(rules, home, shard);
    if !presence::is_old_message(&scene, device) {
        presence::alive(&scene, &mut tally, device);
    }
    for (number, sample) in (0..).zip(&samples.samples) {
        let scene = Scene { cause: Cause::Sample(number), at: sample.at, ..moment.scene(rules, home, shard) };
        tally.counts.samples += 1;
        tally.counts.event_lag_ms_max = tally.counts.event_lag_ms_max.max(ingested_at.since(sample.at).0);
        let mut are_still = device.instances.are_still() && !tally.is_traced();
        for (metric, value) in &samples.values[sample.values.clone()] {
            if !are_still || !takes_quietly(plan, device, *metric, *value, sample.at) {
                evaluate(&scene, plan, &mut tally, device, *metric, *value, met);
                are_still = are_still && device.instances.are_still();
            }
        }
        composite::evaluate(&scene, &mut tally, device);
    }
    if samples.samples.is_empty() && !mutant!(HeartbeatMovesNoComposite) {
        // The arrival of the message alone may have ended something.
        composite::evaluate(&scene, &mut tally, device);
    }
    let due = tally.due;
    state.look_at(index, due);
    fleet::report(rules, state, index, moment.ingested_at, run);
    Ok(())
}

/// Takes a value that moves no rule, on a device where all of them are at rest, as nearly every one is. Returns
/// `false` to leave the value to [`evaluate`].
#[inline]
fn takes_quietly(plan: &Plan, device: &mut Device, metric: u16, value: Value, at: Timestamp) -> bool {
    let (Value::Number(number), metric) = (value, usize::from(metric)) else { return false };
    let state = &mut device.metrics[metric];
    let passes = plan.quiet[metric].covers(number) && state.is_before(at);
    if passes {
        state.take(at, value);
    }
    passes
}

/// Evaluates one value of one metric: every rule that it can change moves. `met` is a buffer for their slots.
fn evaluate(
    scene: &Scene<'_>,
    plan: &Plan,
    tally: &mut Tally<'_>,
    device: &mut Device,
    metric: u16,
    value: Value,
    met: &mut Vec<u32>,
) {
    let state = &mut device.metrics[usize::from(metric)];
    let newest = state.newest();
    if newest.is_some_and(|newest| scene.at < newest || (scene.at == newest && !mutant!(DuplicateEvaluated))) {
        tally.counts.late += 1;
        return;
    }
    let before = *state;
    state.take(scene.at, value);
    let seen = state.seen();
    let readers = &plan.by_metric[usize::from(metric)];
    if tally.is_traced() {
        met.clear();
        met.extend(readers.slots.clone());
    } else if plan.quiet[usize::from(metric)].covers_value(value) && readers.stand_still(&device.instances) {
        return;
    } else {
        readers.meet(value, &device.instances, met);
    }
    let previous = before.value().zip(newest);
    let gap = newest.map(|newest| scene.at.since(newest));
    for slot in met.iter().map(|slot| *slot as usize) {
        let rule = rule_of(scene, slot);
        let look = Seen { value, at: scene.at, previous, attributes: &device.attributes };
        // A condition with a memory also learns from samples that do not count yet.
        let found = match rule.test.remembers() {
            true => rule.test.look(&look, &mut device.instances[slot].memory),
            false => rule.test.look(&look, &mut None),
        };
        let verdict = if seen < rule.min_samples {
            Verdict::Hold(WhyNot::TooFewSamples { seen })
        } else if let Some(finding) = found {
            if rule.active.as_ref().is_none_or(|active| active.covers(scene.at, scene.rules.timezone(scene.home))) {
                let learned = finding.learned;
                match (judge_sample(scene, tally, device, slot, finding, gap), learned) {
                    (Verdict::Hold(WhyNot::Inactive), Some(samples)) => Verdict::Hold(WhyNot::Learning { samples }),
                    (verdict, _) => verdict,
                }
            } else {
                let quiet = Finding { breach: false, clear: true, ..finding };
                match judge_sample(scene, tally, device, slot, quiet, gap) {
                    Verdict::Hold(WhyNot::Inactive) => Verdict::Hold(WhyNot::OutsideHours),
                    verdict => verdict,
                }
            }
        } else {
            Verdict::Hold(WhyNot::NothingToCompare)
        };
        tally.note(scene, device, slot, verdict);
    }
}

/// Moves a rule, unless it is in its initial state and stays there: then nothing is stored.
fn judge_sample(
    scene: &Scene<'_>,
    tally: &mut Tally<'_>,
    device: &mut Device,
    slot: usize,
    finding: Finding,
    gap: Option<Millis>,
) -> Verdict {
    let stays = !finding.breach
        && !device.instances.keeps(slot)
        && match rule_of(scene, slot).duration {
            Duration::Time { .. } => true,
            Duration::Samples { .. } => finding.clear,
        };
    if stays { Verdict::Hold(WhyNot::Inactive) } else { judge(scene, tally, device, slot, finding, gap) }
}
