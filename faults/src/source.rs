//! The event source of one shard as Lambda runs it: one batch at a time, in order; what fails comes again, from where
//! the answer says, in halves or whole. Batches are cut anywhere, and sometimes what was done comes once more.

use std::sync::Arc;

use fleetform_engine::{drive::Outcome, position::SequenceNumber};

use crate::{
    clock::InvocationNumber,
    random::Random,
    world::{Delivery, Record},
};

/// The most records of a batch.
const BATCH_RECORDS_MAX: u64 = 60;
/// How many records are delivered again at most when the source forgets how far it was.
const REWIND_MAX: u64 = 40;

/// Where the source of a shard stands.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) shard: Arc<str>,
    records: Vec<Arc<Record>>,
    /// All records before this one are done.
    done: usize,
    /// Parts that are to come next, the first one last.
    parts: Vec<(usize, usize)>,
    pub(crate) in_flight: Option<InvocationNumber>,
    /// Whether it was removed, with whatever it had not delivered.
    removed: bool,
    failures: u32,
    pub(crate) deliveries: u64,
    pub(crate) failed: u64,
}

/// What the source does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// It delivers this.
    Deliver(Delivery),
    /// It waits for a record until then.
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

    /// The last record of which all before it are done, and it is.
    pub(crate) fn acknowledged(&self) -> Option<SequenceNumber> {
        self.done.checked_sub(1).map(|last| self.records[last].sequence)
    }

    /// Nothing is delivered any more.
    pub(crate) fn remove(&mut self) {
        self.removed = true;
    }

    /// A record has come. All that was delivered came before it.
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

    /// Settles what to deliver.
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

    /// Takes an answer, and says how long to wait before the next delivery.
    pub(crate) fn answered(&mut self, outcome: &Outcome, random: &mut Random) -> i64 {
        self.in_flight = None;
        let Some((from, to)) = self.parts.pop() else { return 0 };
        match (&outcome.failure, outcome.failed_from) {
            // An answer that names no record is one that all is done, whatever the reason given.
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

    /// The invocation failed as a whole, or nobody knows what became of it.
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
        // The waits of the real one are longer; what matters is that they grow and are bounded.
        random.between(100, 1_000 << self.failures.min(4))
    }
}
