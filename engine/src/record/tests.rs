//! Records as they appear on the stream, and the reasons for which they are refused.

use super::*;
use crate::position::SequenceNumber;

fn reason(data: &str) -> Result<&'static str, Reason> {
    let record = StreamRecord {
        sequence: SequenceNumber::new("1").unwrap(),
        partition_key: "sensor-001",
        arrived_at: Timestamp(1_000),
        data: data.as_bytes(),
    };
    match read(&record, &mut Buffer::default()).1 {
        Ok(Record::Telemetry { payload: Payload::Plain(_), .. }) => Ok("plain"),
        Ok(Record::Telemetry { payload: Payload::Decoded, .. }) => Ok("message"),
        Ok(Record::Status { .. }) => Ok("status"),
        Ok(Record::Alarm { .. }) => Ok("alarm"),
        Ok(Record::Lifecycle(_)) => Ok("lifecycle"),
        Ok(Record::Tick) => Ok("tick"),
        Ok(Record::Device(_)) => Ok("device"),
        Ok(Record::Rules { .. }) => Ok("rules"),
        Ok(Record::Override { .. }) => Ok("override"),
        Ok(Record::Member(_)) => Ok("member"),
        Ok(Record::Redriven { .. }) => Ok("redriven"),
        Err(refusal) => Err(refusal.reason),
    }
}

#[test]
fn what_bears_the_mark_is_wrapped_and_all_else_is_plain() {
    assert_eq!(reason(r#"{"readings":{}}"#), Ok("plain"));
    assert_eq!(reason("\u{fffd} not JSON \"ff\":1"), Ok("plain"));
    assert_eq!(reason(r#"{"ff":2,"k":"message"}"#), Ok("plain"));
    assert_eq!(reason(r#"{"ff":"1","readings":{}}"#), Ok("plain"));
    assert_eq!(reason(r#"{"readings":{"ff":1}}"#), Ok("plain"));
    assert_eq!(reason(r#"[{"ff":1}]"#), Ok("plain"));
    let message = r#"{"ff":1,"k":"message","p":"e30=","d":"sensor-001","ch":"telemetry","c":"sensor-001","t":1}"#;
    assert_eq!(reason(message), Ok("message"));
    assert_eq!(reason(&message.replace("telemetry", "status")), Ok("status"));
    assert_eq!(reason(&message.replace("telemetry", "alerts")), Ok("alarm"));
    let gone = r#"{"ff":1,"k":"lifecycle","d":"sensor-001","e":"disconnected","v":3,"r":"CLIENT_ERROR","t":1}"#;
    assert_eq!(reason(gone), Ok("lifecycle"));
    assert_eq!(reason(&gone.replace("disconnected", "parted")), Err(Reason::BadEnvelope));
    assert_eq!(reason(r#"{"ff":1,"k":"tick","t":1}"#), Ok("tick"));
    assert_eq!(reason(r#"{"\u0066f":1,"k":"tick","t":1}"#), Ok("tick"));
    assert_eq!(reason(r#"{"readings":{"\u0066":1}}"#), Ok("plain"));
    let device = r#"{"ff":1,"k":"device","d":"sensor-001","rev":1,"type":"pump","zone":"zone-a","t":1}"#;
    assert_eq!(reason(device), Ok("device"));
    let redriven = r#"{"ff":1,"k":"redrive","p":"e30=","t":1}"#;
    assert_eq!(reason(redriven), Ok("redriven"));
    assert_eq!(reason(&redriven.replace(r#","t":1"#, "")), Err(Reason::BadEnvelope));
    assert_eq!(reason(&redriven.replace("e30=", "e30")), Err(Reason::BadBase64));
    let rules = format!(r#"{{"ff":1,"k":"rules","version":1,"sha256":"{}","t":1}}"#, "0".repeat(64));
    assert_eq!(reason(&rules), Ok("rules"));
    let row = r#"{"ff":1,"k":"override","rule":"high-pressure","rev":1,"threshold":70.5,"contacts":["crew"],"t":1}"#;
    assert_eq!(reason(row), Ok("override"));
    assert_eq!(reason(&row.replace("70.5", "\"70.5\"")), Err(Reason::BadEnvelope));
    assert_eq!(reason(&row.replace(r#","rev":1"#, "")), Err(Reason::BadEnvelope));
    let many = format!("[{}]", vec![r#""crew""#; CONTACTS_MAX + 1].join(","));
    assert_eq!(reason(&row.replace(r#"["crew"]"#, &many)), Err(Reason::BadEnvelope));
}

#[test]
fn what_is_wrong_with_an_envelope_has_a_reason() {
    let message = r#"{"ff":1,"k":"message","p":"e30=","d":"sensor-001","ch":"telemetry","c":"sensor-001","t":1}"#;
    assert_eq!(reason(&message.replace("e30=", "e30")), Err(Reason::BadBase64));
    assert_eq!(reason(&message.replace(r#""c":"sensor-001""#, r#""c":"sensor-002""#)), Err(Reason::IdentityMismatch));
    assert_eq!(reason(&message.replace(r#""c":"sensor-001""#, r#""c":null"#)), Err(Reason::BadEnvelope));
    assert_eq!(reason(&message.replace("sensor-001", "sensor-002")), Err(Reason::IdentityMismatch));
    assert_eq!(reason(&message.replace("\"message\"", "\"tock\"")), Err(Reason::UnknownKind));
    assert_eq!(reason(&message.replace("telemetry", "commands")), Err(Reason::UnknownChannel));
    assert_eq!(reason(r#"{"ff":1}"#), Err(Reason::BadEnvelope));
    assert_eq!(reason(r#"{"ff":1,"k":7}"#), Err(Reason::BadEnvelope));
    assert_eq!(reason(r#"{"ff":1,"k":"rules","version":1,"sha256":"../x"}"#), Err(Reason::BadEnvelope));
    assert_eq!(
        reason(r#"{"ff":1,"k":"device","d":"sensor-001","rev":1,"type":"Not A Type","zone":"zone-a"}"#),
        Err(Reason::BadEnvelope)
    );
    let large = "A".repeat(MESSAGE_BYTES_MAX / 3 * 4 + 8);
    assert_eq!(reason(&message.replace("e30=", &large)), Err(Reason::TooLarge));
}

#[test]
fn the_ingest_time_never_lies_after_the_arrival() {
    for (t, expected) in [(999, 999), (1_000, 1_000), (5_000, 1_000)] {
        let data = format!(r#"{{"ff":1,"k":"tick","t":{t}}}"#);
        let record = StreamRecord {
            sequence: SequenceNumber::new("1").unwrap(),
            partition_key: "any",
            arrived_at: Timestamp(1_000),
            data: data.as_bytes(),
        };
        assert_eq!(read(&record, &mut Buffer::default()).0, Timestamp(expected));
    }
}
