//! The handler over ports in memory: events of the stream as input, rows and answers as output.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::{
    ids::{DeviceId, EnvironmentId, PlatformName},
    rule_set::RuleSet,
    state::Registration,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    config::Common,
    store::{
        memory::{Fault, RULES, World},
        timestream::TimestreamRows,
    },
};

const STREAM: &str = "arn:aws:kinesis:us-east-1:111111111111:stream/telemetry";
const NOW: Timestamp = Timestamp(1_769_855_400_000);
const DAY: Millis = Millis::from_days(1);

type Handlers = Store<World, World, World, World, World>;

/// An environment of the function.
fn environment(world: &World) -> Handlers {
    let settings =
        Settings { stream_arn: STREAM.into(), generation: 1, rule_set_sha256: RuleSet::sha256(RULES).into() };
    let ports = (world.clone(), world.clone(), world.clone(), world.clone());
    Store::new(settings, ports, Some((world.clone(), DAY)), || NOW)
}

/// A record: its sequence number, its partition key and its data.
type Record = (u64, String, Vec<u8>);

/// A device as states know it.
fn registration(id: &str, revision: u64, zone: &str) -> Registration {
    let (id, device_type, zone) = (DeviceId::new(id).unwrap(), "pump".parse().unwrap(), zone.parse().unwrap());
    Registration { id, revision, device_type, zone, attributes: Vec::new(), retired: false }
}

fn device(sequence: u64, device: &str, revision: u64, zone: &str) -> Record {
    let record = json!({ "ff": 1, "k": "device", "d": device, "rev": revision, "type": "pump", "zone": zone });
    (sequence, device.to_owned(), record.to_string().into_bytes())
}

/// Readings from this many seconds ago.
fn readings(sequence: u64, device: &str, before_s: i64, vibration: f64) -> Record {
    let time = Timestamp(NOW.0 - before_s * 1_000).to_rfc3339();
    let message = json!({ "deviceId": device, "timestamp": time, "readings": { "vibration": vibration } });
    (sequence, device.to_owned(), message.to_string().into_bytes())
}

fn event(shard: &str, records: &[Record]) -> Bytes {
    let records = records.iter().map(|(sequence, key, data)| {
        json!({
            "eventID": format!("{shard}:{sequence}"), "eventSourceARN": STREAM, "eventSource": "aws:kinesis",
            "kinesis": { "partitionKey": key, "sequenceNumber": sequence.to_string(), "data": STANDARD.encode(data),
                "approximateArrivalTimestamp": NOW.0 as f64 / 1_000.0 },
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() }).to_string().into()
}

/// Delivers a batch as Lambda does, until the function has accepted it. `renewed` determines whether each attempt runs
/// in a new environment.
async fn deliver(store: &mut Handlers, world: &World, mut records: Vec<Record>, renewed: bool) {
    for _ in 0..40 {
        let body = event("shard-0", &records);
        let deadline = Deadline::at(NOW.after(Millis(120_000)));
        if let Ok(answer) = store.handle(body, deadline, &mut Metrics::default()).await {
            let Some(failed) = answer.failures.first() else { return };
            let from: u64 = failed.sequence.parse().expect("a number");
            assert!(records.iter().any(|record| record.0 == from), "{from} is of the batch");
            records.retain(|record| record.0 >= from);
        }
        if renewed {
            *store = environment(world);
        }
    }
    panic!("the batch is never taken");
}

/// Rows as readers take them: one for each device and time.
fn distinct(rows: &[Value]) -> BTreeMap<(String, i64), Value> {
    let name = |row: &Value| (row["device_id"].as_str().unwrap().to_owned(), row["sampled_at"].as_i64().unwrap());
    rows.iter().map(|row| (name(row), row.clone())).collect()
}

fn hot_rows(world: &World) -> Vec<Value> {
    let items = world.items().into_iter();
    items.flat_map(|item| serde_json::from_str::<Vec<Value>>(&item.rows).expect("rows")).collect()
}

/// Two devices, one of which moves, in two batches.
fn batches() -> [Vec<Record>; 2] {
    [
        vec![
            device(1, "pump-1", 1, "zone-a"),
            device(2, "pump-2", 1, "zone-b"),
            readings(3, "pump-1", 50, 1.0),
            readings(4, "pump-2", 50, 2.0),
            readings(5, "stranger", 50, 9.0),
            (6, "pump-1".to_owned(), b"no JSON".to_vec()),
            readings(7, "pump-1", 40, 3.0),
        ],
        vec![
            readings(8, "pump-1", 30, 4.0),
            device(9, "pump-1", 2, "zone-b"),
            readings(10, "pump-1", 20, 5.0),
            readings(11, "pump-2", 20, 6.0),
        ],
    ]
}

async fn deliver_all(world: &World, renewed: bool) {
    let mut store = environment(world);
    for batch in batches() {
        deliver(&mut store, world, batch, renewed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn rows_say_what_the_device_was_when_the_message_came() {
    let world = World::default();
    deliver_all(&world, false).await;
    let rows = world.rows();
    let shown: Vec<_> =
        rows.iter().map(|row| (row["record"].as_str(), row["zone"].as_str(), &row["vibration"])).collect();
    assert_eq!(
        shown,
        [
            (Some("3"), Some("zone-a"), &json!(1.0)),
            (Some("4"), Some("zone-b"), &json!(2.0)),
            (Some("7"), Some("zone-a"), &json!(3.0)),
            (Some("8"), Some("zone-a"), &json!(4.0)),
            (Some("10"), Some("zone-b"), &json!(5.0)),
            (Some("11"), Some("zone-b"), &json!(6.0)),
        ]
    );
    assert_eq!(rows[0]["sampled_at"], json!((NOW.0 - 50_000) * 1_000));
    assert_eq!(rows[0]["ingested_at"], json!(NOW.0 * 1_000));
    assert_eq!(rows[0]["device_type"], "pump");
    assert_eq!(distinct(&hot_rows(&world)), distinct(&rows));
    // The same batches again, long after: every row is unchanged.
    deliver_all(&world, true).await;
    assert_eq!(world.rows().len(), 2 * rows.len());
    assert_eq!(distinct(&world.rows()), distinct(&rows));
    assert_eq!(distinct(&hot_rows(&world)), distinct(&rows));
}

fn common() -> Common {
    let (platform, environment) = (PlatformName::new("p").unwrap(), EnvironmentId::new("dev").unwrap());
    Common { platform, environment }
}

#[tokio::test]
async fn what_holds_readings_and_is_not_stored_is_counted() {
    let world = World::default();
    let (store, mut metrics) = (environment(&world), Metrics::default());
    let [first, _] = batches();
    let deadline = Deadline::at(NOW.after(Millis(120_000)));
    let answer = store.handle(event("shard-0", &first), deadline, &mut metrics).await.expect("an answer");
    assert_eq!(answer, BatchResponse::default());
    let lines = metrics.lines(&common(), NOW).join("\n");
    assert!(lines.contains(r#""Reason":"unknown_device""#) && lines.contains(r#""Unstored":2"#), "{lines}");
    assert!(lines.contains(r#""Stored":3"#), "{lines}");
}

/// Every call of two batches fails in every way, once and for a while, and the function's environment survives or dies.
#[tokio::test(start_paused = true)]
async fn whatever_call_fails_the_same_rows_are_found_in_the_end() {
    let sound = World::default();
    deliver_all(&sound, false).await;
    let calls = sound.calls();
    assert!(calls > 10, "{calls}");
    for fault in [Fault::Refused, Fault::Unanswered, Fault::Half] {
        for (from, length, renewed) in
            (0..calls).flat_map(|from| [(from, 1, false), (from, 1, true), (from, 9, false), (from, 9, true)])
        {
            let world = World::default();
            world.fail(from, length, fault);
            deliver_all(&world, renewed).await;
            let case = format!("{fault:?} of {length} calls from {from}, renewed: {renewed}");
            assert_eq!(distinct(&world.rows()), distinct(&sound.rows()), "{case}");
            assert_eq!(distinct(&hot_rows(&world)), distinct(&sound.rows()), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hot_table_that_takes_nothing_does_not_multiply_rows() {
    let world = World::default();
    let mut store = environment(&world);
    let [first, _] = batches();
    world.refuse("BatchWriteItem", 20);
    deliver(&mut store, &world, first, false).await;
    assert_eq!(world.rows().len(), 3);
    assert_eq!(distinct(&hot_rows(&world)), distinct(&world.rows()));
}

#[tokio::test]
async fn what_timestream_refuses_is_counted_and_the_batch_is_done() {
    let world = World::default();
    world.table().oldest = NOW.0 - 45_000;
    let rows = TimestreamRows { records: world.clone(), aside: world.clone() };
    let ports = (world.clone(), world.clone(), world.clone(), rows);
    let store = Store::new(environment(&world).settings, ports, None::<(World, Millis)>, || NOW);
    let [first, second] = batches();
    let deadline = Deadline::at(NOW.after(Millis(120_000)));
    let mut metrics = Metrics::default();
    let answer = store.handle(event("shard-0", &first), deadline, &mut metrics).await;
    assert_eq!(answer, Ok(BatchResponse::default()));
    let lines = metrics.lines(&common(), NOW).join("\n");
    assert!(lines.contains(r#""RefusedRows":2"#) && lines.contains(r#""Reason":"refused""#), "{lines}");
    assert_eq!(world.aside().len(), 1);
    let answer = store.handle(event("shard-0", &second), deadline, &mut Metrics::default()).await;
    assert_eq!(answer, Ok(BatchResponse::default()));
    let records = world.table().records();
    let shown: BTreeSet<_> = records
        .iter()
        .map(|record| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&record["device_id"]), text(&record["zone"]), text(&record["measures"]["vibration"]))
        })
        .collect();
    let expected =
        [("pump-1", "zone-a", "3"), ("pump-1", "zone-a", "4"), ("pump-1", "zone-b", "5"), ("pump-2", "zone-b", "6")];
    let expected = expected.map(|(device, zone, value)| (device.to_owned(), zone.to_owned(), value.to_owned()));
    assert_eq!(shown, BTreeSet::from(expected));
}

#[tokio::test]
async fn devices_from_before_there_was_a_store_are_known_by_their_states() {
    let world = World::default();
    world.chain(vec![
        registration("pump-1", 5, "zone-a"),
        Registration { retired: true, ..registration("pump-9", 5, "zone-a") },
    ]);
    let mut store = environment(&world);
    let batch = vec![readings(1, "pump-1", 50, 1.0), readings(2, "pump-9", 50, 1.0), device(3, "pump-1", 5, "zone-b")];
    deliver(&mut store, &world, batch, false).await;
    deliver(&mut store, &world, vec![readings(4, "pump-1", 40, 2.0), readings(5, "pump-9", 40, 2.0)], false).await;
    // Records take precedence over what states know, and a device is in service when it sends.
    let zones: Vec<_> = world.rows().iter().map(|row| row["zone"].clone()).collect();
    assert_eq!(zones, ["zone-a", "zone-a", "zone-b", "zone-a"]);
    assert_eq!(world.counts()["ListObjectsV2"], 1);
}

/// After a split, the new shard's states are read, and evaluation may be ahead of what is stored.
#[tokio::test]
async fn what_states_know_takes_the_place_of_nothing_that_was_stored() {
    let world = World::default();
    let mut store = environment(&world);
    deliver(&mut store, &world, vec![device(1, "pump-1", 1, "zone-a")], false).await;
    world.chain(vec![registration("pump-1", 2, "zone-b")]);
    let deadline = Deadline::at(NOW.after(Millis(120_000)));
    let records = [readings(5, "pump-1", 50, 1.0), device(6, "pump-1", 2, "zone-b"), readings(7, "pump-1", 40, 2.0)];
    let answer = store.handle(event("shard-1", &records), deadline, &mut Metrics::default()).await;
    assert_eq!(answer, Ok(BatchResponse::default()));
    let zones: Vec<_> = world.rows().iter().map(|row| row["zone"].clone()).collect();
    assert_eq!(zones, ["zone-a", "zone-b"]);
}

#[tokio::test]
async fn an_environment_learns_what_another_has_changed_and_asks_for_nothing_else() {
    let world = World::default();
    world.chain(vec![registration("pump-7", 1, "zone-a")]);
    let (mut one, mut other) = (environment(&world), environment(&world));
    deliver(&mut one, &world, vec![device(1, "pump-1", 1, "zone-a"), readings(2, "pump-1", 50, 1.0)], false).await;
    deliver(&mut other, &world, vec![device(3, "pump-1", 2, "zone-b")], false).await;
    deliver(&mut one, &world, vec![readings(4, "pump-1", 40, 2.0)], false).await;
    let zones: Vec<_> = world.rows().iter().map(|row| row["zone"].clone()).collect();
    assert_eq!(zones, ["zone-a", "zone-b"]);
    let before = world.counts();
    deliver(&mut one, &world, vec![readings(5, "pump-1", 30, 3.0)], false).await;
    let after = world.counts();
    let calls: BTreeSet<&str> =
        after.keys().filter(|name| after[*name] > before.get(*name).copied().unwrap_or(0)).copied().collect();
    assert_eq!(calls, BTreeSet::from(["GetItem", "PutRecordBatch", "BatchWriteItem"]));
}

#[tokio::test]
async fn what_somebody_must_look_at_fails_the_invocation() {
    let world = World::default();
    let mut store = environment(&world);
    store.settings.rule_set_sha256 = "0".repeat(64);
    let deadline = Deadline::at(NOW.after(Millis(120_000)));
    let [first, _] = batches();
    let failed = store.handle(event("shard-0", &first), deadline, &mut Metrics::default()).await;
    assert_eq!(failed.expect_err("a failure").kind, "rule_set_unusable");
    let failed = store.handle(Bytes::from_static(b"{}"), deadline, &mut Metrics::default()).await;
    assert_eq!(failed.expect_err("a failure").kind, "bad_event");
    let store = Store {
        settings: Settings { stream_arn: "arn:other".into(), ..store.settings.clone() },
        ..environment(&world)
    };
    let answer = store.handle(event("shard-0", &first), deadline, &mut Metrics::default()).await.expect("an answer");
    assert_eq!(answer, BatchResponse::again_from("1"));
    assert_eq!(world.rows().len(), 0);
}

/// The number of calls for storing: a thousand devices that report once a minute, in batches of five hundred.
#[tokio::test]
async fn a_thousand_messages_cost_few_calls() {
    let world = World::default();
    world.chain(vec![registration("pump-0", 1, "zone-a")]);
    let mut store = environment(&world);
    let name = |n: u64| format!("pump-{n}");
    let registered: Vec<Record> = (0..1_000).map(|n| device(n + 1, &name(n), 1, "zone-a")).collect();
    for batch in registered.chunks(500) {
        deliver(&mut store, &world, batch.to_vec(), false).await;
    }
    let before = world.counts();
    let sent: Vec<Record> = (0..1_000).map(|n| readings(n + 2_000, &name(n), 30, 1.0)).collect();
    for batch in sent.chunks(500) {
        deliver(&mut store, &world, batch.to_vec(), false).await;
    }
    let spent = |name: &str| world.counts().get(name).copied().unwrap_or(0) - before.get(name).copied().unwrap_or(0);
    let operations = ["GetItem", "BatchGetItem", "PutItem", "UpdateItem", "PutRecordBatch", "BatchWriteItem"];
    for operation in operations {
        println!("{operation}: {} calls for 1,000 messages", spent(operation));
    }
    assert_eq!(operations.map(spent), [2, 0, 0, 0, 2, 40]);
    assert_eq!((world.rows().len(), world.items().len()), (1_000, 1_000));
}

#[tokio::test]
async fn a_message_that_comes_once_more_goes_by_its_first_time() {
    let world = World::default();
    let mut store = environment(&world);
    let at = |(sequence, key, data): Record, before_s: i64| {
        let t = NOW.0 - before_s * 1_000;
        let record = match serde_json::from_slice::<Value>(&data) {
            Ok(mut record) if record["ff"] == 1 => {
                record["t"] = json!(t);
                record
            }
            _ => json!({ "ff": 1, "k": "redrive", "t": t, "p": STANDARD.encode(&data) }),
        };
        (sequence, key, record.to_string().into_bytes())
    };
    let batch = vec![
        at(device(1, "pump-1", 1, "zone-a"), 300),
        at(device(2, "pump-1", 2, "zone-b"), 100),
        at(readings(3, "pump-1", 200, 1.0), 200),
        at(readings(4, "pump-1", 50, 2.0), 50),
    ];
    deliver(&mut store, &world, batch, false).await;
    let zones: Vec<_> = world.rows().iter().map(|row| row["zone"].clone()).collect();
    assert_eq!(zones, ["zone-a", "zone-b"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_before_its_time_is_over() {
    let world = World::default();
    let store = environment(&world);
    let [first, _] = batches();
    let late = Deadline::at(NOW.after(Millis(5_000)));
    let mut metrics = Metrics::default();
    let answer = store.handle(event("shard-0", &first), late, &mut metrics).await;
    assert_eq!(answer, Ok(BatchResponse::again_from("3")));
    assert_eq!(world.rows().len(), 0);
    // The malformed records come again too, and are counted then.
    assert!(!metrics.lines(&common(), NOW).join("").contains("Unstored"));
}
