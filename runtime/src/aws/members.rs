//! What devices say to fleets, as records on the telemetry stream, and everything that `evaluate` publishes taken
//! together.
//!
//! A record that is put twice is known by its number, so whatever was not seen accepted is put again.

use std::{future::Future, time::Duration};

use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use fleetform_engine::{
    drive::{PortError, Publisher},
    effect::{Effects, Member},
};
use futures_util::try_join;

use crate::aws::{describe, publisher::DynamoPublisher};

/// The most records of one call: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.
const RECORDS_MAX: usize = 500;
/// Calls in a row of which the stream takes nothing, until this is given up for now.
const FRUITLESS_MAX: u32 = 6;
/// Time before the records that a call left over are put again, and again: a shard's limits are by the second.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)];

/// Rows to the tables, records to the stream.
#[derive(Debug)]
pub struct AwsPublisher {
    /// Where rows go.
    pub rows: DynamoPublisher,
    /// Where records go.
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

    /// Puts every record. `Ok` only when the stream has taken them all.
    async fn put(&self, members: &[Member]) -> Result<(), PortError> {
        for some in members.chunks(RECORDS_MAX) {
            let entries = some.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
            put_all(entries, |left| self.put_once(left), pause).await?;
        }
        Ok(())
    }

    /// One call: for each record, why the stream did not take it.
    async fn put_once(&self, entries: Vec<PutRecordsRequestEntry>) -> Result<Vec<Option<String>>, PortError> {
        let count = entries.len();
        let call = self.client.put_records().stream_arn(&self.stream_arn).set_records(Some(entries));
        let done = call.send().await.map_err(|error| PortError(describe("PutRecords", &error)))?;
        if done.records.len() != count {
            return Err(PortError(format!("PutRecords: {} answers to {count} records", done.records.len())));
        }
        Ok(done.records.into_iter().map(|record| record.error_code).collect())
    }
}

fn entry(member: &Member) -> Result<PutRecordsRequestEntry, PortError> {
    let entry = PutRecordsRequestEntry::builder().partition_key(member.partition_key());
    let entry = entry.data(Blob::new(member.record())).build();
    entry.map_err(|error| PortError(format!("a member's record cannot be written: {error}")))
}

async fn pause(fruitless: u32) {
    tokio::time::sleep(PAUSES[(fruitless as usize).min(PAUSES.len() - 1)]).await;
}

/// Puts records until all are taken: what a call leaves over, as a throttled shard does, is put again after a pause.
async fn put_all<T: Clone, C, P>(
    mut left: Vec<T>,
    put: impl Fn(Vec<T>) -> C,
    pause: impl Fn(u32) -> P,
) -> Result<(), PortError>
where
    C: Future<Output = Result<Vec<Option<String>>, PortError>>,
    P: Future<Output = ()>,
{
    let mut fruitless = 0;
    loop {
        let refused = put(left.clone()).await?;
        let Some(why) = refused.iter().flatten().next().cloned() else { return Ok(()) };
        let before = left.len();
        let mut refusals = refused.iter();
        left.retain(|_| refusals.next().is_some_and(Option::is_some));
        fruitless = if left.len() < before { 0 } else { fruitless + 1 };
        if fruitless >= FRUITLESS_MAX {
            return Err(PortError(format!("PutRecords: {why}: {} records are left", left.len())));
        }
        pause(fruitless).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::ready};

    use super::*;

    async fn unpaused(_: u32) {}

    #[tokio::test]
    async fn what_a_call_leaves_over_is_put_again() {
        let calls = RefCell::new(Vec::new());
        let put = |left: Vec<u32>| {
            // Every second one is taken.
            let throttled = |at| (at % 2 == 1).then(|| "ProvisionedThroughputExceededException".to_owned());
            let answers = (0..left.len()).map(throttled).collect();
            calls.borrow_mut().push(left);
            ready(Ok(answers))
        };
        assert_eq!(put_all(vec![1, 2, 3, 4, 5], put, unpaused).await, Ok(()));
        assert_eq!(calls.take(), [vec![1, 2, 3, 4, 5], vec![2, 4], vec![4]]);
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_fails_the_publication_and_says_why() {
        let calls = RefCell::new(0);
        let put = |left: Vec<u32>| {
            *calls.borrow_mut() += 1;
            ready(Ok(vec![Some("InternalFailure".to_owned()); left.len()]))
        };
        let failed = put_all(vec![1, 2], put, unpaused).await.expect_err("nothing was taken");
        assert_eq!(failed.0, "PutRecords: InternalFailure: 2 records are left");
        assert_eq!(calls.take(), FRUITLESS_MAX);
        let lost = |_: Vec<u32>| ready(Err(PortError("PutRecords: no answer in time".into())));
        assert!(put_all(vec![1], lost, unpaused).await.is_err());
    }
}
