//! `cargo xtask simulate`: the fault simulation in its full length, and proof that it would notice.
//!
//! It is built optimised and with every assertion; a development build would take ten times as long.

use crate::{error::Error, process, workspace};

/// Seeds in the full length: more than a million records.
const SEEDS: &str = "400";
/// Seeds that are run twice, to see that they take the same course.
const SEEDS_TWICE: &str = "20";

/// Cases of each property.
const CASES: &str = "10000";

/// Simulates the seeds, repeats some, switches on each of the engine's bugs on purpose, and looks at the
/// properties.
pub(crate) fn run() -> Result<(), Error> {
    let runs = [
        &["simulate", "--seeds", SEEDS][..],
        &["simulate", "--twice", "--seeds", SEEDS_TWICE],
        &["mutants"],
        &["properties", "--cases", CASES],
    ];
    for arguments in runs {
        let cargo = ["run", "--locked", "--quiet", "--profile", "simulation", "--package", "fleetform-faults", "--"];
        process::run(workspace::cargo(&cargo).args(arguments))?;
    }
    Ok(())
}
