//! The handler over the engine's ports in memory: events of the stream as input, rows and answers as output.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::{
    drive::{Created, Crumb, Lineage, Page, PortError, ReadFrom},
    effect::Effects,
    memory::{Fault, Memory, Operation},
    rule_set::RuleSet,
    units::Millis,
};
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp(1_769_855_400_000);
const STREAM: &str = "arn:aws:kinesis:eu-central-1:111111111111:stream/telemetry";

fn rule_set() -> Vec<u8> {
    let rules: RuleSet = serde_json::from_value(json!({
        "format_version": 1, "platform": "p", "environment": "dev",
        "message": {
            "device_id": "deviceId", "timestamp": "timestamp", "timestamp_format": "rfc3339", "readings": "readings",
            "health": {}, "max_future_skew_ms": 300_000, "max_past_ms": 86_400_000, "unknown_reading": "store"
        },
        "max_alert_delay_ms": 900_000,
        "zones": { "zone-a": { "title": "Z", "timezone": "UTC", "contacts": [] } },
        "device_types": { "pressure-logger": {
            "report_every_ms": 60_000, "send_every_ms": 60_000, "offline_after_ms": 600_000, "attributes": {},
            "readings": { "pressure": {
                "key": "pressure", "value": { "type": "float" }, "required": true, "unit": "[psi]"
            } }
        } },
        "severities": { "high": { "rank": 2, "cooldown_ms": 300_000 } }, "contacts": {}, "routes": [],
        "rules": { "high-pressure": {
            "metric": "pressure", "condition": { "type": "threshold", "operator": ">", "threshold": 60.0 },
            "severity": "high", "device_types": ["pressure-logger"],
            "hold": { "by": "duration", "duration_ms": 0, "on_gap": "reset" },
            "keep_firing_for_ms": 0, "min_samples": 0, "enabled": true, "shadow": false
        } }
    }))
    .expect("a rule set");
    rules.to_bytes()
}

/// One store that several environments share.
#[derive(Clone, Copy, Debug)]
struct Shared(&'static Memory);

impl StateLog for Shared {
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, PortError> {
        self.0.list(prefix, after, limit).await
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.0.get(key).await
    }

    async fn create(&self, key: &str, bytes: &[u8]) -> Created {
        self.0.create(key, bytes).await
    }
}

impl Publisher for Shared {
    async fn publish(&self, effects: &Effects) -> Result<(), PortError> {
        self.0.publish(effects).await
    }
}

impl RuleSets for Shared {
    async fn load(&self, sha256: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.0.load(sha256).await
    }
}

impl Shards for Shared {
    async fn lineage(&self, shard: &str) -> Result<Option<Lineage>, PortError> {
        self.0.lineage(shard).await
    }

    async fn read(&self, shard: &str, from: &ReadFrom) -> Result<Page, PortError> {
        self.0.read(shard, from).await
    }
}

impl Crumbs for Shared {
    fn find(&self, shard: &str) -> Option<Crumb> {
        self.0.find(shard)
    }

    fn leave(&self, shard: &str, crumb: Option<Crumb>) {
        self.0.leave(shard, crumb);
    }
}

fn handler(memory: &'static Memory) -> Evaluate<Shared, Shared, Shared, Shared, Shared> {
    let settings = drive::Settings {
        generation: 1,
        repair: 0,
        rule_set_sha256: memory.add_rule_set(&rule_set()),
        checkpoint_every: Millis::from_secs(300),
        record_age_max: Millis::from_secs(21_600),
    };
    let shared = Shared(memory);
    Evaluate::new(settings, (shared, shared, shared, shared, shared), STREAM.to_owned(), || NOW)
}

fn event(records: &[(u32, Value)]) -> Bytes {
    let records: Vec<Value> = records
        .iter()
        .map(|(sequence, data)| {
            json!({
                "eventID": format!("shardId-000000000000:{sequence}"), "eventSource": "aws:kinesis",
                "eventSourceARN": STREAM,
                "kinesis": {
                    "partitionKey": "sensor-001", "sequenceNumber": sequence.to_string(),
                    "data": STANDARD.encode(data.to_string()),
                    "approximateArrivalTimestamp": NOW.0 as f64 / 1_000.0
                }
            })
        })
        .collect();
    Bytes::from(json!({ "Records": records }).to_string())
}

fn registered() -> Value {
    json!({ "ff": 1, "k": "device", "d": "sensor-001", "rev": 1, "type": "pressure-logger", "zone": "zone-a",
            "attributes": {}, "retired": false, "t": NOW.0 })
}

fn sample(pressure: f64) -> Value {
    json!({ "deviceId": "sensor-001", "timestamp": "2026-01-31T10:30:00Z", "readings": { "pressure": pressure } })
}

fn run(
    handler: &impl Handler<Answer = BatchResponse>,
    body: Bytes,
    left: Millis,
) -> (Result<BatchResponse, Failure>, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut metrics = Metrics::default();
    let answer = runtime.block_on(handler.handle(body, Deadline::at(NOW.after(left)), &mut metrics));
    let common =
        crate::config::Common { platform: "p".parse().expect("a name"), environment: "dev".parse().expect("an id") };
    (answer, metrics.lines(&common, NOW).join("\n"))
}

fn memory() -> &'static Memory {
    Box::leak(Box::new(Memory::new()))
}

#[test]
fn case_24_a_batch_that_comes_ten_times_leaves_one_row() {
    let memory = memory();
    let body = event(&[(1, registered()), (2, sample(65.0)), (3, json!("not a message"))]);
    for _ in 0..10 {
        // Each run is in another environment, which knows nothing of the others.
        let (answer, _) = run(&handler(memory), body.clone(), Millis(60_000));
        assert_eq!(answer, Ok(BatchResponse::default()));
    }
    let rows = memory.rows();
    assert_eq!((rows.outbox.len(), rows.alerts.len(), rows.quarantine.len()), (1, 1, 1));
}

#[test]
fn what_happened_is_counted() {
    let (answer, metrics) =
        run(&handler(memory()), event(&[(1, registered()), (2, sample(65.0)), (3, json!("x"))]), Millis(60_000));
    assert_eq!(answer, Ok(BatchResponse::default()));
    for part in
        [r#""Records":3"#, r#""Transitions":1"#, r#""Quarantined":1"#, r#""Reason":"bad_json""#, r#""EventLagMs":0"#]
    {
        assert!(metrics.contains(part), "{part} in {metrics}");
    }
}

#[test]
fn a_store_that_fails_is_one_item_and_loses_nothing() {
    let memory = memory();
    let handler = handler(memory);
    memory.fail(|operation, _| (operation == Operation::Publish).then_some(Fault::Refused));
    let body = event(&[(7, registered()), (8, sample(65.0))]);
    let (answer, metrics) = run(&handler, body.clone(), Millis(60_000));
    assert_eq!(answer, Ok(BatchResponse::again_from("7")));
    assert!(metrics.contains(r#""Reason":"unavailable""#), "{metrics}");
    memory.heal();
    assert_eq!(run(&handler, body, Millis(60_000)).0, Ok(BatchResponse::default()));
    assert_eq!(memory.rows().outbox.len(), 1);
}

#[test]
fn records_of_a_stream_that_was_replaced_are_not_taken_for_those_of_its_successor() {
    let memory = memory();
    let body = event(&[(7, registered()), (8, sample(65.0))]);
    let other = String::from_utf8(body.to_vec()).unwrap().replace(STREAM, "arn:aws:kinesis:eu-central-1:1:stream/old");
    let (answer, metrics) = run(&handler(memory), Bytes::from(other), Millis(60_000));
    assert_eq!(answer, Ok(BatchResponse::again_from("7")));
    assert!(metrics.contains(r#""Reason":"other_stream""#), "{metrics}");
    assert!(memory.objects().is_empty());
}

#[test]
fn without_time_left_nothing_is_begun() {
    let memory = memory();
    let (answer, _) = run(&handler(memory), event(&[(7, registered())]), Millis(1_500));
    assert_eq!(answer, Ok(BatchResponse::again_from("7")));
    assert!(memory.objects().is_empty());
}

#[test]
fn case_34_a_state_that_cannot_be_read_fails_the_invocation_and_is_not_overwritten() {
    let memory = memory();
    let body = event(&[(1, registered()), (2, sample(65.0))]);
    run(&handler(memory), body.clone(), Millis(60_000)).0.expect("an answer");
    for key in memory.objects().into_keys() {
        memory.overwrite(&key, b"spoilt".to_vec());
    }
    let before = memory.objects();
    let failure = run(&handler(memory), body, Millis(60_000)).0.expect_err("a failure");
    assert_eq!(failure.kind, "state_unreadable");
    assert_eq!(memory.objects(), before);
}

#[test]
fn an_event_of_another_kind_fails_as_a_whole() {
    let failure = run(&handler(memory()), Bytes::from_static(b"[]"), Millis(60_000)).0.expect_err("a failure");
    assert_eq!(failure.kind, "bad_event");
}
