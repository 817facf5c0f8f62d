//! What can be asked for on the command line, one file each. Results go to stdout, diagnostics to stderr; exit code 0:
//! fine, 1: something is wrong, 2: bad input.

mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs the production engine in virtual time, with everything going wrong that can.
#[derive(Parser)]
#[command(name = "fleetform-faults")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Simulate seeds, and compare each with the oracle.
    Simulate(simulate::Arguments),
}

pub(crate) fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Simulate(arguments) => simulate::run(&arguments),
    }
}
