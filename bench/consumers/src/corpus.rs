//! Telemetry as Lambda delivers it: Kinesis records in the envelope of the topic rule, as described in
//! docs/semantics.md, with messages of ten readings.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::random::Random;

/// The readings of the only device type, in the order of the message. Rules cross the first one.
pub const READINGS: [&str; 10] =
    ["pressure", "flowRate", "temperature", "level", "ph", "orp", "tds", "salt", "rpm", "volts"];
/// The number of zones that devices are spread over.
pub const ZONES: usize = 20;
/// The device type.
pub const DEVICE_TYPE: &str = "station";
/// The shard of all records.
pub const SHARD: &str = "shardId-000000000000";
/// The stream of all records.
pub const STREAM_ARN: &str = "arn:aws:kinesis:us-east-1:111111111111:stream/telemetry";
/// Ingest time of the first record: 2026-01-31T10:30:00Z.
pub const START_MS: i64 = 1_769_855_400_000;
/// The average time between two messages of a device, however many there are, as declared for its type.
pub const PERIOD_MS: u32 = 60_000;
/// The time from a sample to its ingest.
const LAG_MS: i64 = 250;

/// The dimensions of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The number of Lambda events.
    pub events: usize,
    /// The number of records per event.
    pub records: usize,
    /// The number of devices that send them.
    pub devices: usize,
    /// The number of samples in a thousand that cross the thresholds.
    pub crossings_per_mille: u64,
    /// The number of records in a thousand that are malformed.
    pub malformed_per_mille: u64,
    /// The number of samples in a message: a single one is written as such, several as a batch.
    pub samples: usize,
}

/// The usual case.
pub const USUAL: Size =
    Size { events: 40, records: 1_000, devices: 2_000, crossings_per_mille: 10, malformed_per_mille: 1, samples: 1 };

/// A corpus.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// The events that Lambda sends, in order.
    pub events: Vec<Vec<u8>>,
}

/// The name of a device.
pub fn device(index: usize) -> String {
    format!("sensor-{index:04}")
}

/// The name of a zone.
pub fn zone(index: usize) -> String {
    format!("zone-{:02}", index % ZONES)
}

/// Generates a corpus.
pub fn generate(seed: u64, size: Size) -> Corpus {
    let mut random = Random::new(seed);
    let mut number = 0;
    let events = (0..size.events)
        .map(|_| {
            let mut event = String::from(r#"{"Records":["#);
            for record in 0..size.records {
                if record > 0 {
                    event.push(',');
                }
                write_record(&mut event, &mut random, number, size);
                number += 1;
            }
            event.push_str("]}");
            event.into_bytes()
        })
        .collect();
    Corpus { events }
}

/// A sequence number in the form that Kinesis uses: 56 digits, increasing.
pub fn sequence(number: usize) -> String {
    format!("49590338271490256608559692538361571095{:018}", 921_575_989_136_588_898_u64 + number as u64)
}

fn write_record(event: &mut String, random: &mut Random, number: usize, size: Size) {
    let device = device(random.below(size.devices as u64) as usize);
    let ingested_at = START_MS + i64::from(PERIOD_MS) * number as i64 / size.devices as i64;
    let payload = match random.below(1_000) < size.malformed_per_mille {
        true => malformed(random, size, &device, ingested_at),
        false => message(random, size, &device, ingested_at),
    };
    let data = format!(
        r#"{{"ff":1,"k":"message","p":"{}","d":"{device}","ch":"telemetry","c":"{device}","t":{ingested_at}}}"#,
        STANDARD.encode(payload)
    );
    let sequence = sequence(number);
    let arrived_at = ingested_at + 7;
    let _infallible = write!(
        event,
        concat!(
            r#"{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"{device}","sequenceNumber":"{sequence}","#,
            r#""data":"{data}","approximateArrivalTimestamp":{seconds}.{milliseconds:03}}},"#,
            r#""eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"{shard}:{sequence}","#,
            r#""eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::111111111111:role/evaluate","#,
            r#""awsRegion":"us-east-1","#,
            r#""eventSourceARN":"{stream}"}}"#
        ),
        device = device,
        sequence = sequence,
        data = STANDARD.encode(data),
        seconds = arrived_at / 1_000,
        milliseconds = arrived_at % 1_000,
        shard = SHARD,
        stream = STREAM_ARN,
    );
}

/// A message from a device. Several samples are a millisecond apart.
fn message(random: &mut Random, size: Size, device: &str, ingested_at: i64) -> String {
    let samples = size.samples;
    if samples == 1 {
        return sample(random, size, Some(device), ingested_at - LAG_MS);
    }
    let mut message = format!(r#"{{"deviceId":"{device}","records":["#);
    for index in 0..samples {
        if index > 0 {
            message.push(',');
        }
        message.push_str(&sample(random, size, None, ingested_at - LAG_MS - (samples - 1 - index) as i64));
    }
    message.push_str("]}");
    message
}

fn sample(random: &mut Random, size: Size, device: Option<&str>, at: i64) -> String {
    // Half of the samples that cross thresholds cross one more than the others.
    let crossing = match random.below(2_000) {
        lot if lot < size.crossings_per_mille => Some("100.5"),
        lot if lot < 2 * size.crossings_per_mille => Some("101.5"),
        _ => None,
    };
    let mut text = String::from("{");
    if let Some(device) = device {
        let _infallible = write!(text, r#""deviceId":"{device}","#);
    }
    let _infallible = write!(text, r#""timestamp":"{}","readings":{{"#, timestamp(at));
    for (index, key) in READINGS.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let value = match crossing {
            Some(crossing) if index == 0 => crossing.to_owned(),
            Some(_) | None => format!("{}.{}", random.below(90), random.below(10)),
        };
        let _infallible = write!(text, r#"{comma}"{key}":{value}"#);
    }
    let _infallible = write!(text, r#"}},"batteryLevel":{}}}"#, 20 + random.below(80));
    text
}

/// Half are truncated, and half have a string in place of a number.
fn malformed(random: &mut Random, size: Size, device: &str, ingested_at: i64) -> String {
    let message = sample(random, size, Some(device), ingested_at - LAG_MS);
    match random.below(2) {
        0 => message[..message.len() - 1 - random.below(40) as usize].to_owned(),
        _ => {
            let start = message.find(r#""level":"#).map_or(0, |at| at + r#""level":"#.len());
            let end = message[start..].find(',').map_or(message.len(), |at| start + at);
            format!(r#"{}"{}"{}"#, &message[..start], &message[start..end], &message[end..])
        }
    }
}

fn timestamp(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map(|at| format!("{at:.3}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_one_corpus_of_about_a_thousand_bytes_a_record() {
        let size = Size { events: 2, ..USUAL };
        let corpus = generate(7, size);
        assert_eq!(corpus.events, generate(7, size).events);
        assert_ne!(corpus.events, generate(8, size).events);
        let bytes = corpus.events[0].len() / size.records;
        assert!((950..1_100).contains(&bytes), "{bytes} bytes a record");
    }
}
