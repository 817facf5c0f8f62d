//! The command, run on the deployed platform by an operator.

use std::process::Command;

use super::{Failure, REGION, Test};

/// The result of a run of the command.
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) printed: String,
    pub(super) told: String,
}

impl Test {
    /// Runs the command with the function's name: the emulator generates names by which the command cannot find it.
    pub(super) fn command(&self, words: &[&str]) -> Result<Ran, Failure> {
        self.command_on(words, ["--function", &self.output("EvaluateFunctionName")?])
    }

    /// Does the same with another named resource.
    pub(super) fn command_on(&self, words: &[&str], named: [&str; 2]) -> Result<Ran, Failure> {
        let output = Command::new(&self.setup.fleetform)
            .args(words)
            .args(["--file", self.platform_file().as_str(), "--env", "test"])
            .args(named)
            .env_clear()
            .envs(self.aws.environment())
            .env("AWS_REGION", REGION)
            .output()?;
        Ok(Ran {
            code: output.status.code(),
            printed: String::from_utf8_lossy(&output.stdout).into_owned(),
            told: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    pub(super) fn note(&mut self, ran: &Ran) {
        for line in ran.printed.lines().chain(ran.told.lines()) {
            self.transcript.note(format!("| {line}"));
        }
    }
}
