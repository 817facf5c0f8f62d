//! One Rust consumer over one corpus: a pass that is not counted, then counted passes, each from a fresh state. Prints
//! what it found and the processor time of the counted passes as a line of JSON.

mod allocations;
mod limit;
mod ours;
mod straightforward;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use fleetform_consumers::{
    corpus::{Size, USUAL},
    folder::{self, Folder},
    tally::{Answer, Tally},
};
use rustix::time::{ClockId, clock_gettime};

const SEED: u64 = 20_260_131;
const SMALL: Size = Size { events: 8, devices: 200, ..USUAL };

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

#[derive(Parser)]
struct Arguments {
    consumer: Consumer,
    /// Folder of the corpus; a small one of 100 rules, made in memory, if none is given.
    #[arg(long)]
    corpus: Option<PathBuf>,
    /// Counted passes.
    #[arg(long, default_value_t = 1)]
    passes: u64,
    /// Print the allocations of each pass's second half too, when every device has been seen.
    #[arg(long)]
    allocations: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Consumer {
    /// The runtime's events and the engine's steps.
    Evaluate,
    /// The same, with every batch packed into a delta and committed by the driver to a store that answers at once.
    Commit,
    /// aws_lambda_events and serde_json values, as one would write it in an afternoon.
    Straightforward,
    /// What reading alone costs with the fastest libraries: a typed event, base64-simd, a value of sonic-rs. It finds
    /// malformed records and evaluates no rule.
    Limit,
}

type Failure = Box<dyn std::error::Error>;

/// A consumer with a state, for one pass.
trait Pass {
    /// Takes an event as Lambda sends it.
    fn event(&mut self, body: &[u8]) -> Result<(), Failure>;
    /// What it found.
    fn tally(&self) -> Tally;
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
    let (tally, ..) = pass(start()?, &folder)?;
    let mut answer = Answer { tally, cpu_s: 0.0, passes: arguments.passes, allocations: None };
    for _ in 0..arguments.passes {
        let (tally, cpu_s, allocations) = pass(start()?, &folder)?;
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

/// One pass: what it found, its processor time in seconds, and the allocations of its second half, when every device
/// has been seen.
fn pass(mut pass: Box<dyn Pass + '_>, folder: &Folder) -> Result<(Tally, f64, u64), Failure> {
    let events = &folder.corpus.events;
    let began = cpu_s();
    let mut allocated = 0;
    for (index, event) in events.iter().enumerate() {
        if index == events.len() / 2 {
            allocated = allocations::count();
        }
        pass.event(event)?;
    }
    Ok((pass.tally(), cpu_s() - began, allocations::count() - allocated))
}

/// Processor time of this process, in seconds.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
