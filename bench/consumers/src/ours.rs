//! fleetform's own path, measured twice: reading and evaluating only, and with committing each batch.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fleetform_engine::{
    compiled::Compiled,
    counts::Counts,
    drive::{
        Batch, Created, Crumb, Crumbs, Driver, Invocation, Lineage, Page, PortError, Ports, Publisher, ReadFrom,
        RuleSets, Settings, Shards, StateLog, StreamRecord,
    },
    effect::Effects,
    fetch::AHEAD,
    position::SequenceNumber,
    reshard::HashRange,
    state::{RuleSetRef, ShardState},
    step::{Run, step},
    units::{Millis, Timestamp},
};
use fleetform_runtime::event::kinesis::KinesisEvent;
use serde_json::json;

use crate::{
    Failure, Pass,
    corpus::{DEVICE_TYPE, SHARD, START_MS},
    folder::Folder,
    tally::Tally,
};

/// The starting point of every pass.
#[derive(Debug)]
pub struct Prepared {
    rules: Arc<Compiled>,
    rule_set: Vec<u8>,
    /// The records before the corpus, with partition keys: the registrations of all devices, and then a tick. A shard
    /// that has started examines every device once, to find out when it is due; the tick makes that happen before
    /// anything is measured.
    before: Vec<(String, Vec<u8>)>,
}

impl Prepared {
    /// Prepares a corpus.
    ///
    /// # Errors
    /// If its rule set is not valid.
    pub fn new(folder: &Folder) -> Result<Self, Failure> {
        let registration = |(device, zone): (&String, &String)| {
            let record = json!({ "ff": 1, "k": "device", "d": device, "rev": 1, "type": DEVICE_TYPE, "zone": zone });
            (device.clone(), record.to_string().into_bytes())
        };
        let tick =
            ("tick".to_owned(), json!({ "ff": 1, "k": "tick", "t": START_MS - 60_000 }).to_string().into_bytes());
        Ok(Self {
            rules: Compiled::from_bytes(&folder.rule_set)?.into(),
            rule_set: folder.rule_set.clone(),
            before: folder.devices.iter().map(registration).chain([tick]).collect(),
        })
    }

    fn before(&self) -> Result<Vec<StreamRecord<'_>>, Failure> {
        let numbered = self.before.iter().enumerate();
        numbered
            .map(|(index, (device, data))| {
                Ok(StreamRecord {
                    sequence: SequenceNumber::new(&(index + 1).to_string())?,
                    partition_key: device,
                    arrived_at: Timestamp(START_MS - 60_000),
                    data,
                })
            })
            .collect()
    }
}

fn tally(counts: &Counts, before: u64) -> Tally {
    Tally {
        records: counts.records - before,
        malformed: counts.quarantined.values().sum(),
        alerts: counts.fired,
        resolved: counts.resolved,
        suppressed: counts.cooled_down,
    }
}

/// Reads and evaluates. Writes nothing.
#[derive(Debug)]
pub struct Evaluate<'a> {
    prepared: &'a Prepared,
    state: ShardState,
    run: Run,
}

impl<'a> Evaluate<'a> {
    /// Starts with every device registered.
    ///
    /// # Errors
    /// If the devices cannot be registered.
    pub fn new(prepared: &'a Prepared) -> Result<Self, Failure> {
        let sha256 = prepared.rules.sha256().into();
        let mut state = ShardState::new(RuleSetRef { version: 0, sha256 });
        let mut run = Run::new(SHARD, 1);
        for record in prepared.before()? {
            step(&prepared.rules, &mut state, &record, &mut run);
        }
        Ok(Self { prepared, state, run })
    }
}

impl Pass for Evaluate<'_> {
    fn event(&mut self, body: &[u8]) -> Result<(), Failure> {
        let event = KinesisEvent::parse(body)?;
        let batch = event.batch();
        self.state.begin();
        self.run.effects = Effects::default();
        for records in batch.records.chunks(AHEAD) {
            self.state.fetch(records);
            for record in records {
                step(&self.prepared.rules, &mut self.state, record, &mut self.run);
            }
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        tally(&self.run.counts, self.prepared.before.len() as u64)
    }
}

/// Reads, evaluates, packs and commits.
#[derive(Debug)]
pub struct Commit<'a> {
    prepared: &'a Prepared,
    store: Store<'a>,
    driver: Driver,
    counts: BTreeMap<&'static str, u64>,
    deadline: i64,
}

/// A store that accepts everything immediately and keeps nothing.
#[derive(Debug)]
struct Store<'a> {
    rule_set: &'a [u8],
    creates: AtomicU64,
    others: AtomicU64,
}

impl StateLog for Store<'_> {
    async fn list(&self, _prefix: &str, _after: Option<&str>, _limit: usize) -> Result<Vec<String>, PortError> {
        self.others.fetch_add(1, Ordering::Relaxed);
        Ok(Vec::new())
    }

    async fn get(&self, _key: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.others.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }

    async fn create(&self, key: &str, bytes: &[u8]) -> Created {
        std::hint::black_box((key, bytes));
        self.creates.fetch_add(1, Ordering::Relaxed);
        Created::Created
    }
}

impl Publisher for Store<'_> {
    async fn publish(&self, effects: &Effects) -> Result<(), PortError> {
        std::hint::black_box(effects);
        Ok(())
    }
}

impl Shards for Store<'_> {
    /// The one shard has no parents.
    async fn lineage(&self, _shard: &str) -> Result<Option<Lineage>, PortError> {
        let first = SequenceNumber::new("0").map_err(|error| PortError(error.to_string()))?;
        Ok(Some(Lineage { range: HashRange::ALL, parents: Vec::new(), first }))
    }

    async fn read(&self, _shard: &str, _from: &ReadFrom) -> Result<Page, PortError> {
        Ok(Page::default())
    }
}

/// No batch is ever interrupted here.
impl Crumbs for Store<'_> {
    fn find(&self, _shard: &str) -> Option<Crumb> {
        None
    }

    fn leave(&self, _shard: &str, _crumb: Option<Crumb>) {}
}

impl RuleSets for Store<'_> {
    async fn load(&self, _sha256: &str) -> Result<Option<Vec<u8>>, PortError> {
        Ok(Some(self.rule_set.to_vec()))
    }
}

impl<'a> Commit<'a> {
    /// Starts with every device registered.
    ///
    /// # Errors
    /// If the devices cannot be registered.
    pub fn new(prepared: &'a Prepared) -> Result<Self, Failure> {
        let settings = Settings {
            generation: 1,
            repair: 0,
            rule_set_sha256: prepared.rules.sha256().to_owned(),
            checkpoint_every: Millis::from_secs(86_400),
            record_age_max: Millis::from_secs(6 * 3_600),
        };
        let store = Store { rule_set: &prepared.rule_set, creates: AtomicU64::default(), others: AtomicU64::default() };
        let driver = Driver::new(settings);
        let mut commit = Self { prepared, store, driver, counts: BTreeMap::new(), deadline: START_MS };
        commit.process(&Batch { shard: SHARD, records: prepared.before()? })?;
        Ok(commit)
    }

    fn process(&mut self, batch: &Batch<'_>) -> Result<(), Failure> {
        self.deadline += 2_000;
        let remaining = || Duration::from_secs(60);
        let invocation = Invocation { deadline: Timestamp(self.deadline), remaining: &remaining, seed: [7; 16] };
        let store = &self.store;
        let ports = Ports { log: store, publisher: store, rule_sets: store, shards: store, crumbs: store };
        let mut future = std::pin::pin!(self.driver.process(&ports, batch, &invocation));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(outcome) = future.as_mut().poll(&mut context) else {
            return Err("a store that answers at once was waited for".into());
        };
        if let Some(failure) = outcome.failure {
            return Err(failure.into());
        }
        let found = tally(&outcome.counts, 0);
        for (name, value) in [
            ("records", found.records),
            ("malformed", found.malformed),
            ("alerts", found.alerts),
            ("resolved", found.resolved),
            ("suppressed", found.suppressed),
        ] {
            *self.counts.entry(name).or_default() += value;
        }
        Ok(())
    }
}

impl Pass for Commit<'_> {
    fn event(&mut self, body: &[u8]) -> Result<(), Failure> {
        let event = KinesisEvent::parse(body)?;
        let batch = event.batch();
        self.process(&batch)
    }

    fn tally(&self) -> Tally {
        Tally {
            records: self.counts["records"] - self.prepared.before.len() as u64,
            malformed: self.counts["malformed"],
            alerts: self.counts["alerts"],
            resolved: self.counts["resolved"],
            suppressed: self.counts["suppressed"],
        }
    }
}
