//! `sweep`: periodically sends every open shard the time, deletes what is no longer needed of the shards' chains, and
//! puts undelivered notices into the stream again.
//!
//! The three tasks are independent: one that fails does not hold up the others. The engine decides what has expired in
//! a chain, and when a silent device is missed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use fleetform_engine::{
    drive::{self, BASE_BEHIND_MAX, Chain, Clearing, Expired, PortError, StateLog},
    units::{Millis, Timestamp},
};
use futures_util::{StreamExt as _, stream};

use crate::{
    every_shard::{self, Stream, Told},
    host::{BatchResponse, Deadline, Failure, Handler},
    sweep::redrive::{self, Outbox},
    telemetry::{Metrics, Unit},
};

/// Chains that are examined concurrently.
const CHAINS_AT_ONCE: usize = 8;
/// How often one environment examines a chain. It takes four list requests, which are charged.
const CHAIN_EVERY: Millis = Millis::from_secs(50 * 60);

/// The handler with its ports.
#[derive(Debug)]
pub struct Sweep<L, S, O> {
    /// The storage of states.
    pub log: L,
    /// The telemetry stream.
    pub stream: S,
    /// The outbox with its notices.
    pub outbox: O,
    /// `stream.generation`, which is the current generation of chains.
    pub generation: u32,
    /// The current repair, whose chains are in use.
    pub repair: u32,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
    looked_at: Mutex<HashMap<Chain, Timestamp>>,
}

impl<L, S, O> Sweep<L, S, O> {
    /// A handler that has not examined any chain yet.
    pub fn new((log, stream, outbox): (L, S, O), (generation, repair): (u32, u32), clock: fn() -> Timestamp) -> Self {
        Self { log, stream, outbox, generation, repair, clock, looked_at: Mutex::default() }
    }
}

impl<L, S, O> Handler for Sweep<L, S, O>
where
    L: StateLog + Clearing + Send,
    S: Stream + Send,
    O: Outbox + Send,
{
    type Answer = BatchResponse;

    async fn handle(&self, _: Bytes, deadline: Deadline, metrics: &mut Metrics) -> Result<BatchResponse, Failure> {
        // Ticks come first: people wait for what depends on them.
        let ticked = every_shard::tell(&self.stream, "tick", || tick((self.clock)())).await;
        let redriven = redrive::redrive(&self.outbox, (self.clock)()).await;
        let cleared = self.clear(deadline).await;

        let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let Told { told, missed } = ticked.as_ref().copied().unwrap_or_default();
        metrics.put("Ticks", Unit::Count, count(told));
        metrics.put("Redriven", Unit::Count, count(redriven.as_ref().copied().unwrap_or_default()));
        if let Ok(Some(expired)) = &cleared {
            metrics.put("ExpiredObjects", Unit::Count, count(expired.deltas + expired.bases));
            metrics.put("BaseBehindMs", Unit::Milliseconds, expired.base_behind.0.cast_signed());
        }
        tracing::info!(told, missed, redriven = redriven.as_ref().ok(), "swept");
        let failures: Vec<String> = [
            ticked.err().map(|error| format!("ticks: {error}")),
            (missed > 0).then(|| format!("ticks: {missed} shards were not reached")),
            redriven.err().map(|error| format!("outbox: {error}")),
            cleared.err().map(|error| format!("chains: {error}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if failures.is_empty() {
            return Ok(BatchResponse::default());
        }
        Err(Failure { kind: "unavailable", message: failures.join("; ") })
    }
}

impl<L: StateLog + Clearing, S, O> Sweep<L, S, O> {
    /// Examines the chains that are due, including those that newer chains have replaced. Returns the total of deleted
    /// objects, and the farthest that a newest base is behind in a chain in use; `None` if no chain was examined.
    async fn clear(&self, deadline: Deadline) -> Result<Option<Expired>, drive::Failure> {
        let chains = drive::chains(&self.log).await?;
        let now = (self.clock)();
        let due = chains.iter().filter(|chain| self.is_due(chain, now));
        let looks: Vec<_> = stream::iter(due)
            .map(async |chain| (chain, self.clear_one(chain, deadline).await))
            .buffer_unordered(CHAINS_AT_ONCE)
            .collect()
            .await;
        let (mut sum, mut failure) = (None, None);
        for (chain, look) in looks {
            let shard = &chain.shard;
            match look {
                Ok(expired) => {
                    let so_far = sum.get_or_insert_with(Expired::default);
                    so_far.deltas += expired.deltas;
                    so_far.bases += expired.bases;
                    if (chain.generation, chain.repair) == (self.generation, self.repair) {
                        so_far.base_behind = so_far.base_behind.max(expired.base_behind);
                        if expired.base_behind >= BASE_BEHIND_MAX {
                            let behind_s = expired.base_behind.as_secs();
                            tracing::error!(%shard, behind_s, "no base is written for this shard any more");
                        }
                    }
                    self.looked_at.lock().unwrap_or_else(PoisonError::into_inner).insert(chain.clone(), now);
                }
                Err(error) => {
                    tracing::warn!(%shard, reason = %error, "a chain could not be cleared");
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(sum), Err)
    }

    fn is_due(&self, chain: &Chain, now: Timestamp) -> bool {
        let looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        looked_at.get(chain).is_none_or(|looked_at| now.since(*looked_at) >= CHAIN_EVERY)
    }

    /// Clears one chain, a thousand objects at a time, while there is anything to delete.
    async fn clear_one(&self, chain: &Chain, deadline: Deadline) -> Result<Expired, drive::Failure> {
        let mut sum = Expired::default();
        loop {
            let now = (self.clock)();
            if deadline.left(now) == Millis(0) {
                let error = PortError("the deadline came".to_owned());
                return Err(drive::Failure::Unavailable { doing: "clearing a chain", error });
            }
            let expired = drive::expire(&self.log, chain, now).await?;
            sum.deltas += expired.deltas;
            sum.bases += expired.bases;
            sum.base_behind = expired.base_behind;
            if expired.deltas + expired.bases == 0 {
                return Ok(sum);
            }
        }
    }
}

/// A record that holds only the time. A shard's time advances with its records, and whatever is due on its devices
/// waits for that.
fn tick(now: Timestamp) -> Vec<u8> {
    format!(r#"{{"ff":1,"k":"tick","t":{}}}"#, now.0).into_bytes()
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
