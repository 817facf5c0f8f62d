//! A log of records, one per line: messages as devices send them, records as the stream has them, or records with their
//! place in a stream. A line that cannot be read is reported and skipped.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read as _},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use camino::Utf8Path;
use fleetform_engine::{position::SequenceNumber, rule_set::MessageFormat, session, units::Timestamp};
use serde_json::Value;

use crate::terminal::Stop;

/// The longest line: the largest record of a stream in base64, with room for what surrounds it.
const LINE_BYTES_MAX: u64 = 2 << 20;

/// What some editors put before the text of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A log as far as it could be read.
#[derive(Default)]
pub(crate) struct Log {
    /// Its records, in the order of the lines.
    pub(crate) records: Vec<Logged>,
    /// Lines that could not be read, and why.
    pub(crate) bad: Vec<(usize, String)>,
}

/// A record of a log.
#[derive(Debug, PartialEq)]
pub(crate) struct Logged {
    /// Its line.
    pub(crate) line: usize,
    /// Its partition key: the device, for all but a few kinds.
    pub(crate) partition_key: String,
    /// When it arrived in the stream.
    pub(crate) arrived_at: Timestamp,
    /// Its bytes.
    pub(crate) data: Vec<u8>,
    /// What the device sent, where that is JSON.
    pub(crate) message: Option<Value>,
}

/// Reads a log. A message that names no device is `device`'s.
pub(crate) fn read(path: &Utf8Path, format: &MessageFormat, device: &str) -> Result<Log, Stop> {
    let unreadable = |error: std::io::Error| Stop::bad_input(format_args!("cannot read `{path}`: {error}"));
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut reader = Reader::new(format, device);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let taken = (&mut file).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes).map_err(unreadable)?;
        if taken == 0 {
            return Ok(reader.log);
        }
        if taken as u64 == LINE_BYTES_MAX && bytes.last() != Some(&b'\n') {
            skip_line(&mut file).map_err(unreadable)?;
            reader.refuse(format!("the line is longer than {LINE_BYTES_MAX} bytes"));
        } else {
            reader.line(&bytes);
        }
    }
}

fn skip_line(file: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let (length, is_end) = match file.fill_buf()? {
            [] => return Ok(()),
            buffer => match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), false),
            },
        };
        file.consume(length);
        if is_end {
            return Ok(());
        }
    }
}

/// Reads line after line.
struct Reader<'a> {
    format: &'a MessageFormat,
    device: &'a str,
    log: Log,
    line: usize,
    /// The newest arrival so far.
    now: Option<Timestamp>,
    /// The newest number of each shard.
    numbers: BTreeMap<String, SequenceNumber>,
}

impl<'a> Reader<'a> {
    fn new(format: &'a MessageFormat, device: &'a str) -> Self {
        Self { format, device, log: Log::default(), line: 0, now: None, numbers: BTreeMap::new() }
    }

    fn refuse(&mut self, problem: String) {
        self.line += 1;
        self.log.bad.push((self.line, problem));
    }

    fn line(&mut self, bytes: &[u8]) {
        let bytes = if self.line == 0 { bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes) } else { bytes };
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            self.line += 1;
            return;
        }
        let record = serde_json::from_slice::<Value>(bytes)
            .map_err(|error| format!("this is not JSON: {}", on_its_line(&error)))
            .and_then(|value| self.record(value, bytes));
        match record {
            Ok(record) => {
                self.line += 1;
                self.log.records.extend(record.map(|record| Logged { line: self.line, ..record }));
            }
            Err(problem) => self.refuse(problem),
        }
    }

    /// The record of a line; none for lines about how a log is delivered.
    fn record(&mut self, value: Value, bytes: &[u8]) -> Result<Option<Logged>, String> {
        let has = |key: &str| value.get(key).is_some();
        match value.get("kind").and_then(Value::as_str) {
            Some("rec" | "record") if has("pk") => self.placed(&value).map(Some),
            Some("batch") if has("seqs") => Ok(None),
            Some("rules") if has("file") => Ok(None),
            Some("split" | "merge") if has("into") => Ok(None),
            _ if value.get("ff").and_then(Value::as_u64) == Some(1) => self.wrapped(value, bytes).map(Some),
            _ if value.is_object() || value.is_array() => self.plain(value, bytes).map(Some),
            _ => Err("a message is an object or an array".to_owned()),
        }
    }

    /// A record with its place in a stream.
    fn placed(&mut self, line: &Value) -> Result<Logged, String> {
        let text = |key: &str| match line.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => Err(format!("`{key}` is missing, or is neither a string nor a number")),
        };
        let (shard, number, partition_key) = (text("shard")?, text("seq")?, text("pk")?);
        let number = SequenceNumber::new(&number).map_err(|error| format!("`seq`: {error}"))?;
        let arrived_at = line.get("arr").and_then(time).ok_or("`arr` is missing, or is not a time")?;
        let data = match (line.get("data_b64"), line.get("data")) {
            (Some(Value::String(data)), None) => {
                STANDARD.decode(data).map_err(|error| format!("`data_b64` is not base64: {error}"))?
            }
            (None, Some(Value::String(text))) => text.clone().into_bytes(),
            (None, Some(value)) => value.to_string().into_bytes(),
            _ => return Err("a record has either `data_b64` or `data`".to_owned()),
        };
        if self.numbers.get(&shard).is_some_and(|newest| *newest >= number) {
            return Err(format!("`seq` {number} is not above that of the shard's previous record"));
        }
        self.numbers.insert(shard, number);
        self.now = self.now.max(Some(arrived_at));
        let message = serde_json::from_slice(&data).ok().and_then(|value: Value| {
            if value.get("ff").and_then(Value::as_u64) == Some(1) { inside(&value) } else { Some(value) }
        });
        Ok(Logged { line: 0, partition_key, arrived_at, data, message })
    }

    /// A record as the topic rules and commands put it. It arrived at the time that it states, but not before the one
    /// above.
    fn wrapped(&mut self, record: Value, bytes: &[u8]) -> Result<Logged, String> {
        let said = record.get("t").and_then(Value::as_i64).map(Timestamp);
        let arrived_at = self.arrival(said)?;
        let device = record.get("d").and_then(Value::as_str);
        let partition_key = device.or_else(|| record.get("k")?.as_str()).unwrap_or(self.device).to_owned();
        Ok(Logged { line: 0, partition_key, arrived_at, data: bytes.to_owned(), message: inside(&record) })
    }

    /// A message as a device sends it. Its own time is all that is known of its arrival.
    fn plain(&mut self, message: Value, bytes: &[u8]) -> Result<Logged, String> {
        let arrived_at = self.arrival(session::moment(self.format, &message))?;
        let own = session::at_path(&message, &self.format.device_id).and_then(Value::as_str);
        let partition_key = own.unwrap_or(self.device).to_owned();
        Ok(Logged { line: 0, partition_key, arrived_at, data: bytes.to_owned(), message: Some(message) })
    }

    /// When a record arrived, by the time that it states, if any: records of a stream arrive one after the other.
    fn arrival(&mut self, said: Option<Timestamp>) -> Result<Timestamp, String> {
        self.now = self.now.max(said);
        self.now.ok_or_else(|| "it states no time, and neither does any line above".to_owned())
    }
}

/// An error of a JSON document on one line, without the line number, which is always 1.
fn on_its_line(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    error.to_string().replace(&place, &format!(" at column {}", error.column()))
}

/// What the device sent, out of a wrapped message.
fn inside(record: &Value) -> Option<Value> {
    serde_json::from_slice(&STANDARD.decode(record.get("p")?.as_str()?).ok()?).ok()
}

/// Milliseconds since 1970, or RFC 3339.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|ms| ms.round() as i64)).map(Timestamp),
        Value::String(text) => text.parse().ok().map(Timestamp).or_else(|| Timestamp::parse_rfc3339(text)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use fleetform_engine::rule_set::{RuleSet, TimestampFormat};

    use super::*;

    const START: i64 = 1_769_855_400_000;

    fn format() -> MessageFormat {
        let set = include_bytes!("../../engine/tests/fixtures/rule-set.json");
        let format = RuleSet::from_bytes(set).unwrap().message;
        assert_eq!(format.timestamp_format, TimestampFormat::Rfc3339);
        format
    }

    fn log(lines: &[&str]) -> Log {
        let format = format();
        let mut reader = Reader::new(&format, "logger-0");
        lines.iter().for_each(|line| reader.line(line.as_bytes()));
        reader.log
    }

    #[test]
    fn each_kind_of_line_is_a_record_with_its_device_and_arrival() {
        let payload = r#"{"timestamp":"2026-01-31T10:30:02Z","readings":{"pressure":3}}"#;
        let wrapped = format!(
            r#"{{"ff":1,"k":"message","d":"logger-0","c":"logger-0","ch":"telemetry","t":{},"p":"{}"}}"#,
            START + 2_000,
            STANDARD.encode(payload)
        );
        let placed = format!(
            r#"{{"kind":"rec","shard":0,"seq":"17","pk":"logger-0","arr":{},"data_b64":"{}"}}"#,
            START + 3_000,
            STANDARD.encode(&wrapped)
        );
        let log = log(&[
            r#"{"timestamp":"2026-01-31T10:30:00Z","readings":{"pressure":1}}"#,
            "",
            r#"{"deviceId":"logger-1","timestamp":"2026-01-31T10:30:01Z","readings":{"pressure":2}}"#,
            &wrapped,
            &placed,
            r#"{"kind":"batch","shard":0,"seqs":[17]}"#,
            r#"{"readings":{"pressure":4}}"#,
        ]);
        assert_eq!(log.bad, []);
        let seen: Vec<_> = log
            .records
            .iter()
            .map(|record| (record.line, record.partition_key.as_str(), record.arrived_at.0 - START))
            .collect();
        let expected = [
            (1, "logger-0", 0),
            (3, "logger-1", 1_000),
            (4, "logger-0", 2_000),
            (5, "logger-0", 3_000),
            (7, "logger-0", 3_000),
        ];
        assert_eq!(seen, expected);
        assert_eq!(log.records[2].message, serde_json::from_str(payload).ok());
        assert_eq!(log.records[3].message, log.records[2].message);
        assert_eq!(log.records[3].data, wrapped.as_bytes());
    }

    #[test]
    fn a_bad_line_is_named_and_the_rest_is_kept() {
        let log = log(&[
            r#"{"readings":{}}"#,
            r#"{"timestamp":"2026-01-31T10:30:00Z","readings":{"pressure":1}}"#,
            "{",
            "7",
            r#"{"kind":"rec","shard":"a","seq":"5","pk":"x","arr":"2026-01-31T10:30:05Z","data":{}}"#,
            r#"{"kind":"rec","shard":"a","seq":"5","pk":"x","arr":1,"data":{}}"#,
            r#"{"kind":"rec","shard":"a","seq":"6","pk":"x","arr":"soon","data":{}}"#,
            r#"{"kind":"rec","shard":"a","seq":"7","pk":"x","arr":1,"data_b64":"%"}"#,
            r#"{"kind":"rec","shard":"a","seq":"8x","pk":"x","arr":1,"data":{}}"#,
        ]);
        let bad: Vec<usize> = log.bad.iter().map(|(line, _)| *line).collect();
        assert_eq!(bad, [1, 3, 4, 6, 7, 8, 9], "{:?}", log.bad);
        assert_eq!(log.records.iter().map(|record| record.line).collect::<Vec<_>>(), [2, 5]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let message = r#"{"timestamp":"2026-01-31T10:30:00Z","readings":{"pressure":1}}"#;
        let log = log(&[&format!("\u{feff}{message}"), &format!("\u{feff}{message}")]);
        assert_eq!(log.records.iter().map(|record| record.line).collect::<Vec<_>>(), [1]);
        assert_eq!(log.bad, [(2, "this is not JSON: expected value at column 1".to_owned())]);
    }

    #[test]
    fn a_late_message_arrives_after_the_one_above_it() {
        let log = log(&[
            r#"{"timestamp":"2026-01-31T10:31:00Z","readings":{"pressure":1}}"#,
            r#"{"timestamp":"2026-01-31T10:30:00Z","readings":{"pressure":1}}"#,
        ]);
        assert_eq!(log.records[1].arrived_at, log.records[0].arrived_at);
    }
}
