//! Takes one record through the engine: rules, state and a record go in, new state and effects come out. No clock, no
//! randomness, no I/O: repeating a step gives the same result.

mod alarm;
mod composite;
mod fleet;
mod judge;
mod overrides;
mod presence;
mod registration;
mod telemetry;
mod timers;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use smol_str::{SmolStr, format_smolstr};

use crate::{
    base64::Buffer,
    compiled::{Compiled, Home},
    counts::Counts,
    drive::StreamRecord,
    effect::{Effects, QUARANTINE_BYTES_MAX, Quarantined, ResolveReason},
    episode::{Cause, Scene},
    position::{Position, SequenceNumber},
    reason::{Reason, Refusal},
    record::{self, Record},
    rehome,
    sample::Samples,
    state::{RuleSetRef, ShardState},
    units::Timestamp,
    verdict::Judgement,
};
use judge::{Tally, end};

/// What a run of records collects, and its working buffers.
#[derive(Debug)]
pub struct Run {
    shard: SmolStr,
    generation: u32,
    /// The effects that the records request.
    pub effects: Effects,
    /// Counts of what was seen.
    pub counts: Counts,
    /// The verdict of every rule on every sample, to explain decisions. `None` collects nothing.
    pub trace: Option<Vec<Judgement>>,
    samples: Samples,
    payload: Buffer,
    /// Slots of the rules that a sample meets.
    met: Vec<u32>,
}

/// The outcome of a step.
#[derive(Clone, Debug)]
pub enum Stepped {
    /// The record is part of the state.
    Done,
    /// The record is part of the state, and the overrides in force have changed: these are the rules from here on.
    Overridden(Arc<Compiled>),
    /// The record names a newer rule set, which must be loaded first: then call [`adopt`] or [`ignore_rule_set`].
    /// Nothing has changed so far.
    NeedsRuleSet {
        /// The set's version; a higher one is newer.
        version: u64,
        /// SHA-256 of the set's artifact, in hexadecimal.
        sha256: SmolStr,
    },
}

impl Run {
    /// Creates a run over records of one shard, in this generation of the stream.
    pub fn new(shard: &str, generation: u32) -> Self {
        Self {
            shard: SmolStr::new(shard),
            generation,
            effects: Effects::default(),
            counts: Counts::default(),
            trace: None,
            samples: Samples::default(),
            payload: Buffer::default(),
            met: Vec::new(),
        }
    }
}

/// Takes one record. A record that the state has already applied is skipped.
pub fn step(rules: &Arc<Compiled>, state: &mut ShardState, record: &StreamRecord<'_>, run: &mut Run) -> Stepped {
    if state.head.position.covers(&record.sequence) && !mutant!(PositionNotChecked) {
        run.counts.skipped += 1;
        return Stepped::Done;
    }
    let mut payload = std::mem::take(&mut run.payload);
    let stepped = match record::read(record, &mut payload) {
        (ingested_at, Ok(Record::Redriven { original })) => {
            let original = StreamRecord { data: &original, arrived_at: ingested_at, ..*record };
            let (ingested_at, read) = record::read(&original, &mut payload);
            let read = read.and_then(may_come_again);
            take(rules, state, &original, (ingested_at, read), Coming::Again, &payload, run)
        }
        read => take(rules, state, record, read, Coming::First, &payload, run),
    };
    run.payload = payload;
    stepped
}

/// Whether a record arrives for the first time or again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    First,
    Again,
}

/// Refuses redriven records that the platform itself puts on the stream, since their sender sends them again. The
/// exception is what devices report to fleets: it is sent only once, and is either older than what is known or not.
pub(crate) fn may_come_again(record: Record<'_>) -> Result<Record<'_>, Refusal> {
    match record {
        Record::Telemetry { .. }
        | Record::Status { .. }
        | Record::Alarm { .. }
        | Record::Lifecycle(_)
        | Record::Device(_)
        | Record::Member(_) => Ok(record),
        Record::Tick | Record::Rules { .. } | Record::Override { .. } | Record::Redriven { .. } => {
            Err(does_not_come_again())
        }
    }
}

fn does_not_come_again() -> Refusal {
    Refusal::new(Reason::BadEnvelope, "a record of this kind is not put again")
}

fn take(
    rules: &Arc<Compiled>,
    state: &mut ShardState,
    record: &StreamRecord<'_>,
    (ingested_at, read): (Timestamp, Result<Record<'_>, Refusal>),
    coming: Coming,
    payload: &Buffer,
    run: &mut Run,
) -> Stepped {
    if coming == Coming::First
        && let Some((version, sha256)) = read.as_ref().ok().and_then(Record::rule_set)
        && (version > state.head.rule_set.version
            // With what devices report to fleets, the bug would have shards pull each other back and forth without
            // end.
            || (matches!(read, Ok(Record::Rules { .. })) && mutant!(OlderRuleSetAdopted)))
    {
        return Stepped::NeedsRuleSet { version, sha256: sha256.clone() };
    }
    let mut moment = Moment::of(record, ingested_at, state, run);
    let ended = if mutant!(TimersAfterRecord) { None } else { overrides::time_passes(rules, state, &moment, run) };
    let rules = ended.as_ref().unwrap_or(rules);
    let mut changed = None;
    if coming == Coming::Again {
        run.counts.redriven += 1;
        if !mutant!(RedrivenIsNews) {
            moment.known_at = moment.now;
        }
    }
    let taken = match read {
        Ok(Record::Telemetry { device, payload: place }) => {
            telemetry::take(rules, state, &device, place.bytes(payload.bytes()), &moment, run)
        }
        Ok(Record::Status { device, payload: place }) => {
            presence::status(rules, state, &device, place.bytes(payload.bytes()), &moment, run)
        }
        Ok(Record::Alarm { device, payload: place }) => {
            alarm::take(rules, state, &device, place.bytes(payload.bytes()), &moment, run)
        }
        Ok(Record::Lifecycle(lifecycle)) => {
            presence::lifecycle(rules, state, &lifecycle, &moment, run);
            Ok(())
        }
        Ok(Record::Tick) => {
            run.counts.ticks += 1;
            Ok(())
        }
        Ok(Record::Device(registration)) => {
            registration::take(rules, state, registration, &moment, run);
            Ok(())
        }
        Ok(Record::Rules { .. }) => {
            run.counts.stale_rule_sets += 1;
            Ok(())
        }
        Ok(Record::Override { rule, row }) => {
            changed = overrides::take(rules, state, (&rule, &*row), &moment, run);
            Ok(())
        }
        Ok(Record::Member(member)) => {
            fleet::take(rules, state, &member, &moment, run);
            Ok(())
        }
        Ok(Record::Redriven { .. }) => Err(does_not_come_again()),
        Err(refusal) => Err(refusal),
    };
    if mutant!(TimersAfterRecord) {
        let rules = changed.as_ref().unwrap_or(rules);
        changed = overrides::time_passes(rules, state, &moment, run).or(changed);
    }
    if let Err(refusal) = taken {
        quarantine(record, ingested_at, refusal, run);
    }
    if coming == Coming::First {
        run.counts.newest_ingest = run.counts.newest_ingest.max(Some(ingested_at));
    }
    pass(state, record, ingested_at, run);
    changed.or(ended).map_or(Stepped::Done, Stepped::Overridden)
}

/// The record at which everything in a step happens.
struct Moment<'a> {
    generation: u32,
    sequence: &'a SequenceNumber,
    /// Cause of its transitions, apart from those of samples.
    cause: Cause,
    ingested_at: Timestamp,
    /// When the platform could act on the record: at its ingest, or now if it is redriven. Other rules that react to
    /// it are also evaluated as of now.
    known_at: Timestamp,
    /// The shard's time, the record included.
    now: Timestamp,
    /// Number of transitions before it.
    before: usize,
}

impl<'a> Moment<'a> {
    fn of(record: &'a StreamRecord<'_>, ingested_at: Timestamp, state: &ShardState, run: &Run) -> Self {
        let before = run.effects.alerts.len();
        let generation = run.generation;
        let cause = Cause::Sample(0);
        let now = state.head.shard_time.max(ingested_at);
        Self { generation, sequence: &record.sequence, cause, ingested_at, known_at: ingested_at, now, before }
    }

    /// The moment at which a child starts; everything that happens there is one run.
    fn of_birth(first: &'a SequenceNumber, at: Timestamp, run: &Run) -> Self {
        let (generation, cause) = (run.generation, Cause::Sample(0));
        Self { generation, sequence: first, cause, ingested_at: at, known_at: at, now: at, before: 0 }
    }

    /// Creates a scene at the record itself, by its ingest time.
    fn scene(&self, rules: &'a Compiled, home: Home, shard: &'a str) -> Scene<'a> {
        Scene {
            rules,
            home,
            generation: self.generation,
            shard,
            sequence: self.sequence,
            cause: self.cause,
            at: self.ingested_at,
            ingested_at: self.ingested_at,
            known_at: self.known_at,
            now: self.now,
        }
    }
}

/// Takes a record whose set was loaded: `new`, under the shard's overrides, is in force from here on, also for what a
/// `member` record reports. Returns the rules in force.
pub fn adopt(
    old: &Arc<Compiled>,
    new: &Arc<Compiled>,
    version: u64,
    state: &mut ShardState,
    record: &StreamRecord<'_>,
    run: &mut Run,
) -> Arc<Compiled> {
    let (ingested_at, read) = record::read(record, &mut run.payload);
    let moment = Moment::of(record, ingested_at, state, run);
    let in_force = overrides::time_passes(old, state, &moment, run);
    let old = in_force.as_ref().unwrap_or(old);
    let new = new.under(&state.head.overrides);
    state.head.rule_set = RuleSetRef { version, sha256: new.sha256.clone() };
    move_over(old, &new, Change::RuleSet, state, &moment, run);
    run.counts.rule_sets += 1;
    run.counts.newest_ingest = run.counts.newest_ingest.max(Some(ingested_at));
    if let Ok(Record::Member(member)) = read {
        fleet::take(&new, state, &member, &moment, run);
    }
    pass(state, record, ingested_at, run);
    new
}

/// Why other rules are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Another rule set was adopted.
    RuleSet,
    /// Operators have set an override, or one has ended.
    Overrides,
}

/// Moves every device to other rules; episodes that cannot be carried over end here.
fn move_over(old: &Compiled, new: &Compiled, why: Change, state: &mut ShardState, moment: &Moment<'_>, run: &mut Run) {
    if old.is_same_as(new) {
        return;
    }
    let Run { shard, effects, counts, .. } = run;
    let mut tally = Tally::new(effects, counts, None, moment.before);
    rehome::rehome_all(old, new, state, &mut |device, home, rule, instance, reason| {
        let reason = match why {
            Change::RuleSet => reason,
            Change::Overrides => ResolveReason::Overridden,
        };
        end(&moment.scene(old, home, shard), &mut tally, device, rule, instance, reason);
    });
    // A `member` record that brings the set may come from a shard that lags behind: what holds now is evaluated as of
    // now.
    let now = Moment { known_at: moment.now, ..*moment };
    for index in 0..state.devices.len() as u32 {
        composite::settle(new, state, index, &now, run);
    }
    fleet::adopted(new, state, moment, run);
}

/// Lets time pass in the state that a child takes from one of its parents, up to the child's start. Returns the rules
/// that are then in force, if they have changed.
pub(crate) fn catch_up(
    rules: &Arc<Compiled>,
    state: &mut ShardState,
    (first, at): (&SequenceNumber, Timestamp),
    run: &mut Run,
) -> Option<Arc<Compiled>> {
    overrides::time_passes(rules, state, &Moment::of_birth(first, at, run), run)
}

/// Moves what a child takes from one of its parents to the rules that the child starts with, at its start.
pub(crate) fn hand_over(
    old: &Compiled,
    (new, version): (&Compiled, u64),
    state: &mut ShardState,
    (first, at): (&SequenceNumber, Timestamp),
    run: &mut Run,
) {
    state.head.rule_set = RuleSetRef { version, sha256: new.sha256.clone() };
    state.head.overrides = new.overrides.clone();
    move_over(old, new, Change::RuleSet, state, &Moment::of_birth(first, at, run), run);
}

/// Passes a record without evaluating it: its bytes are quarantined and nothing else changes, not even the shard's
/// time, since reading the record may be what failed.
pub(crate) fn set_aside(state: &mut ShardState, record: &StreamRecord<'_>, refusal: Refusal, run: &mut Run) {
    quarantine(record, record.arrived_at, refusal, run);
    state.head.position = Position::After(record.sequence);
    run.counts.records += 1;
}

/// Takes a record whose set cannot be used: the shard stays with its current set. What a `member` record reports is
/// kept for a set that knows its rule. Returns the rules in force.
pub fn ignore_rule_set(
    rules: &Arc<Compiled>,
    state: &mut ShardState,
    record: &StreamRecord<'_>,
    run: &mut Run,
) -> Arc<Compiled> {
    let (ingested_at, read) = record::read(record, &mut run.payload);
    let moment = Moment::of(record, ingested_at, state, run);
    let rules = overrides::time_passes(rules, state, &moment, run).unwrap_or_else(|| rules.clone());
    run.counts.unusable_rule_sets += 1;
    run.counts.newest_ingest = run.counts.newest_ingest.max(Some(ingested_at));
    if let Ok(Record::Member(member)) = read {
        fleet::take(&rules, state, &member, &moment, run);
    }
    pass(state, record, ingested_at, run);
    rules
}

/// Makes the record part of the state.
fn pass(state: &mut ShardState, record: &StreamRecord<'_>, ingested_at: Timestamp, run: &mut Run) {
    state.head.position = Position::After(record.sequence);
    state.head.shard_time = state.head.shard_time.max(ingested_at);
    run.counts.records += 1;
}

pub(crate) fn quarantine(record: &StreamRecord<'_>, ingested_at: Timestamp, refusal: Refusal, run: &mut Run) {
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
        partition_key: SmolStr::new(record.partition_key),
        ingested_at,
        data: STANDARD.encode(&record.data[..kept]),
    });
}
