//! `cargo xtask fuzz`: inputs that nobody would write, for everything that reads bytes from outside.
//!
//! It is built as the simulation is: optimised and with every assertion.

use crate::{error::Error, process, workspace};

/// Gives every reader its corpus, and so many times the inputs of a short run.
pub(crate) fn run(times: u64, seed: u64) -> Result<(), Error> {
    let cargo = ["run", "--locked", "--quiet", "--profile", "simulation", "--package", "fleetform-fuzz", "--"];
    process::run(workspace::cargo(&cargo).args(["--times", &times.to_string()]).args(["--seed", &seed.to_string()]))
}
