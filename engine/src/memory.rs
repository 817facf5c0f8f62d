//! The ports kept in memory, deterministic and able to fail on demand: for tests, and for whoever wants the engine
//! without any store. What a real store can do to a request, these can: refuse it, lose it, or carry it out and lose
//! the answer. Every call lets other work go first once, so that a run can be dropped at each of them.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::{
    drive::{Created, PortError, Publisher, RuleSets, StateLog},
    effect::{Alert, Effects, Notification, Quarantined},
    rule_set::RuleSet,
};

/// What is about to be done to a store.
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
}

/// What goes wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused and nothing is done.
    Refused,
    /// Another request for the same key is under way (creates only; others are refused).
    Conflict,
    /// Nothing is done and nobody is told.
    RequestLost,
    /// It is done and nobody is told.
    AnswerLost,
}

/// Decides what goes wrong with an operation on a key.
pub type Faults = Box<dyn FnMut(Operation, &str) -> Option<Fault> + Send>;

/// Objects, rows and rule sets, for any number of drivers.
#[derive(Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    rule_sets: BTreeMap<String, Vec<u8>>,
    rows: Rows,
    faults: Option<Faults>,
    operations: BTreeMap<&'static str, u64>,
}

/// The tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// By id, never changed.
    pub outbox: BTreeMap<String, Notification>,
    /// By subject and episode, the newest transition of each.
    pub alerts: BTreeMap<(String, String), Alert>,
    /// By shard and sequence, never changed.
    pub quarantine: BTreeMap<(String, String), Quarantined>,
    /// Rows that were published again under the same key with other content. There must be none.
    pub contradictions: Vec<String>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("Memory").field("objects", &inner.objects.len()).field("rows", &inner.rows).finish()
    }
}

impl Memory {
    /// Empty stores that never fail.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a rule set and gives its address.
    pub fn add_rule_set(&self, bytes: &[u8]) -> String {
        let sha256 = RuleSet::sha256(bytes).to_string();
        self.lock().rule_sets.insert(sha256.clone(), bytes.to_vec());
        sha256
    }

    /// From now on, `faults` decides what goes wrong.
    pub fn fail(&self, faults: impl FnMut(Operation, &str) -> Option<Fault> + Send + 'static) {
        self.lock().faults = Some(Box::new(faults));
    }

    /// From now on, nothing goes wrong.
    pub fn heal(&self) {
        self.lock().faults = None;
    }

    /// The tables as they are.
    pub fn rows(&self) -> Rows {
        self.lock().rows.clone()
    }

    /// The objects as they are.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().objects.clone()
    }

    /// Puts an object in place, whatever was there: what no port can do, and a broken disk can.
    pub fn overwrite(&self, key: &str, bytes: Vec<u8>) {
        self.lock().objects.insert(key.to_owned(), bytes);
    }

    /// Takes an object away.
    pub fn remove(&self, key: &str) {
        self.lock().objects.remove(key);
    }

    /// How often each operation was asked for since this was last asked.
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

impl RuleSets for Memory {
    async fn load(&self, sha256: &str) -> Result<Option<Vec<u8>>, PortError> {
        match self.begin(Operation::Load, sha256).await {
            Some(fault) => Err(error(fault)),
            None => Ok(self.lock().rule_sets.get(sha256).cloned()),
        }
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
        Ok(())
    }
}

impl Memory {
    /// One conditional put. What it says is the key of a row that contradicts one that was there.
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

/// Waits once, so that whoever polls may stop polling.
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

/// Runs a future over these ports to its end.
pub fn run<F: Future>(future: F) -> F::Output {
    match run_for(future, usize::MAX) {
        Some(output) => output,
        None => unreachable!("the ports answer every poll but the first of each call"),
    }
}

/// Runs a future for so many polls, and drops it if it has not ended by then.
pub fn run_for<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}
