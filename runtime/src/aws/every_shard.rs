//! The telemetry stream in Kinesis, as a destination for records that every shard gets.

use std::collections::BTreeSet;

use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use fleetform_engine::{drive::PortError, reshard::HashRange};

use crate::{
    aws::describe,
    every_shard::{Shard, Stream},
};

/// The maximum records in one request ("PutRecords", Amazon Kinesis Data Streams API).
const PUT_RECORDS_MAX: usize = 500;

/// The telemetry stream.
#[derive(Debug)]
pub struct KinesisStream {
    client: Client,
    stream_arn: String,
}

impl KinesisStream {
    /// The stream with this ARN.
    pub fn new(client: Client, stream_arn: String) -> Self {
        Self { client, stream_arn }
    }
}

impl Stream for KinesisStream {
    async fn shards(&self) -> Result<Vec<Shard>, PortError> {
        let mut shards = Vec::new();
        let mut call = self.client.list_shards().stream_arn(&self.stream_arn);
        loop {
            let page = call.send().await.map_err(|error| PortError(describe("ListShards", &error)))?;
            for found in page.shards() {
                shards.push(shard(found)?);
            }
            match page.next_token {
                // A token identifies the stream, which must not be named again.
                Some(token) => call = self.client.list_shards().next_token(token),
                None => return Ok(shards),
            }
        }
    }

    async fn put(
        &self,
        partition_key: &str,
        record: &[u8],
        hash_keys: &BTreeSet<u128>,
    ) -> Result<BTreeSet<u128>, PortError> {
        let mut refused = BTreeSet::new();
        let hash_keys: Vec<u128> = hash_keys.iter().copied().collect();
        for keys in hash_keys.chunks(PUT_RECORDS_MAX) {
            let entries = keys.iter().map(|key| {
                PutRecordsRequestEntry::builder()
                    .data(Blob::new(record))
                    .partition_key(partition_key)
                    .explicit_hash_key(key.to_string())
                    .build()
            });
            let entries = entries.collect::<Result<Vec<_>, _>>();
            let entries = entries.map_err(|error| PortError(format!("PutRecords: {error}")))?;
            let call = self.client.put_records().stream_arn(&self.stream_arn).set_records(Some(entries));
            let put = call.send().await.map_err(|error| PortError(describe("PutRecords", &error)))?;
            if put.records.len() != keys.len() {
                return Err(PortError("PutRecords: not every record has an answer".to_owned()));
            }
            // Answers are in the order of the records.
            let answers = keys.iter().zip(&put.records);
            refused.extend(answers.filter(|(_, answer)| answer.error_code.is_some()).map(|(key, _)| *key));
        }
        Ok(refused)
    }
}

fn shard(found: &aws_sdk_kinesis::types::Shard) -> Result<Shard, PortError> {
    let malformed = |part: &str| PortError(format!("ListShards: {} has no usable {part}", found.shard_id()));
    let range = found.hash_key_range().ok_or_else(|| malformed("range"))?;
    Ok(Shard {
        id: found.shard_id().into(),
        range: HashRange {
            first: range.starting_hash_key().parse().map_err(|_| malformed("first hash key"))?,
            last: range.ending_hash_key().parse().map_err(|_| malformed("last hash key"))?,
        },
        // "SequenceNumberRange", Amazon Kinesis Data Streams API: an open shard has no ending sequence number.
        is_open: found.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none()),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::types::{HashKeyRange, SequenceNumberRange, Shard as Found};

    use super::*;

    #[test]
    fn a_shard_is_read_as_kinesis_lists_it() {
        let found = |ending: Option<&str>, last: &str| {
            let range = HashKeyRange::builder().starting_hash_key("7").ending_hash_key(last).build().expect("a range");
            let numbers = SequenceNumberRange::builder()
                .starting_sequence_number("495")
                .set_ending_sequence_number(ending.map(str::to_owned))
                .build()
                .expect("numbers");
            let shard = Found::builder().shard_id("shardId-000000000003").hash_key_range(range);
            shard.sequence_number_range(numbers).build().expect("a shard")
        };
        let last = "340282366920938463463374607431768211455";
        let open = shard(&found(None, last)).expect("a shard");
        let range = HashRange { first: 7, last: u128::MAX };
        assert_eq!(open, Shard { id: "shardId-000000000003".into(), range, is_open: true });
        assert!(!shard(&found(Some("500"), last)).expect("a shard").is_open);
        assert!(shard(&found(None, "-1")).is_err());
    }
}
