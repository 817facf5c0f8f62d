//! The command line of the simulation: seeds to simulate, or a case written by hand to play.

mod command;

use std::process::ExitCode;

/// A simulation allocates much and keeps little.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::run()
}
