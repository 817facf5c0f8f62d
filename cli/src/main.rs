//! The `fleetform` command: files, terminal and exit codes around the generator.
//!
//! What a platform file means and what is generated from it is decided elsewhere. Results go to standard output,
//! everything else to standard error.
#![forbid(unsafe_code)]

#[cfg(any(feature = "aws", feature = "mqtt"))]
mod clock;
mod command;
#[cfg(feature = "aws")]
mod deployed;
mod folder;
#[cfg(feature = "aws")]
mod found;
#[cfg(feature = "aws")]
mod function;
mod gap;
mod input;
#[cfg(feature = "aws")]
mod live;
#[cfg(feature = "mqtt")]
mod mqtt;
mod out_file;
mod platform_files;
mod proof;
mod record_log;
#[cfg(feature = "aws")]
mod registry;
mod rule_tests;
#[cfg(feature = "aws")]
mod sender;
#[cfg(any(feature = "aws", feature = "mqtt"))]
mod setting;
#[cfg(feature = "aws")]
mod stream;
mod terminal;
mod timeline;

use std::process::ExitCode;

use clap::Parser;

/// A large platform file becomes a few million small values.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = command::Arguments::parse();
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.report(),
    }
}
