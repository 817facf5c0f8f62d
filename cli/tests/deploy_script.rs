//! The generated deploy script against a stand-in for the AWS command line that writes every call down.
#![cfg(unix)]

mod stand_in;

use std::{collections::BTreeMap, fs, process::Output};

use serde_json::json;
use stand_in::{Place, text};

const STACK: &str = "my-water-dev";
const STACK_MADE: [&str; 2] = ["cloudformation create-change-set", "cloudformation execute-change-set"];
const LOG_KEPT: [&str; 2] = ["logs create-log-group", "logs put-retention-policy"];
const DEPLOY: [&str; 3] = ["--artifacts", "artifacts", "--yes"];

/// A generated environment, with zips to deploy.
fn place() -> Place {
    with(|platform| platform)
}

fn with(change: impl Fn(String) -> String) -> Place {
    let place = Place::new("deploy.sh", change);
    fs::create_dir_all(place.path("artifacts")).unwrap();
    for name in ["evaluate", "deliver", "jobs", "store", "export", "live"] {
        fs::write(place.path(&format!("artifacts/{name}.zip")), format!("PK {name}")).unwrap();
    }
    place
}

impl Place {
    fn deploy(&self) -> Output {
        self.run(&DEPLOY)
    }

    fn deployed(&self) {
        self.done(&DEPLOY);
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

#[test]
fn a_first_run_makes_everything_in_order() {
    let place = place();
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
    let place = place();
    place.deployed();
    let before = place.state();
    place.deployed();
    assert_eq!(place.changes(), [""; 0]);
    assert_eq!(place.state(), before);
}

#[test]
fn case_18_a_dry_run_changes_nothing_and_says_everything() {
    let place = place();
    let output = place.run(&["--artifacts", "artifacts", "--dry-run"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(place.changes(), [""; 0]);
    for step in [
        "create stack my-water-dev-artifacts",
        "evaluate.zip",
        "deliver.zip",
        "jobs.zip",
        "store.zip",
        "export.zip",
        "live.zip",
        "rules/",
        "create stack my-water-dev by",
        "rule-set version 1",
        "every open shard",
    ] {
        assert!(text(&output).contains(step), "{step} is missing in\n{}", text(&output));
    }
    // And so it is between two deployments.
    place.deployed();
    let mut changed = place;
    changed.platform = changed.platform.replace("60.0", "61.0");
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
    let (place, without) = (place(), place());
    place.set(json!({ "throttle": 3 }));
    place.deployed();
    without.deployed();
    assert_eq!(place.state(), without.state());
}

#[test]
fn a_call_that_is_throttled_for_ever_fails_the_run() {
    let place = place();
    place.set(json!({ "throttle": 1000 }));
    let output = place.deploy();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("ThrottlingException"), "{}", text(&output));
}

#[test]
fn case_21_the_wrong_account_or_region_stops_before_the_first_change() {
    let place = place();
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
    let whole = place();
    whole.deployed();
    let changes = whole.changes();
    // Killed before the next change is killed after this one: what lies between only looks. Of a row of like changes
    // the first is tried.
    let tried = (1..=changes.len()).filter(|change| *change == 1 || changes[change - 1] != changes[change - 2]);
    for change in tried {
        let place = whole.afresh(&["bin", "artifacts", "out"]);
        place.set(json!({ "kill_after": change }));
        assert_eq!(place.deploy().status.code(), None, "killed");
        place.set(json!({}));
        place.deployed();
        assert_eq!(place.state(), whole.state(), "killed after change {change}");
    }
}

#[test]
fn going_back_to_an_older_rule_set_takes_a_new_version() {
    let mut place = place();
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
    let place = place();
    place.set(json!({ "rival_takes_version": true }));
    place.deployed();
    let state = place.state();
    assert!(state[&format!("stub/objects/rule-versions/{STACK}/0000000001.json")].contains("ffff"));
    assert!(state[&format!("stub/objects/rule-versions/{STACK}/0000000002.json")].contains(r#""version":2"#));
}

#[test]
fn shards_that_open_meanwhile_are_told_too() {
    let place = place();
    place.set(json!({ "shards": [["a", "b"], ["b", "c", "d"]] }));
    place.deployed();
    assert_eq!(place.records().len(), 5);
}

#[test]
fn a_failed_creation_prints_its_own_reasons_and_is_begun_again() {
    let place = place();
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
    let place = place();
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
    let place = place();
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
    let place = with(|platform| platform + "[processor]\nreserved = 50\n");
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
    let place =
        with(|platform| platform.replace(r#"region = "us-east-1" }"#, r#"region = "us-east-1", protect = true }"#));
    place.deployed();
    assert_eq!(place.changes().iter().filter(|call| call.ends_with("update-termination-protection")).count(), 2);
    place.deployed();
    assert_eq!(place.changes(), [""; 0]);
    assert!(place.refused(&["--delete", "--yes"]).contains("is protected"));
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn deleting_asks_first_and_deletes_the_root_before_the_artifacts() {
    let place = place();
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
    let place = place();
    let output = place.run(&["--account"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(place.changes(), [STACK_MADE, LOG_KEPT].concat());
    assert!(place.run(&["--account"]).status.success());
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn the_log_of_aws_iot_is_kept_as_long_as_the_environment_that_keeps_its_own_longest() {
    let place = place();
    let group = place.path("stub/logs/AWSIotLogsV2.json");
    fs::create_dir_all(group.parent().unwrap()).unwrap();
    for (held, kept) in [("null", "30"), ("7", "30"), ("30", "30"), ("400", "400")] {
        fs::write(&group, held).unwrap();
        place.done(&["--account"]);
        assert_eq!(fs::read_to_string(&group).unwrap(), kept, "held {held}");
    }
    fs::write(&group, "null").unwrap();
    assert!(place.done(&["--account", "--dry-run"]).contains("would keep log group AWSIotLogsV2 for 30 days"));
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn what_the_account_has_already_is_told_and_does_not_keep_the_catalog_from_being_made() {
    let place = place();
    let (logging, audit) = (json!(["arn:aws:iam::1:role/logs", false]), "arn:aws:iam::1:role/audit");
    place.set(json!({ "catalog": false, "logging": logging, "audit": audit }));
    let said = place.done(&["--account"]);
    assert_eq!(place.changes(), STACK_MADE, "the catalog's");
    for word in ["AWS IoT logging, by the role arn:aws:iam::1:role/logs", "audit", "not needed"] {
        assert!(said.contains(word), "{word} is missing in\n{said}");
    }
    for (settings, command, lacking) in [
        (
            json!({ "logging": logging }),
            "aws iot set-v2-logging-options --region us-east-1 --disable-all-logs",
            "audit",
        ),
        (json!({ "audit": audit }), "aws iot delete-account-audit-configuration --region us-east-1", "logging"),
    ] {
        place.set(settings);
        let said = place.refused(&["--account"]);
        assert!(said.contains(command) && said.contains("can be deployed without this stack"), "{said}");
        assert!(said.lines().any(|line| line.contains("still lacks") && line.contains(lacking)), "{said}");
        assert_eq!(place.changes(), [""; 0]);
    }
    // Logging that was turned off is as if there were none.
    place.set(json!({ "logging": ["arn:aws:iam::1:role/logs", "True"] }));
    place.done(&["--account"]);
    assert_eq!(place.changes(), [STACK_MADE, LOG_KEPT].concat());
}

#[test]
fn the_catalog_of_table_buckets_is_made_only_where_there_is_none() {
    let place = place();
    place.set(json!({ "catalog": false }));
    let output = place.deploy();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("run: deploy.sh --account"), "{}", text(&output));
    assert_eq!(place.changes(), [""; 0]);
    let output = place.run(&["--account"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(place.changes(), [STACK_MADE, STACK_MADE, LOG_KEPT].concat());
    assert!(place.run(&["--account"]).status.success());
    assert_eq!(place.changes(), [""; 0]);
    place.deployed();
}

#[test]
fn samples_in_timestream_need_no_catalog() {
    let place = with(|platform| platform + "\n[storage]\nengine = \"timestream\"\nexisting_customer = true\n");
    place.set(json!({ "catalog": false }));
    let asks = |place: &Place| place.calls().iter().any(|call| call.starts_with("glue"));
    place.deployed();
    assert!(!asks(&place), "{:?}", place.calls());
    assert!(place.run(&["--account"]).status.success());
    assert_eq!(place.changes(), [STACK_MADE, LOG_KEPT].concat());
    assert!(!asks(&place), "{:?}", place.calls());
}

#[test]
fn whoever_may_not_look_for_the_catalog_is_told_so_and_not_stopped() {
    let place = place();
    place.set(json!({ "catalog": null }));
    let output = place.deploy();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("could not be seen"), "{}", text(&output));
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let place = place();
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
