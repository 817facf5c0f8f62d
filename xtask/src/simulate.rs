//! `cargo xtask simulate`: the full fault simulation, and a proof that it detects faults.
//!
//! Built optimized, with all assertions; a development build would take ten times as long.

use crate::{error::Error, process, workspace};

/// The number of seeds of a full run: more than a million records.
const SEEDS: &str = "400";
/// The number of seeds that are run twice, to check that the course is the same.
const SEEDS_TWICE: &str = "20";

/// Cases of each property.
const CASES: &str = "10000";

/// Simulates the seeds, repeats some, enables each of the engine's deliberate bugs, and tests the properties.
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
