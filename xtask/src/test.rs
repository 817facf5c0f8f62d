//! `cargo xtask test`: every check and test, in an order that shows the cheapest failures first.

use std::process::Command;

use crate::{
    deploy_test, error::Error, fuzz, generate, instructions, lint, packages, process, simulate, steps::Steps, tools,
    workspace,
};

/// Runs everything; with `quick`, everything except what takes minutes.
pub(crate) fn run(quick: bool) -> Result<(), Error> {
    let mut steps = Steps::new();
    steps.run("formatting", || cargo(&["fmt", "--all", "--check"]));
    steps.run("tools", tools::run);
    steps.run("clippy", || {
        cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])
    });
    steps.run("build", workspace::build);
    steps.run("tests", tests);
    steps.run("documentation tests", || cargo(&["test", "--locked", "--workspace", "--doc", "--quiet"]));
    steps.run("tests of the example's rules", || {
        process::run(workspace::fleetform().args(["test", "--require-coverage"]))
    });
    steps.run("generated files are current", || generate::run(true));
    steps.run("zips are for the templates' processor", packages::run);
    licences(&mut steps);
    if quick {
        steps.skip("fault simulation", "--quick was given; the tests have a short one");
        steps.skip("inputs that nobody would write", "--quick was given");
        steps.skip("linters and the deploy test", "--quick was given");
    } else {
        steps.run("the command by itself", command_alone);
        steps.run("fault simulation", simulate::run);
        steps.run("inputs that nobody would write", || fuzz::run(1, 1));
        if instructions::valgrind_is_installed() {
            steps.run("instructions of a record", || instructions::run(false));
        } else {
            steps.skip("instructions of a record", "valgrind is not installed; the published workflow has it");
        }
        steps.run("linters", lint::run);
        steps.run("deploy test", deploy_test::run);
    }
    steps.close()
}

fn cargo(arguments: &[&str]) -> Result<(), Error> {
    process::run(&mut workspace::cargo(arguments))
}

/// Builds the command alone as in the README, and without its network part. Its libraries then have fewer features than
/// in the whole workspace, and must not need what is missing.
fn command_alone() -> Result<(), Error> {
    cargo(&["check", "--locked", "--quiet"])?;
    cargo(&["check", "--locked", "--quiet", "--no-default-features"])
}

/// Runs unit and integration tests, with nextest if it is installed.
fn tests() -> Result<(), Error> {
    if process::succeeds(Command::new("cargo-nextest").args(["nextest", "--version"])) {
        cargo(&["nextest", "run", "--locked", "--workspace", "--no-fail-fast", "--status-level", "fail"])
    } else {
        anstream::eprintln!("cargo-nextest is not installed: `cargo test` runs the same tests, one crate at a time");
        cargo(&["test", "--locked", "--workspace", "--no-fail-fast", "--quiet", "--lib", "--bins", "--tests"])
    }
}

/// Checks licenses, sources and duplicates of dependencies, if cargo-deny is installed. Building it takes longer than
/// everything else here, so only the published workflow always has it.
fn licences(steps: &mut Steps) {
    const NAME: &str = "licences and sources of dependencies";
    if process::succeeds(Command::new("cargo-deny").arg("--version")) {
        steps.run(NAME, || cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]));
    } else {
        steps.skip(NAME, "cargo-deny is not installed; the published workflow runs it");
    }
}
