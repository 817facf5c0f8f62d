//! Rows into a table of Timestream in memory: what it holds in the end, what is set aside, and in how many calls.

use fleetform_engine::{
    ids::DeviceId,
    position::SequenceNumber,
    rows::{Cell, Row, columns::Column, columns::ColumnType},
    state::Registration,
    units::Timestamp,
};
use serde_json::{Value, json};

use super::*;
use crate::store::{
    history::Registered,
    memory::{Fault, World},
    row::Source,
};

const NOW: i64 = 1_769_855_400_000;

fn rows_of(world: &World) -> TimestreamRows<World, World> {
    TimestreamRows { records: world.clone(), aside: world.clone() }
}

fn columns() -> Vec<Column> {
    let kinds = [("flow", ColumnType::Float), ("count", ColumnType::Int), ("mode", ColumnType::Text)];
    kinds.map(|(name, column_type)| Column { name: name.into(), column_type, required: false }).into()
}

/// A row of a device, sampled `at` seconds and received `told` milliseconds after `NOW`.
fn row(place: usize, device: &str, at: i64, told: i64, cells: Vec<(u16, Cell)>) -> StoredRow {
    let registration = Registration {
        id: DeviceId::new(device).unwrap(),
        revision: 1,
        device_type: "meter".parse().unwrap(),
        zone: "zone-a".parse().unwrap(),
        attributes: Vec::new(),
        retired: false,
    };
    let registered = Registered::before(&registration);
    let (sampled_at, ingested_at) = (Timestamp(NOW + at * 1_000), Timestamp(NOW + told));
    let sequence = SequenceNumber::new(&(place + 1).to_string()).unwrap();
    let row = Row { sampled_at, cells, other_readings: Default::default() };
    let source = Source { device, registered: &registered, ingested_at, sequence };
    let Encoded { bytes, whole } = measures::encode(&Whole { source, row: &row, columns: &columns() });
    StoredRow { record: place, sequence, device: device.into(), sampled_at, ingested_at, json: bytes, whole }
}

fn flow(value: f64) -> Vec<(u16, Cell)> {
    vec![(0, Cell::Number(value))]
}

async fn hand_over(world: &World, rows: &[StoredRow]) -> Handed {
    rows_of(world).hand_over("shard-0", rows, &|| true).await
}

/// A device's measures, except for those that the platform adds about their origin.
fn measured(world: &World, device: &str) -> Vec<Value> {
    let mut records = world.table().records();
    records.retain(|record| record["device_id"] == device);
    let own = |record: &Value| {
        let mut measures = record["measures"].clone();
        measures.as_object_mut().unwrap().retain(|name, _| !["ingested_at", "record"].contains(&name.as_str()));
        measures
    };
    records.iter().map(own).collect()
}

#[test]
fn a_record_is_what_the_service_takes() {
    let cells = vec![(0, Cell::Number(1.5)), (1, Cell::Number(7.0)), (2, Cell::Text("auto".into()))];
    let record: Value = serde_json::from_slice(&row(0, "dev-1", 1, 500, cells).json).unwrap();
    let measure = |name: &str, value: &str, kind: &str| json!({ "Name": name, "Value": value, "Type": kind });
    assert_eq!(
        record,
        json!({
            "Dimensions": [
                { "Name": "device_id", "Value": "dev-1" }, { "Name": "zone", "Value": "zone-a" },
                { "Name": "device_type", "Value": "meter" },
            ],
            "MeasureName": record["MeasureName"],
            "Time": (NOW + 1_000).to_string(),
            "Version": NOW + 500,
            "MeasureValueType": "MULTI",
            "MeasureValues": [
                measure("ingested_at", &(NOW + 500).to_string(), "BIGINT"),
                measure("record", &SequenceNumber::new("1").unwrap().digits(), "VARCHAR"),
                measure("flow", "1.5", "DOUBLE"), measure("count", "7", "BIGINT"), measure("mode", "auto", "VARCHAR"),
            ],
        })
    );
    assert!(record["MeasureName"].as_str().unwrap().starts_with("sample-"), "{record}");
    // The same measures have the same name forever.
    assert_eq!(
        [flow(1.0), flow(2.0), vec![(1, Cell::Number(1.0))]].map(|cells| serde_json::from_slice::<Value>(
            &row(0, "a", 0, 0, cells).json
        )
        .unwrap()["MeasureName"]
            .clone()),
        ["sample-42d", "sample-42d", "sample-ee6"]
    );
}

#[tokio::test]
async fn a_correction_takes_the_place_of_what_it_corrects_and_another_part_does_not() {
    let world = World::default();
    let rows = [
        row(0, "dev-1", 1, 500, flow(1.0)),
        row(1, "dev-1", 1, 600, vec![(1, Cell::Number(7.0))]),
        row(2, "dev-1", 1, 700, flow(2.0)),
    ];
    let all = [json!({ "count": "7" }), json!({ "flow": "2" })];
    let sorted = |world: &World| {
        let mut found = measured(world, "dev-1");
        found.sort_by_key(Value::to_string);
        found
    };
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        for at_once in [true, false] {
            let world = World::default();
            let rows = order.map(|place| rows[place].clone());
            let handed = if at_once {
                hand_over(&world, &rows).await
            } else {
                let mut handed = Handed::default();
                for row in rows.chunks(1) {
                    handed = hand_over(&world, row).await;
                }
                handed
            };
            assert_eq!((handed.left, handed.refused), (None, 0));
            assert_eq!(sorted(&world), all, "{order:?}, at once: {at_once}");
        }
    }
    // Once more, and then again.
    for _ in 0..2 {
        assert_eq!(hand_over(&world, &rows).await, Handed::default());
        assert_eq!(sorted(&world), all);
        assert!(world.aside().is_empty());
    }
}

#[tokio::test]
async fn what_is_refused_is_set_aside_with_its_reason_and_the_rest_is_there() {
    let world = World::default();
    world.table().oldest = NOW - 60_000;
    let mut rows: Vec<StoredRow> = (0..150).map(|n| row(n, &format!("dev-{n}"), 0, 0, flow(1.0))).collect();
    rows[20] = row(20, "dev-20", -70, 0, flow(1.0));
    rows[120] = row(120, "dev-120", -80, 0, flow(1.0));
    let handed = hand_over(&world, &rows).await;
    assert_eq!((handed.left, handed.refused), (None, 2));
    assert_eq!(world.table().records().len(), 148);
    let aside = world.aside();
    let lines: Vec<Value> = aside.values().map(|lines| serde_json::from_slice(lines).unwrap()).collect();
    let shown: Vec<_> = lines.iter().map(|line| line["record"]["Dimensions"][0]["Value"].clone()).collect();
    assert_eq!(shown, ["dev-20", "dev-120"]);
    assert!(lines[0]["reason"].as_str().unwrap().contains("outside the time range"), "{lines:?}");
    assert!(aside.keys().all(|key| key.starts_with("refused/shard-0/")), "{:?}", aside.keys());
    // Storing a batch again sets nothing else aside.
    hand_over(&world, &rows).await;
    assert_eq!(world.aside(), aside);
}

#[tokio::test]
async fn a_value_of_another_type_than_its_column_is_set_aside() {
    let world = World::default();
    hand_over(&world, &[row(0, "dev-1", 0, 0, vec![(1, Cell::Number(7.0))])]).await;
    let mut other = row(1, "dev-2", 0, 0, vec![(1, Cell::Number(7.0))]);
    other.json = String::from_utf8(other.json.to_vec())
        .unwrap()
        .replace("\"7\",\"Type\":\"BIGINT\"", "\"7\",\"Type\":\"DOUBLE\"")
        .into();
    assert_eq!(hand_over(&world, &[other, row(2, "dev-3", 0, 0, flow(1.0))]).await.refused, 1);
    assert_eq!((world.table().records().len(), world.aside().len()), (2, 1));
}

#[tokio::test]
async fn a_text_that_is_too_long_is_left_out_and_set_aside_with_its_row() {
    let world = World::default();
    let long = "x".repeat(measures::TEXT_BYTES_MAX + 1);
    let cells = |text: &str| vec![(0, Cell::Number(1.0)), (2, Cell::Text(text.into()))];
    let rows = [
        row(0, "dev-1", 0, 0, cells(&long)),
        row(1, "dev-2", 0, 0, cells("")),
        row(2, "dev-3", 0, 0, cells(&long[1..])),
    ];
    let handed = hand_over(&world, &rows).await;
    assert_eq!((handed.left, handed.refused), (None, 1));
    let flow = json!({ "flow": "1" });
    assert_eq!([measured(&world, "dev-1"), measured(&world, "dev-2")], [[flow.clone()], [flow]]);
    assert_eq!(measured(&world, "dev-3")[0]["mode"], long[1..]);
    let aside = world.aside();
    let line: Value = serde_json::from_slice(aside.values().next().unwrap()).unwrap();
    assert_eq!(line["record"]["MeasureValues"][3]["Value"], long);
    assert!(line["reason"].as_str().unwrap().starts_with("a text is longer than 2048 bytes"), "{line}");
}

#[tokio::test]
async fn a_record_that_makes_its_call_invalid_is_found_among_the_others() {
    let world = World::default();
    world.table().invalid = Some("dev-77".to_owned());
    let rows: Vec<StoredRow> = (0..100).map(|n| row(n, &format!("dev-{n}"), 0, 0, flow(1.0))).collect();
    let handed = hand_over(&world, &rows).await;
    assert_eq!((handed.left, handed.refused), (None, 1));
    assert_eq!(world.table().records().len(), 99);
    assert!(world.counts()["WriteRecords"] < 20, "{:?}", world.counts());
    // If every record is invalid, the records are not the cause, and nothing is set aside for good.
    let world = World::default();
    world.table().invalid = Some("dev-1".to_owned());
    let rows = [row(0, "dev-1", 0, 0, flow(1.0)), row(1, "dev-1", 1, 0, flow(1.0))];
    let handed = hand_over(&world, &rows).await;
    assert_eq!((handed.left.map(|left| left.first), world.aside().len()), (Some(0), 0));
}

/// Every call fails in every way, once and permanently, and the next run starts where this one stopped: the stored
/// records are the same in the end, and so are those that were set aside.
#[tokio::test(start_paused = true)]
async fn whatever_call_fails_the_same_is_there_in_the_end() {
    let rows: Vec<StoredRow> = (0..250)
        .map(|n| match n {
            40 | 240 => row(n, &format!("dev-{n}"), -70, 0, flow(1.0)),
            n if n % 10 == 0 => row(n, "dev-0", 0, n as i64, flow(n as f64)),
            n => row(n, &format!("dev-{n}"), 0, 0, flow(1.0)),
        })
        .collect();
    let begin = || {
        let world = World::default();
        world.table().oldest = NOW - 60_000;
        world
    };
    let sound = begin();
    assert_eq!(hand_over(&sound, &rows).await.left, None);
    let (records, aside, calls) = (sound.table().records(), sound.aside(), sound.calls());
    assert_eq!((aside.len(), calls), (2, 5));
    for fault in [Fault::Refused, Fault::Unanswered, Fault::Half] {
        for (from, length) in (0..calls).flat_map(|from| [(from, 1), (from, 3), (from, 30)]) {
            let world = begin();
            world.fail(from, length, fault);
            let (mut first, mut tries) = (0, 0);
            while let Some(left) = hand_over(&world, &rows[first..]).await.left {
                first += left.first;
                tries += 1;
                assert!(tries < 60, "{fault:?} of {length} calls from {from}: it never ends");
            }
            assert_eq!(world.table().records(), records, "{fault:?} of {length} calls from {from}");
            let lines = |aside: &std::collections::BTreeMap<String, Vec<u8>>| {
                let lines = aside.values().map(|lines| String::from_utf8(lines.clone()).unwrap());
                lines
                    .flat_map(|lines| lines.lines().map(str::to_owned).collect::<Vec<_>>())
                    .collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(lines(&world.aside()), lines(&aside), "{fault:?} of {length} calls from {from}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_end_before_their_time_is_over() {
    let world = World::default();
    let handed = rows_of(&world).hand_over("shard-0", &[row(0, "dev-1", 0, 0, flow(1.0))], &|| false).await;
    assert_eq!((handed.left.map(|left| left.first), world.calls()), (Some(0), 0));
}

/// The number of calls for storing.
#[tokio::test]
async fn a_thousand_rows_are_ten_calls() {
    let world = World::default();
    let rows: Vec<StoredRow> = (0..1_000).map(|n| row(n, &format!("dev-{n}"), 0, 0, flow(1.0))).collect();
    hand_over(&world, &rows).await;
    println!("WriteRecords: {} calls for 1,000 rows of {} bytes", world.counts()["WriteRecords"], rows[0].json.len());
    assert_eq!(world.counts()["WriteRecords"], 10);
}
