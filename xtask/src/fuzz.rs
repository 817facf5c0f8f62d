//! `cargo xtask fuzz`: generated inputs for everything that parses external bytes.
//!
//! Built like the simulation: optimized, with all assertions.

use crate::{error::Error, process, workspace};

/// Runs every fuzz target on its corpus, and on `times` the number of inputs of a short run.
pub(crate) fn run(times: u64, seed: u64) -> Result<(), Error> {
    let cargo = ["run", "--locked", "--quiet", "--profile", "simulation", "--package", "fleetform-fuzz", "--"];
    process::run(workspace::cargo(&cargo).args(["--times", &times.to_string()]).args(["--seed", &seed.to_string()]))
}
