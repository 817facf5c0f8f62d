//! Tests the Lambda execution environment with a small program in place of a function.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, time::Duration};

use camino::Utf8PathBuf;
use fleetform_tests::lambda_host::{Function, LambdaHost, Outcome};
use serde_json::json;

/// Does what the event tells it to, over the Runtime API.
const BOOTSTRAP: &str = r#"#!/usr/bin/env python3
import json, os, time, urllib.request

BASE = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"

def post(path, value):
    urllib.request.urlopen(urllib.request.Request(BASE + path, json.dumps(value).encode())).read()

if os.environ["_HANDLER"] == "cannot-start":
    post("/init/error", {"errorType": "Init", "errorMessage": "no table"})
    raise SystemExit(1)
count = 0
while True:
    with urllib.request.urlopen(BASE + "/invocation/next") as call:
        id, event = call.headers["Lambda-Runtime-Aws-Request-Id"], json.load(call)
        left_ms = int(call.headers["Lambda-Runtime-Deadline-Ms"]) - time.time() * 1000
    count += 1
    match event:
        case "exit":
            os._exit(3)
        case "sleep":
            time.sleep(60)
        case "fail":
            post(f"/invocation/{id}/error", {"errorType": "Broken", "errorMessage": "as asked"})
        case _:
            post(f"/invocation/{id}/response", {"count": count, "in_time": 0 < left_ms <= 2000, "event": event})
"#;

async fn host(handler: &str) -> (LambdaHost, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).expect("UTF-8");
    let bootstrap = path.join("bootstrap");
    fs::write(&bootstrap, BOOTSTRAP).expect("the program");
    fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).expect("its mode");
    let function = Function {
        name: "tried".to_owned(),
        bootstrap,
        handler: handler.to_owned(),
        memory_mib: 128,
        timeout: Duration::from_secs(2),
        region: "us-east-1".to_owned(),
        environment: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").expect("PATH"))]),
        log: path.join("log"),
    };
    (LambdaHost::new(function).await.expect("a Runtime API"), folder)
}

fn count(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Returned(value) => value["count"].as_u64().filter(|_| value["in_time"] == true),
        Outcome::Failed { .. } | Outcome::Exited | Outcome::TimedOut => None,
    }
}

#[tokio::test]
async fn a_warm_environment_is_used_again() {
    let (mut host, _folder) = host("works").await;
    for wanted in 1..=3 {
        let outcome = host.invoke(&json!({ "text": "tôi" })).await.expect("an outcome");
        assert_eq!(count(&outcome), Some(wanted), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_error_leaves_the_environment_as_it_is() {
    let (mut host, _folder) = host("works").await;
    let failed = Outcome::Failed { kind: "Broken".to_owned(), message: "as asked".to_owned() };
    assert_eq!(host.invoke(&json!("fail")).await.expect("an outcome"), failed);
    assert_eq!(count(&host.invoke(&json!(1)).await.expect("an outcome")), Some(2));
}

#[tokio::test]
async fn after_an_exit_a_time_out_or_a_kill_comes_a_cold_start() {
    let (mut host, _folder) = host("works").await;
    assert_eq!(host.invoke(&json!("exit")).await.expect("an outcome"), Outcome::Exited);
    assert_eq!(count(&host.invoke(&json!(1)).await.expect("an outcome")), Some(1));
    assert_eq!(host.invoke(&json!("sleep")).await.expect("an outcome"), Outcome::TimedOut);
    assert_eq!(count(&host.invoke(&json!(1)).await.expect("an outcome")), Some(1));
    host.kill().await.expect("it ends");
    assert_eq!(count(&host.invoke(&json!(1)).await.expect("an outcome")), Some(1));
}

#[tokio::test]
async fn a_failure_to_start_is_an_outcome() {
    let (mut host, _folder) = host("cannot-start").await;
    let failed = Outcome::Failed { kind: "Init".to_owned(), message: "no table".to_owned() };
    assert_eq!(host.invoke(&json!(1)).await.expect("an outcome"), failed);
}
