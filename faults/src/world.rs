//! The executor: environments that run the production driver over the services, one await at a time, in virtual time.
//! An event source decides what is delivered to which environment, and what follows from the response.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use fleetform_engine::{
    counts::Counts,
    drive::{self, Batch, CHAIN_AGE_MAX, Crumb, Crumbs, Driver, Invocation, Outcome, Ports, Settings, StreamRecord},
    position::SequenceNumber,
    units::Timestamp,
};

use crate::{
    clock::{Call, Clock, Event, InvocationNumber},
    poison,
    random::Random,
    services::{Connection, Services},
};

/// How long an invocation may take, in milliseconds.
pub(crate) const INVOCATION_MS: i64 = 60_000;

/// A record as the stream keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its sequence number in the shard.
    pub sequence: SequenceNumber,
    /// Its partition key.
    pub partition_key: String,
    /// When it arrived, in milliseconds.
    pub arrived_at: i64,
    /// The record's bytes.
    pub data: Vec<u8>,
}

/// Records to deliver, and their shard.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) shard: Arc<str>,
    pub(crate) records: Arc<[Arc<Record>]>,
}

/// Environments, services and time.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Arc<Clock>,
    pub(crate) services: Arc<Services>,
    /// `None` while an environment runs something, or is gone.
    environments: Vec<Option<Environment>>,
    running: BTreeMap<InvocationNumber, Running>,
    invocations: InvocationNumber,
    random: Random,
}

#[derive(Debug)]
struct Environment {
    driver: Driver,
    /// The settings that it was deployed with.
    settings: Settings,
    /// Crumbs that one of its processes leaves for the next.
    crumbs: Arc<Folder>,
    /// How far its clock is behind, in milliseconds.
    behind: i64,
}

impl Environment {
    /// Creates a process that has seen nothing yet, on a disk that may have been used before.
    fn new(settings: Settings, crumbs: Arc<Folder>, behind: i64) -> Self {
        Self { driver: Driver::with_step(settings.clone(), poison::step), settings, crumbs, behind }
    }
}

/// The part of an environment's disk that the driver uses.
#[derive(Debug, Default)]
struct Folder(Mutex<BTreeMap<String, Crumb>>);

impl Crumbs for Folder {
    fn find(&self, shard: &str) -> Option<Crumb> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(shard).copied()
    }

    fn leave(&self, shard: &str, crumb: Option<Crumb>) {
        if poison::is_dead() {
            return;
        }
        let mut crumbs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match crumb {
            Some(crumb) => crumbs.insert(shard.to_owned(), crumb),
            None => crumbs.remove(shard),
        };
    }
}

/// What an invocation can access.
struct Host {
    connection: Connection,
    clock: Arc<Clock>,
    crumbs: Arc<Folder>,
    behind: i64,
    deadline: i64,
    seed: [u8; 16],
}

struct Running {
    environment: usize,
    settings: Settings,
    behind: i64,
    crumbs: Arc<Folder>,
    future: Pin<Box<dyn Future<Output = (Driver, Outcome)> + Send>>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("environment", &self.environment).finish_non_exhaustive()
    }
}

/// What happened next.
#[derive(Debug)]
pub(crate) enum Happened {
    /// An invocation returned its response.
    Ended(InvocationNumber, Box<Outcome>),
    /// Its environment died.
    Killed(InvocationNumber),
    /// It has not ended in time. It continues until it is killed.
    TimedOut(InvocationNumber),
    /// A planned call is due.
    Called(Call),
}

impl World {
    pub(crate) fn new(clock: Arc<Clock>, services: Arc<Services>, random: Random) -> Self {
        Self { clock, services, environments: Vec::new(), running: BTreeMap::new(), invocations: 0, random }
    }

    /// Returns the idle environments that were deployed with a generation of the stream.
    pub(crate) fn idle_in(&self, generation: u32) -> impl Iterator<Item = usize> {
        let settings = |index: &usize| self.environments[*index].as_ref().map(|environment| &environment.settings);
        self.idle().filter(move |index| settings(index).is_some_and(|settings| settings.generation == generation))
    }

    /// Starts a new environment, which has seen nothing yet.
    pub(crate) fn start_environment(&mut self, settings: &Settings, behind: i64) -> usize {
        self.environments.push(Some(Environment::new(settings.clone(), Arc::default(), behind)));
        self.environments.len() - 1
    }

    /// Ends an environment that runs nothing.
    pub(crate) fn end_environment(&mut self, environment: usize) {
        self.environments[environment] = None;
    }

    pub(crate) fn is_idle(&self, environment: usize) -> bool {
        self.environments[environment].is_some()
    }

    pub(crate) fn idle(&self) -> impl Iterator<Item = usize> {
        self.environments.iter().enumerate().filter(|(_, environment)| environment.is_some()).map(|(index, _)| index)
    }

    pub(crate) fn is_running(&self, invocation: InvocationNumber) -> bool {
        self.running.contains_key(&invocation)
    }

    /// Starts an invocation in an idle environment.
    pub(crate) fn invoke(&mut self, environment: usize, delivery: Delivery) -> InvocationNumber {
        self.start(environment, async move |mut driver, host| {
            let Host { connection, clock, crumbs, behind, deadline, seed } = host;
            let remaining = || Duration::from_millis((deadline - (clock.now() - behind)).max(0) as u64);
            let ports = Ports {
                log: &connection,
                publisher: &connection,
                rule_sets: &connection,
                shards: &connection,
                crumbs: &*crumbs,
            };
            let records = delivery.records.iter().map(|record| StreamRecord {
                sequence: record.sequence,
                partition_key: &record.partition_key,
                arrived_at: Timestamp(record.arrived_at),
                data: &record.data,
            });
            let batch = Batch { shard: &delivery.shard, records: records.collect() };
            let invocation = Invocation { deadline: Timestamp(deadline), remaining: &remaining, seed };
            let outcome = driver.process(&ports, &batch, &invocation).await;
            (driver, outcome)
        })
    }

    /// Starts a run that deletes from every chain what is older than `age_ms` milliseconds. What fails is left to the
    /// next run.
    pub(crate) fn clear(&mut self, environment: usize, age_ms: i64) -> InvocationNumber {
        self.start(environment, async move |driver, host| {
            // The engine's own limit is in days, so it is given a later time than the one here.
            let now = Timestamp(host.clock.now() + CHAIN_AGE_MAX.0.cast_signed() - age_ms);
            for chain in drive::chains(&host.connection).await.unwrap_or_default() {
                let _next_time = drive::expire(&host.connection, &chain, now).await;
            }
            (driver, Outcome { failed_from: None, failure: None, counts: Counts::default() })
        })
    }

    fn start<F>(&mut self, environment: usize, run: impl FnOnce(Driver, Host) -> F) -> InvocationNumber
    where
        F: Future<Output = (Driver, Outcome)> + Send + 'static,
    {
        self.invocations += 1;
        let number = self.invocations;
        let Some(Environment { driver, settings, crumbs, behind }) = self.environments[environment].take() else {
            unreachable!("an environment runs one invocation at a time")
        };
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&self.random.next().to_le_bytes());
        seed[8..].copy_from_slice(&number.to_le_bytes());
        let host = Host {
            connection: Connection::new(self.services.clone(), number, settings.generation),
            clock: self.clock.clone(),
            crumbs: crumbs.clone(),
            behind,
            deadline: self.clock.now() + INVOCATION_MS,
            seed,
        };
        let deadline = host.deadline;
        let future = Box::pin(run(driver, host));
        self.running.insert(number, Running { environment, settings, behind, crumbs, future });
        self.clock.plan(self.clock.now(), Event::Wake(number));
        self.clock.plan(deadline, Event::Deadline(number));
        number
    }

    /// Ends an invocation and its environment immediately.
    pub(crate) fn kill(&mut self, invocation: InvocationNumber) {
        self.running.remove(&invocation);
        self.clock.ended(invocation);
    }

    /// Lets time pass until something happens that an event source needs to know.
    pub(crate) fn next(&mut self) -> Option<Happened> {
        loop {
            match self.clock.advance()? {
                Event::Call(call) => return Some(Happened::Called(call)),
                Event::Deadline(invocation) if self.is_running(invocation) => {
                    return Some(Happened::TimedOut(invocation));
                }
                Event::Deadline(_) => {}
                Event::Wake(invocation) => {
                    if let Some(happened) = self.wake(invocation) {
                        return Some(happened);
                    }
                }
            }
        }
    }

    fn wake(&mut self, invocation: InvocationNumber) -> Option<Happened> {
        let running = self.running.get_mut(&invocation)?;
        self.clock.enter(invocation);
        poison::live();
        let polled = running.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if poison::is_dead() {
            // The environment starts a new process, which finds what the old one left.
            let Running { environment, settings, behind, crumbs, .. } = self.running.remove(&invocation)?;
            self.environments[environment] = Some(Environment::new(settings, crumbs, behind));
            self.clock.ended(invocation);
            self.clock.note(&[invocation, 103]);
            return Some(Happened::Killed(invocation));
        }
        match polled {
            Poll::Pending if self.clock.was_killed() => {
                self.kill(invocation);
                self.clock.note(&[invocation, 101]);
                Some(Happened::Killed(invocation))
            }
            Poll::Pending => None,
            Poll::Ready((driver, outcome)) => {
                let Running { environment, settings, behind, crumbs, .. } = self.running.remove(&invocation)?;
                self.environments[environment] = Some(Environment { driver, settings, crumbs, behind });
                self.clock.ended(invocation);
                self.clock.note(&[invocation, 102, u64::from(outcome.failure.is_some()), outcome.counts.records]);
                Some(Happened::Ended(invocation, Box::new(outcome)))
            }
        }
    }
}
