//! The shards of the telemetry stream, as Kinesis lists them and reads them back. Only used for a shard without a
//! state.

use aws_sdk_kinesis::{
    Client,
    error::SdkError,
    types::{Record, Shard, ShardIteratorType},
};
use fleetform_engine::{
    drive::{Lineage, Next, Page, PortError, ReadFrom, Shards, StoredRecord},
    position::SequenceNumber,
    reshard::HashRange,
    units::Timestamp,
};

use crate::aws::describe;

/// Records per page, about the size of a batch.
const PAGE_RECORDS: i32 = 1_000;

/// The telemetry stream.
#[derive(Debug)]
pub struct KinesisShards {
    client: Client,
    stream_arn: String,
}

impl KinesisShards {
    /// The stream with this ARN.
    pub fn new(client: Client, stream_arn: String) -> Self {
        Self { client, stream_arn }
    }

    /// An iterator for this starting point; `None` once the stream no longer lists the shard.
    async fn iterator(&self, shard: &str, from: &ReadFrom) -> Result<Option<String>, PortError> {
        let (kind, sequence) = match from {
            ReadFrom::Token(token) => return Ok(Some(token.clone())),
            ReadFrom::Oldest => (ShardIteratorType::TrimHorizon, None),
            ReadFrom::At(sequence) => (ShardIteratorType::AtSequenceNumber, Some(sequence.to_string())),
            ReadFrom::After(sequence) => (ShardIteratorType::AfterSequenceNumber, Some(sequence.to_string())),
        };
        let call = self.client.get_shard_iterator().stream_arn(&self.stream_arn).shard_id(shard);
        match call.shard_iterator_type(kind).set_starting_sequence_number(sequence).send().await {
            Ok(found) => Ok(found.shard_iterator),
            Err(SdkError::ServiceError(refusal)) if refusal.err().is_resource_not_found_exception() => Ok(None),
            Err(error) => Err(PortError(describe(&format!("GetShardIterator {shard}"), &error))),
        }
    }
}

impl Shards for KinesisShards {
    async fn lineage(&self, shard: &str) -> Result<Option<Lineage>, PortError> {
        // Without a filter, the list includes every shard that may still have a record, even a closed one.
        let mut call = self.client.list_shards().stream_arn(&self.stream_arn);
        loop {
            let page = call.send().await.map_err(|error| PortError(describe("ListShards", &error)))?;
            if let Some(found) = page.shards().iter().find(|found| found.shard_id() == shard) {
                return lineage(found).map(Some);
            }
            match page.next_token {
                // A token identifies the stream, which must not be named again.
                Some(token) => call = self.client.list_shards().next_token(token),
                None => return Ok(None),
            }
        }
    }

    async fn read(&self, shard: &str, from: &ReadFrom) -> Result<Page, PortError> {
        let Some(iterator) = self.iterator(shard, from).await? else { return Ok(Page::default()) };
        let call = self.client.get_records().stream_arn(&self.stream_arn).shard_iterator(iterator).limit(PAGE_RECORDS);
        let page = call.send().await.map_err(|error| PortError(describe(&format!("GetRecords {shard}"), &error)))?;
        let records = page.records.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
        let next = match page.next_shard_iterator {
            None => Next::End,
            // An empty page alone proves nothing: each call covers only a stretch of the stream.
            Some(_) if records.is_empty() && page.millis_behind_latest == Some(0) => Next::Newest,
            Some(token) => Next::More(token),
        };
        Ok(Page { records, next })
    }
}

fn lineage(shard: &Shard) -> Result<Lineage, PortError> {
    let malformed = |part: &str| PortError(format!("ListShards: {} has no usable {part}", shard.shard_id()));
    let range = shard.hash_key_range().ok_or_else(|| malformed("range"))?;
    let first =
        shard.sequence_number_range().and_then(|range| SequenceNumber::new(range.starting_sequence_number()).ok());
    Ok(Lineage {
        range: HashRange {
            first: range.starting_hash_key().parse().map_err(|_| malformed("first hash key"))?,
            last: range.ending_hash_key().parse().map_err(|_| malformed("last hash key"))?,
        },
        parents: [shard.parent_shard_id(), shard.adjacent_parent_shard_id()]
            .into_iter()
            .flatten()
            .map(Into::into)
            .collect(),
        first: first.ok_or_else(|| malformed("first sequence number"))?,
    })
}

fn record(record: Record) -> Result<StoredRecord, PortError> {
    let number = record.sequence_number;
    let malformed = |part: &str| PortError(format!("GetRecords: record {number} has no usable {part}"));
    let arrived_at = record.approximate_arrival_timestamp.and_then(|at| at.to_millis().ok());
    Ok(StoredRecord {
        sequence: SequenceNumber::new(&number).map_err(|_| malformed("number"))?,
        arrived_at: Timestamp(arrived_at.ok_or_else(|| malformed("time of arrival"))?),
        partition_key: record.partition_key.ok_or_else(|| malformed("partition key"))?,
        data: record.data.into_inner(),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::types::{HashKeyRange, SequenceNumberRange};

    use super::*;

    #[test]
    fn a_lineage_is_read_as_kinesis_lists_it() {
        let shard = |last: &str| {
            let range = HashKeyRange::builder().starting_hash_key("0").ending_hash_key(last).build().expect("a range");
            let numbers = SequenceNumberRange::builder().starting_sequence_number("495").build().expect("numbers");
            Shard::builder()
                .shard_id("shardId-000000000003")
                .parent_shard_id("shardId-000000000001")
                .adjacent_parent_shard_id("shardId-000000000002")
                .hash_key_range(range)
                .sequence_number_range(numbers)
                .build()
                .expect("a shard")
        };
        let found = lineage(&shard("340282366920938463463374607431768211455")).expect("a lineage");
        assert_eq!(found.range, HashRange::ALL);
        assert_eq!(found.parents, ["shardId-000000000001", "shardId-000000000002"]);
        assert_eq!(&*found.first.digits(), "495");
        assert!(lineage(&shard("-1")).is_err());
    }
}
