//! Feeds unusual inputs to readers: those of the corpus, and as many as requested that are made from them. The same
//! seed makes the same inputs. No input may make a reader panic, produce two results, or hold more than 64 MB. The
//! longest time is printed, but never judged.

mod mutation;
mod target;

use std::{
    alloc::System,
    collections::BTreeSet,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;
use fleetform_allocations::{Counting, most_held};
use sha2::{Digest as _, Sha256};
use target::Target;

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting(System);

/// Maximum number of bytes that a reader may hold for one input.
const HELD_MAX: u64 = 64 * 1024 * 1024;

#[derive(Parser)]
struct Arguments {
    /// What to fuzz; everything if not given.
    #[arg(long, value_enum, value_delimiter = ',')]
    targets: Vec<Target>,
    /// Multiple of the inputs of a short run.
    #[arg(long, default_value_t = 1)]
    times: u64,
    /// Seed of the inputs that are made from the corpus.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder with the corpus and with the inputs that failed.
    #[arg(long, default_value = "fuzz")]
    folder: Utf8PathBuf,
    /// Write the deltas and bases of the corpus from scratch, after a change of their format.
    #[arg(long)]
    write_chain: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            anstream::eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<bool> {
    if arguments.write_chain {
        return write_chain(&arguments.folder.join("corpus")).map(|()| true);
    }
    let targets = if arguments.targets.is_empty() { &Target::ALL[..] } else { &arguments.targets };
    let mut holds = true;
    for target in targets {
        holds &= fuzz(*target, arguments)?;
    }
    Ok(holds)
}

/// How a target handled its inputs.
struct Course {
    target: Target,
    words: BTreeSet<String>,
    slowest: Duration,
    most: u64,
    failed: Vec<Vec<u8>>,
}

fn fuzz(target: Target, arguments: &Arguments) -> io::Result<bool> {
    target.prepare();
    let mut corpus = inputs(&arguments.folder.join("corpus").join(target.name()))?;
    let crashes = arguments.folder.join("crashes").join(target.name());
    corpus.extend(inputs(&crashes)?);
    if corpus.is_empty() {
        return Err(io::Error::other(format!("the corpus of `{}` is empty", target.name())));
    }
    let mut course = Course { target, words: BTreeSet::new(), slowest: Duration::ZERO, most: 0, failed: Vec::new() };
    for input in &corpus {
        course.take(input);
    }
    let mut random = fastrand::Rng::with_seed(arguments.seed);
    let count = target.inputs() * arguments.times;
    for _ in 0..count {
        let input = mutation::mutated(&mut random, &corpus);
        if course.take(&input) {
            corpus.push(input);
        }
    }
    for input in &course.failed {
        let name: String = Sha256::digest(input).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        fs::create_dir_all(&crashes)?;
        fs::write(crashes.join(&name), input)?;
        anstream::eprintln!("{}: something does not hold for {}", target.name(), crashes.join(name));
    }
    anstream::println!(
        "{:<9} {} inputs, {} words, {} KiB held at most, {} µs the slowest, {} failed",
        target.name(),
        count + corpus.len() as u64,
        course.words.len(),
        course.most.div_ceil(1024),
        course.slowest.as_micros(),
        course.failed.len()
    );
    Ok(course.failed.is_empty())
}

impl Course {
    /// Gives the target an input. Returns `true` if its outcome is new.
    fn take(&mut self, input: &[u8]) -> bool {
        let began = Instant::now();
        let (word, held) = most_held(|| catch_unwind(AssertUnwindSafe(|| self.target.run(input))));
        self.slowest = self.slowest.max(began.elapsed());
        self.most = self.most.max(held);
        match word {
            Ok(word) if held <= HELD_MAX => self.words.insert(word),
            Ok(_) => {
                anstream::eprintln!("{}: {held} bytes were held", self.target.name());
                self.failed.push(input.to_vec());
                false
            }
            Err(_) => {
                self.failed.push(input.to_vec());
                false
            }
        }
    }
}

/// Returns the files of a folder in the order of their names; empty if there is no such folder.
fn inputs(folder: &Utf8Path) -> io::Result<Vec<Vec<u8>>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries: io::Result<BTreeSet<_>> = folder.read_dir_utf8()?.map(|entry| Ok(entry?.into_path())).collect();
    entries?.into_iter().map(fs::read).collect()
}

/// Writes objects as the engine encodes them, from a few records of the corpus.
fn write_chain(corpus: &Utf8Path) -> io::Result<()> {
    let records = inputs(&corpus.join("record"))?;
    let (delta, base) = fleetform_engine::probe::chain(target::RULE_SET, &records);
    for (target, bytes) in [(Target::Delta, delta), (Target::Base, base)] {
        fs::create_dir_all(corpus.join(target.name()))?;
        fs::write(corpus.join(target.name()).join("written"), bytes)?;
    }
    Ok(())
}
