//! The ports in memory, with call counts, and with faults on demand.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use fleetform_engine::{
    drive::{PortError, RuleSets},
    rule_set::RuleSet,
    state::Registration,
};
use serde_json::Value;
use smol_str::SmolStr;

use super::{
    Chains, HotRows, Part, Registry, Rows,
    history::History,
    hot::Item,
    timestream::{Aside, Records, Written},
    timestream_memory::Table,
};

/// The only rule set.
pub(crate) const RULES: &[u8] = include_bytes!("../../../engine/tests/fixtures/rule-set.json");

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call is refused, and has no effect.
    Refused,
    /// The call takes effect, and its answer is lost.
    Unanswered,
    /// Every second part of the call takes effect.
    Half,
}

/// Everything that is stored, shared between clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct World(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    devices: Mutex<HashMap<SmolStr, History>>,
    parts: Mutex<BTreeMap<String, Part>>,
    chain: Mutex<Vec<Registration>>,
    rows: Mutex<Vec<Value>>,
    table: Mutex<Table>,
    aside: Mutex<BTreeMap<String, Vec<u8>>>,
    items: Mutex<BTreeMap<(String, String), Item>>,
    calls: AtomicUsize,
    counts: Mutex<BTreeMap<&'static str, usize>>,
    /// The first failing call, the number of failing calls, and the fault.
    faults: Mutex<Option<(usize, usize, Fault)>>,
    /// An operation that is refused, and how often.
    refused: Mutex<Option<(&'static str, usize)>>,
}

impl World {
    /// Makes calls fail.
    pub(crate) fn fail(&self, from: usize, calls: usize, fault: Fault) {
        *self.0.faults.lock().unwrap() = Some((from, calls, fault));
    }

    /// Makes an operation fail this many times.
    pub(crate) fn refuse(&self, operation: &'static str, times: usize) {
        *self.0.refused.lock().unwrap() = Some((operation, times));
    }

    /// Sets what a shard's chain knows.
    pub(crate) fn chain(&self, devices: Vec<Registration>) {
        *self.0.chain.lock().unwrap() = devices;
    }

    /// All rows that were ever accepted, including duplicates.
    pub(crate) fn rows(&self) -> Vec<Value> {
        self.0.rows.lock().unwrap().clone()
    }

    /// The table of Timestream.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap()
    }

    /// The objects that were set aside, by key.
    pub(crate) fn aside(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.aside.lock().unwrap().clone()
    }

    /// Removes and returns the rows that were accepted since the last time.
    pub(crate) fn take_rows(&self) -> Vec<Value> {
        std::mem::take(&mut *self.0.rows.lock().unwrap())
    }

    /// All items.
    pub(crate) fn items(&self) -> Vec<Item> {
        self.0.items.lock().unwrap().values().cloned().collect()
    }

    /// The number of calls of each operation.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.0.counts.lock().unwrap().clone()
    }

    /// The total number of calls.
    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// Counts a call, and returns its fault.
    fn call(&self, operation: &'static str) -> Option<Fault> {
        let number = self.0.calls.fetch_add(1, Ordering::Relaxed);
        *self.0.counts.lock().unwrap().entry(operation).or_default() += 1;
        if let Some((refused, times)) = &mut *self.0.refused.lock().unwrap()
            && *refused == operation
            && *times > 0
        {
            *times -= 1;
            return Some(Fault::Refused);
        }
        let (from, calls, fault) = (*self.0.faults.lock().unwrap())?;
        (from..from + calls).contains(&number).then_some(fault)
    }

    fn done<T>(&self, operation: &'static str, act: impl FnOnce() -> T) -> Result<T, PortError> {
        let lost = || PortError(format!("{operation}: no answer in time"));
        match self.call(operation) {
            None => Ok(act()),
            Some(Fault::Refused | Fault::Half) => Err(lost()),
            Some(Fault::Unanswered) => {
                act();
                Err(lost())
            }
        }
    }

    /// A call that accepts some of several items.
    fn some<T>(
        &self,
        operation: &'static str,
        things: Vec<T>,
        mut act: impl FnMut(T),
    ) -> Result<Vec<Option<String>>, PortError> {
        if self.0.faults.lock().unwrap().is_some_and(|(.., fault)| fault == Fault::Half) {
            let halved = self.call(operation).is_some();
            let take = |(place, thing)| match halved && place % 2 == 1 {
                true => Some("ThrottlingException".to_owned()),
                false => {
                    act(thing);
                    None
                }
            };
            return Ok(things.into_iter().enumerate().map(take).collect());
        }
        let count = things.len();
        self.done(operation, || things.into_iter().for_each(&mut act)).map(|()| vec![None; count])
    }
}

impl Registry for World {
    async fn part(&self, shard: &str) -> Result<Part, PortError> {
        self.done("GetItem", || self.0.parts.lock().unwrap().get(shard).copied().unwrap_or_default())
    }

    async fn load(&self, devices: &[SmolStr]) -> Result<Vec<(SmolStr, History)>, PortError> {
        let known = self.0.devices.lock().unwrap();
        let found = devices.iter().filter_map(|device| Some((device.clone(), known.get(device)?.clone())));
        self.done("BatchGetItem", || found.collect())
    }

    async fn begin(&self, devices: &[(SmolStr, History)]) -> Result<(), PortError> {
        for (device, history) in devices {
            self.done("PutItem", || {
                self.0.devices.lock().unwrap().entry(device.clone()).or_insert_with(|| history.clone());
            })?;
        }
        Ok(())
    }

    async fn save(&self, devices: &[(SmolStr, History)]) -> Result<(), PortError> {
        for (device, history) in devices {
            self.done("PutItem", || {
                let mut known = self.0.devices.lock().unwrap();
                if known.get(device).is_none_or(|known| known.revision() < history.revision()) {
                    known.insert(device.clone(), history.clone());
                }
            })?;
        }
        Ok(())
    }

    async fn change(&self, shard: &str, begun: bool) -> Result<u64, PortError> {
        self.done("UpdateItem", || {
            let mut parts = self.0.parts.lock().unwrap();
            let part = parts.entry(shard.to_owned()).or_default();
            *part = Part { version: part.version + 1, begun: part.begun || begun };
            part.version
        })
    }
}

impl Chains for World {
    async fn registered(&self, _: &str) -> Result<Vec<Registration>, PortError> {
        self.done("ListObjectsV2", || self.0.chain.lock().unwrap().clone())
    }
}

impl Rows for World {
    async fn put(&self, rows: Vec<Bytes>) -> Result<Vec<Option<String>>, PortError> {
        assert!(rows.len() <= super::handover::ROWS_MAX);
        self.some("PutRecordBatch", rows, |row| {
            self.0.rows.lock().unwrap().push(serde_json::from_slice(&row).expect("a row is JSON"));
        })
    }
}

impl HotRows for World {
    async fn put(&self, items: Vec<Arc<Item>>) -> Result<Vec<Option<String>>, PortError> {
        assert!(items.len() <= super::handover::ITEMS_MAX);
        self.some("BatchWriteItem", items, |item| {
            let key = (item.device.clone(), item.sample.clone());
            self.0.items.lock().unwrap().insert(key, Item::clone(&item));
        })
    }
}

impl Records for World {
    async fn write(&self, records: &[Bytes]) -> Result<Written, PortError> {
        let records: Vec<Value> =
            records.iter().map(|record| serde_json::from_slice(record).expect("a record is JSON")).collect();
        let later = || Ok(Written::Later("WriteRecords: no answer in time".to_owned()));
        match self.call("WriteRecords") {
            None => Ok(self.table().write(&records)),
            Some(Fault::Refused) => later(),
            Some(Fault::Unanswered) => {
                self.table().write(&records);
                later()
            }
            Some(Fault::Half) => {
                self.table().write(&records[..records.len().div_ceil(2)]);
                Err(PortError("WriteRecords: it broke off".to_owned()))
            }
        }
    }
}

impl Aside for World {
    async fn keep(&self, key: &str, lines: Vec<u8>) -> Result<(), PortError> {
        self.done("PutObject", || _ = self.0.aside.lock().unwrap().insert(key.to_owned(), lines))
    }
}

impl RuleSets for World {
    async fn load(&self, sha256: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.done("GetObject", || (RuleSet::sha256(RULES) == sha256).then(|| RULES.to_vec()))
    }
}
