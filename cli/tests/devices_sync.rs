//! `fleetform devices sync` before a registry that gives few things at a time and asks to slow down, and a stream that
//! refuses some of what it is given.
#![cfg(feature = "aws")]

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const STREAM: &str = "simulated-dev-Ingest-1A2B3C-TelemetryStream-9Z8Y7X";
const STACK: &str = "simulated-dev";

const PLATFORM: &str = r#"
schema = 1
[platform]
name = "simulated"
[environments.dev]
account = "111111111111"
region  = "us-east-1"
[identity.serial]
pattern = "SN-[0-9]{4}"
[zones.zone-a]
title    = "A"
contacts = ["oncall"]
[contacts.oncall]
email = ["oncall@example.com"]
[device_types.meter]
report_every = "1s"
attributes = { max_pressure = { default = 60.0 } }
[device_types.meter.readings]
pressure = { min = 0, max = 100 }
"#;

#[derive(Default)]
struct Aws {
    things: Vec<Value>,
    /// Answers to `ListThings` that were refused so far; the first of each page is.
    throttled: usize,
    pages: usize,
    /// Requests to the stream after which it fails for good.
    broken_after: Option<usize>,
    requests: usize,
    taken: Vec<Value>,
}

type Shared = Arc<Mutex<Aws>>;

async fn list_things(State(aws): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let query = query.expect("a query");
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query: BTreeMap<&str, &str> = pairs.collect();
    let mut aws = aws.lock().expect("no handler fails");
    assert_eq!((query["attributeName"], query["attributeValue"]), ("stack", STACK));
    if aws.throttled == aws.pages {
        aws.throttled += 1;
        let headers = [("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/coral/com.amazon/")];
        return (StatusCode::TOO_MANY_REQUESTS, headers, r#"{"message":"Rate exceeded"}"#).into_response();
    }
    aws.pages += 1;
    let from: usize =
        query.get("nextToken").map_or(0, |token| token.trim_start_matches("a%2Fb%3D").parse().expect("mine"));
    let page: Vec<Value> = aws.things.iter().skip(from).take(2).cloned().collect();
    let next = (from + 2 < aws.things.len()).then(|| format!("a/b={}", from + 2));
    json!({ "things": page, "nextToken": next }).to_string().into_response()
}

async fn kinesis(State(aws): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let mut aws = aws.lock().expect("no handler fails");
    let request: Value = serde_json::from_slice(&body).expect("JSON");
    match headers["x-amz-target"].to_str().expect("text").split_once('.').expect("a service").1 {
        "ListStreams" => json!({ "HasMoreStreams": false, "StreamNames": ["other", STREAM] }),
        "DescribeStreamSummary" => {
            let arn = format!("arn:aws:kinesis:us-east-1:111111111111:stream/{STREAM}");
            json!({ "StreamDescriptionSummary": { "StreamName": STREAM, "StreamARN": arn, "StreamStatus": "ACTIVE",
                "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1, "EnhancedMonitoring": [], "OpenShardCount": 1 } })
        }
        "PutRecords" => {
            aws.requests += 1;
            if aws.broken_after.is_some_and(|after| aws.requests > after) {
                let body = r#"{"__type":"AccessDeniedException","message":"no longer"}"#;
                return (StatusCode::BAD_REQUEST, body).into_response();
            }
            put(&mut aws, &request)
        }
        other => panic!("{other} was not expected"),
    }
    .to_string()
    .into_response()
}

/// Of the first request only the first record is taken.
fn put(aws: &mut Aws, request: &Value) -> Value {
    let records = request["Records"].as_array().expect("records");
    let mut refused = 0;
    let results: Vec<Value> = records
        .iter()
        .enumerate()
        .map(|(at, record)| {
            if aws.requests == 1 && at > 0 {
                refused += 1;
                return json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slower" });
            }
            let data = STANDARD.decode(record["Data"].as_str().expect("data")).expect("base64");
            let data: Value = serde_json::from_slice(&data).expect("a record");
            assert_eq!(record["PartitionKey"], data["d"], "the partition key is the device");
            aws.taken.push(data);
            json!({ "SequenceNumber": aws.taken.len().to_string(), "ShardId": "shardId-000000000000" })
        })
        .collect();
    json!({ "FailedRecordCount": refused, "Records": results })
}

fn thing(name: &str, account: &str, attributes: Value) -> Value {
    let mut all = json!({ "stack": STACK, "told": "abc" });
    all.as_object_mut().expect("an object").extend(attributes.as_object().expect("an object").clone());
    let arn = format!("arn:aws:iot:us-east-1:{account}:thing/{name}");
    json!({ "thingName": name, "thingTypeName": "simulated-dev-meter", "thingArn": arn, "attributes": all, "version": 3 })
}

/// Five devices in no order: one that was revoked, and one with a name of before there was a pattern.
fn things(account: &str) -> Vec<Value> {
    let of = |revision: &str, more: Value| {
        let mut all = json!({ "revision": revision, "type": "meter", "zone": "zone-a", "retired": "false" });
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        all
    };
    vec![
        thing("SN-0003", account, of("1700000000003", json!({ "retired": "true" }))),
        thing("SN-0001", account, of("1700000000001", json!({ "values": "max_pressure:70.5" }))),
        thing("SN-0002", account, of("1700000000002", json!({}))),
        thing("old-name", account, of("7", json!({}))),
        thing("SN-0004", account, of("1700000000004", json!({}))),
    ]
}

async fn sync(aws: Aws, arguments: &'static [&'static str]) -> (Output, Aws) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let aws = Arc::new(Mutex::new(aws));
    let service = Router::new().route("/", post(kinesis)).route("/things", get(list_things));
    let service = service.with_state(Arc::clone(&aws));
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("platform.toml"), PLATFORM).expect("the platform file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetform"));
    command.current_dir(folder.path()).env_clear().env("HOME", folder.path()).env("AWS_ENDPOINT_URL", endpoint);
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("FLEETFORM_BACKOFF_MS", "1");
    command.args(["devices", "sync"]).args(arguments);
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the command runs");
    server.abort();
    let _ = server.await;
    let aws = std::mem::take(&mut *aws.lock().expect("no handler failed"));
    (output, aws)
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Device, revision and whether it is retired, of each record.
fn essence(records: &[Value]) -> Vec<(&str, u64, bool)> {
    let of = |record: &Value| (record["rev"].as_u64().expect("a revision"), record["retired"] == true);
    records.iter().map(|record| (record["d"].as_str().expect("a device"), of(record).0, of(record).1)).collect()
}

fn registry() -> Aws {
    Aws { things: things("111111111111"), ..Aws::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_registered_device_is_put_again_under_its_revision() {
    let (output, aws) = sync(registry(), &[]).await;
    assert!(output.status.success(), "{}", told(&output));
    let expected = [
        ("SN-0001", 1_700_000_000_001, false),
        ("SN-0002", 1_700_000_000_002, false),
        ("SN-0003", 1_700_000_000_003, true),
        ("SN-0004", 1_700_000_000_004, false),
        ("old-name", 7, false),
    ];
    assert_eq!(essence(&aws.taken), expected);
    assert_eq!(aws.taken[0]["attributes"], json!({ "max_pressure": 70.5 }));
    assert_eq!((&aws.taken[0]["k"], &aws.taken[0]["zone"]), (&json!("device"), &json!("zone-a")));
    assert_eq!((aws.pages, aws.throttled), (3, 3), "each page was asked for twice");
    assert!(told(&output).contains("the records of 5 of the 5 devices of simulated-dev are on "), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_the_records_and_leaves_the_stream_alone() {
    let (output, aws) = sync(registry(), &["--dry-run", "--from", "SN-0003"]).await;
    assert!(output.status.success(), "{}", told(&output));
    let printed = String::from_utf8_lossy(&output.stdout);
    let printed: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    let devices: Vec<&str> = essence(&printed).into_iter().map(|(device, ..)| device).collect();
    assert_eq!(devices, ["SN-0003", "SN-0004", "old-name"]);
    assert_eq!((aws.requests, aws.taken.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_says_where_another_goes_on() {
    let (output, aws) = sync(Aws { broken_after: Some(1), ..registry() }, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(essence(&aws.taken), [("SN-0001", 1_700_000_000_001, false)]);
    assert!(
        told(&output).contains("1 of 5 records are on the stream: continue with --from SN-0002"),
        "{}",
        told(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_no_longer_has_is_named_and_left_out() {
    let mut aws = registry();
    aws.things[1]["attributes"]["zone"] = json!("zone-z");
    aws.things[2]["attributes"] = json!({ "stack": STACK });
    let (output, aws) = sync(aws, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(aws.taken.len(), 3);
    let told = told(&output);
    assert!(told.contains("warning: SN-0001 is left out: there is no zone `zone-z`"), "{told}");
    assert!(told.contains("warning: SN-0002 is left out: it has no record on the stream"), "{told}");
    assert!(told.contains("2 devices left out"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_of_another_account_is_not_read() {
    let aws = Aws { things: things("999999999999"), ..registry() };
    let (output, aws) = sync(aws, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("is in account 999999999999"), "{}", told(&output));
    assert_eq!(aws.requests, 0);
}
