//! Runs one Rust consumer on one corpus: an uncounted pass, then counted passes, each with a fresh state. Prints the
//! counts and the processor time of the counted passes as a line of JSON.

mod limit;
mod straightforward;

#[cfg(feature = "system-allocator")]
use std::alloc::System as Memory;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use fleetform_allocations::Counting;
use fleetform_consumers::{
    Failure, Pass,
    corpus::{Size, USUAL},
    folder::{self, Folder},
    ours,
    tally::{Answer, Tally},
};
#[cfg(not(feature = "system-allocator"))]
use mimalloc::MiMalloc as Memory;
use rustix::time::{ClockId, clock_gettime};

const SEED: u64 = 20_260_131;
const SMALL: Size = Size { events: 8, devices: 200, ..USUAL };

#[global_allocator]
static ALLOCATOR: Counting<Memory> = Counting(Memory);

#[derive(Parser)]
struct Arguments {
    consumer: Consumer,
    /// The folder of the corpus; by default a small one of 100 rules, generated in memory.
    #[arg(long)]
    corpus: Option<PathBuf>,
    /// Counted passes.
    #[arg(long, default_value_t = 1)]
    passes: u64,
    /// Also print the allocations in the second half of each pass, when every device has been seen.
    #[arg(long)]
    allocations: bool,
    /// Do not read the time: valgrind does not support the way in which that is done.
    #[arg(long)]
    untimed: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Consumer {
    /// The runtime's events and the engine's steps.
    Evaluate,
    /// The same, with every batch packed into a delta, which the driver commits to a store that answers immediately.
    Commit,
    /// aws_lambda_events and serde_json values, as one would write it in an afternoon.
    Straightforward,
    /// The cost of reading only, with the fastest libraries: a typed event, base64-simd, a value of sonic-rs. It finds
    /// malformed records and evaluates no rules.
    Limit,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = match &arguments.corpus {
        Some(path) => folder::read(path)?,
        None => Folder::new(SEED, SMALL, 100),
    };
    let prepared = ours::Prepared::new(&folder)?;
    let start = || -> Result<Box<dyn Pass + '_>, Failure> {
        Ok(match arguments.consumer {
            Consumer::Evaluate => Box::new(ours::Evaluate::new(&prepared)?),
            Consumer::Commit => Box::new(ours::Commit::new(&prepared)?),
            Consumer::Straightforward => Box::new(straightforward::Straightforward::new(&folder)),
            Consumer::Limit => Box::new(limit::Limit::default()),
        })
    };
    let (tally, ..) = pass(start()?, &folder, arguments.untimed)?;
    let mut answer = Answer { tally, cpu_s: 0.0, passes: arguments.passes, allocations: None };
    for _ in 0..arguments.passes {
        let (tally, cpu_s, allocations) = pass(start()?, &folder, arguments.untimed)?;
        if tally != answer.tally {
            return Err(format!("passes differ: {tally:?} after {:?}", answer.tally).into());
        }
        answer.cpu_s += cpu_s;
        if arguments.allocations {
            *answer.allocations.get_or_insert(0) += allocations;
        }
    }
    println!("{}", serde_json::to_string(&answer)?);
    Ok(())
}

/// Runs one pass; returns its counts, its processor time in seconds, and the allocations in its second half, when every
/// device has been seen.
fn pass(mut pass: Box<dyn Pass + '_>, folder: &Folder, untimed: bool) -> Result<(Tally, f64, u64), Failure> {
    let events = &folder.corpus.events;
    let cpu_s = || if untimed { 0.0 } else { cpu_s() };
    let began = cpu_s();
    let mut allocated = 0;
    for (index, event) in events.iter().enumerate() {
        if index == events.len() / 2 {
            allocated = fleetform_allocations::count();
        }
        pass.event(event)?;
    }
    Ok((pass.tally(), cpu_s() - began, fleetform_allocations::count() - allocated))
}

/// The processor time of this process, in seconds.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
