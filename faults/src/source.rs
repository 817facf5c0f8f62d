//! The event source of one shard as Lambda runs it: one batch at a time, in order. What fails is delivered again,
//! from where the response says, in halves or whole. Batches are cut anywhere, and sometimes records that are done
//! are delivered again.

use std::sync::Arc;

use fleetform_engine::{drive::Outcome, position::SequenceNumber};

use crate::{
    clock::InvocationNumber,
    random::Random,
    world::{Delivery, Record},
};

/// Maximum number of records in a batch.
const BATCH_RECORDS_MAX: u64 = 60;
/// Maximum number of records that are delivered again when the source loses its position.
const REWIND_MAX: u64 = 40;

/// The position of a shard's source.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) shard: Arc<str>,
    records: Vec<Arc<Record>>,
    /// Index of the first record that is not done.
    done: usize,
    /// Ranges of records to deliver next, the first one last.
    parts: Vec<(usize, usize)>,
    pub(crate) in_flight: Option<InvocationNumber>,
    /// Whether it was removed, together with everything that it had not delivered.
    removed: bool,
    failures: u32,
    pub(crate) deliveries: u64,
    pub(crate) failed: u64,
}

/// The source's next action.
#[derive(Debug)]
pub(crate) enum Next {
    /// Deliver this.
    Deliver(Delivery),
    /// Wait for a record until this time.
    Wait(i64),
    /// Everything is done.
    Nothing,
}

impl Source {
    pub(crate) fn new(shard: &str, records: Vec<Arc<Record>>) -> Self {
        Self {
            shard: shard.into(),
            records,
            done: 0,
            parts: Vec::new(),
            in_flight: None,
            removed: false,
            failures: 0,
            deliveries: 0,
            failed: 0,
        }
    }

    /// Returns the number of the last record that is done, with everything before it.
    pub(crate) fn acknowledged(&self) -> Option<SequenceNumber> {
        self.done.checked_sub(1).map(|last| self.records[last].sequence)
    }

    /// Stops all deliveries.
    pub(crate) fn remove(&mut self) {
        self.removed = true;
    }

    /// Adds a record. Everything delivered so far precedes it.
    pub(crate) fn put(&mut self, record: Arc<Record>) {
        if self.removed {
            return;
        }
        let at = self.records.partition_point(|before| before.sequence < record.sequence);
        debug_assert!(
            at >= self.done && self.parts.iter().all(|(_, to)| at >= *to),
            "it is newer than what was delivered"
        );
        self.records.insert(at, record);
    }

    /// Whether there is nothing more to do.
    pub(crate) fn is_drained(&self) -> bool {
        let done = self.done == self.records.len() && self.parts.is_empty() && self.in_flight.is_none();
        self.removed || done
    }

    /// Decides what to deliver.
    pub(crate) fn next(&mut self, random: &mut Random, now: i64) -> Next {
        if self.removed {
            return Next::Nothing;
        }
        if self.parts.is_empty() {
            let arrived = self.records.partition_point(|record| record.arrived_at <= now);
            if arrived <= self.done {
                return self.records.get(self.done).map_or(Next::Nothing, |record| Next::Wait(record.arrived_at));
            }
            let most = (arrived - self.done).min(random.below(BATCH_RECORDS_MAX) as usize + 1);
            let rewind = if random.per_mille(30) { random.below(REWIND_MAX) as usize } else { 0 };
            self.parts.push((self.done.saturating_sub(rewind), self.done + most));
        }
        let (from, to) = self.parts[self.parts.len() - 1];
        self.deliveries += 1;
        Next::Deliver(Delivery { shard: self.shard.clone(), records: self.records[from..to].into() })
    }

    /// Handles a response, and returns how long to wait before the next delivery.
    pub(crate) fn answered(&mut self, outcome: &Outcome, random: &mut Random) -> i64 {
        self.in_flight = None;
        let Some((from, to)) = self.parts.pop() else { return 0 };
        match (&outcome.failure, outcome.failed_from) {
            // A response that names no record means that all are done, whatever the reason given.
            (Some(failure), None) if failure.is_transient() => self.taken(to, random),
            (None, _) => self.taken(to, random),
            (Some(failure), Some(failed)) if failure.is_transient() => {
                let again = self.records.partition_point(|record| record.sequence < failed);
                self.pass(again);
                self.again(again.max(from), to, random)
            }
            (Some(_), _) => self.again(from, to, random),
        }
    }

    fn taken(&mut self, to: usize, random: &mut Random) -> i64 {
        self.pass(to);
        self.failures = 0;
        random.between(0, 2_000)
    }

    /// Handles an invocation that failed as a whole, or whose outcome is unknown.
    pub(crate) fn failed(&mut self, random: &mut Random) -> i64 {
        self.in_flight = None;
        let Some((from, to)) = self.parts.pop() else { return 0 };
        self.again(from, to, random)
    }

    fn pass(&mut self, to: usize) {
        self.done = self.done.max(to);
    }

    fn again(&mut self, from: usize, to: usize, random: &mut Random) -> i64 {
        if to - from > 1 && random.per_mille(400) {
            let middle = from + (to - from) / 2;
            self.parts.push((middle, to));
            self.parts.push((from, middle));
        } else {
            self.parts.push((from, to));
        }
        self.failures += 1;
        self.failed += 1;
        // The waits of the real event source are longer; what matters is that they grow and are bounded.
        random.between(100, 1_000 << self.failures.min(4))
    }
}
