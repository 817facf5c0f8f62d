//! Compares a cold start of `evaluate` with a Node bootstrap that does nothing: from starting the process to the answer
//! to its first event, with a hundred records that are registered, evaluated, packed and committed.
//!
//! The services behind it answer immediately, on loopback, so only the program is measured. Node's bootstrap just
//! parses the event and answers; it loads no client.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use anstream::println;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;
use fleetform_bench::statistics::Spread;
use fleetform_consumers::{
    corpus::{self, DEVICE_TYPE, SHARD, START_MS, STREAM_ARN, Size, USUAL},
    rules,
};
use fleetform_tests::lambda_host::{Function, LambdaHost, Outcome};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

/// Measures a cold start of `evaluate` against Node.
#[derive(Parser)]
struct Arguments {
    /// Cold starts of each program.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// The binary of `evaluate`, as it is deployed (`cargo xtask lambda`).
    #[arg(long)]
    evaluate: Utf8PathBuf,
}

/// The cost of one cold start.
struct Cost {
    wall: Duration,
    cpu: Duration,
    memory_bytes: u64,
}

type Failure = Box<dyn std::error::Error>;

const NODE: &str = include_str!("../../peers/node/bootstrap.mjs");
const RECORDS: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let scratch = tempfile::tempdir()?;
    let scratch = Utf8Path::from_path(scratch.path()).ok_or("the temporary folder's name is not UTF-8")?;
    let node = scratch.join("bootstrap.mjs");
    fs::write(&node, NODE)?;
    fs::set_permissions(&node, fs::Permissions::from_mode(0o755))?;
    let rule_set = rules::rule_set(100);
    let sha256: String = Sha256::digest(&rule_set).iter().map(|byte| format!("{byte:02x}")).collect();
    let services = services(rule_set).await?;
    let event = event()?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        ours.push(start(function(&arguments.evaluate, scratch, &sha256, &services), &event).await?);
        theirs.push(start(function(&node, scratch, &sha256, &services), &event).await?);
    }
    println!("cold start to the answer to the first {RECORDS} records; {} rounds", arguments.rounds);
    print(&format!("evaluate, {} bytes", fs::metadata(&arguments.evaluate)?.len()), &ours);
    print("Node, doing nothing", &theirs);
    let ratio = |of: fn(&Cost) -> f64| Spread::of(ours.iter().zip(&theirs).map(|(ours, node)| of(ours) / of(node)));
    println!("  evaluate ÷ Node: wall {}", ratio(|cost| cost.wall.as_secs_f64()));
    println!("  evaluate ÷ Node: CPU {}", ratio(|cost| cost.cpu.as_secs_f64()));
    println!("  evaluate ÷ Node: memory {}", ratio(|cost| cost.memory_bytes as f64));
    Ok(())
}

fn print(name: &str, costs: &[Cost]) {
    let wall = Spread::of(costs.iter().map(|cost| cost.wall.as_secs_f64() * 1e3));
    let cpu = Spread::of(costs.iter().map(|cost| cost.cpu.as_secs_f64() * 1e3));
    let memory = Spread::of(costs.iter().map(|cost| cost.memory_bytes as f64 / 1_048_576.0));
    println!("  {name:<26} wall {wall} ms, CPU {cpu} ms, memory {memory} MiB");
}

async fn start(function: Function, event: &Value) -> Result<Cost, Failure> {
    let log = function.log.clone();
    let mut host = LambdaHost::new(function).await?;
    let began = Instant::now();
    let outcome = host.invoke(event).await?;
    let wall = began.elapsed();
    let said = |outcome: &Outcome| -> Result<String, Failure> {
        Ok(format!("{outcome:?}; see {log}:\n{}", fs::read_to_string(&log)?))
    };
    let Some(id) = host.process_id() else { return Err(said(&outcome)?.into()) };
    let cost = Cost { wall, cpu: cpu(id)?, memory_bytes: memory_bytes(id)? };
    host.kill().await?;
    match outcome {
        Outcome::Returned(answer) if answer == json!({ "batchItemFailures": [] }) => Ok(cost),
        outcome => Err(said(&outcome)?.into()),
    }
}

/// The processor time of all threads.
fn cpu(process: u32) -> io::Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += text.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// The largest resident set so far.
fn memory_bytes(process: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
}

fn function(bootstrap: &Utf8Path, scratch: &Utf8Path, sha256: &str, services: &str) -> Function {
    let environment = [
        ("FLEETFORM_PLATFORM", "bench"),
        ("FLEETFORM_ENVIRONMENT", "dev"),
        ("FLEETFORM_ARTIFACT_BUCKET", "artifacts"),
        ("FLEETFORM_RULE_SET_SHA256", sha256),
        ("FLEETFORM_STATE_BUCKET", "state"),
        ("FLEETFORM_STREAM_ARN", STREAM_ARN),
        ("FLEETFORM_RECORD_AGE_MAX_S", "86400"),
        ("FLEETFORM_STREAM_GENERATION", "1"),
        ("FLEETFORM_STATE_REPAIR", "0"),
        ("FLEETFORM_OUTBOX_TABLE", "outbox"),
        ("FLEETFORM_ALERTS_TABLE", "alerts"),
        ("FLEETFORM_QUARANTINE_TABLE", "quarantine"),
        ("FLEETFORM_CHECKPOINT_EVERY_S", "900"),
        ("FLEETFORM_ALERT_RETENTION_S", "86400"),
        ("AWS_ENDPOINT_URL", services),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    Function {
        name: "evaluate".to_owned(),
        bootstrap: bootstrap.to_owned(),
        handler: "evaluate".to_owned(),
        memory_mib: 512,
        timeout: Duration::from_secs(30),
        region: "us-east-1".to_owned(),
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
        log: scratch.join("log"),
    }
}

/// Half of the records register a device; the other half are its first message.
fn event() -> Result<Value, Failure> {
    let size = Size { events: 1, records: RECORDS, devices: RECORDS / 2, malformed_per_mille: 0, ..USUAL };
    let mut event: Value = serde_json::from_slice(&corpus::generate(7, size).events[0])?;
    let records = event["Records"].as_array_mut().ok_or("no records")?;
    for (index, record) in records.iter_mut().take(RECORDS / 2).enumerate() {
        let device = corpus::device(index);
        let registration = json!({
            "ff": 1, "k": "device", "d": device, "rev": 1, "type": DEVICE_TYPE, "zone": corpus::zone(index), "t": START_MS,
        });
        record["kinesis"]["partitionKey"] = device.into();
        record["kinesis"]["data"] = STANDARD.encode(registration.to_string()).into();
    }
    Ok(event)
}

/// S3, DynamoDB and Kinesis, with what `evaluate` calls: one rule set, one shard without parents, nothing else, and
/// every write is accepted.
async fn services(rule_set: Vec<u8>) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let routes = Router::new().fallback(answer).with_state(Bytes::from(rule_set));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(format!("http://{address}"))
}

async fn answer(State(rule_set): State<Bytes>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if headers.get("x-amz-target").is_some_and(|target| target.as_bytes().ends_with(b".ListShards")) {
        let shard = json!({
            "ShardId": SHARD,
            "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string() },
            "SequenceNumberRange": { "StartingSequenceNumber": "0" },
        });
        let listed = json!({ "Shards": [shard] }).to_string();
        return ([("content-type", "application/x-amz-json-1.1")], listed).into_response();
    }
    if method == Method::POST {
        return ([("content-type", "application/x-amz-json-1.0")], "{}").into_response();
    }
    if method == Method::PUT {
        return StatusCode::OK.into_response();
    }
    if path.starts_with("/artifacts/rules/") {
        return rule_set.into_response();
    }
    if uri.query().is_some_and(|query| query.contains("list-type=2")) {
        return "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>".into_response();
    }
    (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response()
}
