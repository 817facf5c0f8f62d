//! Batches of a Kinesis stream: the event's texts are borrowed, and the records' data is decoded into one buffer.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::{
    drive::{Batch, StreamRecord},
    position::SequenceNumber,
    units::Timestamp,
};
use serde::Deserialize;

/// Why an event is no batch of a stream.
#[derive(Debug, thiserror::Error)]
pub enum BadEvent {
    /// It is not JSON of that form.
    #[error("the event is no batch of a stream: {0}")]
    Form(#[from] serde_json::Error),
    /// It has no records.
    #[error("the event has no records")]
    Empty,
    /// Its records come from more than one shard, or do not say from which.
    #[error("the records are not of one shard: {0}")]
    Shard(String),
    /// Something that only Lambda or Kinesis can have written wrong.
    #[error("record {index} has no usable {part}")]
    Record {
        /// Its place in the batch.
        index: usize,
        /// What is wrong with it.
        part: &'static str,
    },
}

#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Record<'a>>,
}

#[derive(Debug, Deserialize)]
struct Record<'a> {
    #[serde(borrow, rename = "eventID")]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    kinesis: Kinesis<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kinesis<'a> {
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    approximate_arrival_timestamp: f64,
}

/// An event with its records' data decoded.
#[derive(Debug)]
pub struct KinesisEvent<'a> {
    records: Vec<Record<'a>>,
    data: Vec<u8>,
    /// Where each record's data ends in `data`; it begins where the one before ends.
    ends: Vec<usize>,
}

impl<'a> KinesisEvent<'a> {
    /// Reads an event.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadEvent> {
        let Event { records } = serde_json::from_slice(body)?;
        let encoded: usize = records.iter().map(|record| record.kinesis.data.len()).sum();
        let mut data = Vec::with_capacity(encoded / 4 * 3 + 3);
        let mut ends = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            STANDARD
                .decode_vec(record.kinesis.data.as_bytes(), &mut data)
                .map_err(|_| BadEvent::Record { index, part: "data" })?;
            ends.push(data.len());
        }
        Ok(Self { records, data, ends })
    }

    /// The batch, for the engine. A batch is of one shard, which each record's id begins with, as in
    /// `shardId-000000000000:4954…`.
    pub fn batch(&self) -> Result<Batch<'_>, BadEvent> {
        let shard_of = |record: &'_ Record<'_>| record.event_id.rfind(':');
        let first = self.records.first().ok_or(BadEvent::Empty)?;
        let shard = shard_of(first).map(|colon| &first.event_id[..colon]);
        let shard = shard.ok_or_else(|| BadEvent::Shard(first.event_id.to_string()))?;
        let mut records = Vec::with_capacity(self.records.len());
        let mut begin = 0;
        for (index, (record, &end)) in self.records.iter().zip(&self.ends).enumerate() {
            if shard_of(record).map(|colon| &record.event_id[..colon]) != Some(shard) {
                return Err(BadEvent::Shard(record.event_id.to_string()));
            }
            let arrived_s = record.kinesis.approximate_arrival_timestamp;
            records.push(StreamRecord {
                sequence: SequenceNumber::new(&record.kinesis.sequence_number)
                    .map_err(|_| BadEvent::Record { index, part: "sequence number" })?,
                partition_key: &record.kinesis.partition_key,
                // Seconds with three decimals, which a float cannot hold exactly.
                arrived_at: Timestamp((arrived_s * 1_000.0).round() as i64),
                data: &self.data[begin..end],
            });
            begin = end;
        }
        Ok(Batch { shard, records })
    }
}

#[cfg(test)]
mod tests {
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
        let batch = event.batch().expect("a batch");
        assert_eq!(batch.shard, "shardId-000000000000");
        let data: Vec<&[u8]> = batch.records.iter().map(|record| record.data).collect();
        assert_eq!(data, [br#"{"a":1}"#.as_slice(), b"", b"{}"]);
        assert_eq!(batch.records[0].arrived_at, Timestamp(1_769_855_400_123));
        assert_eq!(batch.records[1].sequence.as_str(), "495");
        assert_eq!(batch.records[0].partition_key, "sensor-001");
    }

    #[test]
    fn what_lambda_never_sends_is_refused() {
        let refused = |body: &str| match KinesisEvent::parse(body.as_bytes()) {
            Ok(event) => event.batch().map(|batch| batch.records.len()).expect_err(body).to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(refused(r#"{ "Records": [] }"#), "the event has no records");
        assert!(refused(r#"{ "detail": 1 }"#).starts_with("the event is no batch of a stream"));
        assert_eq!(
            refused(&event(&[("s-0:1", "1", "e30="), ("s-1:2", "2", "e30=")])),
            "the records are not of one shard: s-1:2"
        );
        assert_eq!(refused(&event(&[("s-0:1", "1", "e30")])), "record 0 has no usable data");
        assert_eq!(refused(&event(&[("s-0:1", "one", "e30=")])), "record 0 has no usable sequence number");
    }
}
