//! `relay`: passes changes in the alert configuration table on to every open shard of the telemetry stream.
//!
//! The changes of a row reach every shard in order. A batch that is delivered again brings shards nothing new, which
//! they see by the revision.

use bytes::Bytes;
use fleetform_engine::units::Timestamp;

use crate::{
    every_shard::{self, Stream},
    host::{BatchResponse, Deadline, Failure, Handler},
    relay,
    telemetry::{Metrics, Unit},
};

/// The partition key of the records, which has no effect: they are assigned by their hash key.
const PARTITION_KEY: &str = "override";

/// The handler with its ports.
#[derive(Debug)]
pub struct Relay<S> {
    /// The telemetry stream.
    pub stream: S,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
}

impl<S: Stream + Send> Handler for Relay<S> {
    type Answer = BatchResponse;

    async fn handle(&self, body: Bytes, _: Deadline, metrics: &mut Metrics) -> Result<BatchResponse, Failure> {
        let event = relay::parse(&body).map_err(|error| Failure {
            kind: "bad_event",
            message: format!("the event is no batch of the alert configuration's stream: {error}"),
        })?;
        let (mut relayed, mut malformed, mut failed_from) = (0, 0, None);
        for changed in &event.records {
            let rule = changed.rule().unwrap_or_default();
            // The time is part of the record, and the same for all shards.
            let record = match changed.record((self.clock)()) {
                Ok(record) => record,
                Err(problem) => {
                    malformed += 1;
                    tracing::error!(rule, reason = %problem, "a row of the alert configuration is ignored");
                    continue;
                }
            };
            let failure = match every_shard::tell(&self.stream, PARTITION_KEY, || record.clone()).await {
                Ok(told) if told.missed == 0 => {
                    relayed += 1;
                    continue;
                }
                Ok(told) => format!("{} shards were not reached", told.missed),
                Err(error) => error.to_string(),
            };
            tracing::warn!(rule, reason = failure, "a row of the alert configuration could not be relayed");
            failed_from = Some(changed.sequence());
            break;
        }
        metrics.put("RelayedOverrides", Unit::Count, relayed);
        metrics.put("MalformedOverrides", Unit::Count, malformed);
        tracing::info!(relayed, malformed, whole = failed_from.is_none(), "relayed");
        Ok(failed_from.map_or_else(BatchResponse::default, BatchResponse::again_from))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{Mutex, atomic::AtomicUsize, atomic::Ordering},
    };

    use fleetform_engine::{drive::PortError, reshard::HashRange, units::Millis};
    use serde_json::{Value, json};

    use super::*;
    use crate::every_shard::Shard;

    const NOW: Timestamp = Timestamp(1_769_855_400_000);

    /// Two open shards, which accept everything but the n-th record.
    struct Two {
        taken: Mutex<Vec<(u128, Value)>>,
        calls: AtomicUsize,
        failing: usize,
    }

    impl Stream for Two {
        async fn shards(&self) -> Result<Vec<Shard>, PortError> {
            let half = |id: &str, first, last| Shard { id: id.into(), range: HashRange { first, last }, is_open: true };
            Ok(vec![half("one", 0, 9), half("two", 10, u128::MAX)])
        }

        async fn put(&self, key: &str, record: &[u8], keys: &BTreeSet<u128>) -> Result<BTreeSet<u128>, PortError> {
            assert_eq!(key, PARTITION_KEY);
            if self.calls.fetch_add(1, Ordering::Relaxed) == self.failing {
                return Err(PortError("throttled".to_owned()));
            }
            let record: Value = serde_json::from_slice(record).expect("JSON");
            self.taken.lock().unwrap().extend(keys.iter().map(|key| (*key, record.clone())));
            Ok(BTreeSet::new())
        }
    }

    fn row(sequence: u32, rule: &str, revision: &Value) -> Value {
        let image = json!({ "rule": { "S": rule }, "revision": revision, "enabled": { "BOOL": false } });
        json!({ "dynamodb": { "SequenceNumber": sequence.to_string(), "NewImage": image } })
    }

    async fn relayed(rows: &[Value], failing: usize) -> (BatchResponse, Vec<(u128, Value)>) {
        let stream = Two { taken: Mutex::default(), calls: AtomicUsize::new(0), failing };
        let relay = Relay { stream, clock: || NOW };
        let body = Bytes::from(json!({ "Records": rows }).to_string());
        let deadline = Deadline::at(NOW.after(Millis(60_000)));
        let answer = relay.handle(body, deadline, &mut Metrics::default()).await.expect("an answer");
        (answer, relay.stream.taken.into_inner().unwrap())
    }

    #[tokio::test]
    async fn every_shard_is_told_of_every_row_in_order() {
        let rows =
            [row(1, "a", &json!({ "N": "1" })), row(2, "b", &json!({ "N": "x" })), row(3, "a", &json!({ "N": "2" }))];
        let (answer, taken) = relayed(&rows, usize::MAX).await;
        assert_eq!(answer, BatchResponse::default());
        let told: Vec<_> = taken.iter().map(|(key, record)| (*key, record["rev"].as_u64())).collect();
        assert_eq!(told, [(0, Some(1)), (10, Some(1)), (0, Some(2)), (10, Some(2))]);
        assert!(taken.iter().all(|(_, record)| record["k"] == "override" && record["t"] == NOW.0));
    }

    #[tokio::test]
    async fn what_could_not_be_told_comes_again_and_nothing_after_it_is_told_before() {
        let rows: Vec<Value> = (1..=3).map(|n| row(n, "a", &json!({ "N": n.to_string() }))).collect();
        let (answer, taken) = relayed(&rows, 1).await;
        assert_eq!(answer, BatchResponse::again_from("2"));
        assert_eq!(taken.len(), 2);
    }

    #[tokio::test]
    async fn what_is_no_batch_is_said() {
        let relay =
            Relay { stream: Two { taken: Mutex::default(), calls: AtomicUsize::new(0), failing: 9 }, clock: || NOW };
        let deadline = Deadline::at(NOW.after(Millis(60_000)));
        let failure = relay.handle(Bytes::from_static(b"{}"), deadline, &mut Metrics::default()).await;
        assert_eq!(failure.expect_err("no batch").kind, "bad_event");
    }
}
