//! The virtual clock: a queue of planned events. Nothing really waits; the time is that of the next event. Events of
//! the same moment happen in the order in which they were planned, so a run has only one course.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

/// Number of an invocation, from 1, in the order in which they start.
pub(crate) type InvocationNumber = u64;

/// Something that happens at a planned time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// An invocation continues.
    Wake(InvocationNumber),
    /// Its time is up.
    Deadline(InvocationNumber),
    /// The driver of the world has asked to be called.
    Call(Call),
}

/// What the driver of a world may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// The event source of a shard looks for records to deliver.
    Poll(usize),
    /// The event source stops waiting for an invocation, which continues to run.
    Lose(InvocationNumber),
    /// Old objects are deleted.
    Sweep,
    /// An environment is replaced by a newer one.
    Replace(usize),
    /// The event sources of the stream that was replaced are removed.
    Remove,
    /// All failures stop.
    Heal,
}

/// The current time and the planned events.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    now: i64,
    planned: u64,
    queue: BinaryHeap<Reverse<(i64, u64, Event)>>,
    running: InvocationNumber,
    killed: bool,
    waiting: Vec<(InvocationNumber, InvocationNumber)>,
    over: BTreeSet<InvocationNumber>,
    trace: u64,
}

impl Clock {
    pub(crate) fn new(now: i64) -> Self {
        Self(Mutex::new(Inner {
            now,
            planned: 0,
            queue: BinaryHeap::new(),
            running: 0,
            killed: false,
            waiting: Vec::new(),
            over: BTreeSet::new(),
            trace: 0xcbf2_9ce4_8422_2325,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current time, in milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.lock().now
    }

    pub(crate) fn plan(&self, at: i64, event: Event) {
        let mut inner = self.lock();
        inner.planned += 1;
        let entry = (at.max(inner.now), inner.planned, event);
        inner.queue.push(Reverse(entry));
    }

    /// Advances to the next event.
    pub(crate) fn advance(&self) -> Option<Event> {
        let mut inner = self.lock();
        let Reverse((at, _, event)) = inner.queue.pop()?;
        inner.now = at;
        Some(event)
    }

    /// Sets the invocation that is being polled, and forgets whether one was killed.
    pub(crate) fn enter(&self, invocation: InvocationNumber) {
        let mut inner = self.lock();
        inner.running = invocation;
        inner.killed = false;
    }

    /// Whether the invocation that was polled must not continue.
    pub(crate) fn was_killed(&self) -> bool {
        self.lock().killed
    }

    /// Wakes the invocations that waited for the end of another one.
    pub(crate) fn ended(&self, invocation: InvocationNumber) {
        self.lock().over.insert(invocation);
        let waiting = std::mem::take(&mut self.lock().waiting);
        let (released, kept) = waiting.into_iter().partition(|(until, _)| *until == invocation);
        self.lock().waiting = kept;
        self.release(released);
    }

    /// Wakes every invocation that waits for the end of another one. Returns `false` if there is none.
    pub(crate) fn release_all(&self) -> bool {
        let waiting = std::mem::take(&mut self.lock().waiting);
        let any = !waiting.is_empty();
        self.release(waiting);
        any
    }

    fn release(&self, waiting: Vec<(InvocationNumber, InvocationNumber)>) {
        let now = self.now();
        for (_, waiter) in waiting {
            self.plan(now, Event::Wake(waiter));
        }
    }

    /// Waits in the invocation that is being polled.
    pub(crate) fn sleep(&self, ms: i64) -> Wait<'_> {
        Wait { clock: self, how: How::For(ms), begun: false }
    }

    /// Waits for the end of another invocation.
    pub(crate) fn until_ended(&self, invocation: InvocationNumber) -> Wait<'_> {
        Wait { clock: self, how: How::Until(invocation), begun: false }
    }

    /// Ends the environment of the invocation that is being polled.
    pub(crate) fn kill(&self) -> Wait<'_> {
        Wait { clock: self, how: How::Never, begun: false }
    }

    /// Adds something to the trace.
    pub(crate) fn note(&self, what: &[u64]) {
        let mut inner = self.lock();
        let now = inner.now as u64;
        for part in what.iter().chain([&now]) {
            inner.trace = (inner.trace ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        }
    }

    /// Returns the hash of everything noted so far.
    pub(crate) fn trace(&self) -> u64 {
        self.lock().trace
    }
}

/// Returns a string as a number for the trace.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A point where an invocation waits, and at which it can be dropped.
pub(crate) struct Wait<'a> {
    clock: &'a Clock,
    how: How,
    begun: bool,
}

#[derive(Clone, Copy)]
enum How {
    For(i64),
    Until(InvocationNumber),
    Never,
}

impl Future for Wait<'_> {
    type Output = ();

    /// An invocation has one wait at a time, and is polled only when that wait is over.
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Poll::Ready(());
        }
        let running = self.clock.lock().running;
        match self.how {
            How::For(ms) => self.clock.plan(self.clock.now() + ms, Event::Wake(running)),
            How::Until(invocation) if self.clock.lock().over.contains(&invocation) => return Poll::Ready(()),
            How::Until(invocation) => self.clock.lock().waiting.push((invocation, running)),
            How::Never => self.clock.lock().killed = true,
        }
        Poll::Pending
    }
}
