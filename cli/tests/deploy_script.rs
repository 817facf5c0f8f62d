//! The generated deploy script against a stand-in for the AWS command line that writes every call down.
#![cfg(unix)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

const ACCOUNT: &str = "111111111111";
const STACK: &str = "my-water-dev";

/// A generated environment, a stand-in for AWS, and zips to deploy.
struct Place {
    folder: TempDir,
    platform: String,
}

impl Place {
    fn new() -> Self {
        Self::with(|platform| platform)
    }

    fn with(change: impl Fn(String) -> String) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), platform: change(starter()) };
        fs::create_dir_all(place.path("bin")).unwrap();
        fs::create_dir_all(place.path("stub/objects")).unwrap();
        fs::create_dir_all(place.path("artifacts")).unwrap();
        for name in ["evaluate", "deliver", "jobs"] {
            fs::write(place.path(&format!("artifacts/{name}.zip")), format!("PK {name}")).unwrap();
        }
        let aws = place.path("bin/aws");
        fs::write(&aws, format!("#!/bin/sh\nexec {} -SE {} \"$@\"\n", python(), stub().display())).unwrap();
        fs::set_permissions(&aws, fs::Permissions::from_mode(0o755)).unwrap();
        place.generate();
        place.set(json!({}));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn generate(&self) {
        fs::write(self.path("platform.toml"), &self.platform).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_fleetform"))
            .arg("generate")
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// How the stand-in behaves, beside what it does anyway.
    fn set(&self, settings: Value) {
        let mut all = json!({ "account": ACCOUNT, "shards": [["shard-0", "shard-1"]], "unreserved": 1000 });
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        fs::write(self.path("stub/settings.json"), all.to_string()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::join_paths(
            [self.path("bin")].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut command = Command::new(self.path("out/dev/scripts/deploy.sh"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PATH", path.unwrap())
            .env("STUB", self.path("stub"));
        command.env("FLEETFORM_BACKOFF_MS", "1").env("FLEETFORM_POLL_S", "0");
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"] {
            command.env_remove(name);
        }
        command.stdin(std::process::Stdio::null());
        // The stand-in kills the whole group.
        command.process_group(0);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        fs::write(self.path("stub/calls"), "").unwrap();
        let _ = fs::remove_dir_all(self.path("stub/counts"));
        self.command(arguments).output().unwrap()
    }

    fn deploy(&self) -> Output {
        self.run(&["--artifacts", "artifacts", "--yes"])
    }

    fn deployed(&self) {
        let output = self.deploy();
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Service and operation of each call of the last run.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("stub/calls")).unwrap();
        let words = |line: &str| serde_json::from_str::<Vec<String>>(line).unwrap();
        calls.lines().map(words).map(|words| format!("{} {}", words[0], words[1])).collect()
    }

    fn changes(&self) -> Vec<String> {
        let reads = ["describe-", "list-", "get-"];
        self.calls()
            .into_iter()
            .filter(|call| !reads.iter().any(|read| call.split(' ').nth(1).unwrap().starts_with(read)))
            .collect()
    }

    /// What was made: stacks, objects, and the distinct records of the stream.
    fn state(&self) -> BTreeMap<String, String> {
        let mut state = BTreeMap::new();
        for part in ["stacks", "objects"] {
            let mut waiting = vec![self.path(&format!("stub/{part}"))];
            while let Some(folder) = waiting.pop() {
                for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                    if entry.file_type().unwrap().is_dir() {
                        waiting.push(entry.path());
                    } else if entry.path().extension().is_none_or(|extension| extension != "announced") {
                        let name = entry.path().strip_prefix(self.folder.path()).unwrap().display().to_string();
                        state.insert(name, fs::read_to_string(entry.path()).unwrap());
                    }
                }
            }
        }
        let mut records: Vec<String> = self.records();
        records.sort();
        records.dedup();
        state.insert("records".into(), records.join("\n"));
        state
    }

    fn records(&self) -> Vec<String> {
        let records = fs::read_to_string(self.path("stub/records")).unwrap_or_default();
        records.lines().map(str::to_owned).collect()
    }
}

fn starter() -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fleetform")).arg("init").current_dir(folder.path()).output().unwrap();
    assert!(output.status.success());
    fs::read_to_string(folder.path().join("platform.toml")).unwrap()
}

fn stub() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy_script/aws.py")
}

/// The interpreter itself: what `python3` means may be a script that takes long to find it.
fn python() -> String {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(output.expect("python3 is installed").stdout).unwrap().trim().to_owned()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_first_run_makes_everything_in_order() {
    let place = Place::new();
    place.deployed();
    let changes = place.changes();
    assert_eq!(
        changes[..3],
        ["cloudformation create-change-set", "cloudformation execute-change-set", "s3api put-object"]
    );
    let root = changes.iter().rposition(|call| call == "cloudformation execute-change-set").unwrap();
    assert!(root > 3, "templates and code come before the root stack: {changes:?}");
    let after: Vec<&str> = changes[root + 1..].iter().map(String::as_str).collect();
    assert_eq!(after, ["s3api put-object", "kinesis put-record", "kinesis put-record", "s3api put-object"]);
    assert_eq!(place.records().len(), 2);
    assert!(place.state().contains_key(&format!("stub/objects/rule-versions/{STACK}/0000000001.json")));
}

#[test]
fn case_17_a_second_run_changes_nothing() {
    let place = Place::new();
    place.deployed();
    let before = place.state();
    place.deployed();
    assert_eq!(place.changes(), [""; 0]);
    assert_eq!(place.state(), before);
}

#[test]
fn case_18_a_dry_run_changes_nothing_and_says_everything() {
    let place = Place::new();
    let output = place.run(&["--artifacts", "artifacts", "--dry-run"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(place.changes(), [""; 0]);
    for step in [
        "create stack my-water-dev-artifacts",
        "evaluate.zip",
        "deliver.zip",
        "jobs.zip",
        "rules/",
        "create stack my-water-dev by",
        "rule-set version 1",
        "every open shard",
    ] {
        assert!(text(&output).contains(step), "{step} is missing in\n{}", text(&output));
    }
    // And so it is between two deployments.
    place.deployed();
    let changed = Place { platform: place.platform.replace("60.0", "61.0"), folder: place.folder };
    changed.generate();
    let output = changed.run(&["--artifacts", "artifacts", "--dry-run"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(changed.changes(), [""; 0]);
    for step in ["update stack my-water-dev by", "changed cloudformation/processing.yaml", "rule-set version 2"] {
        assert!(text(&output).contains(step), "{step} is missing in\n{}", text(&output));
    }
    assert!(!text(&output).contains("changed cloudformation/ingest.yaml"), "{}", text(&output));
}

#[test]
fn case_19_a_call_that_is_throttled_three_times_succeeds() {
    let place = Place::new();
    place.set(json!({ "throttle": 3 }));
    place.deployed();
    let without = Place::new();
    without.deployed();
    assert_eq!(place.state(), without.state());
}

#[test]
fn a_call_that_is_throttled_for_ever_fails_the_run() {
    let place = Place::new();
    place.set(json!({ "throttle": 1000 }));
    let output = place.deploy();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("ThrottlingException"), "{}", text(&output));
}

#[test]
fn case_21_the_wrong_account_or_region_stops_before_the_first_change() {
    let place = Place::new();
    place.set(json!({ "account": "999999999999" }));
    let output = place.deploy();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(place.calls(), ["sts get-caller-identity"]);
    assert!(text(&output).contains("999999999999"), "{}", text(&output));

    place.set(json!({}));
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        fs::write(place.path("stub/calls"), "").unwrap();
        let output = place.command(&["--artifacts", "artifacts", "--yes"]).env(name, "eu-west-1").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(place.calls(), ["sts get-caller-identity"]);
        assert!(text(&output).contains("AWS_REGION=us-east-1"), "{}", text(&output));
    }
    place.set(json!({ "configured_region": "eu-west-1" }));
    assert_eq!(place.deploy().status.code(), Some(1));
    assert_eq!(place.changes(), [""; 0]);
    let meant = place.command(&["--artifacts", "artifacts", "--yes"]).env("AWS_REGION", "us-east-1").output().unwrap();
    assert!(meant.status.success(), "{}", text(&meant));
}

#[test]
fn a_run_that_is_killed_around_any_change_is_taken_up() {
    let whole = Place::new();
    whole.deployed();
    let changes = whole.changes();
    // Killed before the next change is killed after this one: what lies between only looks. Of a row of like changes
    // the first is tried.
    let tried = (1..=changes.len()).filter(|change| *change == 1 || changes[change - 1] != changes[change - 2]);
    for change in tried {
        let place = Place { folder: tempfile::tempdir().unwrap(), platform: whole.platform.clone() };
        for part in ["bin", "artifacts", "out"] {
            copy(&whole.path(part), &place.path(part));
        }
        fs::create_dir_all(place.path("stub/objects")).unwrap();
        place.set(json!({ "kill_after": change }));
        assert_eq!(place.deploy().status.code(), None, "killed");
        place.set(json!({}));
        place.deployed();
        assert_eq!(place.state(), whole.state(), "killed after change {change}");
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-R", "--"]).args([from, to]).status().unwrap();
    assert!(done.success());
}

#[test]
fn going_back_to_an_older_rule_set_takes_a_new_version() {
    let mut place = Place::new();
    place.deployed();
    let first = place.platform.clone();
    for (platform, version) in [(first.replace("60.0", "61.0"), 2), (first, 3)] {
        place.platform = platform;
        place.generate();
        fs::remove_file(place.path("stub/records")).unwrap();
        place.deployed();
        assert!(
            place.records().iter().all(|record| record.contains(&format!(", {version}, "))),
            "{:?}",
            place.records()
        );
        assert_eq!(place.records().len(), 2);
    }
}

#[test]
fn a_version_that_another_run_took_is_left_to_it() {
    let place = Place::new();
    place.set(json!({ "rival_takes_version": true }));
    place.deployed();
    let state = place.state();
    assert!(state[&format!("stub/objects/rule-versions/{STACK}/0000000001.json")].contains("ffff"));
    assert!(state[&format!("stub/objects/rule-versions/{STACK}/0000000002.json")].contains(r#""version":2"#));
}

#[test]
fn shards_that_open_meanwhile_are_told_too() {
    let place = Place::new();
    place.set(json!({ "shards": [["a", "b"], ["b", "c", "d"]] }));
    place.deployed();
    assert_eq!(place.records().len(), 5);
}

#[test]
fn a_failed_creation_prints_its_own_reasons_and_is_begun_again() {
    let place = Place::new();
    place.set(json!({ "execution_ends_in": "ROLLBACK_COMPLETE" }));
    let output = place.deploy();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("Topic: Invalid display name"), "{}", text(&output));
    assert!(!text(&output).contains("of an earlier run"), "{}", text(&output));
    place.set(json!({}));
    place.deployed();
}

#[test]
fn a_failed_change_set_prints_its_reason_and_one_without_changes_is_success() {
    let place = Place::new();
    place.set(json!({ "change_set_fails": "Template error: no such thing" }));
    let output = place.deploy();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("Template error: no such thing"), "{}", text(&output));

    place.set(json!({}));
    place.deployed();
    fs::write(place.path("artifacts/evaluate.zip"), "PK changed").unwrap();
    place.set(json!({ "change_set_fails": "The submitted information didn't contain changes." }));
    place.deployed();
    assert!(place.changes().contains(&"cloudformation delete-change-set".to_owned()));
}

#[test]
fn a_changed_template_or_a_wrong_zip_is_refused_before_the_first_change() {
    let place = Place::new();
    let template = place.path("out/dev/cloudformation/ingest.yaml");
    let mut bytes = fs::read(&template).unwrap();
    bytes.push(b'#');
    fs::write(&template, bytes).unwrap();
    let output = place.deploy();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("fleetform generate"), "{}", text(&output));
    assert_eq!(place.changes(), [""; 0]);
    place.generate();

    fs::write(place.path("artifacts/deliver.zip"), "not a zip").unwrap();
    assert_eq!(place.deploy().status.code(), Some(1));
    fs::remove_file(place.path("artifacts/deliver.zip")).unwrap();
    assert!(text(&place.deploy()).contains("there is no deliver.zip"));
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn reserved_concurrency_must_leave_the_account_a_hundred() {
    let place = Place::with(|platform| platform + "[processor]\nreserved = 50\n");
    place.set(json!({ "unreserved": 149 }));
    let output = place.deploy();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("processor.reserved"), "{}", text(&output));
    assert_eq!(place.changes(), [""; 0]);
    place.set(json!({ "unreserved": 150 }));
    place.deployed();
    // What the function holds already counts for it.
    place.set(json!({ "unreserved": 100, "held": 50 }));
    place.deployed();
}

#[test]
fn a_protected_environment_gets_protected_stacks_and_cannot_be_deleted() {
    let place = Place::with(|platform| {
        platform.replace(r#"region = "us-east-1" }"#, r#"region = "us-east-1", protect = true }"#)
    });
    place.deployed();
    assert_eq!(place.changes().iter().filter(|call| call.ends_with("update-termination-protection")).count(), 2);
    place.deployed();
    assert_eq!(place.changes(), [""; 0]);
    assert_eq!(place.run(&["--delete", "--yes"]).status.code(), Some(1));
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn deleting_asks_first_and_deletes_the_root_before_the_artifacts() {
    let place = Place::new();
    place.deployed();
    let output = place.run(&["--delete"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("--yes"), "{}", text(&output));
    assert!(place.run(&["--delete", "--dry-run"]).status.success());
    assert_eq!(place.changes(), [""; 0]);
    let output = place.run(&["--delete", "--yes"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(place.changes(), ["cloudformation delete-stack"; 2]);
    assert!(place.run(&["--delete", "--yes"]).status.success());
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn the_account_stack_is_deployed_by_itself() {
    let place = Place::new();
    let output = place.run(&["--account"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(place.changes(), ["cloudformation create-change-set", "cloudformation execute-change-set"]);
    assert!(place.run(&["--account"]).status.success());
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let place = Place::new();
    for arguments in [&[][..], &["--artifacts"], &["--artifcats", "x"]] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(place.calls(), [""; 0]);
    }
    assert_eq!(place.run(&["--help"]).status.code(), Some(0));
    place.set(json!({ "version": "aws-cli/1.22.0 Python/3.8" }));
    assert!(text(&place.deploy()).contains("too old"));
    assert_eq!(place.calls(), [""; 0]);
}
