//! Batches of a Kinesis stream. The event's strings are borrowed, and the records' data is decoded into one buffer.

mod parse;
mod scan;

use std::borrow::Cow;

use fleetform_engine::{
    drive::{Batch, StreamRecord},
    position::SequenceNumber,
    units::Timestamp,
};

/// Why an event is not a batch of a stream.
#[derive(Debug, thiserror::Error)]
pub enum BadEvent {
    /// It is not JSON of the expected form.
    #[error("the event is no batch of a stream: {0}")]
    Form(#[from] serde_json::Error),
    /// It has no records.
    #[error("the event has no records")]
    Empty,
    /// Its records come from more than one shard, or do not name their shard.
    #[error("the records are not of one shard: {0}")]
    Shard(String),
    /// A record is malformed in a way that only Lambda or Kinesis can have caused.
    #[error("record {index} has no usable {part}")]
    Record {
        /// The record's index in the batch.
        index: usize,
        /// The malformed part.
        part: &'static str,
    },
}

/// An event whose records' data has been decoded.
#[derive(Debug)]
pub struct KinesisEvent<'a> {
    stream_arn: Option<Cow<'a, str>>,
    shard: Cow<'a, str>,
    records: Vec<Record<'a>>,
    /// The data of all records, concatenated.
    data: Vec<u8>,
}

#[derive(Debug)]
struct Record<'a> {
    partition_key: Cow<'a, str>,
    sequence: SequenceNumber,
    arrived_at: Timestamp,
    /// The end of its data in the buffer; it starts where that of the previous record ends.
    data: usize,
}

impl<'a> KinesisEvent<'a> {
    /// Parses an event.
    ///
    /// # Errors
    /// If it is not a batch of a single shard.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadEvent> {
        scan::scan(body).map_or_else(|| parse::parse(body), Ok)
    }

    /// Parses an event without the fast scan, for comparing the two.
    ///
    /// # Errors
    /// If it is not a batch of a single shard.
    pub fn parse_any(body: &'a [u8]) -> Result<Self, BadEvent> {
        parse::parse(body)
    }

    /// ARN of the stream, as the first record names it.
    pub fn stream_arn(&self) -> Option<&str> {
        self.stream_arn.as_deref()
    }

    /// The batch, as the engine takes it.
    pub fn batch(&self) -> Batch<'_> {
        let mut begin = 0;
        let records = self.records.iter().map(|record| {
            let data = &self.data[begin..record.data];
            begin = record.data;
            StreamRecord {
                sequence: record.sequence,
                partition_key: &record.partition_key,
                arrived_at: record.arrived_at,
                data,
            }
        });
        Batch { shard: &self.shard, records: records.collect() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(records: &[(&str, &str, &str)]) -> String {
        let records: Vec<String> = records
            .iter()
            .map(|(id, sequence, data)| {
                format!(
                    r#"{{ "kinesis": {{ "kinesisSchemaVersion": "1.0", "partitionKey": "sensor-001",
                        "sequenceNumber": "{sequence}", "data": "{data}",
                        "approximateArrivalTimestamp": 1769855400.123 }},
                      "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": "{id}",
                      "eventName": "aws:kinesis:record", "invokeIdentityArn": "arn:aws:iam::1:role/r",
                      "awsRegion": "us-east-1", "eventSourceARN": "arn:aws:kinesis:us-east-1:1:stream/s" }}"#
                )
            })
            .collect();
        format!(r#"{{ "Records": [{}] }}"#, records.join(","))
    }

    #[test]
    fn a_batch_is_read_as_lambda_sends_it() {
        let body = event(&[
            ("shardId-000000000000:1", "1", "eyJhIjoxfQ=="),
            ("shardId-000000000000:49590338271490256608559692538361571095921575989136588898", "495", ""),
            ("shardId-000000000000:3", "496", "e30="),
        ]);
        let event = KinesisEvent::parse(body.as_bytes()).expect("an event");
        let batch = event.batch();
        assert_eq!(batch.shard, "shardId-000000000000");
        assert_eq!(event.stream_arn(), Some("arn:aws:kinesis:us-east-1:1:stream/s"));
        let data: Vec<&[u8]> = batch.records.iter().map(|record| record.data).collect();
        assert_eq!(data, [br#"{"a":1}"#.as_slice(), b"", b"{}"]);
        assert_eq!(batch.records[0].arrived_at, Timestamp(1_769_855_400_123));
        assert_eq!(&*batch.records[1].sequence.digits(), "495");
        assert_eq!(batch.records[0].partition_key, "sensor-001");
    }

    #[test]
    fn what_lambda_never_sends_is_refused() {
        let refused = |body: &str| KinesisEvent::parse(body.as_bytes()).expect_err(body).to_string();
        assert_eq!(refused(r#"{ "Records": [] }"#), "the event has no records");
        assert!(refused(r#"{ "detail": 1 }"#).starts_with("the event is no batch of a stream"));
        assert_eq!(
            refused(&event(&[("s-0:1", "1", "e30="), ("s-1:2", "2", "e30=")])),
            "the records are not of one shard: s-1:2"
        );
        assert_eq!(refused(&event(&[("s-0:1", "1", "e30")])), "record 0 has no usable data");
        assert_eq!(refused(&event(&[("s-0:1", "one", "e30=")])), "record 0 has no usable sequence number");
    }

    /// Records as Lambda formats them.
    fn compact(records: &[[&str; 5]]) -> String {
        let records: Vec<String> = records
            .iter()
            .map(|[shard, sequence, key, data, arrived_at]| {
                format!(
                    concat!(
                        r#"{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"{key}","sequenceNumber":"{sequence}","#,
                        r#""data":"{data}","approximateArrivalTimestamp":{arrived_at}}},"eventSource":"aws:kinesis","#,
                        r#""eventVersion":"1.0","eventID":"{shard}:{sequence}","eventName":"aws:kinesis:record","#,
                        r#""awsRegion":"us-east-1","eventSourceARN":"arn:aws:kinesis:us-east-1:1:stream/s"}}"#
                    ),
                    shard = shard, sequence = sequence, key = key, data = data, arrived_at = arrived_at,
                )
            })
            .collect();
        format!(r#"{{"Records":[{}]}}"#, records.join(","))
    }

    /// Whether the event was scanned. Panics if the parser yields a different result.
    fn scanned(body: &[u8]) -> bool {
        let shown = |event: &KinesisEvent<'_>| format!("{:?}", event.batch());
        match (scan::scan(body), parse::parse(body)) {
            (None, _) => false,
            (Some(scanned), parsed) => {
                let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(body)));
                assert_eq!(shown(&scanned), shown(&parsed));
                assert_eq!(scanned.stream_arn(), parsed.stream_arn());
                true
            }
        }
    }

    const SHARD: &str = "shardId-000000000000";
    const USUAL: [&str; 5] = [
        SHARD,
        "49590338271490256608559692538361571095921575989136588898",
        "sensor-1",
        "eyJhIjoxfQ==",
        "1769855400.123",
    ];

    #[test]
    fn what_lambda_writes_is_scanned() {
        for arrived_at in ["1769855400.123", "1769855400.5", "1769855400", "0", "0.001", "999999999999.999"] {
            let [shard, sequence, key, data, _] = USUAL;
            let other = [shard, "49590338271490256608559692538361571095921575989136588899", "pump:2", "", arrived_at];
            assert!(
                scanned(compact(&[USUAL, other, [shard, sequence, key, data, arrived_at]]).as_bytes()),
                "{arrived_at}"
            );
        }
    }

    #[test]
    fn every_surprise_is_left_to_the_parser() {
        let usual = compact(&[USUAL, USUAL]);
        for (from, to) in [
            ("\"Records\":[", "\"Records\": ["),
            (SHARD, "shardId-000000000001"),
            ("sensor-1", "sensor\\u002d1"),
            ("sensor-1", "sensör"),
            ("sensor-1", "sensor\t1"),
            ("aws:kinesis", "aws:kinesi\\u0073"),
            ("eyJhIjoxfQ==", "eyJhIjoxfQ"),
            ("eyJhIjoxfQ==", "eyJhIjoxfR=="),
            ("eyJhIjoxfQ==", "eyJhIjox\\/Q=="),
            ("1769855400.123", "1769855400.1234"),
            ("1769855400.123", "1.769855400123E9"),
            ("1769855400.123", "1769855400.123e0"),
            ("1769855400.123", "-1"),
            ("1769855400.123", "01"),
            ("1769855400.123", "1."),
            ("1769855400.123", "null"),
            ("us-east-1", "us-west-2"),
            ("]}", "]} "),
            ("]}", "],\"a\":1}"),
            ("]}", "]"),
            (":stream/s\"}", ":stream/s\",\"a\":1}"),
        ] {
            // In the last position, so that it differs from the first record.
            let at = usual.rfind(from).expect(from);
            let body = format!("{}{to}{}", &usual[..at], &usual[at + from.len()..]);
            assert!(!scanned(body.as_bytes()), "{from} as {to}");
            let at = usual.find(from).expect(from);
            scanned(format!("{}{to}{}", &usual[..at], &usual[at + from.len()..]).as_bytes());
        }
        for end in 0..usual.len() {
            assert!(!scanned(&usual.as_bytes()[..end]));
        }
        assert!(!scanned(br#"{"Records":[]}"#));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_scanned_is_what_the_parser_reads(
            records in prop::collection::vec(("[0-9a-z:]{0,2}[0-9]{1,60}", "[a-z\"\\\\ä-]{0,9}", "[A-Za-z0-9+/]{0,12}={0,2}", "-?[0-9]{1,13}([.][0-9]{0,4})?"), 1..4),
            changed in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let records: Vec<[&str; 5]> = records.iter().map(|(sequence, key, data, at)| [SHARD, sequence, key, data, at]).collect();
            let mut body = compact(&records).into_bytes();
            if let Some((at, byte)) = changed {
                let at = at.index(body.len());
                body[at] = byte;
            }
            scanned(&body);
        }
    }
}
