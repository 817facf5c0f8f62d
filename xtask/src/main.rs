//! `cargo xtask`: everything a contributor or a pipeline runs, one file per command.
//!
//! This file only reads the command line. What a command does, and in which order, is in its own file.

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

/// Prepares tools, regenerates what is derived, and tests everything.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the emulator, the linters and the AWS command line into `.tools/`, in the versions of `tools/*.txt`, and
    /// mosquitto where Debian's packages are.
    Tools,
    /// Regenerate everything derived: `out/`, the schema, the command reference, the index of errors.
    Generate {
        /// Change nothing; fail and name the command to run when something is stale.
        #[arg(long)]
        check: bool,
    },
    /// Deploy a generated platform to an emulator of AWS, send records in and watch alerts come out.
    DeployTest,
    /// Build the Lambda binaries and zip each as `bootstrap`, below `target/lambda/`.
    Lambda {
        /// The processor they run on.
        #[arg(long, value_enum, default_value_t = lambda::Arch::X86_64)]
        arch: lambda::Arch,
        /// How they are built.
        #[arg(long, value_enum, default_value_t = lambda::Profile::Lambda)]
        profile: lambda::Profile,
    },
    /// Measure ours beside its peers, prepared below `.tools/`; see `bench/README.md`.
    Bench {
        /// What is measured.
        #[arg(value_enum)]
        benchmark: bench::Benchmark,
        /// Counted rounds of each program, where programs are compared.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Cases of `runtime` (`peers`, `rules`, `devices`, `messages`); all if none is named.
        #[arg(long, value_delimiter = ',')]
        cases: Vec<String>,
    },
    /// Count the instructions that a record costs by valgrind, and compare them with `bench/instructions.json`.
    Instructions {
        /// Make the counts the budget.
        #[arg(long)]
        update: bool,
    },
    /// Run linters over `out/` and over the output of every fixture.
    Lint,
    /// Give everything that reads bytes from outside inputs that nobody would write.
    Fuzz {
        /// Inputs of a short run, times this.
        #[arg(long, default_value_t = 1)]
        times: u64,
        /// What inputs are made from, besides the corpus in `fuzz/corpus/`.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Simulate everything that can go wrong around the engine, over more than a million records.
    Simulate,
    /// Run every check and test. What a pipeline runs.
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
