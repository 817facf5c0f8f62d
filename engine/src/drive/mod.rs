//! The one order in which a batch is loaded, evaluated, committed and published, whatever the host.
//!
//! 1. Evaluate the records past the cached position, without side effects.
//! 2. Commit: create the delta that follows that position.
//! 3. Publish the delta's effects.
//! 4. Write a base if one is due.
//!
//! A delta is created only after the one before it is fully published, and the cached state always lies on the chain.

mod cache;
mod commit;
mod crumbs;
mod expiry;
mod generation;
mod inherit;
mod load;
mod port;
mod repair;
mod roster;
mod survey;
mod tail;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest, Sha256};

pub use cache::CACHE_AGE_MAX;
pub use commit::{CREATE_TRIES_MAX, EFFECTS_AGE_MAX, PART_ROWS};
pub use crumbs::{BATCH_TRIES, Crumb, Crumbs};
pub use expiry::{BASE_BEHIND_MAX, CHAIN_AGE_MAX, Clearing, Expired, Listed, expire};
pub use inherit::{ANCESTORS_MAX, RECORD_AGE_MARGIN};
pub use port::{
    Batch, Created, Failure, Invocation, Lineage, Next, Outcome, Page, PortError, Ports, Publisher, ReadFrom, RuleSets,
    Settings, Shards, StateLog, StoredRecord, StreamRecord,
};
pub use repair::{Repair, RepairError, Repaired, next_repair, repair};
pub use roster::{KnownDevice, NewestValue, Roster, RunningAlert, roster};
pub use survey::{Broken, Chain, Survey, chains, shards, survey};
pub use tail::{DELTAS_PER_BASE, DELTAS_PER_BASE_MAX};

use crate::{
    chain::{self, Author, keys::Keys},
    compiled::Compiled,
    counts::Counts,
    effect::Effects,
    fetch::AHEAD,
    position::{Position, SequenceNumber},
    reason::{Reason, Refusal},
    state::ShardState,
    step::{self, Run, Stepped},
};
use cache::{Cache, Shard, Unpublished};
use commit::Committed;
use load::{Loaded, unavailable};
use tail::Tail;

/// Evaluation stops when this much time is left, which is reserved for the commit, its effects and the response.
pub const DEADLINE_RESERVE: Duration = Duration::from_secs(2);
/// A base is started only if this much time is left.
pub const BASE_RESERVE: Duration = Duration::from_secs(4);
/// A delta is cut between two records once it reaches about this size. The delta of a single record may be larger.
pub const DELTA_BYTES_CUT: usize = 8 * 1024 * 1024;
/// How often the deadline is checked, in records.
const DEADLINE_EVERY: usize = 8;

/// How one record is evaluated: [`step::step`], or in a test a function that fails.
pub type Step = fn(&Arc<Compiled>, &mut ShardState, &StreamRecord<'_>, &mut Run) -> Stepped;

/// Drives batches through the engine. A host keeps one driver for its lifetime.
#[derive(Debug)]
pub struct Driver {
    settings: Settings,
    cache: Cache,
    step: Step,
}

/// The processing of one batch.
struct Drive<'a, L, P, R, S> {
    ports: &'a Ports<'a, L, P, R, S>,
    batch: &'a Batch<'a>,
    invocation: &'a Invocation<'a>,
    keys: Keys,
    crumb: Crumb,
    /// The record that brought down an earlier process, until it is passed.
    killer: Option<SequenceNumber>,
    /// Records that are skipped without being evaluated, and why.
    set_aside: BTreeMap<SequenceNumber, Refusal>,
    /// Index of the first record that is not yet done. Everything before it is committed and published, in this run
    /// or an earlier one.
    done: usize,
    tokens: u64,
    counts: Counts,
}

impl Driver {
    /// Creates a driver that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, cache: Cache::default(), step: step::step }
    }

    /// Creates a driver that evaluates records with another function: one that panics, or brings down the process.
    #[cfg(any(feature = "memory", feature = "mutants"))]
    pub fn with_step(settings: Settings, step: Step) -> Self {
        Self { step, ..Self::new(settings) }
    }

    /// Processes a batch. Records before [`Outcome::failed_from`] are done for good: their outcome is committed and
    /// published, and they must not be delivered again. Dropping the future at any point is safe.
    pub async fn process<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &mut self,
        ports: &Ports<'_, L, P, R, S>,
        batch: &Batch<'_>,
        invocation: &Invocation<'_>,
    ) -> Outcome {
        let (Some(first), Some(last)) = (batch.records.first(), batch.records.last()) else {
            return Outcome { failed_from: None, failure: None, counts: Counts::default() };
        };
        let left = ports.crumbs.find(batch.shard);
        let tries = left.filter(|left| left.first == first.sequence).map_or(0, |left| left.tries);
        let killer = left.and_then(|left| left.alone).filter(|killer| *killer >= first.sequence);
        let refusal = Refusal::new(Reason::Killer, "the process ended while it was evaluated alone");
        let mut drive = Drive {
            ports,
            batch,
            invocation,
            keys: Keys::new(&self.settings, batch.shard),
            crumb: Crumb { first: first.sequence, tries: tries.saturating_add(1), alone: None },
            killer,
            set_aside: killer.map(|killer| (killer, refusal)).into_iter().collect(),
            done: 0,
            tokens: 0,
            counts: Counts::default(),
        };
        drive.leave(None);
        let failure = drive.run(self).await.err();
        let failed_from = failure.as_ref().and_then(|_| batch.records.get(drive.done)).map(|record| record.sequence);
        // A process that gets here was not brought down by this batch. A killer further on stays known.
        let reached = failed_from.unwrap_or(last.sequence);
        let ahead = drive.killer.filter(|killer| *killer > reached || Some(*killer) == failed_from);
        ports.crumbs.leave(batch.shard, ahead.map(|killer| Crumb { alone: Some(killer), ..drive.crumb }));
        Outcome { failed_from, failure, counts: drive.counts }
    }
}

impl<L: StateLog, P: Publisher, R: RuleSets, S: Shards> Drive<'_, L, P, R, S> {
    async fn run(&mut self, driver: &mut Driver) -> Result<(), Failure> {
        if (self.invocation.remaining)() <= DEADLINE_RESERVE {
            return Err(Failure::Deadline);
        }
        let mut shard = match driver.cache.take(self.batch.shard, self.invocation.deadline) {
            Some(shard) => shard,
            None => self.load(driver).await?,
        };
        loop {
            match self.advance(driver, &mut shard).await {
                Ok(true) => {
                    driver.cache.put(self.batch.shard, shard);
                    return Ok(());
                }
                Ok(false) => {}
                Err(Stopped { failure, on_chain }) => {
                    if on_chain || mutant!(CacheKeptAfterFailedCommit) {
                        driver.cache.put(self.batch.shard, shard);
                    }
                    return Err(failure);
                }
            }
        }
    }

    async fn load(&mut self, driver: &mut Driver) -> Result<Shard, Failure> {
        driver.load(self.ports, self.batch.shard, self.invocation, &mut self.counts).await
    }

    /// Advances by one delta. Returns `true` when the batch is done.
    async fn advance(&mut self, driver: &mut Driver, shard: &mut Shard) -> Result<bool, Stopped> {
        if !mutant!(BuiltOnUnpublished) {
            self.publish(shard).await.map_err(Stopped::on_chain)?;
        }
        if shard.sealed {
            return self.after_seal(shard).await.map_err(Stopped::on_chain).map(|()| true);
        }
        let from = shard.state.position();
        let mut run = Run::new(self.batch.shard, driver.settings.generation);
        let Evaluated { next, end } = self.evaluate(driver, shard, &mut run).await;
        let end = match end {
            End::Batch => Ok(true),
            End::Delta => Ok(false),
            End::Stopped(failure) => Err(failure),
            End::Panicked(sequence) => {
                // A state is not trusted after a panic. The run starts again at the end of the chain, without the
                // record that caused it.
                self.set_aside.insert(sequence, Refusal::new(Reason::Panic, "the engine failed on it"));
                *shard = self.load(driver).await.map_err(Stopped::off_chain)?;
                return Ok(false);
            }
        };
        if shard.state.position() == from {
            // Nothing new: all of these records are in the chain, and its newest delta is published.
            self.counts.add(run.counts);
            self.done = next;
            return end.map_err(Stopped::on_chain);
        }

        let author = Author { token: self.token(), deadline: self.invocation.deadline };
        if mutant!(PublishedBeforeCommit) {
            for (index, notice) in run.effects.notifications.iter_mut().enumerate() {
                notice.id = smol_str::format_smolstr!("{:?}{index}", author.token);
            }
            let published = self.ports.publisher.publish(&run.effects).await;
            published.map_err(unavailable("publishing")).map_err(Stopped::off_chain)?;
        }
        if mutant!(AcknowledgedBeforeCommit) {
            self.done = next;
        }
        let bytes = chain::write_delta(author, from, &shard.state, &shard.rules, &run.effects);
        self.alone(None);
        let key = self.keys.delta(from);
        let committed = commit::create(self.ports.log, self.invocation, &key, &bytes).await;
        match committed.map_err(Stopped::off_chain)? {
            Committed::Mine => {
                shard.state.begin();
                shard.unpublished = Some(Unpublished::new(key, run.effects, self.invocation.deadline));
                shard.tail.push(bytes.len());
                shard.seen_by = self.invocation.deadline;
                self.counts.add(run.counts);
                self.counts.deltas += 1;
                if mutant!(BaseBeforePublish) {
                    self.base(driver, shard).await;
                }
                self.publish(shard).await.map_err(Stopped::on_chain)?;
                self.done = next;
                self.killer = self.killer.filter(|killer| !shard.state.position().covers(killer));
                self.base(driver, shard).await;
                end.map_err(Stopped::on_chain)
            }
            Committed::Theirs => {
                // Another process is ahead. What was evaluated here is void: its deltas are read, and the rest of the
                // batch is evaluated again on top of them.
                if mutant!(NotUndone) || shard.state.undo() {
                    driver
                        .read_on(self.ports, &self.keys, shard, self.invocation.deadline, &mut self.counts)
                        .await
                        .map_err(Stopped::off_chain)?;
                } else {
                    *shard = self.load(driver).await.map_err(Stopped::off_chain)?;
                }
                if !shard.sealed && shard.state.position() <= from {
                    let error = PortError("the delta that was there is not listed yet".into());
                    return Err(Stopped::off_chain(unavailable("catching up")(error)));
                }
                if mutant!(NoReevaluation) {
                    self.done = next;
                    return end.map_err(Stopped::on_chain);
                }
                Ok(false)
            }
        }
    }

    /// Evaluates records until the batch ends, the delta is full, or something stops it.
    async fn evaluate(&mut self, driver: &mut Driver, shard: &mut Shard, run: &mut Run) -> Evaluated {
        let mut size = Size::default();
        let records = &self.batch.records;
        let careful = self.crumb.tries >= BATCH_TRIES && !mutant!(KillerNeverAlone);
        for (index, record) in records.iter().enumerate().skip(self.done) {
            if (index - self.done).is_multiple_of(DEADLINE_EVERY) && (self.invocation.remaining)() <= DEADLINE_RESERVE {
                return Evaluated { next: index, end: End::Stopped(Failure::Deadline) };
            }
            if (index - self.done).is_multiple_of(AHEAD) {
                shard.state.fetch(&records[index..records.len().min(index + AHEAD)]);
            }
            if shard.state.head.position.covers(&record.sequence) && !mutant!(PositionNotChecked) {
                run.counts.skipped += 1;
                continue;
            }
            let mut record = record;
            let late = StreamRecord { arrived_at: self.invocation.deadline, ..*record };
            if mutant!(WallClock) {
                record = &late;
            }
            if let Some(refusal) = self.set_aside.get(&record.sequence) {
                step::set_aside(&mut shard.state, record, refusal.clone(), run);
            } else {
                if careful {
                    self.alone(Some(record.sequence));
                }
                let panicked = || Evaluated { next: index, end: End::Panicked(record.sequence) };
                let step = driver.step;
                let Some(stepped) = guarded(|| step(&shard.rules, &mut shard.state, record, run)) else {
                    return panicked();
                };
                if let Stepped::Overridden(rules) = stepped {
                    shard.rules = rules;
                } else if let Stepped::NeedsRuleSet { version, sha256 } = stepped {
                    if run.counts.rule_sets > 0 {
                        // A reader of a delta moves from the set before it to the set after it, and through no other.
                        return Evaluated { next: index, end: End::Delta };
                    }
                    // If the process ends during this wait, the record is not the cause.
                    self.alone(None);
                    let loaded = match driver.rule_set(self.ports.rule_sets, &sha256).await {
                        Ok(loaded) => loaded,
                        Err(_) if mutant!(UnavailableRuleSetIgnored) => Loaded::Unusable(String::new()),
                        Err(_) if mutant!(LaterRecordsAfterFailure) => continue,
                        Err(failure) => return Evaluated { next: index, end: End::Stopped(failure) },
                    };
                    if careful {
                        self.alone(Some(record.sequence));
                    }
                    let taken = guarded(|| match loaded {
                        Loaded::Usable(rules) => {
                            step::adopt(&shard.rules, &rules, version, &mut shard.state, record, run)
                        }
                        Loaded::Unusable(_) => step::ignore_rule_set(&shard.rules, &mut shard.state, record, run),
                    });
                    let Some(rules) = taken else { return panicked() };
                    shard.rules = rules;
                }
            }
            let full = size.after(shard, &run.effects) >= DELTA_BYTES_CUT;
            if full || careful {
                return Evaluated {
                    next: index + 1,
                    end: if index + 1 == records.len() { End::Batch } else { End::Delta },
                };
            }
        }
        Evaluated { next: records.len(), end: End::Batch }
    }

    /// Leaves the name of the record that is evaluated alone, if this run goes record by record.
    fn alone(&self, alone: Option<SequenceNumber>) {
        if self.crumb.tries >= BATCH_TRIES {
            self.leave(alone);
        }
    }

    fn leave(&self, alone: Option<SequenceNumber>) {
        self.ports.crumbs.leave(self.batch.shard, Some(Crumb { alone: alone.or(self.killer), ..self.crumb }));
    }

    /// Handles records after the seal. The chain has ended, and the shard's children continue from its last state, so
    /// records that still arrive are set aside. Nothing can be committed any more, and nothing needs to be: a replay
    /// computes the same row names.
    async fn after_seal(&mut self, shard: &Shard) -> Result<(), Failure> {
        let mut run = Run::new(self.batch.shard, 0);
        for record in &self.batch.records[self.done..] {
            if shard.state.position().covers(&record.sequence) {
                run.counts.skipped += 1;
            } else {
                let refusal = Refusal::new(Reason::AfterSeal, "its shard was closed, and the children have its state");
                step::quarantine(record, record.arrived_at, refusal, &mut run);
                run.counts.records += 1;
            }
        }
        if !run.effects.is_empty() {
            self.ports.publisher.publish(&run.effects).await.map_err(unavailable("publishing"))?;
        }
        self.done = self.batch.records.len();
        self.counts.add(run.counts);
        Ok(())
    }

    /// Publishes the effects of the newest delta, unless this driver knows them to be accepted.
    async fn publish(&mut self, shard: &mut Shard) -> Result<(), Failure> {
        commit::publish(self.ports.publisher, self.invocation, shard, &mut self.counts).await
    }

    /// Writes a base if one is due. Nothing depends on it, so a failure is counted and the next run tries again.
    async fn base(&mut self, driver: &Driver, shard: &mut Shard) {
        let shard_time = shard.state.shard_time();
        let due = shard.tail.asks_for_base(shard_time, driver.settings.checkpoint_every);
        if !due || (self.invocation.remaining)() <= BASE_RESERVE {
            return;
        }
        let position = shard.state.head.position;
        if mutant!(BaseOffByOne) {
            let before = self.batch.records.iter().rev().map(|record| Position::After(record.sequence));
            shard.state.head.position = before.clone().find(|before| *before < position).unwrap_or(position);
        }
        let key = self.keys.base(shard.state.position());
        let bytes = chain::write_base(&shard.state, &shard.rules);
        shard.state.head.position = position;
        match self.ports.log.create(&key, &bytes).await {
            Created::Created | Created::Exists => {
                shard.tail = Tail::after(bytes.len(), Some(shard_time));
                self.counts.bases += 1;
            }
            Created::Conflict | Created::Refused(_) | Created::Ambiguous(_) => self.counts.bases_failed += 1,
        }
    }

    /// Returns a writer token. It is unique to each set of bytes: no two sets of one run share a number, and no two
    /// runs share a seed.
    fn token(&mut self) -> [u8; 16] {
        self.tokens += 1;
        if mutant!(TokenReused) {
            return [7; 16];
        }
        let mut hash = Sha256::new();
        hash.update(self.invocation.seed);
        hash.update(self.tokens.to_le_bytes());
        let mut token = [0; 16];
        token.copy_from_slice(&hash.finalize()[..16]);
        token
    }
}

/// Runs the work on one record. Returns `None` if it panicked.
fn guarded<T>(take: impl FnOnce() -> T) -> Option<T> {
    // The caller that gets `None` drops everything that may be half done: state and run.
    catch_unwind(AssertUnwindSafe(take)).ok()
}

/// How far a run of records got.
struct Evaluated {
    /// Index of the first record that was not evaluated.
    next: usize,
    end: End,
}

/// Why a run of records ended.
enum End {
    /// The batch is done.
    Batch,
    /// The delta is full.
    Delta,
    /// An external failure stopped it.
    Stopped(Failure),
    /// The engine panicked on this record. State and run are void.
    Panicked(SequenceNumber),
}

/// A run that must end, and whether the state in memory still lies on the chain.
struct Stopped {
    failure: Failure,
    on_chain: bool,
}

impl Stopped {
    fn on_chain(failure: Failure) -> Self {
        Self { failure, on_chain: true }
    }

    fn off_chain(failure: Failure) -> Self {
        Self { failure, on_chain: false }
    }
}

/// Estimates the size of a delta without encoding it.
#[derive(Default)]
struct Size {
    devices: usize,
    alerts: usize,
    quarantined: usize,
    members: usize,
    bytes: usize,
}

impl Size {
    const ALERT_BYTES: usize = 1_024;
    const QUARANTINED_BYTES: usize = 512;
    const MEMBER_BYTES: usize = 384;

    fn after(&mut self, shard: &Shard, effects: &Effects) -> usize {
        let (devices, device_bytes) = shard.state.changed_bytes(self.devices);
        let alerts = effects.alerts.len() + effects.notifications.len();
        let quarantined = &effects.quarantined[self.quarantined..];
        self.bytes += device_bytes
            + (alerts - self.alerts) * Self::ALERT_BYTES
            + (effects.members.len() - self.members) * Self::MEMBER_BYTES
            + quarantined.iter().map(|record| record.data.len() + Self::QUARANTINED_BYTES).sum::<usize>();
        self.devices = devices;
        self.alerts = alerts;
        self.quarantined = effects.quarantined.len();
        self.members = effects.members.len();
        self.bytes
    }
}
