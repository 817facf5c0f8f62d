//! `fleetform simulate --live` before a stream that refuses some of what it is given.
#![cfg(feature = "aws")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const STREAM: &str = "simulated-dev-Ingest-1A2B3C-TelemetryStream-9Z8Y7X";

const PLATFORM: &str = r#"
schema = 1
[platform]
name = "simulated"
[environments.dev]
account = "111111111111"
region  = "us-east-1"
[environments.prod]
account = "222222222222"
region  = "us-east-1"
protect = true
[zones.zone-a]
title    = "A"
contacts = ["oncall"]
[contacts.oncall]
email = ["oncall@example.com"]
[processor]
sweep_every = "1m"
[device_types.meter]
report_every = "100ms"
[device_types.meter.readings]
pressure = { min = 0, max = 100 }
"#;

/// A Kinesis that keeps what it takes, and refuses every third record of every other request.
#[derive(Default)]
struct Stream {
    requests: usize,
    /// The account in its ARN.
    account: &'static str,
    taken: Vec<(String, Value)>,
}

async fn answer(State(stream): State<Arc<Mutex<Stream>>>, headers: HeaderMap, body: Bytes) -> String {
    let mut stream = stream.lock().expect("no handler fails");
    let request: Value = serde_json::from_slice(&body).expect("JSON");
    let target = headers["x-amz-target"].to_str().expect("text");
    match target.split_once('.').expect("a service and its operation").1 {
        "ListStreams" => json!({ "HasMoreStreams": false, "StreamNames": ["other", STREAM] }),
        "DescribeStreamSummary" => {
            let arn = format!("arn:aws:kinesis:us-east-1:{}:stream/{STREAM}", stream.account);
            json!({ "StreamDescriptionSummary": { "StreamName": STREAM, "StreamARN": arn, "StreamStatus": "ACTIVE",
                "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1, "EnhancedMonitoring": [], "OpenShardCount": 1 } })
        }
        "PutRecords" => put(&mut stream, &request),
        other => panic!("{other} was not expected"),
    }
    .to_string()
}

fn put(stream: &mut Stream, request: &Value) -> Value {
    let records = request["Records"].as_array().expect("records");
    let keys: BTreeSet<&str> = records.iter().filter_map(|record| record["PartitionKey"].as_str()).collect();
    assert_eq!(keys.len(), records.len(), "a request has two records of one device");
    stream.requests += 1;
    let mut refused = 0;
    let results: Vec<Value> = records
        .iter()
        .enumerate()
        .map(|(at, record)| {
            if stream.requests.is_multiple_of(2) && at % 3 == 0 {
                refused += 1;
                let message = "Rate exceeded for shard";
                return json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": message });
            }
            let data = STANDARD.decode(record["Data"].as_str().expect("data")).expect("base64");
            let key = record["PartitionKey"].as_str().expect("a key").to_owned();
            stream.taken.push((key, serde_json::from_slice(&data).expect("a record")));
            json!({ "SequenceNumber": stream.taken.len().to_string(), "ShardId": "shardId-000000000000" })
        })
        .collect();
    json!({ "FailedRecordCount": refused, "Records": results })
}

async fn simulate(stream: Stream, arguments: &'static [&'static str]) -> (Output, Stream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let stream = Arc::new(Mutex::new(stream));
    let service = Router::new().route("/", post(answer)).with_state(Arc::clone(&stream));
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("platform.toml"), PLATFORM).expect("the platform file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetform"));
    command.current_dir(folder.path()).env_clear().env("HOME", folder.path()).env("AWS_ENDPOINT_URL", endpoint);
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command.args(["simulate", "--live", "--for", "1s", "--profiles", "steady"]).args(arguments);
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the command runs");
    server.abort();
    let _ = server.await;
    let stream = std::mem::take(&mut *stream.lock().expect("no handler failed"));
    (output, stream)
}

fn of_account(account: &'static str) -> Stream {
    Stream { account, ..Stream::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_each_device_keeps_its_order_whatever_the_stream_refuses() {
    let (output, stream) = simulate(of_account("111111111111"), &["--per-zone", "7"]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let mut by_device: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (key, record) in &stream.taken {
        assert_eq!(record["d"], key.as_str());
        by_device.entry(key).or_default().push(record);
    }
    assert_eq!(by_device.len(), 7);
    let mut messages = 0;
    for records in by_device.values() {
        assert_eq!(records[0]["k"], "device");
        assert_eq!(records[1]["ch"], "status");
        let times: Vec<i64> = records[1..].iter().map(|record| record["t"].as_i64().expect("a time")).collect();
        assert!(times.is_sorted(), "{times:?}");
        let distinct: BTreeSet<String> = records.iter().map(|record| record.to_string()).collect();
        assert_eq!(distinct.len(), records.len(), "a record was put twice");
        messages += records.len() - 1;
    }
    // A message when it begins, and ten samples a second of each.
    assert_eq!(messages, 7 * 11);
    assert!(told.contains("7 devices sent 77 messages with 70 samples; 0 of the messages are malformed"), "{told}");
    assert!(told.contains("records retried: ") && !told.contains("retried: 0;"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_another_account_gets_nothing() {
    let (output, stream) = simulate(of_account("999999999999"), &["--per-zone", "1"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is in account 999999999999"));
    assert_eq!(stream.requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_environment_gets_nothing() {
    let (output, stream) = simulate(of_account("222222222222"), &["--per-zone", "1", "--env", "prod"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("environment `prod` is protected"));
    assert_eq!(stream.requests, 0);
}
