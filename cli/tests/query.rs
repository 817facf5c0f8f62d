//! `fleetform query` and `fleetform export` before a Lambda that answers what a test has told it to.
#![cfg(feature = "aws")]

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const PLATFORM: &str = r#"
schema = 1
[platform]
name = "asked"
[environments.dev]
account = "111111111111"
region  = "us-east-1"
[zones.zone-a]
title    = "A"
contacts = ["oncall"]
[contacts.oncall]
email = ["oncall@example.com"]
[device_types.meter]
report_every = "30s"
[device_types.meter.readings]
pressure = { min = 0, max = 100 }
"#;

/// What a function answers to an invocation.
enum Say {
    Answer(Value),
    Failure(&'static str, &'static str),
}

/// A Lambda with two functions, and what they were asked.
#[derive(Default)]
struct Lambda {
    account: &'static str,
    says: VecDeque<Say>,
    asked: Vec<(String, Value)>,
}

type Shared = Arc<Mutex<Lambda>>;

async fn list() -> String {
    let name = |id: &str| json!({ "FunctionName": format!("asked-dev-Storage-1A2B3C-{id}-9Z8Y7X") });
    json!({ "Functions": [name("QueryFunction"), name("ExportFunction"), name("StoreFunction")] }).to_string()
}

async fn configuration(State(lambda): State<Shared>, Path(name): Path<String>) -> String {
    let account = lambda.lock().unwrap().account;
    let arn = format!("arn:aws:lambda:us-east-1:{account}:function:{name}");
    json!({ "FunctionName": name, "FunctionArn": arn }).to_string()
}

async fn invoke(State(lambda): State<Shared>, Path(name): Path<String>, body: Bytes) -> Response {
    let mut lambda = lambda.lock().unwrap();
    lambda.asked.push((name, serde_json::from_slice(&body).expect("JSON")));
    match lambda.says.pop_front().expect("nothing more is asked") {
        Say::Answer(answer) => answer.to_string().into_response(),
        Say::Failure(kind, message) => {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-function-error", "Unhandled".parse().unwrap());
            (headers, json!({ "errorType": kind, "errorMessage": message }).to_string()).into_response()
        }
    }
}

/// Runs the command in a folder of its own.
async fn run(folder: &std::path::Path, account: &'static str, says: Vec<Say>, words: &[&str]) -> (Output, Lambda) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let lambda = Arc::new(Mutex::new(Lambda { account, says: says.into(), asked: Vec::new() }));
    let service = Router::new()
        .route("/2015-03-31/functions", get(list))
        .route("/2015-03-31/functions/", get(list))
        .route("/2015-03-31/functions/{name}/configuration", get(configuration))
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .with_state(Arc::clone(&lambda));
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    std::fs::write(folder.join("platform.toml"), PLATFORM).expect("the platform file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetform"));
    command.current_dir(folder).env_clear().env("HOME", folder).env("AWS_ENDPOINT_URL", endpoint).args(words);
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the command runs");
    server.abort();
    let _ = server.await;
    let lambda = std::mem::take(&mut *lambda.lock().expect("no handler failed"));
    (output, lambda)
}

async fn ask(says: Vec<Say>, words: &[&str]) -> (Output, Lambda) {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), "111111111111", says, words).await
}

fn answer(rows: Value, next: Option<&str>) -> Say {
    let column = |name: &str, column_type: &str| json!({ "name": name, "type": column_type });
    let columns = [column("device_id", "string"), column("sampled_at", "timestamptz"), column("pressure", "double")];
    let read = json!({ "scanned_bytes": 1_000_000, "hot_requests": 0, "hot_read_units": 0.0, "cost_usd": 0.00005 });
    Say::Answer(match next {
        Some(next) => json!({ "columns": columns, "rows": rows, "read": read, "next": next }),
        None => json!({ "columns": columns, "rows": rows, "read": read }),
    })
}

fn row(n: u32) -> Value {
    json!(["meter-1", format!("2026-01-31T10:00:0{n}Z"), f64::from(n) + 0.5])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_become_one_answer_and_their_costs_one_sum() {
    let empty = json!({ "scanned_bytes": 0, "hot_requests": 0, "hot_read_units": 0.0, "cost_usd": 0.0 });
    let waiting = Say::Answer(json!({ "columns": [], "rows": [], "read": empty, "next": "a" }));
    let says = vec![waiting, answer(json!([row(1), row(2)]), Some("b")), answer(json!([row(3)]), None)];
    let words = ["query", "--device", "meter-1", "--metric", "pressure", "--last", "6h", "--format", "csv"];
    let (output, lambda) = ask(says, &words).await;
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    let lines = "device_id,sampled_at,pressure\nmeter-1,2026-01-31T10:00:01Z,1.5\nmeter-1,2026-01-31T10:00:02Z,2.5\n\
                 meter-1,2026-01-31T10:00:03Z,3.5\n";
    assert_eq!(text(&output.stdout), lines);
    assert!(told.starts_with("3 rows from "), "{told}");
    assert!(told.ends_with("; 2000000 bytes scanned: $0.00010 at list prices\n"), "{told}");
    let [(name, first), (_, second), (_, third)] = &lambda.asked[..] else { panic!("three requests") };
    assert_eq!(name, "asked-dev-Storage-1A2B3C-QueryFunction-9Z8Y7X");
    assert_eq!((&first["device"], &first["readings"]), (&json!("meter-1"), &json!(["pressure"])));
    let moment = |name: &str| first[name].as_str().expect("a moment").parse::<jiff::Timestamp>().expect("RFC 3339");
    assert_eq!(moment("to").duration_since(moment("from")).as_secs(), 6 * 3_600);
    assert_eq!((second, third), (&json!({ "next": "a" }), &json!({ "next": "b" })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_page_without_rows_is_the_head_of_those_that_follow() {
    let head = "device_id,sampled_at,pressure\n";
    for (format, wanted) in [
        ("csv", format!("{head}meter-1,2026-01-31T10:00:01Z,1.5\n")),
        ("table", "device_id  sampled_at            pressure\nmeter-1    2026-01-31T10:00:01Z       1.5\n".to_owned()),
    ] {
        let says = vec![answer(json!([]), Some("b")), answer(json!([row(1)]), None)];
        let (output, _) = ask(says, &["query", "--device", "meter-1", "--format", format]).await;
        assert_eq!(text(&output.stdout), wanted);
    }
    let (output, _) = ask(vec![answer(json!([]), None)], &["query", "--device", "meter-1", "--format", "csv"]).await;
    assert_eq!(text(&output.stdout), head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_there_when_it_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = ["query", "SELECT * FROM samples", "--zone", "zone-a", "--format", "json", "--output", "found.json"];
    let says = vec![answer(json!([row(1)]), Some("b")), Say::Failure("unavailable", "Athena: no answer")];
    let (output, lambda) = run(folder.path(), "111111111111", says, &words).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: Athena: no answer\n"), "{}", text(&output.stderr));
    assert_eq!(
        (&lambda.asked[0].1["sql"], &lambda.asked[0].1["zone"]),
        (&json!("SELECT * FROM samples"), &json!("zone-a"))
    );
    assert!(!folder.path().join("found.json").exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");

    let (output, _) = run(folder.path(), "111111111111", vec![answer(json!([row(1)]), None)], &words).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&std::fs::read(folder.path().join("found.json")).unwrap()).expect("JSON");
    assert_eq!(found, json!([{ "device_id": "meter-1", "sampled_at": "2026-01-31T10:00:01Z", "pressure": 1.5 }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_said_with_the_next_step() {
    let wrong = Say::Answer(json!({ "columns": [], "rows": [], "read": { "scanned_bytes": 0, "hot_requests": 0,
        "hot_read_units": 0.0, "cost_usd": 0.0 }, "error": "COLUMN_NOT_FOUND: line 4:8" }));
    let (output, _) = ask(vec![wrong], &["query", "SELECT presure FROM samples"]).await;
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), "error: COLUMN_NOT_FOUND: line 4:8\n"));
    for (words, wanted) in [
        (&["query"][..], "<SQL>"),
        (&["query", "SELECT 1", "--device", "meter-1"], "cannot be used with"),
        (&["query", "SELECT 1", "--last", "6"], "write a length of time"),
        (&["query", "SELECT 1", "--from", "yesterday"], "write it like 2026-01-31T10:00:00Z"),
        (&["query", "SELECT 1", "--from", "2999-01-01T00:00:00Z"], "not in the future"),
        (&["query", "SELECT 1", "--format", "parquet"], "--output"),
        (&["export", "--from", "2026-02-01", "--to", "2026-01-01"], "--to 2026-01-01 is before --from 2026-02-01"),
    ] {
        let (output, lambda) = ask(Vec::new(), words).await;
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(text(&output.stderr).contains(wanted), "{words:?}: {}", text(&output.stderr));
        assert!(lambda.asked.is_empty());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (output, lambda) = run(folder.path(), "999999999999", Vec::new(), &["query", "SELECT 1"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is in account 999999999999") && lambda.asked.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_exported_one_after_another_until_each_is_done() {
    let done = |samples: u64| Say::Answer(json!({ "exported": 2, "samples": samples, "unchanged": 0, "removed": 1 }));
    let says = vec![done(5), Say::Failure("unfinished", "there was no time for 1 days of zones"), done(7)];
    let (output, lambda) = ask(says, &["export", "--from", "2026-01-31", "--to", "2026-02-01"]).await;
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    let days: Vec<&Value> = lambda.asked.iter().map(|(_, event)| &event["from"]).collect();
    assert_eq!(days, ["2026-01-31", "2026-02-01", "2026-02-01"]);
    assert!(lambda.asked.iter().all(|(name, event)| name.contains("ExportFunction") && event["from"] == event["to"]));
    assert!(told.ends_with("exported 12 samples of 4 zone days; removed 2 rows from the table\n"), "{told}");
    let failing = vec![done(5), Say::Failure("not_exported", "2026-02-01 of zone `zone-a`: damaged; and 0 more")];
    let (output, _) = ask(failing, &["export", "--from", "2026-01-31", "--to", "2026-02-03"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("error: 2026-02-01 of zone `zone-a`: damaged"), "{}", text(&output.stderr));
}
