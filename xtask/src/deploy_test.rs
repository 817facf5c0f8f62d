//! `cargo xtask deploy-test`: prepares what the deploy test needs, and runs it in a network namespace of its own.

use std::fs;

use crate::{
    error::Error,
    lambda::{self, Arch, Profile},
    process, tools, workspace,
};

/// An address that counts as public. It only exists in the test's own network, on the loopback interface.
const WEBHOOK_ADDRESS: &str = "203.0.113.10";

/// Runs the test with the runtime's binaries as other tests build them.
pub(crate) fn run() -> Result<(), Error> {
    tools::run()?;
    lambda::run(Arch::X86_64, Profile::Dev)?;
    let work = workspace::target().join("deploy-test");
    fs::create_dir_all(&work).map_err(Error::file(&work))?;
    process::run(
        tools::EMULATOR
            .program("python")
            .arg(workspace::root().join("tests/deploy/namespace.py"))
            .args(["--address", WEBHOOK_ADDRESS])
            .arg(workspace::target().join("debug/deploy-test"))
            .arg(workspace::target().join("debug/fleetform"))
            .arg(lambda::folder(Profile::Dev))
            .arg(tools::EMULATOR.programs().join("python"))
            .arg(tools::ICEBERG.programs().join("python"))
            .arg(tools::AWS.programs().join("aws"))
            .arg(work),
    )
}
