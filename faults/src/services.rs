//! In-memory implementations of the engine's ports: an object store, the tables, and the store of rule sets. Every
//! request takes virtual time in each direction, and may fail in every way in which a real one can; its effect
//! happens at a single moment. Nothing is retried here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fleetform_engine::{
    drive::{
        Clearing, Created, Lineage, Listed as Dated, Next, Page, PortError, Publisher, ReadFrom, RuleSets, Shards,
        StateLog, StoredRecord,
    },
    effect::Effects,
    position::SequenceNumber,
    reshard::HashRange,
    rule_set::RuleSet,
    units::Timestamp,
};

use crate::{
    clock::{Clock, InvocationNumber, digest},
    fate::{Fate, Faults, Operation, Request},
    stream::next_number,
    tables::{Put, Rows},
    world::Record,
};

/// How long a client waits for a response that does not arrive.
const TIME_OUT_MS: i64 = 3_000;

/// Everything outside the environments.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) clock: Arc<Clock>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    objects: BTreeMap<String, Object>,
    /// Creates that no caller waits for any more, but that will still be carried out.
    late: Vec<(i64, String, Vec<u8>)>,
    rule_sets: BTreeMap<String, Vec<u8>>,
    rows: Rows,
    stream: Vec<Listed>,
    /// Records that the engine has put and that no event source has seen yet, with the index of their shard.
    put: Vec<(usize, Arc<Record>)>,
    /// Whether the stream accepts what the engine puts.
    takes_records: bool,
    /// Whether a record that the engine put found no number between its neighbors.
    crowded: bool,
    faults: Faults,
}

/// A shard as the stream lists it.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Generation of the stream that lists it.
    pub(crate) generation: u32,
    pub(crate) name: String,
    pub(crate) lineage: Lineage,
    pub(crate) opened_at: i64,
    pub(crate) closed_at: Option<i64>,
    pub(crate) records: Vec<Arc<Record>>,
}

/// Number of records in one page.
const PAGE_RECORDS: usize = 50;

impl Listed {
    fn page(&self, from: &ReadFrom, now: i64) -> Page {
        let begins = match from {
            ReadFrom::Oldest => 0,
            ReadFrom::At(number) => self.records.partition_point(|record| record.sequence < *number),
            ReadFrom::After(number) => self.records.partition_point(|record| record.sequence <= *number),
            ReadFrom::Token(token) => token.parse().unwrap_or_default(),
        };
        let arrived = self.records.partition_point(|record| record.arrived_at <= now);
        let ends = arrived.min(begins + PAGE_RECORDS);
        let records = self.records.get(begins..ends).unwrap_or_default().iter().map(|record| StoredRecord {
            sequence: record.sequence,
            partition_key: record.partition_key.clone(),
            arrived_at: Timestamp(record.arrived_at),
            data: record.data.clone(),
        });
        let next = match self.closed_at {
            _ if begins < ends => Next::More(ends.to_string()),
            Some(closed_at) if closed_at <= now => Next::End,
            Some(_) | None => Next::Newest,
        };
        Page { records: records.collect(), next }
    }
}

#[derive(Debug)]
struct Object {
    bytes: Arc<[u8]>,
    created_at: i64,
}

impl Services {
    pub(crate) fn new(clock: Arc<Clock>, faults: Faults) -> Self {
        let inner = Inner {
            objects: BTreeMap::new(),
            late: Vec::new(),
            rule_sets: BTreeMap::new(),
            rows: Rows::default(),
            stream: Vec::new(),
            put: Vec::new(),
            takes_records: false,
            crowded: false,
            faults,
        };
        Self { clock, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a shard to the stream, visible from its opening time on.
    pub(crate) fn add_shard(&self, shard: Listed) {
        self.lock().stream.push(shard);
    }

    /// Stores a rule set and returns its address.
    pub(crate) fn add_rule_set(&self, bytes: &[u8]) -> String {
        let sha256 = RuleSet::sha256(bytes).to_string();
        self.lock().rule_sets.insert(sha256.clone(), bytes.to_vec());
        sha256
    }

    /// Stops all failures from now on.
    pub(crate) fn heal(&self) {
        self.lock().faults = Faults::None;
    }

    /// Returns every record of every shard, including those that the engine has put.
    pub(crate) fn records(&self) -> Vec<Vec<Arc<Record>>> {
        self.lock().stream.iter().map(|shard| shard.records.clone()).collect()
    }

    pub(crate) fn rows(&self) -> Rows {
        self.lock().rows.clone()
    }

    /// Lets the stream accept what the engine puts from now on.
    pub(crate) fn take_records(&self) {
        self.lock().takes_records = true;
    }

    /// Returns the records that were put since the last call, each with the index of its shard.
    pub(crate) fn take_put(&self) -> Vec<(usize, Arc<Record>)> {
        std::mem::take(&mut self.lock().put)
    }

    /// Whether a record that the engine put found no number between its neighbors.
    pub(crate) fn was_crowded(&self) -> bool {
        self.lock().crowded
    }

    /// Returns the keys of all objects, with their sizes.
    pub(crate) fn objects(&self) -> Vec<(String, usize)> {
        let mut inner = self.lock();
        inner.land(self.clock.now());
        inner.objects.iter().map(|(key, object)| (key.clone(), object.bytes.len())).collect()
    }

    /// Whether a shard has its start mark.
    pub(crate) fn has_begun(&self, generation: u32, shard: &str) -> bool {
        self.lock().objects.contains_key(&format!("start/{generation}/0/{shard}"))
    }

    /// Returns the position that the newest link of a shard's chain follows: its number, or `Some(None)` for the
    /// start; `None` if there is no link.
    pub(crate) fn last_link(&self, generation: u32, shard: &str) -> Option<Option<SequenceNumber>> {
        let prefix = format!("log/{generation}/0/{shard}/");
        let inner = self.lock();
        let position = inner.keys(&prefix, None).last()?.0[prefix.len()..].to_owned();
        Some(SequenceNumber::new(&position).ok())
    }
}

impl Inner {
    /// Puts a record on a stream, into the shard that now takes its key.
    fn put(&mut self, generation: u32, key: &str, data: Vec<u8>, now: i64) {
        let is_open = |shard: &Listed| {
            shard.generation == generation
                && shard.opened_at <= now
                && shard.closed_at.is_none_or(|closed_at| now < closed_at)
        };
        let takes = |shard: &Listed| is_open(shard) && shard.lineage.range.takes(key);
        let Some(index) = self.stream.iter().position(takes).filter(|_| self.takes_records) else { return };
        let shard = &mut self.stream[index];
        let at = shard.records.partition_point(|record| record.arrived_at <= now);
        let last = at.checked_sub(1).map_or(shard.lineage.first, |last| shard.records[last].sequence);
        let name = shard.name.clone();
        let following = shard.records.get(at).map(|record| record.sequence);
        let fits = |number: &SequenceNumber| following.is_none_or(|following| *number < following);
        let Some(sequence) = next_number(&last).filter(fits) else {
            self.crowded = true;
            return;
        };
        let record = Arc::new(Record { sequence, partition_key: key.to_owned(), arrived_at: now, data });
        shard.records.insert(at, record.clone());
        self.put.push((index, record));
        // The starting numbers of its children were fixed by the log before.
        let children = self.stream.iter().filter(|child| child.lineage.parents.iter().any(|parent| **parent == *name));
        self.crowded |= children.map(|child| child.lineage.first).any(|first| first <= sequence);
    }

    /// Returns the objects with a prefix, in the order of their keys, after one of them.
    fn keys(&self, prefix: &str, after: Option<&str>) -> impl Iterator<Item = (&String, &Object)> {
        let from = after.unwrap_or(prefix).to_owned();
        let behind = move |key: &String| after.is_none_or(|after| key.as_str() > after);
        let objects = self.objects.range(from..).skip_while(move |(key, _)| !behind(key));
        objects.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Carries out what was delayed in transit until now.
    fn land(&mut self, now: i64) {
        if self.late.is_empty() {
            return;
        }
        self.late.sort_by_key(|(at, _, _)| *at);
        let due = self.late.partition_point(|(at, _, _)| *at <= now);
        for (at, key, bytes) in self.late.drain(..due).collect::<Vec<_>>() {
            self.create(&key, &bytes, at);
        }
    }

    fn create(&mut self, key: &str, bytes: &[u8], now: i64) -> Created {
        if self.objects.contains_key(key) && !overwrites() {
            return Created::Exists;
        }
        self.objects.insert(key.to_owned(), Object { bytes: bytes.into(), created_at: now });
        Created::Created
    }
}

/// Whether the store ignores the condition of a create: the one bug on this side of the ports.
fn overwrites() -> bool {
    #[cfg(debug_assertions)]
    return fleetform_engine::mutants::is_on(fleetform_engine::mutants::Mutant::CreateWithoutCondition);
    #[cfg(not(debug_assertions))]
    false
}

/// The services as one invocation reaches them.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) services: Arc<Services>,
    pub(crate) invocation: InvocationNumber,
    /// Generation of the stream that it knows.
    generation: u32,
    asked: Mutex<BTreeMap<Operation, u64>>,
}

/// Why a request has no response.
enum Broken {
    Refused,
    Conflict,
    Unknown,
    Late(i64),
}

impl From<Broken> for PortError {
    fn from(broken: Broken) -> Self {
        Self(
            match broken {
                Broken::Refused | Broken::Conflict => "slow down",
                Broken::Unknown | Broken::Late(_) => "no answer in time",
            }
            .into(),
        )
    }
}

impl Connection {
    pub(crate) fn new(services: Arc<Services>, invocation: InvocationNumber, generation: u32) -> Self {
        Self { services, invocation, generation, asked: Mutex::new(BTreeMap::new()) }
    }

    /// Returns a shard of the stream that it knows.
    fn listed<'a>(&self, inner: &'a Inner, shard: &str) -> Option<&'a Listed> {
        inner.stream.iter().find(|listed| listed.generation == self.generation && listed.name == shard)
    }

    /// Makes one request: to the service, its effect, and back.
    async fn call<T>(
        &self,
        operation: Operation,
        key: &str,
        act: impl FnOnce(&mut Inner, i64) -> T + Send,
    ) -> Result<(T, Fate), Broken> {
        let clock = &self.services.clock;
        let nth = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let nth = asked.entry(operation).or_default();
            *nth += 1;
            *nth
        };
        let (fate, there, back) = {
            let request = Request { now: clock.now(), invocation: self.invocation, operation, nth };
            let faults = &mut self.services.lock().faults;
            (faults.fate(&request), faults.latency(), faults.latency())
        };
        clock.note(&[self.invocation, operation as u64, digest(key.as_bytes())]);
        let act = || {
            let mut inner = self.services.lock();
            let now = clock.now();
            inner.land(now);
            act(&mut inner, now)
        };
        if fate == Fate::Kill {
            clock.kill().await;
        }
        clock.sleep(there).await;
        match fate {
            Fate::Fine | Fate::Kill | Fate::Corrupt | Fate::Newer => {}
            Fate::Throttle => return Err(Broken::Refused),
            Fate::Conflict => return Err(Broken::Conflict),
            Fate::TimeoutDropped => {
                clock.sleep(TIME_OUT_MS).await;
                return Err(Broken::Unknown);
            }
            Fate::TimeoutApplied => {
                act();
                clock.sleep(TIME_OUT_MS).await;
                return Err(Broken::Unknown);
            }
            Fate::TimeoutLate(ms) => return Err(Broken::Late(ms)),
            Fate::Stall(ms) => clock.sleep(ms).await,
            Fate::StallUntil(invocation) => clock.until_ended(invocation).await,
            Fate::SlowAnswer(ms) => {
                let answer = act();
                clock.sleep(ms).await;
                return Ok((answer, fate));
            }
            Fate::KillAfter => {
                act();
                clock.kill().await;
                return Err(Broken::Unknown);
            }
        }
        let answer = act();
        clock.sleep(back).await;
        Ok((answer, fate))
    }
}

impl StateLog for Connection {
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, PortError> {
        let list = |inner: &mut Inner, _| inner.keys(prefix, after).take(limit).map(|(key, _)| key.clone()).collect();
        Ok(self.call(Operation::List, prefix, list).await?.0)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        let get = |inner: &mut Inner, _| inner.objects.get(key).map(|object| object.bytes.to_vec());
        let (mut found, fate) = self.call(Operation::Get, key, get).await?;
        match (fate, found.as_deref_mut()) {
            (Fate::Corrupt, Some(bytes)) => {
                let middle = bytes.len() / 2;
                bytes[middle..].iter_mut().take(1).for_each(|byte| *byte ^= 0x10);
            }
            // The format version stands after four bytes that never change.
            (Fate::Newer, Some(bytes)) => bytes.iter_mut().skip(4).take(2).for_each(|byte| *byte = 0x7f),
            (_, _) => {}
        }
        Ok(found)
    }

    async fn create(&self, key: &str, bytes: &[u8]) -> Created {
        let created = self.call(Operation::Create, key, |inner, now| inner.create(key, bytes, now)).await;
        match created {
            Ok((created, _)) => {
                self.services
                    .clock
                    .note(&[u64::from(created == Created::Created), digest(&bytes[bytes.len().saturating_sub(8)..])]);
                created
            }
            Err(Broken::Refused) => Created::Refused(Broken::Refused.into()),
            Err(Broken::Conflict) => Created::Conflict,
            Err(Broken::Unknown) => Created::Ambiguous(Broken::Unknown.into()),
            Err(Broken::Late(ms)) => {
                let at = self.services.clock.now() + TIME_OUT_MS + ms;
                self.services.lock().late.push((at, key.to_owned(), bytes.to_vec()));
                self.services.clock.sleep(TIME_OUT_MS).await;
                Created::Ambiguous(Broken::Late(ms).into())
            }
        }
    }
}

impl Clearing for Connection {
    async fn list_dated(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Dated>, PortError> {
        let list = |inner: &mut Inner, _| {
            let keys = inner.keys(prefix, after).take(limit);
            let dated = keys.map(|(key, object)| Dated { key: key.clone(), created_at: Timestamp(object.created_at) });
            dated.collect()
        };
        Ok(self.call(Operation::List, prefix, list).await?.0)
    }

    async fn delete(&self, keys: &[String]) -> Result<(), PortError> {
        let first = keys.first().map_or("", String::as_str);
        let delete = |inner: &mut Inner, _| {
            for key in keys {
                inner.objects.remove(key);
            }
        };
        self.call(Operation::Delete, first, delete).await?;
        Ok(())
    }
}

impl Shards for Connection {
    /// A stream on which no shard is listed has every shard, each without parents.
    async fn lineage(&self, shard: &str) -> Result<Option<Lineage>, PortError> {
        let find = |inner: &mut Inner, now| {
            if inner.stream.is_empty() {
                let first = SequenceNumber::new("0").ok()?;
                return Some(Lineage { range: HashRange::ALL, parents: Vec::new(), first });
            }
            let listed = self.listed(inner, shard).filter(|listed| listed.opened_at <= now);
            listed.map(|listed| listed.lineage.clone())
        };
        Ok(self.call(Operation::Lineage, shard, find).await?.0)
    }

    async fn read(&self, shard: &str, from: &ReadFrom) -> Result<Page, PortError> {
        let read = |inner: &mut Inner, now| {
            self.listed(inner, shard).map_or_else(Page::default, |listed| listed.page(from, now))
        };
        Ok(self.call(Operation::Records, shard, read).await?.0)
    }
}

impl RuleSets for Connection {
    async fn load(&self, sha256: &str) -> Result<Option<Vec<u8>>, PortError> {
        Ok(self.call(Operation::Load, sha256, |inner, _| inner.rule_sets.get(sha256).cloned()).await?.0)
    }
}

impl Publisher for Connection {
    /// Puts one row at a time, as a table accepts them: any of the requests may be the last one.
    async fn publish(&self, effects: &Effects) -> Result<(), PortError> {
        for row in &effects.alerts {
            self.call(Operation::Publish, &row.episode, |inner, _| inner.rows.transition(row)).await?;
        }
        for row in &effects.notifications {
            self.call(Operation::Publish, &row.id, |inner, at| {
                inner.rows.notice(row, Put { at, invocation: self.invocation })
            })
            .await?;
        }
        for row in &effects.quarantined {
            self.call(Operation::Publish, &row.sequence, |inner, _| inner.rows.set_aside(row)).await?;
        }
        for member in &effects.members {
            let key = member.partition_key();
            self.call(Operation::Publish, &key, |inner, now| inner.put(self.generation, &key, member.record(), now))
                .await?;
        }
        Ok(())
    }
}
