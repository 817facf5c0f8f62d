//! The commands of the command line, one file each. Results go to stdout, diagnostics to stderr. Exit codes are 0:
//! success, 1: something is wrong, 2: bad input.

#[cfg(debug_assertions)]
mod mutants;
mod play;
mod properties;
mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs the production engine in virtual time, with everything going wrong that can.
///
/// Without a command, plays one handwritten case.
#[derive(Parser)]
#[command(name = "fleetform-faults", args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Line {
    #[command(flatten)]
    play: Option<play::Arguments>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Simulate seeds, and compare each with the oracle.
    Simulate(simulate::Arguments),
    /// Check that certain changes to a log change nothing, each over many cases.
    Properties(properties::Arguments),
    /// Switch on each of the engine's deliberate bugs, and check that it is noticed.
    #[cfg(debug_assertions)]
    Mutants(mutants::Arguments),
}

pub(crate) fn run() -> ExitCode {
    let line = Line::parse();
    match (line.command, line.play) {
        (Some(Command::Simulate(arguments)), _) => simulate::run(&arguments),
        (Some(Command::Properties(arguments)), _) => properties::run(&arguments),
        #[cfg(debug_assertions)]
        (Some(Command::Mutants(arguments)), _) => mutants::run(&arguments),
        (None, Some(arguments)) => play::run(&arguments),
        (None, None) => {
            anstream::eprintln!("error: `--rules`, `--log` and `--out` are needed, or a command; `--help` says more");
            ExitCode::from(2)
        }
    }
}
