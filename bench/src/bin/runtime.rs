//! Compares the runtime with its peers on the same events: records per second of processor time, and what they depend
//! on.
//!
//! Rounds are interleaved: each consumer runs once per round. Ratios are only printed if all consumers of a case have
//! the same counts.

use std::{
    fs,
    process::{Command, Stdio},
};

use anstream::println;
use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;
use fleetform_bench::statistics::Spread;
use fleetform_consumers::{
    corpus::{Size, USUAL},
    folder,
    tally::{Answer, Tally},
};

/// Measures the runtime against Node, Python and straightforward Rust.
#[derive(Parser)]
struct Arguments {
    /// Rounds of each consumer.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The seed for the events.
    #[arg(long, default_value_t = 20_260_131)]
    seed: u64,
    /// The Rust consumers (`cargo build --release -p fleetform-consumers`).
    #[arg(long, default_value = "target/release/fleetform-consumers")]
    consumers: Utf8PathBuf,
    /// The cases to run; all by default.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<Cases>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Cases {
    /// Every consumer at 10, 100, 1,000 and 10,000 rules.
    Peers,
    /// fleetform at 1 to 10,000 rules.
    Rules,
    /// fleetform at 1,000 to 1,000,000 devices.
    Devices,
    /// fleetform with malformed records and with batched samples.
    Messages,
}

/// The consumers of the events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Consumer {
    Evaluate,
    Commit,
    Limit,
    Straightforward,
    Node,
    Python,
}

impl Consumer {
    const fn name(self) -> &'static str {
        match self {
            Self::Evaluate => "fleetform, read and evaluate",
            Self::Commit => "fleetform, committed as well",
            Self::Limit => "limit: reading by sonic-rs",
            Self::Straightforward => "straightforward Rust",
            Self::Node => "Node",
            Self::Python => "Python",
        }
    }

    /// The limit only reads and evaluates nothing, so only some of its counts are meaningful.
    const fn evaluates(self) -> bool {
        match self {
            Self::Limit => false,
            Self::Evaluate | Self::Commit | Self::Straightforward | Self::Node | Self::Python => true,
        }
    }

    /// The number of passes that takes about as long as those of the others.
    const fn passes(self, rules: usize) -> u64 {
        match self {
            Self::Evaluate | Self::Commit | Self::Limit => 10,
            Self::Straightforward | Self::Node if rules < 1_000 => 2,
            Self::Straightforward | Self::Node | Self::Python => 1,
        }
    }

    fn run(self, arguments: &Arguments, corpus: &Utf8Path, rules: usize) -> Result<Answer, Failure> {
        let ours = |name: &str| {
            let mut command = Command::new(&arguments.consumers);
            command.arg(name);
            command
        };
        let interpreted = |program: &str, script: &str| {
            let mut command = Command::new(program);
            command.arg(Utf8Path::new("bench/peers").join(script));
            command
        };
        let mut command = match self {
            Self::Evaluate => ours("evaluate"),
            Self::Commit => ours("commit"),
            Self::Limit => ours("limit"),
            Self::Straightforward => ours("straightforward"),
            Self::Node => interpreted("node", "node/consumer.mjs"),
            Self::Python => interpreted("python3", "python/consumer.py"),
        };
        command.args(["--corpus", corpus.as_str(), "--passes", &self.passes(rules).to_string()]);
        if matches!(self, Self::Evaluate | Self::Commit) {
            command.arg("--allocations");
        }
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{} ended with {}", self.name(), output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let wanted = |case: Cases| arguments.cases.is_empty() || arguments.cases.contains(&case);
    let scratch = tempfile::tempdir()?;
    let scratch = Utf8Path::from_path(scratch.path()).ok_or("the temporary folder's name is not UTF-8")?;
    if wanted(Cases::Peers) {
        peers(&arguments, &scratch.join("peers"))?;
    }
    let commit = [Consumer::Evaluate, Consumer::Commit];
    if wanted(Cases::Rules) {
        let settings = [1, 10, 100, 1_000, 10_000].map(|rules| Setting::new(format!("{rules} rules"), USUAL, rules));
        growth(&arguments, scratch, "cost by the number of rules", &commit, settings.to_vec())?;
    }
    if wanted(Cases::Devices) {
        let of = |devices: usize| {
            // Every device appears about four times.
            let size = Size { devices, events: (devices / 250).clamp(40, 400), ..USUAL };
            Setting::new(format!("{devices} devices"), size, 100)
        };
        let settings = [1_000, 10_000, 100_000, 1_000_000].map(of);
        growth(&arguments, scratch, "cost by the number of devices", &commit, settings.to_vec())?;
    }
    if wanted(Cases::Messages) {
        let settings = [1, 100].map(|share| {
            let name = format!("{} % malformed", share as f64 / 10.0);
            Setting::new(name, Size { malformed_per_mille: share, ..USUAL }, 100)
        });
        growth(&arguments, scratch, "cost by malformed records", &commit, settings.to_vec())?;
        let settings = [1, 10].map(|samples| {
            let size = Size { samples, records: 1_000 / samples, ..USUAL };
            Setting::new(format!("{samples} samples a message"), size, 100)
        });
        growth(&arguments, scratch, "cost of a sample, single and in a batch of ten", &commit, settings.to_vec())?;
    }
    Ok(())
}

/// Runs every consumer on the same events.
fn peers(arguments: &Arguments, corpus: &Utf8Path) -> Result<(), Failure> {
    folder::write(corpus.as_std_path(), arguments.seed, USUAL, 1)?;
    let bytes = fs::metadata(corpus.join("events.bin"))?.len() as usize / (USUAL.events * USUAL.records);
    println!(
        "\n{} events of {} records, {} devices, {bytes} bytes a record",
        USUAL.events, USUAL.records, USUAL.devices
    );
    for rules in [10, 100, 1_000, 10_000] {
        folder::write_rules(corpus.as_std_path(), rules)?;
        let mut consumers =
            vec![Consumer::Evaluate, Consumer::Commit, Consumer::Limit, Consumer::Straightforward, Consumer::Node];
        // Minutes of Python show nothing new beyond its figures for fewer rules.
        if rules <= 1_000 {
            consumers.push(Consumer::Python);
        }
        let mut rounds = Vec::new();
        for _ in 0..arguments.rounds {
            let answers: Result<Vec<Answer>, Failure> =
                consumers.iter().map(|consumer| consumer.run(arguments, corpus, rules)).collect();
            rounds.push(answers?);
        }
        let counts = agree(&consumers, &rounds)?;
        println!("\n{rules} rules: {}", words(&counts));
        for (index, consumer) in consumers.iter().enumerate() {
            let speed = Spread::of(rounds.iter().map(|round| speed(&round[index])));
            let node = consumers.iter().position(|consumer| *consumer == Consumer::Node).unwrap_or(0);
            let ratio = Spread::of(rounds.iter().map(|round| speed_ratio(&round[index], &round[node])));
            let limit = consumers.iter().position(|consumer| *consumer == Consumer::Limit).unwrap_or(0);
            let share = Spread::of(rounds.iter().map(|round| speed_ratio(&round[index], &round[limit])));
            println!("  {:<30} {speed:>32} records/s; ÷ Node {ratio:>24}; ÷ limit {share}", consumer.name());
        }
        packing(&rounds);
        allocations(&consumers, &rounds);
    }
    Ok(())
}

/// One column in a table of growth.
#[derive(Clone)]
struct Setting {
    name: String,
    size: Size,
    rules: usize,
}

impl Setting {
    fn new(name: String, size: Size, rules: usize) -> Self {
        Self { name, size, rules }
    }

    fn samples(&self) -> f64 {
        (self.size.events * self.size.records * self.size.samples) as f64
    }
}

/// Runs fleetform at several sizes, and compares the others with the first.
fn growth(
    arguments: &Arguments,
    scratch: &Utf8Path,
    title: &str,
    consumers: &[Consumer],
    settings: Vec<Setting>,
) -> Result<(), Failure> {
    println!("\n{title}");
    let mut written = Vec::new();
    for (index, setting) in settings.into_iter().enumerate() {
        let corpus = scratch.join(format!("{}-{index}", title.replace(' ', "-")));
        folder::write(corpus.as_std_path(), arguments.seed, setting.size, setting.rules)?;
        written.push((setting, corpus));
    }
    let mut rounds: Vec<Vec<Vec<Answer>>> = Vec::new();
    for _ in 0..arguments.rounds {
        let mut round = Vec::new();
        for (setting, corpus) in &written {
            let answers: Result<Vec<Answer>, Failure> =
                consumers.iter().map(|consumer| consumer.run(arguments, corpus, setting.rules)).collect();
            round.push(answers?);
        }
        rounds.push(round);
    }
    for (index, (setting, _)) in written.iter().enumerate() {
        let of_setting: Vec<Vec<Answer>> = rounds.iter().map(|round| round[index].clone()).collect();
        agree(consumers, &of_setting)?;
        for (at, consumer) in consumers.iter().enumerate() {
            let cost = |answer: &Answer, setting: &Setting| answer.cpu_s / answer.passes as f64 / setting.samples();
            let nanoseconds = Spread::of(rounds.iter().map(|round| cost(&round[index][at], setting) * 1e9));
            let first = &written[0].0;
            let ratio =
                Spread::of(rounds.iter().map(|round| cost(&round[index][at], setting) / cost(&round[0][at], first)));
            println!("  {:<22} {:<30} {nanoseconds:>20} ns a sample; × {ratio}", setting.name, consumer.name());
        }
        allocations(consumers, &of_setting);
    }
    for (_, corpus) in written {
        fs::remove_dir_all(corpus)?;
    }
    Ok(())
}

/// The counts, which must be the same for all consumers in all rounds.
fn agree(consumers: &[Consumer], rounds: &[Vec<Answer>]) -> Result<Tally, Failure> {
    let counts = rounds[0][0].tally;
    for (consumer, answer) in rounds.iter().flat_map(|round| consumers.iter().zip(round)) {
        let expected = match consumer.evaluates() {
            true => counts,
            false => Tally { records: counts.records, malformed: counts.malformed, ..Tally::default() },
        };
        if answer.tally != expected {
            return Err(format!("no ratio: {} counted {:?}, not {expected:?}", consumer.name(), answer.tally).into());
        }
    }
    Ok(counts)
}

fn words(counts: &Tally) -> String {
    format!(
        "{} records, {} malformed, {} alerts, {} resolved, {} suppressed, the same for all",
        counts.records, counts.malformed, counts.alerts, counts.resolved, counts.suppressed
    )
}

/// The cost of a batch beyond its evaluation: packing, hashing and handing over its delta.
fn packing(rounds: &[Vec<Answer>]) {
    // The first two are fleetform, without and with the commit.
    let packing = Spread::of(rounds.iter().map(|round| speed_ratio(&round[0], &round[1]) - 1.0));
    println!("  packing and committing takes {packing} of the time of reading and evaluating");
}

fn allocations(consumers: &[Consumer], rounds: &[Vec<Answer>]) {
    for (consumer, answer) in consumers.iter().zip(&rounds[0]) {
        if let Some(allocations) = answer.allocations {
            let records = answer.tally.records as f64 / 2.0 * answer.passes as f64;
            println!("  {:<30} {:.3} allocations a record", consumer.name(), allocations as f64 / records);
        }
    }
}

/// Records per second of processor time.
fn speed(answer: &Answer) -> f64 {
    answer.tally.records as f64 * answer.passes as f64 / answer.cpu_s
}

fn speed_ratio(answer: &Answer, other: &Answer) -> f64 {
    speed(answer) / speed(other)
}
