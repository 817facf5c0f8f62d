//! Repairs chains that cannot be read. The intact part of a chain is written again under the next repair number, and
//! the missing part is evaluated again from the stream. Nothing is deleted or overwritten, and no function reads the
//! new chain before a deployment names its number.
//!
//! Every shard is written again, intact or not, since the number is shared by all of them.

use std::{collections::BTreeMap, time::Duration};

use smol_str::SmolStr;

use super::{
    Broken, Driver, Failure, Invocation, Next, ReadFrom, RuleSets, Settings, Shards, StateLog, StoredRecord,
    commit::{self, Committed},
    guarded,
    inherit::START_MARK,
    load::{Loaded, unavailable},
    survey::{Found, Sound},
};
use crate::{
    chain::{self, Author, keys::Keys},
    position::{Position, SequenceNumber},
    reason::{Reason, Refusal},
    step::{self, Run, Stepped},
    units::Timestamp,
};

/// Options of a repair.
#[derive(Clone, Copy, Debug)]
pub struct Repair {
    /// The repair number of the new chains: one that no chain has.
    pub number: u32,
    /// Whether to continue if the stream no longer holds every missing record.
    pub accept_loss: bool,
    /// Whether only to report what would be done, and write nothing.
    pub dry_run: bool,
    /// The current time. Records that arrived up to it are evaluated again, and the delta that holds them carries it
    /// as its deadline.
    pub now: Timestamp,
    /// Sixteen random bytes: the writer token of the delta that is evaluated again.
    pub seed: [u8; 16],
}

/// What a repair did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The shard's id, as Kinesis names it: `shardId-...`.
    pub shard: SmolStr,
    /// Objects that could not be read.
    pub broken: Vec<Broken>,
    /// Position of the base that was written again.
    pub base: Position,
    /// Number of deltas that were written again after it.
    pub deltas: usize,
    /// The position that those deltas lead to.
    pub sound: Position,
    /// Number of records that were evaluated again from there.
    pub records: u64,
    /// The position at which the new chain ends.
    pub position: Position,
    /// Whether the chain ends there for good.
    pub sealed: bool,
    /// Whether records may be lost because the stream no longer holds them.
    pub loss: bool,
}

/// Why a chain cannot be repaired.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepairError {
    /// A failure that may pass, or that an operator must act on.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// A newer version wrote the chain.
    #[error("{key} was written by a newer version: repair with that one")]
    Newer {
        /// Key of the object in the state log.
        key: String,
    },
    /// No base can be read.
    #[error("no base of shard {shard} can be read")]
    NoBase {
        /// The shard's id, as Kinesis names it: `shardId-...`.
        shard: SmolStr,
    },
    /// The stream no longer holds every missing record.
    #[error("the stream may no longer hold every record of shard {shard} after {position}")]
    Loss {
        /// The shard's id, as Kinesis names it: `shardId-...`.
        shard: SmolStr,
        /// The last position whose state is known.
        position: Box<Position>,
    },
    /// The key where the new chain would be written is taken.
    #[error("{key} is there already, with other bytes: take another number")]
    Taken {
        /// Key of the object in the state log.
        key: String,
    },
}

/// Returns the lowest repair number above `repair` under which no object lies.
pub async fn next_repair<L: StateLog>(log: &L, generation: u32, repair: u32) -> Result<u32, Failure> {
    let mut number = repair;
    loop {
        number = number.saturating_add(1);
        let mut free = true;
        for kind in ["base", "log", "start"] {
            let prefix = format!("{kind}/{generation}/{number}/");
            free &= log.list(&prefix, None, 1).await.map_err(unavailable("looking for a free number"))?.is_empty();
        }
        if free {
            return Ok(number);
        }
    }
}

/// Writes the chain of one shard again.
pub async fn repair<L: StateLog, R: RuleSets, S: Shards>(
    (log, rule_sets, stream): (&L, &R, &S),
    settings: &Settings,
    shard: &str,
    repair: &Repair,
) -> Result<Repaired, RepairError> {
    let mut driver = Driver::new(settings.clone());
    let mut set_aside = BTreeMap::new();
    loop {
        let Found { sound, broken, last, .. } = driver.find(log, rule_sets, shard).await?;
        if let Some(newer) = broken.iter().find(|broken| broken.newer) {
            return Err(RepairError::Newer { key: newer.key.clone() });
        }
        let Some(mut sound) = sound else { return Err(RepairError::NoBase { shard: shard.into() }) };
        let from = sound.shard.state.position();
        // What lies beyond the last intact link cannot be read, so its records are evaluated again.
        let beyond = !sound.shard.sealed && last.is_some_and(|(last, _)| last >= from);
        let seal_at = if sound.shard.sealed { Some(from) } else { last.filter(|(_, seal)| *seal).map(|(at, _)| at) };
        let mut done = Repaired {
            shard: shard.into(),
            broken,
            base: sound.base.0,
            deltas: sound.links.len() - usize::from(sound.shard.sealed),
            sound: from,
            records: 0,
            position: from,
            sealed: seal_at.is_some(),
            loss: false,
        };
        let mut run = Run::new(shard, settings.generation);
        if beyond {
            if !reaches_back(stream, shard, from).await? {
                if !repair.accept_loss {
                    return Err(RepairError::Loss { shard: shard.into(), position: from.into() });
                }
                done.loss = true;
            }
            let until = seal_at.map_or(Until::Arrived(repair.now), Until::Sealed);
            let replay = Replay { stream, rule_sets, shard, until, set_aside: &set_aside };
            match replay.run(&mut driver, &mut sound, &mut run).await? {
                Replayed::Done(records) => done.records = records,
                Replayed::Panicked(sequence) => {
                    set_aside.insert(sequence, Refusal::new(Reason::Panic, "the engine failed on it"));
                    continue;
                }
            }
            done.position = sound.shard.state.position();
        }
        if !repair.dry_run {
            write(log, settings, shard, repair, &sound, from, &run, done.sealed).await?;
        }
        return Ok(done);
    }
}

/// Whether the stream still holds every record after a position. It does if it holds the record at the position.
async fn reaches_back<S: Shards>(stream: &S, shard: &str, position: Position) -> Result<bool, Failure> {
    let Position::After(sequence) = position else { return Ok(false) };
    let mut from = ReadFrom::At(sequence);
    loop {
        let page = stream.read(shard, &from).await.map_err(unavailable("reading the stream"))?;
        match (page.records.first(), page.next) {
            (Some(first), _) => return Ok(first.sequence == sequence),
            (None, Next::More(token)) => from = ReadFrom::Token(token),
            (None, Next::End | Next::Newest) => return Ok(false),
        }
    }
}

/// Evaluates the records of a shard again, from the end of the intact part.
struct Replay<'a, S, R> {
    stream: &'a S,
    rule_sets: &'a R,
    shard: &'a str,
    until: Until,
    set_aside: &'a BTreeMap<SequenceNumber, Refusal>,
}

/// How far records are evaluated again.
#[derive(Clone, Copy)]
enum Until {
    /// To the position at which the chain was sealed.
    Sealed(Position),
    /// To the last record that had arrived by a moment. Devices keep sending, so the stream may have no end. Later
    /// records come from the event source, which was switched off before that moment.
    Arrived(Timestamp),
}

impl Until {
    fn covers(self, record: &StoredRecord) -> bool {
        match self {
            Self::Sealed(position) => position.covers(&record.sequence),
            Self::Arrived(moment) => record.arrived_at <= moment,
        }
    }
}

enum Replayed {
    Done(u64),
    Panicked(SequenceNumber),
}

impl<S: Shards, R: RuleSets> Replay<'_, S, R> {
    async fn run(&self, driver: &mut Driver, sound: &mut Sound, run: &mut Run) -> Result<Replayed, Failure> {
        let Sound { shard, .. } = sound;
        let mut from = ReadFrom::from(shard.state.position());
        let mut records = 0;
        loop {
            let page = self.stream.read(self.shard, &from).await.map_err(unavailable("reading the stream"))?;
            for record in &page.records {
                if !self.until.covers(record) {
                    return Ok(Replayed::Done(records));
                }
                let record = record.borrowed();
                records += 1;
                if let Some(refusal) = self.set_aside.get(&record.sequence) {
                    step::set_aside(&mut shard.state, &record, refusal.clone(), run);
                    continue;
                }
                let step = driver.step;
                let Some(stepped) = guarded(|| step(&shard.rules, &mut shard.state, &record, run)) else {
                    return Ok(Replayed::Panicked(record.sequence));
                };
                let (version, sha256) = match stepped {
                    Stepped::Done => continue,
                    Stepped::Overridden(rules) => {
                        shard.rules = rules;
                        continue;
                    }
                    Stepped::NeedsRuleSet { version, sha256 } => (version, sha256),
                };
                let loaded = driver.rule_set(self.rule_sets, &sha256).await?;
                let taken = guarded(|| match loaded {
                    Loaded::Usable(rules) => step::adopt(&shard.rules, &rules, version, &mut shard.state, &record, run),
                    Loaded::Unusable(_) => step::ignore_rule_set(&shard.rules, &mut shard.state, &record, run),
                });
                let Some(rules) = taken else { return Ok(Replayed::Panicked(record.sequence)) };
                shard.rules = rules;
                if run.counts.rule_sets > 1 {
                    // All of it is one delta, whose readers know no rule set in between.
                    shard.state.note_all();
                }
            }
            match page.next {
                Next::More(token) => from = ReadFrom::Token(token),
                Next::End | Next::Newest => return Ok(Replayed::Done(records)),
            }
        }
    }
}

/// Writes the new chain from its end to its start: until the base exists, it cannot be mistaken for a complete chain.
#[expect(clippy::too_many_arguments, reason = "each is a part of what is written")]
async fn write<L: StateLog>(
    log: &L,
    settings: &Settings,
    shard: &str,
    repair: &Repair,
    sound: &Sound,
    from: Position,
    run: &Run,
    sealed: bool,
) -> Result<(), RepairError> {
    let keys = Keys::of(settings.generation, repair.number, shard);
    let state = &sound.shard.state;
    let mut objects = Vec::new();
    if sealed && !sound.shard.sealed {
        objects.push((keys.delta(state.position()), chain::write_seal(state.position())));
    }
    if state.position() > from {
        // Its effects are published by its first reader, as those of any newest delta are.
        let author = Author { token: repair.seed, deadline: repair.now };
        let delta = chain::write_delta(author, from, state, &sound.shard.rules, &run.effects);
        objects.push((keys.delta(from), delta));
    }
    objects.extend(sound.links.iter().rev().map(|(position, bytes)| (keys.delta(*position), bytes.clone())));
    objects.push((keys.base(sound.base.0), sound.base.1.clone()));
    objects.push((keys.start, START_MARK.to_vec()));
    let remaining = || Duration::MAX;
    let invocation = Invocation { deadline: repair.now, remaining: &remaining, seed: repair.seed };
    for (key, bytes) in objects {
        match commit::create(log, &invocation, &key, &bytes).await? {
            Committed::Mine => {}
            Committed::Theirs => return Err(RepairError::Taken { key }),
        }
    }
    Ok(())
}
