//! The `fleetform` command: files, terminal and exit codes around the generator.
//!
//! What a platform file means and what is generated from it is decided elsewhere. Results go to standard output,
//! everything else to standard error.
#![forbid(unsafe_code)]

mod command;
mod folder;
mod input;
mod record_log;
mod rule_tests;
#[cfg(feature = "aws")]
mod stream;
mod terminal;
mod timeline;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = command::Arguments::parse();
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.report(),
    }
}
