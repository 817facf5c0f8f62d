//! The command line of the simulation: seeds to simulate, or a case written by hand to play.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
