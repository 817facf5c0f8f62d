//! The one order in which a batch is loaded, evaluated, committed and published, whatever the host.
//!
//! 1. Evaluate the records past the cached position, purely.
//! 2. Commit: create the delta that follows that position.
//! 3. Publish its effects.
//! 4. Write a base if one is due.
//!
//! A delta is created only when the one before it is wholly published, and the cached state is only ever one that
//! lies on the chain.

mod cache;
mod load;
mod port;

use std::time::Duration;

use sha2::{Digest, Sha256};

pub use cache::CACHE_AGE_MAX;
pub use port::{
    Batch, Created, Failure, Invocation, Outcome, PortError, Ports, Publisher, RuleSets, Settings, StateLog,
    StreamRecord,
};

use crate::{
    chain::{self, Author, keys::Keys},
    counts::Counts,
    effect::Effects,
    position::Position,
    step::{self, Run, Stepped},
    units::Millis,
};
use cache::{Cache, Shard, Unpublished};
use load::{Loaded, unavailable};

/// Evaluation stops when this much time is left: the commit, its effects and the answer need some.
pub const DEADLINE_RESERVE: Duration = Duration::from_secs(2);
/// A base is only begun when this much time is left.
pub const BASE_RESERVE: Duration = Duration::from_secs(4);
/// A delta is cut between two records once it has about this size. One record's delta may be larger.
pub const DELTA_BYTES_CUT: usize = 8 * 1024 * 1024;
/// A base is due after so many deltas.
pub const DELTAS_PER_BASE: u32 = 64;
/// How often a create is sent again after a conflict, or after an outcome that nobody could tell.
pub const CREATE_TRIES_MAX: u32 = 4;
/// Effects of a delta that was written this long ago are not published again: the rows they would meet have expired.
pub const EFFECTS_AGE_MAX: Millis = Millis::from_secs(14 * 86_400);
/// How often the deadline is looked at, in records.
const DEADLINE_EVERY: usize = 8;

/// Drives batches through the engine. A host keeps one for its life.
#[derive(Debug)]
pub struct Driver {
    settings: Settings,
    cache: Cache,
}

/// One run over a batch.
struct Drive<'a, L, P, R> {
    ports: &'a Ports<'a, L, P, R>,
    batch: &'a Batch<'a>,
    invocation: &'a Invocation<'a>,
    keys: Keys,
    /// Everything before this record is committed and published, or was before the run.
    done: usize,
    tokens: u64,
    counts: Counts,
}

/// What became of a delta.
enum Committed {
    /// It is part of the chain.
    Mine,
    /// Another one is.
    Theirs,
}

impl Driver {
    /// A driver that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, cache: Cache::default() }
    }

    /// Takes a batch. Records before [`Outcome::failed_from`] are done for good: their outcome is committed and
    /// published, and must not be given again. Dropping the future at any point is safe.
    pub async fn process<L: StateLog, P: Publisher, R: RuleSets>(
        &mut self,
        ports: &Ports<'_, L, P, R>,
        batch: &Batch<'_>,
        invocation: &Invocation<'_>,
    ) -> Outcome {
        let keys = Keys::new(&self.settings, batch.shard);
        let mut drive = Drive { ports, batch, invocation, keys, done: 0, tokens: 0, counts: Counts::default() };
        let failure = drive.run(self).await.err();
        let failed_from = failure.as_ref().and_then(|_| batch.records.get(drive.done)).map(|record| record.sequence);
        Outcome { failed_from, failure, counts: drive.counts }
    }
}

impl<L: StateLog, P: Publisher, R: RuleSets> Drive<'_, L, P, R> {
    async fn run(&mut self, driver: &mut Driver) -> Result<(), Failure> {
        if self.batch.records.is_empty() {
            return Ok(());
        }
        if (self.invocation.remaining)() <= DEADLINE_RESERVE {
            return Err(Failure::Deadline);
        }
        let mut shard = match driver.cache.take(self.batch.shard, self.invocation.deadline) {
            Some(shard) => shard,
            None => driver.load(self.ports, &self.keys, self.invocation, &mut self.counts).await?,
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

    /// One delta further. `true` when the batch is done.
    async fn advance(&mut self, driver: &mut Driver, shard: &mut Shard) -> Result<bool, Stopped> {
        if !mutant!(BuiltOnUnpublished) {
            self.publish(shard).await.map_err(Stopped::on_chain)?;
        }
        let from = shard.state.position();
        let mut run = Run::new(self.batch.shard, driver.settings.generation);
        let evaluated = self.evaluate(driver, shard, &mut run).await;
        if shard.state.position() == from {
            // Nothing new: all of these records are in the chain, and its newest delta is published.
            self.counts.add(run.counts);
            self.done = evaluated.next;
            return evaluated.end.map_err(Stopped::on_chain);
        }

        let author = Author { token: self.token(), deadline: self.invocation.deadline };
        if mutant!(PublishedBeforeCommit) {
            for (index, notice) in run.effects.notifications.iter_mut().enumerate() {
                notice.id = smol_str::format_smolstr!("{:?}{index}", author.token);
            }
            self.ports
                .publisher
                .publish(&run.effects)
                .await
                .map_err(unavailable("publishing"))
                .map_err(Stopped::off_chain)?;
        }
        if mutant!(AcknowledgedBeforeCommit) {
            self.done = evaluated.next;
        }
        let bytes = chain::write_delta(author, from, &shard.state, &shard.rules, &run.effects);
        match self.commit(&self.keys.delta(from), &bytes).await.map_err(Stopped::off_chain)? {
            Committed::Mine => {
                shard.state.begin();
                shard.unpublished = Some(Unpublished { effects: run.effects, written_by: self.invocation.deadline });
                shard.deltas_since_base += 1;
                shard.seen_by = self.invocation.deadline;
                self.counts.add(run.counts);
                self.counts.deltas += 1;
                if mutant!(BaseBeforePublish) {
                    self.base(driver, shard).await;
                }
                self.publish(shard).await.map_err(Stopped::on_chain)?;
                self.done = evaluated.next;
                self.base(driver, shard).await;
                evaluated.end.map_err(Stopped::on_chain)
            }
            Committed::Theirs => {
                // Somebody is ahead. What was evaluated here is void; what they wrote is read, and the rest of the
                // batch is evaluated again after it.
                if mutant!(NotUndone) || shard.state.undo() {
                    driver
                        .read_on(self.ports, &self.keys, shard, self.invocation.deadline, &mut self.counts)
                        .await
                        .map_err(Stopped::off_chain)?;
                } else {
                    *shard = driver
                        .load(self.ports, &self.keys, self.invocation, &mut self.counts)
                        .await
                        .map_err(Stopped::off_chain)?;
                }
                if shard.state.position() <= from {
                    let error = PortError("the delta that was there is not listed yet".into());
                    return Err(Stopped::off_chain(unavailable("catching up")(error)));
                }
                if mutant!(NoReevaluation) {
                    self.done = evaluated.next;
                    return evaluated.end.map_err(Stopped::on_chain);
                }
                Ok(false)
            }
        }
    }

    /// Takes records until the batch ends, the delta is full, or something stops it.
    async fn evaluate(&mut self, driver: &mut Driver, shard: &mut Shard, run: &mut Run) -> Evaluated {
        let mut size = Size::default();
        let records = &self.batch.records;
        for (index, record) in records.iter().enumerate().skip(self.done) {
            if (index - self.done).is_multiple_of(DEADLINE_EVERY) && (self.invocation.remaining)() <= DEADLINE_RESERVE {
                return Evaluated { next: index, end: Err(Failure::Deadline) };
            }
            let mut record = record;
            let late = StreamRecord { arrived_at: self.invocation.deadline, ..*record };
            if mutant!(WallClock) {
                record = &late;
            }
            match step::step(&shard.rules, &mut shard.state, record, run) {
                Stepped::Done => {}
                Stepped::NeedsRuleSet { version, sha256 } => match driver.rule_set(self.ports, &sha256).await {
                    Ok(Loaded::Usable(rules)) => {
                        step::adopt(&shard.rules, &rules, version, &mut shard.state, record, run);
                        shard.rules = rules;
                    }
                    Ok(Loaded::Unusable(_)) => step::ignore_rule_set(&shard.rules, &mut shard.state, record, run),
                    Err(_) if mutant!(UnavailableRuleSetIgnored) => {
                        step::ignore_rule_set(&shard.rules, &mut shard.state, record, run);
                    }
                    Err(_) if mutant!(LaterRecordsAfterFailure) => {}
                    Err(failure) => return Evaluated { next: index, end: Err(failure) },
                },
            }
            if size.after(shard, &run.effects) >= DELTA_BYTES_CUT {
                return Evaluated { next: index + 1, end: Ok(index + 1 == records.len()) };
            }
        }
        Evaluated { next: records.len(), end: Ok(true) }
    }

    /// Creates a delta, and finds out what became of it however the store answers.
    async fn commit(&self, key: &str, bytes: &[u8]) -> Result<Committed, Failure> {
        let mut last = PortError("the delta was not created".into());
        for _ in 0..CREATE_TRIES_MAX {
            if (self.invocation.remaining)().is_zero() {
                return Err(Failure::Deadline);
            }
            match self.ports.log.create(key, bytes).await {
                Created::Created => return Ok(Committed::Mine),
                Created::Exists if mutant!(ExistsTakenAsSuccess) => return Ok(Committed::Mine),
                Created::Ambiguous(_) if mutant!(AmbiguousTakenAsSuccess) => return Ok(Committed::Mine),
                Created::Refused(error) => return Err(unavailable("creating a delta")(error)),
                Created::Conflict => last = PortError("another create of this delta is under way".into()),
                // After an outcome that nobody could tell, what is there may be ours.
                Created::Exists => {
                    let found = self.ports.log.get(key).await.map_err(unavailable("reading a delta back"))?;
                    match found {
                        Some(found) if is_mine(&found, bytes) => return Ok(Committed::Mine),
                        Some(_) => return Ok(Committed::Theirs),
                        None => last = PortError("a delta was there and is gone".into()),
                    }
                }
                Created::Ambiguous(error) => {
                    let found = self.ports.log.get(key).await.map_err(unavailable("reading a delta back"))?;
                    match found {
                        Some(found) if is_mine(&found, bytes) => return Ok(Committed::Mine),
                        Some(_) => return Ok(Committed::Theirs),
                        None => last = error,
                    }
                }
            }
        }
        Err(unavailable("creating a delta")(last))
    }

    /// Publishes what the newest delta asks for, unless this driver has seen it accepted.
    async fn publish(&mut self, shard: &mut Shard) -> Result<(), Failure> {
        let Some(Unpublished { effects, written_by }) = &shard.unpublished else { return Ok(()) };
        if self.invocation.deadline.since(*written_by) > EFFECTS_AGE_MAX {
            self.counts.expired_effects += effects.count() as u64;
        } else if !effects.is_empty() {
            let published = self.ports.publisher.publish(effects).await;
            if !mutant!(PublishFailureIgnored) {
                published.map_err(unavailable("publishing"))?;
            }
        }
        shard.unpublished = None;
        Ok(())
    }

    /// Writes a base if one is due. Nothing depends on it, so a failure is counted and the next run tries again.
    async fn base(&mut self, driver: &Driver, shard: &mut Shard) {
        let shard_time = shard.state.shard_time();
        let base_time = *shard.base_time.get_or_insert(shard_time);
        let due = shard.deltas_since_base >= DELTAS_PER_BASE
            || shard_time.since(base_time) >= driver.settings.checkpoint_every;
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
                shard.deltas_since_base = 0;
                shard.base_time = Some(shard_time);
                self.counts.bases += 1;
            }
            Created::Conflict | Created::Refused(_) | Created::Ambiguous(_) => self.counts.bases_failed += 1,
        }
    }

    /// A writer token: fresh for every set of bytes, since no two of a run have the same number and no two runs the
    /// same seed.
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

/// Whether what was found is what was sent: the same bytes, since every set of bytes has its own token.
fn is_mine(found: &[u8], sent: &[u8]) -> bool {
    found == sent || (mutant!(TokenReused) && found.get(7..23) == sent.get(7..23))
}

/// How far a run of records came.
struct Evaluated {
    /// The first record that was not taken.
    next: usize,
    /// Whether the batch is done, or what stopped it.
    end: Result<bool, Failure>,
}

/// A run that must end, and whether the state in hand still lies on the chain.
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

/// About how large a delta has become, without writing it.
#[derive(Default)]
struct Size {
    devices: usize,
    alerts: usize,
    quarantined: usize,
    bytes: usize,
}

impl Size {
    const ALERT_BYTES: usize = 1_024;
    const QUARANTINED_BYTES: usize = 512;

    fn after(&mut self, shard: &Shard, effects: &Effects) -> usize {
        let (devices, device_bytes) = shard.state.changed_bytes(self.devices);
        let alerts = effects.alerts.len() + effects.notifications.len();
        let quarantined = &effects.quarantined[self.quarantined..];
        self.bytes += device_bytes
            + (alerts - self.alerts) * Self::ALERT_BYTES
            + quarantined.iter().map(|record| record.data.len() + Self::QUARANTINED_BYTES).sum::<usize>();
        self.devices = devices;
        self.alerts = alerts;
        self.quarantined = effects.quarantined.len();
        self.bytes
    }
}
