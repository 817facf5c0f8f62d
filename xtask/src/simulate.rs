//! `cargo xtask simulate`: the fault simulation in its full length, and proof that it would notice.
//!
//! It is built optimised and with every assertion; a development build would take ten times as long.

use crate::{error::Error, process, workspace};

/// Seeds in the full length: more than a million records.
const SEEDS: &str = "400";
/// Seeds that are run twice, to see that they take the same course.
const SEEDS_TWICE: &str = "20";

/// Simulates the seeds, repeats some, and switches on each of the engine's bugs on purpose.
pub(crate) fn run() -> Result<(), Error> {
    for arguments in
        [&["simulate", "--seeds", SEEDS][..], &["simulate", "--twice", "--seeds", SEEDS_TWICE], &["mutants"]]
    {
        let cargo = ["run", "--locked", "--quiet", "--profile", "simulation", "--package", "fleetform-faults", "--"];
        process::run(workspace::cargo(&cargo).args(arguments))?;
    }
    Ok(())
}
