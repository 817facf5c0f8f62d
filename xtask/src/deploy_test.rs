//! `cargo xtask deploy-test`: prepares what the deploy test needs, and runs it in a network of its own.

use std::fs;

use crate::{error::Error, process, tools, workspace};

/// An address that counts as public. Only the test's own network has it, on its loopback.
const WEBHOOK_ADDRESS: &str = "203.0.113.10";

/// Runs the test on the zips below `target/lambda/`.
pub(crate) fn run() -> Result<(), Error> {
    tools::run()?;
    let artifacts = workspace::target().join("lambda");
    for zip in ["evaluate.zip", "deliver.zip"] {
        if !artifacts.join(zip).is_file() {
            return Err(Error::Message(format!("no {zip} in {artifacts}: run `cargo xtask lambda`")));
        }
    }
    process::run(&mut workspace::cargo(&[
        "build",
        "--quiet",
        "--locked",
        "--package",
        "fleetform",
        "--package",
        "fleetform-tests",
        "--bins",
    ]))?;
    let work = workspace::target().join("deploy-test");
    fs::create_dir_all(&work).map_err(Error::file(&work))?;
    process::run(
        tools::EMULATOR
            .program("python")
            .arg(workspace::root().join("tests/deploy/namespace.py"))
            .args(["--address", WEBHOOK_ADDRESS])
            .arg(workspace::target().join("debug/deploy-test"))
            .arg(workspace::target().join("debug/fleetform"))
            .arg(artifacts)
            .arg(tools::EMULATOR.programs().join("python"))
            .arg(tools::AWS.programs().join("aws"))
            .arg(work),
    )
}
