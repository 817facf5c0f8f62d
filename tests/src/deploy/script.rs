//! Runs the generated scripts with the real AWS CLI behind a recorder, which shows the calls that change something.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use camino::Utf8PathBuf;

use super::{Failure, Test};

/// The result of a run of the script.
pub(super) struct Run {
    pub(super) succeeded: bool,
    pub(super) printed: String,
    /// Each call of `aws`, as its first two words.
    pub(super) calls: Vec<String>,
}

impl Run {
    /// The calls that may change something: all except for read-only ones.
    pub(super) fn mutating_calls(&self) -> Vec<&str> {
        self.calls.iter().map(String::as_str).filter(|call| !asks(call)).collect()
    }
}

fn asks(call: &str) -> bool {
    let operation = call.split(' ').nth(1).unwrap_or_default();
    call == "configure get"
        || call.starts_with("--version")
        || ["get-", "list-", "describe-", "head-", "batch-get-", "wait"]
            .iter()
            .any(|prefix| operation.starts_with(prefix))
}

impl Test {
    /// Runs `deploy.sh` with these arguments.
    pub(super) fn deploy_script(&mut self, arguments: &[&str]) -> Result<Run, Failure> {
        self.script("deploy.sh", arguments)
    }

    /// Runs a script with these arguments.
    pub(super) fn script(&mut self, name: &str, arguments: &[&str]) -> Result<Run, Failure> {
        let log = self.setup.work.join("calls.txt");
        fs::write(&log, "")?;
        let programs = self.recorder(&log)?;
        let script = self.rendering().join("scripts").join(name);
        let output = Command::new("bash")
            .arg(&script)
            .args(arguments)
            .current_dir(&self.setup.work)
            .env_clear()
            .envs(self.aws.environment())
            .env("PATH", format!("{programs}:/usr/bin:/bin"))
            .env("FLEETFORM_POLL_S", "0.2")
            .output()?;
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let calls = fs::read_to_string(&log)?.lines().map(str::to_owned).collect();
        let run = Run { succeeded: output.status.success(), printed, calls };
        self.transcript.note(format!("{name} {}: {} calls", arguments.join(" "), run.calls.len()));
        for line in run.printed.lines() {
            self.transcript.note(format!("| {line}"));
        }
        Ok(run)
    }

    /// A folder with an `aws` that records its call and then executes the real one.
    fn recorder(&self, log: &Utf8PathBuf) -> Result<Utf8PathBuf, Failure> {
        let folder = self.setup.work.join("recorder");
        fs::create_dir_all(&folder)?;
        let program = folder.join("aws");
        let real = &self.setup.aws;
        fs::write(&program, format!("#!/bin/sh\nprintf '%s %s\\n' \"$1\" \"$2\" >>'{log}'\nexec '{real}' \"$@\"\n"))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    }
}
