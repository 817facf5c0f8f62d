//! The stream of a log: shards that take records by the hash of their keys, that are split and merged while it runs,
//! and that another stream may replace.

use std::sync::Arc;

use fleetform_engine::{position::SequenceNumber, reshard::HashRange};

use crate::{
    random::Random,
    workload::{Fact, Put},
    world::Record,
};

/// Free numbers between two records of a log, for records that are put while it runs.
const NUMBERS_FREE: u64 = 1 << 16;

fn numbered(number: u64) -> SequenceNumber {
    let digits = format!("49590338271490256608559692538361571095{number:018}");
    SequenceNumber::new(&digits).expect("digits are a sequence number")
}

/// Returns the number after another one; `None` after the largest.
pub(crate) fn next_number(last: &SequenceNumber) -> Option<SequenceNumber> {
    let mut digits: Vec<u8> = last.digits().bytes().collect();
    for place in (0..digits.len()).rev() {
        if digits[place] == b'9' {
            digits[place] = b'0';
        } else {
            digits[place] += 1;
            return SequenceNumber::from_digits(&digits).ok();
        }
    }
    digits.insert(0, b'1');
    SequenceNumber::from_digits(&digits).ok()
}

/// One shard.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    /// Generation of its stream. Shards of two generations may have the same name.
    pub(crate) generation: u32,
    pub(crate) name: String,
    pub(crate) range: HashRange,
    /// Indexes of its parents.
    pub(crate) parents: Vec<usize>,
    /// Its starting sequence number.
    pub(crate) first: SequenceNumber,
    pub(crate) opened_at: i64,
    pub(crate) closed_at: Option<i64>,
    pub(crate) records: Vec<Put>,
    /// Whether its chain was sealed because another stream replaced this one.
    pub(crate) sealed: bool,
    /// Index of the newest rule set that was announced to it or its parents.
    pub(crate) told: usize,
    /// Delay of rule set announcements, in milliseconds.
    pub(crate) lag: i64,
}

/// All shards, parents before their children.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) shards: Vec<Shard>,
    /// The newest generation, the only one that takes records.
    generation: u32,
    /// Numbers rise across all shards of a generation, so that a child's lie above its parents'.
    number: u64,
}

impl Stream {
    /// Creates a stream with this many shards, which share the keys.
    pub(crate) fn new(random: &mut Random, shards: u64, at: i64) -> Self {
        let mut stream = Self { shards: Vec::new(), generation: 0, number: 0 };
        stream.replace(random, shards, at);
        stream
    }

    /// Replaces this stream by another, whose shards take over the names of this one's and share the keys from
    /// scratch. Its numbers may be lower.
    pub(crate) fn replace(&mut self, random: &mut Random, shards: u64, at: i64) {
        let told = self.open_shards().into_iter().map(|shard| self.shards[shard].told).min().unwrap_or_default();
        (self.generation, self.number) = (self.generation + 1, random.below(1 << 50));
        let part = u128::MAX / u128::from(shards);
        for index in 0..shards {
            let first = part * u128::from(index) + u128::from(index > 0);
            let last = if index + 1 == shards { u128::MAX } else { part * u128::from(index + 1) };
            self.open(random, HashRange { first, last }, Vec::new(), at);
            self.shards.last_mut().expect("a shard was opened").told = told;
        }
    }

    fn open(&mut self, random: &mut Random, range: HashRange, parents: Vec<usize>, at: i64) {
        let told = parents.iter().map(|parent| self.shards[*parent].told).max().unwrap_or_default();
        for parent in &parents {
            self.shards[*parent].closed_at = Some(at);
        }
        let first = self.number();
        self.shards.push(Shard {
            generation: self.generation,
            name: format!("shardId-{:012}", self.shards.iter().filter(|it| it.generation == self.generation).count()),
            range,
            parents,
            first,
            opened_at: at,
            closed_at: None,
            records: Vec::new(),
            sealed: false,
            told,
            lag: if random.per_mille(500) { random.between(0, 600_000) } else { 0 },
        });
    }

    fn number(&mut self) -> SequenceNumber {
        self.number += NUMBERS_FREE;
        numbered(self.number)
    }

    /// Returns the indexes of the shards that take records.
    pub(crate) fn open_shards(&self) -> Vec<usize> {
        let is_open = |shard: &Shard| shard.generation == self.generation && shard.closed_at.is_none();
        (0..self.shards.len()).filter(|index| is_open(&self.shards[*index])).collect()
    }

    /// Puts a record into the shard that takes its key.
    pub(crate) fn put(
        &mut self,
        random: &mut Random,
        key: &str,
        data: &str,
        at: i64,
        claimed: Option<i64>,
        fact: Fact,
    ) {
        let open = self.open_shards();
        let index = open.into_iter().find(|index| self.shards[*index].range.takes(key)).expect("ranges leave no gap");
        self.put_into(random, index, key, data, at, claimed, fact);
    }

    /// Puts a record into a shard, as with an explicit hash key.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one record")]
    pub(crate) fn put_into(
        &mut self,
        random: &mut Random,
        index: usize,
        key: &str,
        data: &str,
        at: i64,
        claimed: Option<i64>,
        fact: Fact,
    ) {
        self.number += random.below(1 << 16);
        let sequence = self.number();
        let records = &mut self.shards[index].records;
        let arrived_at = records.last().map_or(at, |last| at.max(last.record.arrived_at));
        let record = Record { sequence, partition_key: key.into(), arrived_at, data: data.into() };
        records.push(Put { record: Arc::new(record), claimed, fact });
    }

    /// Splits an open shard, or merges two.
    pub(crate) fn reshard(&mut self, random: &mut Random, at: i64) {
        let open = self.open_shards();
        let one = *random.pick(&open);
        let range = self.shards[one].range;
        let next =
            open.iter().copied().find(|other| Some(self.shards[*other].range.first) == range.last.checked_add(1));
        match next.filter(|_| random.per_mille(500)) {
            Some(other) => {
                let merged = HashRange { first: range.first, last: self.shards[other].range.last };
                self.open(random, merged, vec![one, other], at);
            }
            None => {
                let middle = range.first + (range.last - range.first) / 2;
                self.open(random, HashRange { last: middle, ..range }, vec![one], at);
                self.open(random, HashRange { first: middle + 1, ..range }, vec![one], at);
            }
        }
    }
}
