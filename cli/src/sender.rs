//! Many records for a telemetry stream, put as fast as it takes them.
//!
//! A device's records keep their order whatever fails: a request holds at most one of them, and what was refused goes
//! first into the next.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use fleetform_generator::platform::Platform;

use crate::{found, stream, terminal::Stop};

/// What one request takes: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.
const REQUEST_RECORDS_MAX: usize = 500;
const REQUEST_BYTES_MAX: usize = 5 << 20;

/// Requests in a row of which nothing was taken, after which it is given up.
const VAIN_MAX: u32 = 12;

/// The wait after a request of which a record was refused: doubled each time, up to the longest.
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_LONGEST: Duration = Duration::from_secs(5);

/// Records that one request is chosen from.
const LOOKED_AT_MAX: usize = 20_000;

/// What can be put on a stream.
pub(crate) trait Entry {
    /// The partition key.
    fn key(&self) -> &str;
    /// The bytes.
    fn data(&self) -> &[u8];
}

/// A record with its partition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) data: Vec<u8>,
}

impl Entry for Record {
    fn key(&self) -> &str {
        &self.key
    }

    fn data(&self) -> &[u8] {
        &self.data
    }
}

/// A stream that records are put on.
pub(crate) struct Sender<T = Record> {
    client: Client,
    name: String,
    outbox: Outbox<T>,
    /// Requests in a row of which nothing was taken.
    vain: u32,
    retried: u64,
}

impl Sender {
    /// A platform's stream, which is found unless it is named.
    pub(crate) async fn open(platform: &Platform, stream: Option<&str>) -> Result<Self, Stop> {
        let (client, name) = stream::open(platform, stream).await?;
        Ok(Self::new(client, name))
    }
}

impl<T: Entry> Sender<T> {
    /// The stream of this name.
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name, outbox: Outbox { waiting: VecDeque::new() }, vain: 0, retried: 0 }
    }

    /// The stream's name.
    pub(crate) fn stream(&self) -> &str {
        &self.name
    }

    /// Records that were refused at first and retried.
    pub(crate) fn retried(&self) -> u64 {
        self.retried
    }

    /// Takes records, to be put after those that wait.
    pub(crate) fn take(&mut self, records: impl IntoIterator<Item = T>) {
        self.outbox.waiting.extend(records);
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.waiting.len()
    }

    /// The first of those that wait.
    pub(crate) fn next(&self) -> Option<&T> {
        self.outbox.waiting.front()
    }

    /// Puts as many of the waiting records as one request takes, and returns those that were accepted. Refused ones
    /// wait again.
    pub(crate) async fn put(&mut self) -> Result<Vec<T>, Stop> {
        let batch = self.outbox.batch();
        let entries = batch.iter().map(|record| {
            let entry = PutRecordsRequestEntry::builder().partition_key(record.key());
            entry.data(Blob::new(record.data())).build().expect("a key and data are all that it takes")
        });
        let put = self.client.put_records().stream_name(&self.name).set_records(Some(entries.collect())).send().await;
        let put = match put {
            Ok(put) => put,
            Err(error) => {
                let refused = vec![true; batch.len()];
                self.outbox.put_back(batch, &refused);
                return Err(found::failed("put records", error));
            }
        };
        let refused: Vec<bool> = put.records.iter().map(|result| result.error_code.is_some()).collect();
        let code = put.records.iter().find_map(|result| result.error_code.clone());
        let (all, count) = (batch.len(), refused.iter().filter(|refused| **refused).count());
        let taken = self.outbox.put_back(batch, &refused);
        self.retried += count as u64;
        let Some(code) = code else {
            self.vain = 0;
            return Ok(taken);
        };
        self.vain = if count == all { self.vain + 1 } else { 0 };
        if self.vain > VAIN_MAX {
            return Err(Stop::failed(format_args!("the stream `{}` accepts no records: {code}", self.name))
                .help("it may have too few shards for this rate"));
        }
        tokio::time::sleep(WAIT_LONGEST.min(WAIT_FIRST * 2_u32.pow(self.vain.min(8)))).await;
        Ok(taken)
    }
}

/// Records that wait to be put.
#[derive(Debug)]
struct Outbox<T> {
    waiting: VecDeque<T>,
}

impl<T: Entry> Outbox<T> {
    /// The next records, each of another device, as many as one request takes. The others keep their order.
    fn batch(&mut self) -> Vec<T> {
        let (mut batch, mut left, mut keys, mut bytes) = (Vec::new(), VecDeque::new(), BTreeSet::new(), 0);
        while let Some(record) = self.waiting.pop_front() {
            let size = record.key().len() + record.data().len();
            let is_full = batch.len() == REQUEST_RECORDS_MAX || bytes + size > REQUEST_BYTES_MAX;
            if is_full || batch.len() + left.len() == LOOKED_AT_MAX {
                self.waiting.push_front(record);
                break;
            }
            // A device of which a record was left behind has no later one in the request either.
            if keys.insert(record.key().to_owned()) {
                bytes += size;
                batch.push(record);
            } else {
                left.push_back(record);
            }
        }
        left.append(&mut self.waiting);
        self.waiting = left;
        batch
    }

    /// Takes refused records back, ahead of all that wait, and returns the others.
    fn put_back(&mut self, batch: Vec<T>, refused: &[bool]) -> Vec<T> {
        let (mut back, mut taken) = (Vec::new(), Vec::new());
        for (record, refused) in batch.into_iter().zip(refused) {
            if *refused { &mut back } else { &mut taken }.push(record);
        }
        back.into_iter().rev().for_each(|record| self.waiting.push_front(record));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, number: usize, bytes: usize) -> Record {
        Record { key: key.to_owned(), data: [number.to_string().into_bytes(), vec![b'x'; bytes]].concat() }
    }

    fn outbox(records: impl IntoIterator<Item = Record>) -> Outbox<Record> {
        Outbox { waiting: records.into_iter().collect() }
    }

    #[test]
    fn a_request_holds_one_record_of_a_device_and_refusals_keep_the_order() {
        let mut outbox = outbox(["a", "a", "b", "a", "c"].iter().enumerate().map(|(at, key)| record(key, at, 0)));
        let batch = outbox.batch();
        assert_eq!(batch, [record("a", 0, 0), record("b", 2, 0), record("c", 4, 0)]);
        assert_eq!(outbox.put_back(batch, &[true, false, true]), [record("b", 2, 0)]);
        let order: Vec<Record> =
            std::iter::from_fn(|| Some(outbox.batch()).filter(|batch| !batch.is_empty())).flatten().collect();
        assert_eq!(order, [record("a", 0, 0), record("c", 4, 0), record("a", 1, 0), record("a", 3, 0)]);
    }

    #[test]
    fn a_request_is_no_larger_than_the_service_takes() {
        let mut many = outbox((0..1_200).map(|at| record(&at.to_string(), at, 10)));
        assert_eq!([many.batch().len(), many.batch().len(), many.batch().len()], [500, 500, 200]);
        let mut large = outbox((0..12).map(|at| record(&at.to_string(), at, 1_000_000)));
        assert_eq!([large.batch().len(), large.batch().len(), large.batch().len()], [5, 5, 2]);
    }
}
