//! A generated environment with a stand-in for the AWS command line, which keeps what is made in a folder and writes every
//! call down.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

const ACCOUNT: &str = "111111111111";

/// A generated environment, and a stand-in for AWS.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) platform: String,
    /// The script below `out/dev/scripts/` that is run.
    script: &'static str,
}

impl Place {
    pub(crate) fn new(script: &'static str, change: impl Fn(String) -> String) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), platform: change(starter()), script };
        fs::create_dir_all(place.path("bin")).unwrap();
        fs::create_dir_all(place.path("stub/objects")).unwrap();
        let aws = place.path("bin/aws");
        fs::write(&aws, format!("#!/bin/sh\nexec {} -sE {} \"$@\"\n", python(), stub().display())).unwrap();
        fs::set_permissions(&aws, fs::Permissions::from_mode(0o755)).unwrap();
        place.generate();
        place.set(json!({}));
        place
    }

    /// The same environment, of which nothing has been made yet.
    pub(crate) fn afresh(&self, parts: &[&str]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), platform: self.platform.clone(), script: self.script };
        for part in parts {
            copy(&self.path(part), &place.path(part));
        }
        fs::create_dir_all(place.path("stub/objects")).unwrap();
        place.set(json!({}));
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn generate(&self) {
        fs::write(self.path("platform.toml"), &self.platform).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_fleetform"))
            .arg("generate")
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// How the stand-in behaves, beside what it does anyway.
    pub(crate) fn set(&self, settings: Value) {
        let mut all = json!({ "account": ACCOUNT, "shards": [["shard-0", "shard-1"]], "unreserved": 1000 });
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        fs::write(self.path("stub/settings.json"), all.to_string()).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::join_paths(
            [self.path("bin")].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut command = Command::new(self.path("out/dev/scripts").join(self.script));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PATH", path.unwrap())
            .env("STUB", self.path("stub"));
        command.env("FLEETFORM_BACKOFF_MS", "1").env("FLEETFORM_POLL_S", "0");
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        // The stand-in kills the whole group.
        command.process_group(0);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        fs::write(self.path("stub/calls"), "").unwrap();
        let _ = fs::remove_dir_all(self.path("stub/counts"));
        self.command(arguments).output().unwrap()
    }

    /// Runs the script and expects it to succeed.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    }

    /// Runs the script and expects it to fail.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{}", text(&output));
        text(&output)
    }

    /// Service and operation of each call of the last run.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("stub/calls")).unwrap();
        let words = |line: &str| serde_json::from_str::<Vec<String>>(line).unwrap();
        calls.lines().map(words).map(|words| format!("{} {}", words[0], words[1])).collect()
    }

    pub(crate) fn changes(&self) -> Vec<String> {
        let reads = ["describe-", "list-", "get-", "batch-get-"];
        self.calls()
            .into_iter()
            .filter(|call| !reads.iter().any(|read| call.split(' ').nth(1).unwrap().starts_with(read)))
            .collect()
    }
}

fn starter() -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fleetform")).arg("init").current_dir(folder.path()).output().unwrap();
    assert!(output.status.success());
    fs::read_to_string(folder.path().join("platform.toml")).unwrap()
}

fn stub() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand_in/aws.py")
}

/// The interpreter itself: what `python3` means may be a script that takes long to find it.
fn python() -> String {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(output.expect("python3 is installed").stdout).unwrap().trim().to_owned()
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-R", "--"]).args([from, to]).status().unwrap();
    assert!(done.success());
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
