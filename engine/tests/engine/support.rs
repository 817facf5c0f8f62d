//! A stream of records for tests: records that are put are numbered, and delivered in any batches to any number of
//! drivers.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::{
    drive::{Batch, Driver, Invocation, Outcome, Ports, Settings, StreamRecord},
    memory::{self, Memory},
    position::SequenceNumber,
    units::{Millis, Timestamp},
};
use serde_json::{Value, json};

pub(crate) const EXAMPLE: &[u8] = include_bytes!("../fixtures/rule-set.json");
pub(crate) const SHARD: &str = "shardId-000000000000";
/// 2026-01-31T10:30:00Z
pub(crate) const START_MS: i64 = 1_769_855_400_000;

/// A record as the stream keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) key: String,
    pub(crate) data: Vec<u8>,
    pub(crate) arrived_at: i64,
}

/// Everything that was put, in order. The first record has sequence number 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    pub(crate) records: Vec<Put>,
}

pub(crate) fn sequence(index: usize) -> SequenceNumber {
    SequenceNumber::new(&(index + 1).to_string()).unwrap()
}

impl Stream {
    pub(crate) fn put(&mut self, key: &str, data: impl Into<Vec<u8>>, arrived_at: i64) {
        self.records.push(Put { key: key.into(), data: data.into(), arrived_at });
    }

    /// A registration of revision 1 at the start.
    pub(crate) fn register(&mut self, device: &str, device_type: &str, zone: &str) {
        self.registration(device, json!({ "rev": 1, "type": device_type, "zone": zone }), START_MS);
    }

    pub(crate) fn registration(&mut self, device: &str, fields: Value, at: i64) {
        let mut record = json!({ "ff": 1, "k": "device", "d": device, "t": at });
        record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.put(device, record.to_string(), at);
    }

    /// A wrapped record of any kind about a device.
    pub(crate) fn wrap(&mut self, kind: &str, device: &str, fields: Value, at: i64) {
        let mut record = json!({ "ff": 1, "k": kind, "d": device, "t": at });
        record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.put(device, record.to_string(), at);
    }

    /// Puts a message as the topic rule wraps it.
    pub(crate) fn message(&mut self, device: &str, payload: &Value, at: i64) {
        self.wrapped(device, payload.to_string().as_bytes(), "telemetry", at);
    }

    pub(crate) fn wrapped(&mut self, device: &str, payload: &[u8], channel: &str, at: i64) {
        let record = json!({
            "ff": 1, "k": "message", "p": STANDARD.encode(payload), "d": device, "ch": channel, "c": device, "t": at,
        });
        self.put(device, record.to_string(), at);
    }

    /// Puts one reading, taken `at` milliseconds after the start, that arrives without delay.
    pub(crate) fn reading(&mut self, device: &str, readings: Value, at: i64) {
        let at = START_MS + at;
        let time = jiff::Timestamp::from_millisecond(at).unwrap().to_string();
        self.message(device, &json!({ "deviceId": device, "timestamp": time, "readings": readings }), at);
    }

    pub(crate) fn rules(&mut self, version: u64, sha256: &str, at: i64) {
        let record = json!({ "ff": 1, "k": "rules", "version": version, "sha256": sha256, "t": at });
        self.put("rules", record.to_string(), at);
    }

    pub(crate) fn records(&self, from: usize, to: usize) -> Vec<StreamRecord<'_>> {
        (from..to)
            .map(|index| {
                let put = &self.records[index];
                StreamRecord {
                    sequence: sequence(index),
                    partition_key: &put.key,
                    arrived_at: Timestamp(put.arrived_at),
                    data: &put.data,
                }
            })
            .collect()
    }
}

/// One host: a driver and the stores that it shares with others.
pub(crate) struct Host<'a> {
    pub(crate) driver: Driver,
    pub(crate) memory: &'a Memory,
    runs: u64,
}

pub(crate) fn settings(memory: &Memory) -> Settings {
    let rule_set_sha256 = memory.add_rule_set(EXAMPLE);
    Settings {
        generation: 1,
        repair: 0,
        rule_set_sha256,
        checkpoint_every: Millis::from_secs(120),
        record_age_max: Millis::from_secs(6 * 3_600),
    }
}

impl<'a> Host<'a> {
    pub(crate) fn new(memory: &'a Memory) -> Self {
        Self::with(memory, settings(memory))
    }

    pub(crate) fn with(memory: &'a Memory, settings: Settings) -> Self {
        Self { driver: Driver::new(settings), memory, runs: 0 }
    }

    /// Delivers records `from..to` once.
    pub(crate) fn deliver(&mut self, stream: &Stream, from: usize, to: usize) -> Outcome {
        self.deliver_for(stream, from, to, usize::MAX).expect("a run without a limit ends")
    }

    /// Delivers records and gives up after this many polls.
    pub(crate) fn deliver_for(&mut self, stream: &Stream, from: usize, to: usize, polls: usize) -> Option<Outcome> {
        self.deliver_with(stream, from, to, polls, START_MS + 60_000, &|| Duration::from_secs(60))
    }

    pub(crate) fn deliver_with(
        &mut self,
        stream: &Stream,
        from: usize,
        to: usize,
        polls: usize,
        deadline: i64,
        remaining: &(dyn Fn() -> Duration + Sync),
    ) -> Option<Outcome> {
        self.deliver_batch(&Batch { shard: SHARD, records: stream.records(from, to) }, polls, deadline, remaining)
    }

    /// Delivers records of another shard, given as number, bytes and arrival.
    pub(crate) fn deliver_to(&mut self, shard: &str, records: &[(SequenceNumber, &[u8], i64)]) -> Outcome {
        let records = records.iter().map(|(sequence, data, arrived_at)| StreamRecord {
            sequence: *sequence,
            partition_key: "any",
            arrived_at: Timestamp(*arrived_at),
            data,
        });
        let batch = Batch { shard, records: records.collect() };
        let outcome = self.deliver_batch(&batch, usize::MAX, START_MS + 60_000, &|| Duration::from_secs(60));
        outcome.expect("a run without a limit ends")
    }

    fn deliver_batch(
        &mut self,
        batch: &Batch<'_>,
        polls: usize,
        deadline: i64,
        remaining: &(dyn Fn() -> Duration + Sync),
    ) -> Option<Outcome> {
        self.runs += 1;
        // No two runs of a host, and no two hosts that live at once, share a seed.
        let mut seed = [0; 16];
        seed[8..].copy_from_slice(&self.runs.to_le_bytes());
        seed[..8].copy_from_slice(&(std::ptr::from_ref(self) as u64).to_le_bytes());
        let invocation = Invocation { deadline: Timestamp(deadline), remaining, seed };
        let memory = self.memory;
        let ports = Ports { log: memory, publisher: memory, rule_sets: memory, shards: memory, crumbs: memory };
        memory::run_for(self.driver.process(&ports, batch, &invocation), polls)
    }

    /// Delivers the whole stream in one batch and expects success.
    pub(crate) fn deliver_all(&mut self, stream: &Stream) -> Outcome {
        let outcome = self.deliver(stream, 0, stream.records.len());
        assert_eq!(outcome.failure, None);
        outcome
    }
}
