//! The handler over the engine's ports in memory, and over streams and outboxes that fail.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use fleetform_engine::{
    drive::{Batch, Created, Driver, Invocation, Listed, Ports, Settings, StreamRecord},
    memory::{Fault, Memory, Operation},
    position::SequenceNumber,
    reshard::HashRange,
    rule_set::RuleSet,
    units::Millis,
};
use serde_json::json;

use super::*;
use crate::{every_shard::Shard, sweep::redrive::Waiting};

const START: Timestamp = Timestamp(1_769_855_400_000);
const DAY_MS: i64 = Millis::from_days(1).0.cast_signed();
const SHARD: &str = "shardId-000000000000";

/// The state log of a test.
#[derive(Clone, Copy)]
struct Store(&'static Memory);

impl StateLog for Store {
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, PortError> {
        self.0.list(prefix, after, limit).await
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.0.get(key).await
    }

    async fn create(&self, key: &str, bytes: &[u8]) -> Created {
        self.0.create(key, bytes).await
    }
}

impl Clearing for Store {
    async fn list_dated(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, PortError> {
        self.0.list_dated(prefix, after, limit).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), PortError> {
        assert!(keys.iter().all(|key| key.starts_with("log/") || key.starts_with("base/")), "{keys:?}");
        self.0.delete(keys).await
    }
}

/// One open shard, whose stream may fail, and the records put on it.
#[derive(Default)]
struct OneShard {
    fails: bool,
    ticks: Mutex<Vec<Vec<u8>>>,
}

impl Stream for OneShard {
    async fn shards(&self) -> Result<Vec<Shard>, PortError> {
        if self.fails {
            return Err(PortError("no stream".to_owned()));
        }
        Ok(vec![Shard { id: SHARD.into(), range: HashRange::ALL, is_open: true }])
    }

    async fn put(
        &self,
        _: &str,
        record: &[u8],
        hash_keys: &std::collections::BTreeSet<u128>,
    ) -> Result<std::collections::BTreeSet<u128>, PortError> {
        assert_eq!(hash_keys.iter().copied().collect::<Vec<_>>(), [0]);
        self.ticks.lock().unwrap().push(record.to_vec());
        Ok(std::collections::BTreeSet::new())
    }
}

/// One open notice, whose outbox may fail.
#[derive(Default)]
struct OneNotice {
    fails: bool,
    touched: Mutex<usize>,
}

impl Outbox for OneNotice {
    async fn waiting(&self, before: Timestamp, _: usize) -> Result<Vec<Waiting>, PortError> {
        if self.fails {
            return Err(PortError("no table".to_owned()));
        }
        Ok(vec![Waiting { notification: "n".into(), touched_at: before }])
    }

    async fn touch(&self, _: &Waiting, _: Timestamp) -> Result<bool, PortError> {
        *self.touched.lock().unwrap() += 1;
        Ok(true)
    }
}

fn sweep(memory: &'static Memory, clock: fn() -> Timestamp) -> Sweep<Store, OneShard, OneNotice> {
    Sweep::new((Store(memory), OneShard::default(), OneNotice::default()), (1, 0), clock)
}

/// Runs the handler; returns its metrics by name.
async fn run(sweep: &Sweep<Store, OneShard, OneNotice>) -> (Result<BatchResponse, Failure>, HashMap<String, i64>) {
    let mut metrics = Metrics::default();
    let deadline = Deadline::at((sweep.clock)().after(Millis::from_secs(60)));
    let answer = sweep.handle(Bytes::from_static(b"{}"), deadline, &mut metrics).await;
    let common = crate::config::Common {
        platform: fleetform_engine::ids::PlatformName::new("p").unwrap(),
        environment: fleetform_engine::ids::EnvironmentId::new("dev").unwrap(),
    };
    let line: serde_json::Value = serde_json::from_str(&metrics.lines(&common, START)[0]).unwrap();
    let numbers = line.as_object().unwrap().iter().filter_map(|(name, value)| Some((name.clone(), value.as_i64()?)));
    (answer, numbers.collect())
}

/// A driver with its one shard, which gets a record an hour.
struct Hourly {
    memory: &'static Memory,
    driver: Driver,
    hours: i64,
}

impl Hourly {
    fn new(memory: &'static Memory) -> Self {
        let rules: RuleSet = serde_json::from_value(json!({
            "format_version": 1, "platform": "p", "environment": "dev",
            "message": {
                "device_id": "deviceId", "timestamp": "timestamp", "timestamp_format": "rfc3339",
                "readings": "readings", "health": {}, "max_future_skew_ms": 0, "max_past_ms": 0,
                "unknown_reading": "store"
            },
            "max_alert_delay_ms": 900_000, "zones": {}, "device_types": {}, "severities": {}, "contacts": {},
            "routes": [], "rules": {}
        }))
        .expect("a rule set");
        let driver = Driver::new(Settings {
            generation: 1,
            repair: 0,
            rule_set_sha256: memory.add_rule_set(&rules.to_bytes()),
            checkpoint_every: Millis::from_secs(12 * 3_600),
            record_age_max: Millis::from_secs(3_600),
        });
        Self { memory, driver, hours: 0 }
    }

    async fn go_on(&mut self, hours: i64) {
        for _ in 0..hours {
            self.hours += 1;
            let at = Timestamp(START.0 + self.hours * 3_600_000);
            self.memory.set_time(at);
            let data = format!(r#"{{"ff":1,"k":"tick","t":{}}}"#, at.0);
            let record = StreamRecord {
                sequence: SequenceNumber::new(&self.hours.to_string()).unwrap(),
                partition_key: "tick",
                arrived_at: at,
                data: data.as_bytes(),
            };
            let batch = Batch { shard: SHARD, records: vec![record] };
            let remaining = || Duration::from_secs(60);
            let mut seed = [0; 16];
            seed[..8].copy_from_slice(&self.hours.to_le_bytes());
            let invocation = Invocation { deadline: at.after(Millis::from_secs(60)), remaining: &remaining, seed };
            let memory = self.memory;
            let ports = Ports { log: memory, publisher: memory, rule_sets: memory, shards: memory, crumbs: memory };
            let outcome = self.driver.process(&ports, &batch, &invocation).await;
            assert_eq!(outcome.failure, None);
        }
    }

    fn count(&self, prefix: &str) -> usize {
        self.memory.objects().keys().filter(|key| key.starts_with(prefix)).count()
    }
}

fn memory() -> &'static Memory {
    Box::leak(Box::new(Memory::new()))
}

#[tokio::test]
async fn a_sweep_tells_the_time_and_looks_after_notices_and_chains() {
    let memory = memory();
    let mut chain = Hourly::new(memory);
    chain.go_on(5).await;
    let sweep = sweep(memory, || Timestamp(START.0 + 5 * 3_600_000));
    let (answer, metrics) = run(&sweep).await;
    assert_eq!(answer, Ok(BatchResponse::default()));
    assert_eq!((metrics["Ticks"], metrics["Redriven"], metrics["ExpiredObjects"]), (1, 1, 0));
    assert!(metrics["BaseBehindMs"] < 12 * 3_600_000);
    let ticks = sweep.stream.ticks.lock().unwrap();
    assert_eq!(ticks.as_slice(), [format!(r#"{{"ff":1,"k":"tick","t":{}}}"#, START.0 + 5 * 3_600_000).into_bytes()]);
}

#[tokio::test]
async fn the_newest_base_and_what_follows_it_stay_however_old_they_are() {
    for hours in [1, 13, 100, 400] {
        let memory = memory();
        let mut chain = Hourly::new(memory);
        chain.go_on(hours).await;
        let (deltas, bases) = (chain.count("log/"), chain.count("base/"));
        let (answer, metrics) = run(&sweep(memory, || Timestamp(START.0 + 10_000 * DAY_MS))).await;
        assert_eq!(answer, Ok(BatchResponse::default()));
        assert_eq!((chain.count("base/"), chain.count("start/")), (1, 1), "after {hours} hours");
        let expired = usize::try_from(metrics["ExpiredObjects"]).unwrap();
        assert_eq!(expired, deltas + bases - chain.count("log/") - chain.count("base/"));
        // A cold environment reads what is left, and continues from there.
        chain.driver = Hourly { hours, ..Hourly::new(memory) }.driver;
        chain.go_on(3).await;
    }
}

#[tokio::test]
async fn one_environment_looks_at_a_chain_once_an_hour() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    fn clock() -> Timestamp {
        Timestamp(START.0 + NOW.load(Ordering::Relaxed))
    }
    let memory = memory();
    Hourly::new(memory).go_on(1).await;
    let sweep = sweep(memory, clock);
    let mut looks = Vec::new();
    for minute in 0..=120 {
        NOW.store(minute * 60_000, Ordering::Relaxed);
        let (_, metrics) = run(&sweep).await;
        if metrics.contains_key("BaseBehindMs") {
            looks.push(minute);
        }
    }
    assert_eq!(looks, [0, 50, 100]);
}

#[tokio::test]
async fn what_fails_keeps_nothing_else_back() {
    let memory = memory();
    Hourly::new(memory).go_on(1).await;
    let mut sweep = sweep(memory, || START);
    sweep.stream.fails = true;
    let (answer, metrics) = run(&sweep).await;
    assert_eq!(answer.expect_err("the stream is down").message, "ticks: no stream");
    assert_eq!((metrics["Ticks"], metrics["Redriven"]), (0, 1));
    assert!(metrics.contains_key("BaseBehindMs"));

    (sweep.stream.fails, sweep.outbox.fails) = (false, true);
    sweep.looked_at.lock().unwrap().clear();
    memory.fail(|operation, _| (operation == Operation::List).then_some(Fault::Refused));
    let (answer, metrics) = run(&sweep).await;
    let message = answer.expect_err("outbox and log are down").message;
    assert!(message.contains("outbox: no table") && message.contains("chains: "), "{message}");
    assert_eq!((metrics["Ticks"], metrics["Redriven"]), (1, 0));
    assert!(!metrics.contains_key("BaseBehindMs"), "nobody knows how far it is behind");
}
