//! What happens to a request to a service, and what decides it: chance, or a script.

use crate::{clock::InvocationNumber, random::Random};

/// An operation of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    /// Keys are listed.
    List,
    /// An object is read.
    Get,
    /// An object is created.
    Create,
    /// Objects are deleted.
    Delete,
    /// A row is put.
    Publish,
    /// A rule set is loaded.
    Load,
    /// The lineage of a shard is requested.
    Lineage,
    /// Records of a shard are read back.
    Records,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is carried out.
    Fine,
    /// It is refused, and nothing is done.
    Throttle,
    /// Another one for the same key is in progress (creates only; others are refused).
    Conflict,
    /// Nothing is done, and no response arrives.
    TimeoutDropped,
    /// It is done, and no response arrives.
    TimeoutApplied,
    /// No response arrives, and it is done this many milliseconds after every caller has given up (creates; others
    /// are never done late).
    TimeoutLate(i64),
    /// It is held for this many milliseconds, and then carried out.
    Stall(i64),
    /// It is carried out, and the response takes this many milliseconds.
    SlowAnswer(i64),
    /// It is held until another invocation has ended, and then carried out.
    StallUntil(InvocationNumber),
    /// It is carried out, and the response is damaged in transit (reads of objects).
    Corrupt,
    /// It is carried out, and the response looks as if a newer version had written it (reads of objects).
    Newer,
    /// The environment dies before it is sent.
    Kill,
    /// The environment dies after it was carried out.
    KillAfter,
}

/// One request, with everything that its fate may depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) now: i64,
    pub(crate) invocation: InvocationNumber,
    pub(crate) operation: Operation,
    /// How many requests for the same operation this invocation has made, including this one.
    pub(crate) nth: u64,
}

/// What decides the fate of requests.
#[derive(Debug)]
pub(crate) enum Faults {
    /// Nothing goes wrong.
    None,
    /// Chance.
    Chance(Box<Chance>),
    /// A script.
    Script(Vec<Scripted>),
}

/// One line of a script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scripted {
    /// The invocation; `None` for any.
    pub(crate) invocation: Option<InvocationNumber>,
    /// The operation; `None` for any.
    pub(crate) operation: Option<Operation>,
    /// The number of the request; `None` for all of them.
    pub(crate) nth: Option<u64>,
    pub(crate) does: Fate,
    /// Duration of a brown-out from its first request on, in milliseconds.
    pub(crate) lasts: Option<i64>,
    pub(crate) began: Option<i64>,
    /// Whether it happens only once, rather than wherever it fits.
    pub(crate) once: bool,
}

/// How often each fault occurs, per thousand requests, and when whole services are unavailable.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    pub(crate) random: Random,
    pub(crate) throttle: u64,
    pub(crate) conflict: u64,
    pub(crate) timeout: u64,
    pub(crate) stall: u64,
    pub(crate) kill: u64,
    pub(crate) corrupt: u64,
    /// Start, end, and the operations that are unavailable.
    pub(crate) brownouts: Vec<(i64, i64, Vec<Operation>)>,
}

impl Faults {
    /// Returns what happens to a request.
    pub(crate) fn fate(&mut self, request: &Request) -> Fate {
        match self {
            Self::None => Fate::Fine,
            Self::Chance(chance) => chance.fate(request),
            Self::Script(lines) => lines.iter_mut().find_map(|line| line.fate(request)).unwrap_or(Fate::Fine),
        }
    }

    /// Returns how long a request takes to reach its service.
    pub(crate) fn latency(&mut self) -> i64 {
        match self {
            Self::Chance(chance) => 1 + chance.random.below(12) as i64,
            Self::None | Self::Script(_) => 5,
        }
    }
}

impl Scripted {
    fn fate(&mut self, request: &Request) -> Option<Fate> {
        if self.operation.is_some_and(|operation| operation != request.operation) {
            return None;
        }
        match (self.lasts, self.began) {
            (Some(lasts), Some(began)) => return (request.now < began + lasts).then_some(self.does),
            (None, Some(_)) if self.once => return None,
            (_, _) => {}
        }
        let meets = self.invocation.is_none_or(|invocation| invocation == request.invocation)
            && self.nth.is_none_or(|nth| nth == request.nth);
        if meets {
            self.began = Some(request.now);
        }
        meets.then_some(self.does)
    }
}

impl Chance {
    /// Whether a seed is calm, rough, or in between is also chance.
    pub(crate) fn new(mut random: Random, from: i64, to: i64) -> Self {
        const OUTAGES: [&[Operation]; 6] = [
            &[Operation::Lineage, Operation::Records],
            &[Operation::List, Operation::Get, Operation::Create],
            &[Operation::Create],
            &[Operation::Publish],
            &[Operation::Load],
            &[Operation::List, Operation::Get, Operation::Create, Operation::Publish, Operation::Load],
        ];
        let roughness = *random.pick(&[0, 1, 2, 2, 3, 4]);
        let mut rate = |most: u64| random.below(most * roughness + 1);
        let (throttle, conflict, timeout) = (rate(12), rate(8), rate(12));
        let (stall, kill, corrupt) = (rate(3), rate(5), rate(2));
        let brownouts = (0..random.below(4))
            .map(|_| {
                let begins = random.between(from, to);
                (begins, begins + random.between(5_000, 600_000), random.pick(&OUTAGES).to_vec())
            })
            .collect();
        Self { throttle, conflict, timeout, stall, kill, corrupt, brownouts, random: random.fork() }
    }

    fn fate(&mut self, request: &Request) -> Fate {
        let random = &mut self.random;
        let out = |(from, to, what): &(i64, i64, Vec<Operation>)| {
            (*from..*to).contains(&request.now) && what.contains(&request.operation)
        };
        if self.brownouts.iter().any(out) && random.per_mille(900) {
            return *random.pick(&[Fate::Throttle, Fate::TimeoutDropped, Fate::TimeoutApplied]);
        }
        // Some requests are so rare that they would never fail at the same rate.
        let seldom = match request.operation {
            Operation::Load | Operation::Lineage | Operation::Records => 3,
            Operation::List | Operation::Get | Operation::Create | Operation::Delete | Operation::Publish => 1,
        };
        let drawn = random.below(1_000 / seldom);
        let mut below = self.throttle;
        if drawn < below {
            return Fate::Throttle;
        }
        below += self.conflict;
        if drawn < below {
            return Fate::Conflict;
        }
        below += self.timeout;
        if drawn < below {
            return match random.below(4) {
                0 | 1 => Fate::TimeoutApplied,
                2 => Fate::TimeoutDropped,
                _ => Fate::TimeoutLate(random.between(1, 90_000)),
            };
        }
        below += self.stall;
        if drawn < below {
            let ms = random.between(1_000, 180_000);
            return if random.per_mille(500) { Fate::Stall(ms) } else { Fate::SlowAnswer(ms) };
        }
        below += self.kill;
        if drawn < below {
            return if random.per_mille(500) { Fate::Kill } else { Fate::KillAfter };
        }
        below += self.corrupt;
        if drawn < below && request.operation == Operation::Get {
            return if random.per_mille(500) { Fate::Corrupt } else { Fate::Newer };
        }
        Fate::Fine
    }
}
