//! `cargo xtask bench`: prepares a benchmark's peers, makes a release build of what is measured, and runs it.
//!
//! What is measured, and what a figure means, is defined in `bench/`.

use std::process::Command;

use camino::Utf8PathBuf;
use clap::ValueEnum;

use crate::{
    error::Error,
    lambda::{self, Arch, Profile},
    npm, process, tools, workspace,
};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Benchmark {
    /// `fleetform generate` against a CDK app and cfn-lint, as whole processes.
    Generator,
    /// The runtime against Node, Python and straightforward Rust, on the same events.
    Runtime,
    /// A cold start of `evaluate`, as it is deployed, against a Node bootstrap that does nothing.
    ColdStart,
    /// Storing batches as rows, and exporting days to Parquet files, without a peer.
    Storage,
    /// The generator's stages separately, without a peer.
    Stages,
}

/// Prepares and runs a benchmark. For `runtime`, `cases` restricts it to the given cases.
pub(crate) fn run(benchmark: Benchmark, rounds: u32, cases: &[String]) -> Result<(), Error> {
    if !cases.is_empty() && benchmark != Benchmark::Runtime {
        return Err(Error::Message("only `runtime` has cases".to_owned()));
    }
    match benchmark {
        Benchmark::Generator => generator(rounds),
        Benchmark::Runtime => runtime(rounds, cases),
        Benchmark::ColdStart => cold_start(rounds),
        Benchmark::Storage => storage(rounds),
        Benchmark::Stages => process::run(&mut workspace::cargo(&[
            "bench",
            "--locked",
            "--package",
            "fleetform-bench",
            "--bench",
            "stages",
        ])),
    }
}

fn generator(rounds: u32) -> Result<(), Error> {
    tools::run()?;
    let cdk = cdk()?;
    // Built as for a pipeline that only checks and generates: the peers have no part that calls AWS either.
    let ours = ["build", "--locked", "--quiet", "--release", "--package", "fleetform", "--no-default-features"];
    process::run(&mut workspace::cargo(&ours))?;
    // These two start the measured programs and count their output, so their own speed does not matter.
    process::run(&mut workspace::cargo(&[
        "build",
        "--locked",
        "--quiet",
        "--package",
        "fleetform-bench",
        "--bin",
        "generator",
        "--bin",
        "count-resources",
    ]))?;
    process::run(
        Command::new(workspace::target().join("debug/generator"))
            .current_dir(workspace::root())
            .args(["--rounds", &rounds.to_string()])
            .args(["--fleetform", workspace::target().join("release/fleetform").as_str()])
            .args(["--cdk", cdk.as_str()])
            .args(["--cfn-lint", tools::LINT.programs().join("cfn-lint").as_str()]),
    )
}

fn cold_start(rounds: u32) -> Result<(), Error> {
    let evaluate = lambda::build("evaluate", Arch::X86_64, Profile::Lambda)?;
    let program = ["build", "--locked", "--quiet", "--package", "fleetform-bench", "--bin", "cold-start"];
    process::run(&mut workspace::cargo(&program))?;
    process::run(
        Command::new(workspace::target().join("debug/cold-start"))
            .current_dir(workspace::root())
            .args(["--rounds", &rounds.to_string()])
            .args(["--evaluate", evaluate.as_str()]),
    )
}

fn runtime(rounds: u32, cases: &[String]) -> Result<(), Error> {
    process::run(&mut workspace::cargo(&[
        "build",
        "--locked",
        "--quiet",
        "--release",
        "--package",
        "fleetform-consumers",
    ]))?;
    process::run(&mut workspace::cargo(&[
        "build",
        "--locked",
        "--quiet",
        "--package",
        "fleetform-bench",
        "--bin",
        "runtime",
    ]))?;
    let mut program = Command::new(workspace::target().join("debug/runtime"));
    program
        .current_dir(workspace::root())
        .args(["--rounds", &rounds.to_string()])
        .args(["--consumers", workspace::target().join("release/fleetform-consumers").as_str()]);
    if !cases.is_empty() {
        program.args(["--cases", &cases.join(",")]);
    }
    process::run(&mut program)
}

fn storage(rounds: u32) -> Result<(), Error> {
    let program = ["build", "--locked", "--quiet", "--release", "--package", "fleetform-consumers", "--bin", "storage"];
    process::run(&mut workspace::cargo(&program))?;
    process::run(Command::new(workspace::target().join("release/storage")).args(["--rounds", &rounds.to_string()]))
}

/// The CDK app with the packages in its lock file, below `.tools/`. It is left alone if neither has changed.
fn cdk() -> Result<Utf8PathBuf, Error> {
    npm::install("cdk", "bench/peers/cdk", &["app.js", "package.json", "package-lock.json"])
}
