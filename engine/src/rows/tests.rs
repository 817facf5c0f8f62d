use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    columns::{ColumnType, FIRST_READING, FIXED, SAMPLED_ON},
    *,
};
use crate::{position::SequenceNumber, units::Finite};

const EXAMPLE: &[u8] = include_bytes!("../../tests/fixtures/rule-set.json");
const INGESTED_AT: Timestamp = Timestamp(1_769_855_400_000);

fn reader() -> Reader {
    Reader::from_bytes(EXAMPLE).expect("a rule set")
}

/// The example with other readings of its pump.
fn with_readings(change: impl FnOnce(&mut Value)) -> Result<Reader, ReaderError> {
    let mut set: Value = serde_json::from_slice(EXAMPLE).expect("JSON");
    change(&mut set);
    Reader::from_bytes(&serde_json::to_vec(&set).expect("JSON"))
}

fn telemetry(message: &Value) -> Telemetry {
    Telemetry {
        device: "pump-1".into(),
        ingested_at: INGESTED_AT,
        again: false,
        payload: message.to_string().into_bytes(),
    }
}

/// Returns the rows of a message of the pump: time and named cells of each.
fn rows_of(reader: &mut Reader, message: &Value) -> Result<Vec<(i64, Value)>, Refusal> {
    let rows = reader.rows(&telemetry(message), &"pump".parse().unwrap())?;
    let named = |row: &Row| {
        let cells = row.cells.iter().map(|(column, cell)| {
            let value = match cell {
                Cell::Number(number) => json!(number),
                Cell::Bool(truth) => json!(truth),
                Cell::Text(text) => json!(text),
            };
            (reader.columns()[usize::from(*column)].name.to_string(), value)
        });
        let mut cells: serde_json::Map<String, Value> = cells.collect();
        if !row.other_readings.is_empty() {
            cells.insert("others".to_owned(), json!(row.other_readings));
        }
        (row.sampled_at.0, Value::Object(cells))
    };
    Ok(rows.iter().map(named).collect())
}

#[test]
fn a_row_holds_all_that_the_message_says() {
    let message = json!({
        "deviceId": "pump-1", "timestamp": "2026-01-31T10:30:00Z", "batteryLevel": 85,
        "readings": { "state": "running", "doorOpen": true, "note": "all is well", "vibration": 2.75, "speed": 3, "on": true, "deep": { "a": 1 } },
    });
    let expected = json!({
        "battery_level": 85.0, "state": "running", "door_open": true, "note": "all is well", "vibration": 2.75,
        "others": { "on": true, "speed": 3.0 },
    });
    assert_eq!(rows_of(&mut reader(), &message), Ok(vec![(1_769_855_400_000, expected)]));
}

#[test]
fn a_batch_is_a_row_for_each_of_its_times() {
    let at = |second: u32| format!("2026-01-31T10:29:{second:02}Z");
    let message = json!({
        "deviceId": "pump-1", "timestamp": at(40), "batteryLevel": 85,
        "records": [
            { "timestamp": at(50), "readings": { "note": "later" } },
            { "timestamp": at(40), "readings": { "vibration": 1.5 } },
            { "timestamp": at(40), "readings": { "vibration": 9.5, "state": "running" } },
        ],
    });
    let expected = vec![
        (1_769_855_380_000, json!({ "battery_level": 85.0, "vibration": 1.5, "state": "running" })),
        (1_769_855_390_000, json!({ "note": "later" })),
    ];
    assert_eq!(rows_of(&mut reader(), &message), Ok(expected));
}

#[test]
fn what_is_too_old_to_be_evaluated_is_stored() {
    let message = json!({ "deviceId": "pump-1", "timestamp": "2020-01-01T00:00:00Z", "readings": { "vibration": 1 } });
    assert_eq!(rows_of(&mut reader(), &message), Ok(vec![(1_577_836_800_000, json!({ "vibration": 1.0 }))]));
}

#[test]
fn what_evaluation_sets_aside_is_no_row() {
    let mut reader = reader();
    let refused = |reader: &mut Reader, message: Value| rows_of(reader, &message).expect_err("a refusal").reason;
    let time = "2026-01-31T10:30:00Z";
    let spoofed = json!({ "deviceId": "pump-2", "timestamp": time, "readings": { "vibration": 1 } });
    assert_eq!(refused(&mut reader, spoofed), Reason::SpoofedDeviceId);
    let wrong = json!({ "deviceId": "pump-1", "timestamp": time, "readings": { "vibration": "much" } });
    assert_eq!(refused(&mut reader, wrong), Reason::WrongType);
    // What a refused message started is not part of the next.
    let next = json!({ "deviceId": "pump-1", "timestamp": time, "readings": { "vibration": 1 } });
    assert_eq!(rows_of(&mut reader, &next).map(|rows| rows.len()), Ok(1));
    let nowhere = reader.rows(&telemetry(&next), &"unheard-of".parse().unwrap());
    assert_eq!(nowhere.expect_err("a refusal").reason, Reason::UnknownType);
}

#[test]
fn undeclared_readings_are_kept_as_the_platform_says() {
    let message =
        json!({ "deviceId": "pump-1", "timestamp": "2026-01-31T10:30:00Z", "readings": { "vibration": 1, "x": 2 } });
    let keeping = |word: &str| {
        let mut reader = with_readings(|set| set["message"]["unknown_reading"] = json!(word)).expect("a reader");
        rows_of(&mut reader, &message).map(|rows| rows[0].1.get("others").cloned())
    };
    assert_eq!(keeping("store"), Ok(Some(json!({ "x": 2.0 }))));
    assert_eq!(keeping("drop"), Ok(None));
    assert_eq!(keeping("reject").expect_err("a refusal").reason, Reason::UnknownReading);
}

#[test]
fn columns_are_the_fixed_ones_and_then_the_readings_by_name() {
    let reader = reader();
    assert_eq!(&reader.columns()[..FIRST_READING], &FIXED);
    let names: Vec<&str> = reader.columns()[FIRST_READING..].iter().map(|column| column.name.as_str()).collect();
    assert!(names.is_sorted() && names.contains(&"battery_level") && names.contains(&"vibration"), "{names:?}");
}

#[test]
fn types_that_share_a_reading_share_a_column_that_holds_both() {
    let other = |value: Value| {
        with_readings(|set| {
            let mut other = set["device_types"]["pump"].clone();
            other["readings"] =
                json!({ "vibration": { "key": "vibration", "value": value, "required": false, "unit": "" } });
            set["device_types"]["other"] = other;
        })
    };
    let column = |reader: &Reader| reader.columns().iter().find(|column| column.name == "vibration").cloned();
    let joined = other(json!({ "type": "int" })).expect("a reader");
    assert_eq!(column(&joined).map(|column| column.column_type), Some(ColumnType::Float));
    let problem = |reader: Result<Reader, ReaderError>| reader.err().map(|error| error.to_string());
    let mixed = NoTable::Mixed("vibration".into()).to_string();
    assert_eq!(problem(other(json!({ "type": "bool" }))), Some(mixed));
    let reserved = with_readings(|set| {
        let mut reading = set["device_types"]["pump"]["readings"]["note"].clone();
        reading["key"] = json!("zone");
        set["device_types"]["pump"]["readings"][SAMPLED_ON] = reading;
    });
    assert_eq!(problem(reserved), Some(NoTable::Reserved(SAMPLED_ON.into()).to_string()));
}

#[test]
fn records_are_opened_as_evaluation_opens_them() {
    let mut reader = reader();
    let mut open = |data: &str| {
        let sequence = SequenceNumber::new("7").unwrap();
        let arrived_at = INGESTED_AT;
        reader.open(&StreamRecord { sequence, partition_key: "pump-1", arrived_at, data: data.as_bytes() })
    };
    let plain = r#"{"deviceId":"pump-1"}"#;
    let heard = Telemetry { device: "pump-1".into(), ingested_at: INGESTED_AT, again: false, payload: plain.into() };
    assert_eq!(open(plain), Ok(Heard::Telemetry(heard.clone())));
    let wrapped = |channel: &str| {
        json!({ "ff": 1, "k": "message", "p": STANDARD.encode(plain), "d": "pump-1", "ch": channel, "c": "pump-1",
            "t": INGESTED_AT.0 - 5 })
        .to_string()
    };
    let earlier = Telemetry { ingested_at: Timestamp(INGESTED_AT.0 - 5), ..heard };
    assert_eq!(open(&wrapped("telemetry")), Ok(Heard::Telemetry(earlier.clone())));
    assert_eq!(open(&wrapped("status")), Ok(Heard::Nothing));
    let again = |original: &str| {
        json!({ "ff": 1, "k": "redrive", "t": INGESTED_AT.0 - 3, "p": STANDARD.encode(original) }).to_string()
    };
    let once_more = Telemetry { again: true, ..earlier };
    assert_eq!(open(&again(&wrapped("telemetry"))), Ok(Heard::Telemetry(once_more)));
    assert!(open(&again(&again(plain))).is_err());
    let device = r#"{"ff":1,"k":"device","d":"pump-1","rev":3,"type":"pump","zone":"zone-a","attributes":{"limit":2}}"#;
    let Ok(Heard::Registration(registration, INGESTED_AT)) = open(device) else { panic!("a registration") };
    assert_eq!((registration.revision, registration.zone.as_str(), registration.retired), (3, "zone-a", false));
    assert_eq!(registration.attributes, [("limit".parse().unwrap(), Finite::new(2.0).unwrap())]);
    assert_eq!(open(r#"{"ff":1,"k":"tick","t":5}"#), Ok(Heard::Nothing));
    assert!(open(r#"{"ff":1,"k":"message"}"#).is_err());
}
