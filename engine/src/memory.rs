//! In-memory implementations of the ports, deterministic and able to fail on demand: for tests, and for running the
//! engine without any store. They can do to a request whatever a real store can: refuse it, lose it, or carry it out
//! and lose the response. Every call yields once, so that a run can be dropped at each of them.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::{
    drive::{
        Clearing, Created, Crumb, Crumbs, Lineage, Listed, Next, Page, PortError, Publisher, ReadFrom, RuleSets,
        Shards, StateLog, StoredRecord,
    },
    effect::{Alert, Effects, Member, Notification, Quarantined},
    position::SequenceNumber,
    reshard::HashRange,
    rule_set::RuleSet,
    units::Timestamp,
};

/// An operation on a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Keys are listed.
    List,
    /// An object is read.
    Get,
    /// An object is created.
    Create,
    /// One row is published.
    Publish,
    /// A rule set is loaded.
    Load,
    /// An object is deleted.
    Delete,
    /// A shard's lineage is requested.
    Lineage,
    /// Records of a shard are read.
    Read,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused and nothing is done.
    Refused,
    /// Another request for the same key is in progress (creates only; others are refused).
    Conflict,
    /// Nothing is done and no response arrives.
    RequestLost,
    /// It is done and no response arrives.
    AnswerLost,
}

/// Decides how an operation on a key fails, if it does.
pub type Faults = Box<dyn FnMut(Operation, &str) -> Option<Fault> + Send>;

/// Objects, rows and rule sets, for any number of drivers.
#[derive(Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    created_at: BTreeMap<String, Timestamp>,
    now: Timestamp,
    rule_sets: BTreeMap<String, Vec<u8>>,
    rows: Rows,
    shards: BTreeMap<String, Shard>,
    crumbs: BTreeMap<String, Crumb>,
    faults: Option<Faults>,
    operations: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug)]
struct Shard {
    lineage: Lineage,
    records: Vec<StoredRecord>,
    closed: bool,
}

/// The contents of the tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Notices by id, never changed.
    pub outbox: BTreeMap<String, Notification>,
    /// The newest transition of each episode, by subject and episode.
    pub alerts: BTreeMap<(String, String), Alert>,
    /// Quarantined records by shard and sequence number, never changed.
    pub quarantine: BTreeMap<(String, String), Quarantined>,
    /// Records put on the stream, by partition key, device and number.
    pub members: BTreeMap<(String, String, u64), Member>,
    /// Keys of rows that were published again with other content. There must be none.
    pub contradictions: Vec<String>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("Memory").field("objects", &inner.objects.len()).field("rows", &inner.rows).finish()
    }
}

impl Memory {
    /// Creates empty stores that never fail.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores a rule set and returns its address.
    pub fn add_rule_set(&self, bytes: &[u8]) -> String {
        let sha256 = RuleSet::sha256(bytes).to_string();
        self.lock().rule_sets.insert(sha256.clone(), bytes.to_vec());
        sha256
    }

    /// Lets `faults` decide from now on how operations fail.
    pub fn fail(&self, faults: impl FnMut(Operation, &str) -> Option<Fault> + Send + 'static) {
        self.lock().faults = Some(Box::new(faults));
    }

    /// Stops all failures from now on.
    pub fn heal(&self) {
        self.lock().faults = None;
    }

    /// Returns a copy of the tables.
    pub fn rows(&self) -> Rows {
        self.lock().rows.clone()
    }

    /// Returns a copy of the objects.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().objects.clone()
    }

    /// Writes an object, whatever was there. No port can do this, but a broken disk can.
    pub fn overwrite(&self, key: &str, bytes: Vec<u8>) {
        self.lock().objects.insert(key.to_owned(), bytes);
    }

    /// Removes an object.
    pub fn remove(&self, key: &str) {
        self.lock().objects.remove(key);
    }

    /// Sets the creation time of objects from now on.
    pub fn set_time(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// Adds a shard to the stream. While there is none, every shard is treated as having no parents.
    pub fn add_shard(&self, shard: &str, lineage: Lineage) {
        let mut inner = self.lock();
        for parent in &lineage.parents {
            if let Some(parent) = inner.shards.get_mut(parent.as_str()) {
                parent.closed = true;
            }
        }
        inner.shards.insert(shard.to_owned(), Shard { lineage, records: Vec::new(), closed: false });
    }

    /// Puts a record where [`Shards::read`] finds it. The shard must exist; the record becomes its newest.
    pub fn put_record(&self, shard: &str, record: StoredRecord) {
        let mut inner = self.lock();
        if let Some(shard) = inner.shards.get_mut(shard) {
            shard.records.push(record);
        }
    }

    /// Expires the records before `number`.
    pub fn trim(&self, shard: &str, number: SequenceNumber) {
        if let Some(shard) = self.lock().shards.get_mut(shard) {
            shard.records.retain(|record| record.sequence >= number);
        }
    }

    /// Removes a shard from the stream's list, as happens once all its records have expired.
    pub fn remove_shard(&self, shard: &str) {
        self.lock().shards.remove(shard);
    }

    /// Returns how often each operation was requested since the last call.
    pub fn take_operations(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.lock().operations)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(&self, operation: Operation, key: &str) -> Option<Fault> {
        Yield(false).await;
        let mut inner = self.lock();
        let name = match operation {
            Operation::List => "list",
            Operation::Get => "get",
            Operation::Create => "create",
            Operation::Publish => "publish",
            Operation::Load => "load",
            Operation::Delete => "delete",
            Operation::Lineage => "lineage",
            Operation::Read => "read",
        };
        *inner.operations.entry(name).or_default() += 1;
        inner.faults.as_mut().and_then(|faults| faults(operation, key))
    }
}

fn error(fault: Fault) -> PortError {
    PortError(format!("{fault:?}"))
}

impl StateLog for Memory {
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, PortError> {
        if let Some(fault) = self.begin(Operation::List, prefix).await {
            return Err(error(fault));
        }
        let inner = self.lock();
        let listed = inner.objects.keys().filter(|key| key.starts_with(prefix));
        Ok(listed.filter(|key| after.is_none_or(|after| key.as_str() > after)).take(limit).cloned().collect())
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        match self.begin(Operation::Get, key).await {
            Some(fault) => Err(error(fault)),
            None => Ok(self.lock().objects.get(key).cloned()),
        }
    }

    async fn create(&self, key: &str, bytes: &[u8]) -> Created {
        let fault = self.begin(Operation::Create, key).await;
        let create = || {
            let mut inner = self.lock();
            if inner.objects.contains_key(key) {
                Created::Exists
            } else {
                let now = inner.now;
                inner.created_at.insert(key.to_owned(), now);
                inner.objects.insert(key.to_owned(), bytes.to_vec());
                Created::Created
            }
        };
        match fault {
            None => create(),
            Some(Fault::Refused) => Created::Refused(error(Fault::Refused)),
            Some(Fault::Conflict) => Created::Conflict,
            Some(Fault::RequestLost) => Created::Ambiguous(error(Fault::RequestLost)),
            Some(Fault::AnswerLost) => {
                create();
                Created::Ambiguous(error(Fault::AnswerLost))
            }
        }
    }
}

impl Clearing for Memory {
    async fn list_dated(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, PortError> {
        let keys = self.list(prefix, after, limit).await?;
        let inner = self.lock();
        let dated = |key: String| Listed { created_at: inner.created_at.get(&key).copied().unwrap_or_default(), key };
        Ok(keys.into_iter().map(dated).collect())
    }

    async fn delete(&self, keys: &[String]) -> Result<(), PortError> {
        for key in keys {
            if let Some(fault) = self.begin(Operation::Delete, key).await {
                return Err(error(fault));
            }
            self.lock().objects.remove(key);
        }
        Ok(())
    }
}

impl RuleSets for Memory {
    async fn load(&self, sha256: &str) -> Result<Option<Vec<u8>>, PortError> {
        match self.begin(Operation::Load, sha256).await {
            Some(fault) => Err(error(fault)),
            None => Ok(self.lock().rule_sets.get(sha256).cloned()),
        }
    }
}

/// Number of records in one page.
const PAGE_RECORDS: usize = 100;

impl Shards for Memory {
    async fn lineage(&self, shard: &str) -> Result<Option<Lineage>, PortError> {
        if let Some(fault) = self.begin(Operation::Lineage, shard).await {
            return Err(error(fault));
        }
        let inner = self.lock();
        if inner.shards.is_empty() {
            let first = SequenceNumber::new("0").map_err(|error| PortError(error.to_string()))?;
            return Ok(Some(Lineage { range: HashRange::ALL, parents: Vec::new(), first }));
        }
        Ok(inner.shards.get(shard).map(|shard| shard.lineage.clone()))
    }

    async fn read(&self, shard: &str, from: &ReadFrom) -> Result<Page, PortError> {
        if let Some(fault) = self.begin(Operation::Read, shard).await {
            return Err(error(fault));
        }
        let inner = self.lock();
        let Some(Shard { records, closed, .. }) = inner.shards.get(shard) else { return Ok(Page::default()) };
        let malformed = || PortError("no such token".into());
        let from = match from {
            ReadFrom::Oldest => 0,
            ReadFrom::At(number) => records.partition_point(|record| record.sequence < *number),
            ReadFrom::After(number) => records.partition_point(|record| record.sequence <= *number),
            ReadFrom::Token(token) => {
                let number = SequenceNumber::new(token).map_err(|_| malformed())?;
                records.partition_point(|record| record.sequence <= number)
            }
        };
        let records: Vec<StoredRecord> = records[from..].iter().take(PAGE_RECORDS).cloned().collect();
        let next = match records.last() {
            // A page that ends with the newest record does not show it.
            Some(last) => Next::More(last.sequence.to_string()),
            None if *closed => Next::End,
            None => Next::Newest,
        };
        Ok(Page { records, next })
    }
}

impl Crumbs for Memory {
    fn find(&self, shard: &str) -> Option<Crumb> {
        self.lock().crumbs.get(shard).copied()
    }

    fn leave(&self, shard: &str, crumb: Option<Crumb>) {
        let mut inner = self.lock();
        match crumb {
            Some(crumb) => inner.crumbs.insert(shard.to_owned(), crumb),
            None => inner.crumbs.remove(shard),
        };
    }
}

impl Publisher for Memory {
    async fn publish(&self, effects: &Effects) -> Result<(), PortError> {
        for alert in &effects.alerts {
            let key = (alert.subject().to_string(), alert.episode.to_string());
            self.row(&key.1, |rows| match rows.alerts.get(&key) {
                Some(there) if there.version() == alert.version() => (there != alert).then(|| key.1.clone()),
                Some(there) if there.version() > alert.version() => None,
                Some(_) | None => {
                    rows.alerts.insert(key.clone(), alert.clone());
                    None
                }
            })
            .await?;
        }
        for notification in &effects.notifications {
            self.row(&notification.id, |rows| insert(&mut rows.outbox, notification.id.to_string(), notification))
                .await?;
        }
        for record in &effects.quarantined {
            let key = (record.shard.to_string(), record.sequence.to_string());
            self.row(&record.sequence, |rows| insert(&mut rows.quarantine, key.clone(), record)).await?;
        }
        for member in &effects.members {
            let key = (member.partition_key().to_string(), member.device.to_string(), member.n);
            self.row(&key.0, |rows| insert(&mut rows.members, key.clone(), member)).await?;
        }
        Ok(())
    }
}

impl Memory {
    /// Performs one conditional put. `put` returns the key of a row that contradicts an existing one.
    async fn row(&self, key: &str, put: impl FnOnce(&mut Rows) -> Option<String>) -> Result<(), PortError> {
        let fault = self.begin(Operation::Publish, key).await;
        if let Some(Fault::Refused | Fault::Conflict | Fault::RequestLost) = fault {
            return Err(error(Fault::Refused));
        }
        let rows = &mut self.lock().rows;
        if let Some(contradicted) = put(rows) {
            rows.contradictions.push(contradicted);
        }
        fault.map_or(Ok(()), |fault| Err(error(fault)))
    }
}

fn insert<K: Ord + fmt::Debug, V: Clone + PartialEq>(table: &mut BTreeMap<K, V>, key: K, row: &V) -> Option<String> {
    match table.get(&key) {
        Some(there) => (there != row).then(|| format!("{key:?}")),
        None => {
            table.insert(key, row.clone());
            None
        }
    }
}

/// Yields once, so that the caller may stop polling.
struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            Poll::Ready(())
        } else {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

/// Runs a future over these ports to completion.
pub fn run<F: Future>(future: F) -> F::Output {
    match run_for(future, usize::MAX) {
        Some(output) => output,
        None => unreachable!("the ports answer every poll but the first of each call"),
    }
}

/// Polls a future at most this many times, and drops it if it has not completed by then.
pub fn run_for<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}
