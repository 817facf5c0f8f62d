//! `store`: writes a batch of the telemetry stream as rows of the tables.
//!
//! A batch that comes again may be stored twice, and readers count it once, so the answer can always be the first
//! record that was left. Nothing here can delay alerts, which another function handles.

use std::collections::BTreeMap;

use bytes::Bytes;
use fleetform_engine::{
    drive::{Batch, PortError, RuleSets},
    position::SequenceNumber,
    rows::Reader,
    units::{Millis, Timestamp},
};
use tokio::sync::Mutex;

use super::stream;
use crate::{
    event::kinesis::KinesisEvent,
    host::{BatchResponse, Deadline, Failure, Handler},
    leftovers::Left,
    store::{
        Chains, Handed, HotRows, Keeping, Registry,
        batch::{Opened, Stored},
        handover,
        hot::Items,
        known::Known,
    },
    telemetry::{Metrics, Unit},
};

/// Maximum time of a call with all its attempts.
const CALL_TIME: Millis = Millis(12_000);

/// The handler with its ports.
#[derive(Debug)]
pub struct Store<G, C, S, W, H> {
    /// The histories of devices.
    pub registry: G,
    /// What shards' states know of devices.
    pub chains: C,
    /// The storage of rule sets.
    pub rule_sets: S,
    /// The permanent store for rows.
    pub rows: W,
    /// The store for fast access to the newest rows, and how long it keeps them.
    pub hot: Option<(H, Millis)>,
    /// The stream and the settings for storing it.
    pub settings: Settings,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
    memory: Mutex<Memory>,
}

/// The stream and the settings for storing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The ARN of the stream.
    pub stream_arn: String,
    /// The stream's generation.
    pub generation: u32,
    /// The rule set for parsing messages: its SHA-256 in hexadecimal.
    pub rule_set_sha256: String,
}

/// What one environment keeps in memory.
#[derive(Debug, Default)]
struct Memory {
    reader: Option<Reader>,
    known: Known,
    /// For each shard, the last record whose rows are in the permanent store, so that they are not handed over
    /// repeatedly while the hot table accepts nothing.
    taken: BTreeMap<String, SequenceNumber>,
}

impl<G, C, S, W, H> Store<G, C, S, W, H> {
    /// A handler that has not seen a record yet.
    pub fn new(
        settings: Settings,
        (registry, chains, rule_sets, rows): (G, C, S, W),
        hot: Option<(H, Millis)>,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self { registry, chains, rule_sets, rows, hot, settings, clock, memory: Mutex::default() }
    }
}

impl<G, C, S, W, H> Handler for Store<G, C, S, W, H>
where
    G: Registry + Send,
    C: Chains + Send,
    S: RuleSets + Send,
    W: Keeping + Send,
    H: HotRows + Send,
{
    type Answer = BatchResponse;

    async fn handle(&self, body: Bytes, deadline: Deadline, metrics: &mut Metrics) -> Result<BatchResponse, Failure> {
        let event =
            KinesisEvent::parse(&body).map_err(|error| Failure { kind: "bad_event", message: error.to_string() })?;
        let batch = event.batch();
        if let Some(refused) = stream::refuse_other(&self.settings.stream_arn, &event, &batch, metrics) {
            return Ok(refused);
        }
        let stored = match self.rows_of(&batch).await {
            Ok(stored) => stored,
            Err(Stop::ForNow(why)) => return Ok(again(&batch, None, &why, metrics)),
            Err(Stop::Failure(failure)) => return Err(failure),
        };
        let has_time = || deadline.left((self.clock)()) > CALL_TIME;
        let newest = batch.records.iter().map(|record| record.arrived_at).max();
        let (handed, hot) =
            futures_util::join!(self.put_rows(batch.shard, &stored, &has_time), self.put_hot(&stored, &has_time));
        let Handed { left, refused } = handed;
        if refused > 0 {
            metrics.put("RefusedRows", Unit::Count, refused as i64);
            metrics.count_by_reason("Unstored", "refused", refused as i64);
            tracing::warn!(shard = batch.shard, refused, "set aside");
        }
        let left: Vec<Left> = [left, hot.err()].into_iter().flatten().collect();
        let first = left.iter().min_by_key(|left| left.first);
        let taken = first.map_or(stored.rows.len(), |left| left.first);
        metrics.put("Stored", Unit::Count, taken as i64);
        if let Some(newest) = newest {
            metrics.put("StoreLagMs", Unit::Milliseconds, (self.clock)().since(newest).0 as i64);
        }
        // Later records come again, and are counted then.
        let done_until = first.map_or(usize::MAX, |left| stored.rows[left.first].record);
        let unstored: Vec<_> = stored.unstored.iter().filter(|(record, _)| *record < done_until).collect();
        unstored.iter().for_each(|(_, reason)| metrics.count_by_reason("Unstored", reason.as_str(), 1));
        let unstored = unstored.len();
        tracing::info!(shard = batch.shard, records = batch.records.len(), rows = taken, unstored, "stored");
        Ok(match first {
            None => BatchResponse::default(),
            Some(left) => again(&batch, stored.rows.get(left.first).map(|row| row.sequence), &left.why, metrics),
        })
    }
}

/// Why a batch was not turned into rows.
enum Stop {
    /// Something could not be loaded; the batch comes again.
    ForNow(PortError),
    /// The failure needs attention.
    Failure(Failure),
}

impl From<PortError> for Stop {
    fn from(why: PortError) -> Self {
        Self::ForNow(why)
    }
}

impl<G: Registry, C: Chains, S: RuleSets, W: Keeping, H: HotRows> Store<G, C, S, W, H> {
    /// The rows of a batch. Its changes to devices are saved first.
    async fn rows_of(&self, batch: &Batch<'_>) -> Result<Stored, Stop> {
        let mut memory = self.memory.lock().await;
        let Memory { reader, known, .. } = &mut *memory;
        let reader = match reader {
            Some(reader) => reader,
            None => reader.insert(self.load_rule_set().await?),
        };
        let opened = Opened::new(reader, batch);
        let devices = opened.devices();
        let histories = known.of(&self.registry, &self.chains, batch.shard, &devices).await?;
        let stored = opened.rows(reader, self.settings.generation, histories, |row| self.rows.encode(row));
        known.save(&self.registry, batch.shard, &stored.changed).await?;
        Ok(stored)
    }

    async fn load_rule_set(&self) -> Result<Reader, Stop> {
        let sha256 = &self.settings.rule_set_sha256;
        let unusable = |message: String| Stop::Failure(Failure { kind: "rule_set_unusable", message });
        let bytes = self.rule_sets.load(sha256).await?;
        let bytes = bytes.ok_or_else(|| unusable(format!("there is no rule set {sha256}")))?;
        Reader::from_bytes(&bytes).map_err(|error| unusable(format!("rule set {sha256}: {error}")))
    }

    async fn put_rows(&self, shard: &str, stored: &Stored, has_time: &(impl Fn() -> bool + Sync)) -> Handed {
        let rows = &stored.rows;
        let taken = self.memory.lock().await.taken.get(shard).copied();
        let from = rows.partition_point(|row| Some(row.sequence) <= taken);
        let mut handed = self.rows.hand_over(shard, &rows[from..], has_time).await;
        handed.left = handed.left.map(|left| Left { first: from + left.first, ..left });
        let left = handed.left.as_ref().map(|left| rows[left.first].sequence);
        let now_taken = rows.iter().map(|row| row.sequence).rfind(|sequence| left.is_none_or(|left| *sequence < left));
        if let Some(sequence) = now_taken.filter(|sequence| Some(*sequence) > taken) {
            self.memory.lock().await.taken.insert(shard.to_owned(), sequence);
        }
        handed
    }

    async fn put_hot(&self, stored: &Stored, has_time: &impl Fn() -> bool) -> Result<(), Left> {
        let Some((table, retention)) = &self.hot else { return Ok(()) };
        let mut items = Items::new(*retention, (self.clock)());
        for (place, row) in stored.rows.iter().enumerate() {
            items.add(&row.device, row.sampled_at, row.sequence, place, &row.json);
        }
        handover::items(table, items.finish(), has_time).await
    }
}

/// The answer that makes a batch come again, from a record on or as a whole.
fn again(batch: &Batch<'_>, from: Option<SequenceNumber>, why: &PortError, metrics: &mut Metrics) -> BatchResponse {
    metrics.put("StoreRetries", Unit::Count, 1);
    let from = from.or_else(|| batch.records.first().map(|record| record.sequence));
    tracing::warn!(shard = batch.shard, reason = %why, "not stored yet");
    from.map_or_else(BatchResponse::default, |from| BatchResponse::again_from(from.to_string()))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
