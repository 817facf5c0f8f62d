//! `cargo xtask`: all commands for contributors and pipelines, one file per command.
//!
//! This file only parses the command line. What a command does, and in which order, is in its own file.

mod bench;
mod deploy_test;
mod error;
mod fuzz;
mod generate;
mod instructions;
mod lambda;
mod lint;
mod mosquitto;
mod npm;
mod packages;
mod process;
mod simulate;
mod steps;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Prepares tools, regenerates derived files, and tests everything.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the emulator, the linters and the AWS command line into `.tools/`, in the versions of `tools/*.txt`, and
    /// mosquitto where Debian packages are available.
    Tools,
    /// Regenerate everything derived: `out/`, the schema, the command reference, the index of errors.
    Generate {
        /// Change nothing; fail if something is stale, and name the command to run.
        #[arg(long)]
        check: bool,
    },
    /// Deploy a generated platform to an AWS emulator, send records, and check the alerts.
    DeployTest,
    /// Build the Lambda binaries and zip each as `bootstrap`, below `target/lambda/`.
    Lambda {
        /// The processor that they run on.
        #[arg(long, value_enum, default_value_t = lambda::Arch::X86_64)]
        arch: lambda::Arch,
        /// How they are built.
        #[arg(long, value_enum, default_value_t = lambda::Profile::Lambda)]
        profile: lambda::Profile,
    },
    /// Measure fleetform against its peers, which are installed below `.tools/`; see `bench/README.md`.
    Bench {
        /// What to measure.
        #[arg(value_enum)]
        benchmark: bench::Benchmark,
        /// Counted rounds of each program, for comparisons.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Cases of `runtime` (`peers`, `rules`, `devices`, `messages`); all by default.
        #[arg(long, value_delimiter = ',')]
        cases: Vec<String>,
    },
    /// Count the instructions per record with valgrind, and compare them with `bench/instructions.json`.
    Instructions {
        /// Store the counts as the new budget.
        #[arg(long)]
        update: bool,
    },
    /// Run linters on `out/` and on the output of every fixture.
    Lint,
    /// Fuzz everything that parses external bytes.
    Fuzz {
        /// Multiplier for the number of inputs of a short run.
        #[arg(long, default_value_t = 1)]
        times: u64,
        /// The seed for inputs, in addition to the corpus in `fuzz/corpus/`.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Simulate faults around the engine, with more than a million records.
    Simulate,
    /// Run every check and test, as in a pipeline.
    Test {
        /// Leave out the long simulation, the deploy test and the linters over fixtures.
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Tools => tools::run(),
        Command::Generate { check } => generate::run(check),
        Command::DeployTest => deploy_test::run(),
        Command::Lambda { arch, profile } => lambda::run(arch, profile),
        Command::Bench { benchmark, rounds, cases } => bench::run(benchmark, rounds, &cases),
        Command::Instructions { update } => instructions::run(update),
        Command::Lint => lint::run(),
        Command::Fuzz { times, seed } => fuzz::run(times, seed),
        Command::Simulate => simulate::run(),
        Command::Test { quick } => test::run(quick),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
