//! Devices' member records for fleets, put on the telemetry stream; and a publisher for everything that `evaluate`
//! publishes.
//!
//! A record that is put twice is recognized by its number, so every record that was not seen accepted is put again.

use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use fleetform_engine::{
    drive::{PortError, Publisher},
    effect::{Effects, Member},
};
use futures_util::try_join;

use crate::{
    aws::{describe, publisher::DynamoPublisher},
    leftovers::{pause, put_all},
};

/// The maximum records of one call: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.
const RECORDS_MAX: usize = 500;

/// Publishes rows to the tables, and records to the stream.
#[derive(Debug)]
pub struct AwsPublisher {
    /// The publisher of rows.
    pub rows: DynamoPublisher,
    /// The publisher of member records.
    pub members: KinesisMembers,
}

impl Publisher for AwsPublisher {
    async fn publish(&self, effects: &Effects) -> Result<(), PortError> {
        try_join!(self.rows.put(effects), self.members.put(&effects.members)).map(drop)
    }
}

/// The telemetry stream, as `evaluate` writes to it.
#[derive(Debug)]
pub struct KinesisMembers {
    client: Client,
    stream_arn: String,
}

impl KinesisMembers {
    /// Puts records on the stream with this ARN.
    pub fn new(client: Client, stream_arn: String) -> Self {
        Self { client, stream_arn }
    }

    /// Puts every record. `Ok` only if the stream has accepted all of them.
    async fn put(&self, members: &[Member]) -> Result<(), PortError> {
        for some in members.chunks(RECORDS_MAX) {
            let entries = some.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
            put_all("PutRecords", entries, |left| self.put_once(left), pause).await.map_err(|left| left.why)?;
        }
        Ok(())
    }

    /// Makes one call; returns for each record why the stream rejected it, if it did.
    async fn put_once(&self, entries: Vec<PutRecordsRequestEntry>) -> Result<Vec<Option<String>>, PortError> {
        let call = self.client.put_records().stream_arn(&self.stream_arn).set_records(Some(entries));
        let done = call.send().await.map_err(|error| PortError(describe("PutRecords", &error)))?;
        Ok(done.records.into_iter().map(|record| record.error_code).collect())
    }
}

fn entry(member: &Member) -> Result<PutRecordsRequestEntry, PortError> {
    let entry = PutRecordsRequestEntry::builder().partition_key(member.partition_key());
    let entry = entry.data(Blob::new(member.record())).build();
    entry.map_err(|error| PortError(format!("a member's record cannot be written: {error}")))
}
