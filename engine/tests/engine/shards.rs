//! A stream of several shards, for tests of how states change when shards or the whole stream are replaced.

use std::{cell::Cell, time::Duration};

use fleetform_engine::{
    drive::{Batch, Driver, Invocation, Lineage, Outcome, Ports, Settings, StoredRecord, StreamRecord},
    memory::{self, Memory, Rows},
    reshard::HashRange,
    units::Timestamp,
};
use serde_json::json;

use crate::support::{Put, START_MS, Stream, sequence, settings};

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HALF: u128 = 1 << 127;
pub(crate) const LOW: HashRange = HashRange { first: 0, last: HALF - 1 };
pub(crate) const HIGH: HashRange = HashRange { first: HALF, last: u128::MAX };

/// A stream of several shards, on the memory's ports. Sequence numbers rise across all of them, as on a real stream.
pub(crate) struct World<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) settings: Settings,
    /// Open shards, with the undelivered records of each.
    pub(crate) open: Vec<(&'static str, HashRange, Vec<StoredRecord>)>,
    pub(crate) runs: Cell<u64>,
    pub(crate) deadline: Cell<i64>,
}

impl<'a> World<'a> {
    pub(crate) fn new(memory: &'a Memory) -> Self {
        let mut world = Self {
            memory,
            settings: settings(memory),
            open: Vec::new(),
            runs: Cell::new(0),
            deadline: Cell::new(START_MS + MINUTE),
        };
        world.open("s0", HashRange::ALL, &[], 0);
        world
    }

    pub(crate) fn open(&mut self, shard: &'static str, range: HashRange, parents: &[&str], first: usize) {
        let parents = parents.iter().map(|parent| (*parent).into()).collect();
        self.memory.add_shard(shard, Lineage { range, parents, first: sequence(first) });
        self.open.push((shard, range, Vec::new()));
    }

    /// Closes a shard, delivered or not, and opens its children.
    pub(crate) fn split(&mut self, parent: &'static str, into: [&'static str; 2], first: usize) -> Vec<StoredRecord> {
        let rest = self.close(parent);
        self.open(into[0], LOW, &[parent], first);
        self.open(into[1], HIGH, &[parent], first);
        rest
    }

    pub(crate) fn merge(&mut self, parents: [&'static str; 2], into: &'static str, first: usize) {
        for parent in parents {
            assert!(self.close(parent).is_empty());
        }
        self.open(into, HashRange::ALL, &parents, first);
    }

    pub(crate) fn close(&mut self, shard: &str) -> Vec<StoredRecord> {
        let at = self.open.iter().position(|(open, ..)| *open == shard).unwrap();
        self.open.remove(at).2
    }

    /// Replaces this stream by another: what was not delivered is gone.
    pub(crate) fn replace(&mut self, by: &[(&'static str, HashRange)], first: usize) {
        self.settings.generation += 1;
        for (shard, ..) in std::mem::take(&mut self.open) {
            self.memory.remove_shard(shard);
        }
        for (shard, range) in by {
            self.open(shard, *range, &[], first);
        }
    }

    /// Puts a record into the shard that takes its key, or into all of them.
    pub(crate) fn put(&mut self, index: usize, put: &Put) {
        for (shard, range, waiting) in &mut self.open {
            if put.key != "rules" && !range.takes(&put.key) {
                continue;
            }
            let record = StoredRecord {
                sequence: sequence(index),
                partition_key: put.key.clone(),
                arrived_at: Timestamp(put.arrived_at),
                data: put.data.clone(),
            };
            self.memory.put_record(shard, record.clone());
            waiting.push(record);
        }
    }

    pub(crate) fn deliver(
        &self,
        driver: &mut Driver,
        shard: &str,
        records: &[StoredRecord],
        polls: usize,
    ) -> Option<Outcome> {
        self.runs.set(self.runs.get() + 1);
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&self.runs.get().to_le_bytes());
        let remaining = || Duration::from_secs(60);
        let invocation = Invocation { deadline: Timestamp(self.deadline.get()), remaining: &remaining, seed };
        let memory = self.memory;
        let ports = Ports { log: memory, publisher: memory, rule_sets: memory, shards: memory, crumbs: memory };
        let records: Vec<StreamRecord<'_>> = records.iter().map(StoredRecord::borrowed).collect();
        memory::run_for(driver.process(&ports, &Batch { shard, records }, &invocation), polls)
    }

    pub(crate) fn driver(&self) -> Driver {
        Driver::new(self.settings.clone())
    }

    /// Delivers to a new host, and expects success.
    pub(crate) fn take(&self, shard: &str, records: &[StoredRecord]) -> Outcome {
        let outcome = self.deliver(&mut self.driver(), shard, records, usize::MAX).unwrap();
        assert_eq!(outcome.failure, None, "{shard}");
        outcome
    }

    /// Delivers what waits in every open shard, in batches of seven.
    pub(crate) fn drain(&mut self) {
        for at in 0..self.open.len() {
            let (shard, _, waiting) = &mut self.open[at];
            let (shard, waiting) = (*shard, std::mem::take(waiting));
            for batch in waiting.chunks(7) {
                self.take(shard, batch);
            }
        }
    }
}

/// Registrations, then samples of each of eight devices whose alerts fire, end and are held back.
pub(crate) fn busy(samples: i64) -> Stream {
    let mut stream = Stream::default();
    for device in 0..8 {
        stream.register(&format!("logger-{device}"), "pressure-logger", "zone-a");
    }
    for n in 0..samples {
        for device in 0..8 {
            let temperature = if (n + device) % 9 < 4 { 55.0 } else { 20.0 };
            let readings = json!({ "pressure": 50.0 + n as f64, "temperature": temperature });
            stream.reading(&format!("logger-{device}"), readings, n * MINUTE);
        }
    }
    stream
}

/// The rows without the shard that noticed something and the record at which it did: a timer that has run out is
/// noticed at the shard's next record, from whichever device.
pub(crate) fn without_shards(memory: &Memory) -> Rows {
    let mut rows = memory.rows();
    let alerts = rows.alerts.values_mut().chain(rows.outbox.values_mut().map(|notice| &mut notice.alert));
    for alert in alerts {
        (alert.generation, alert.shard) = (1, "any".into());
        (alert.sequence, alert.ordinal) = ("any".into(), 0);
    }
    rows
}

pub(crate) fn undisturbed(stream: &Stream) -> Rows {
    let memory = Memory::new();
    let mut world = World::new(&memory);
    stream.records.iter().enumerate().for_each(|(index, put)| world.put(index, put));
    world.drain();
    let rows = without_shards(&memory);
    assert!(rows.outbox.len() > 8, "the stream is worth the test");
    rows
}

pub(crate) fn seals(memory: &Memory) -> Vec<String> {
    let sealed = |bytes: &Vec<u8>| bytes.starts_with(b"FFLG") && bytes[6] == 3;
    let objects = memory.objects().into_iter().filter(|(_, bytes)| sealed(bytes));
    objects.map(|(key, _)| key.split('/').nth(3).unwrap().to_owned()).collect()
}
