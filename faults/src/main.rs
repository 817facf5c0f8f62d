//! The command line of the simulation: seeds to simulate, or a handwritten case to play.

mod command;

use std::process::ExitCode;

/// A simulation allocates a lot and keeps little.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::run()
}
