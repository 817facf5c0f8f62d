//! `evaluate`: runs a batch of the telemetry stream through the engine's driver, and returns its outcome in Lambda's
//! form.
//!
//! The driver decides what to load, commit, publish and retry. This module gives it ports and a clock, and turns its
//! numbers into metrics.

use std::time::Duration;

use bytes::Bytes;
use fleetform_engine::{
    counts::Counts,
    drive::{self, Crumbs, Driver, Invocation, Outcome, Ports, Publisher, RuleSets, Shards, StateLog},
    units::Timestamp,
};
use tokio::sync::Mutex;

use super::stream;
use crate::{
    event::kinesis::KinesisEvent,
    host::{BatchResponse, Deadline, Failure, Handler},
    telemetry::{Metrics, Unit},
};

/// The handler with its ports.
#[derive(Debug)]
pub struct Evaluate<L, P, R, S, C> {
    /// The storage of states.
    pub log: L,
    /// The destination of effects.
    pub publisher: P,
    /// The storage of rule sets.
    pub rule_sets: R,
    /// The stream's shards.
    pub shards: S,
    /// What outlives this process.
    pub crumbs: C,
    /// The ARN of the stream whose states these are.
    pub stream_arn: String,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
    driver: Mutex<Driver>,
}

impl<L, P, R, S, C> Evaluate<L, P, R, S, C> {
    /// A handler that has not seen a record yet.
    pub fn new(
        settings: drive::Settings,
        (log, publisher, rule_sets, shards, crumbs): (L, P, R, S, C),
        stream_arn: String,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self { log, publisher, rule_sets, shards, crumbs, stream_arn, clock, driver: Mutex::new(Driver::new(settings)) }
    }
}

impl<L, P, R, S, C> Handler for Evaluate<L, P, R, S, C>
where
    L: StateLog + Send,
    P: Publisher + Send,
    R: RuleSets + Send,
    S: Shards + Send,
    C: Crumbs + Send,
{
    type Answer = BatchResponse;

    async fn handle(&self, body: Bytes, deadline: Deadline, metrics: &mut Metrics) -> Result<BatchResponse, Failure> {
        let bad_event = |error: &dyn std::fmt::Display| Failure { kind: "bad_event", message: error.to_string() };
        let event = KinesisEvent::parse(&body).map_err(|error| bad_event(&error))?;
        let batch = event.batch();
        if let Some(refused) = stream::refuse_other(&self.stream_arn, &event, &batch, metrics) {
            return Ok(refused);
        }
        let mut seed = [0; 16];
        getrandom::fill(&mut seed)
            .map_err(|error| Failure { kind: "no_randomness", message: format!("no writer token: {error}") })?;
        let clock = self.clock;
        let remaining = move || Duration::from_millis(deadline.end().since(clock()).0);
        let ports = Ports {
            log: &self.log,
            publisher: &self.publisher,
            rule_sets: &self.rule_sets,
            shards: &self.shards,
            crumbs: &self.crumbs,
        };
        let invocation = Invocation { deadline: deadline.end(), remaining: &remaining, seed };
        let outcome = self.driver.lock().await.process(&ports, &batch, &invocation).await;
        note(metrics, &outcome.counts, clock());
        answer(batch.shard, outcome, metrics)
    }
}

/// A transient failure becomes one sequence number in the answer, so what precedes it stays done. A failure that needs
/// attention fails the invocation, which Lambda counts and the platform alarms on.
fn answer(shard: &str, outcome: Outcome, metrics: &mut Metrics) -> Result<BatchResponse, Failure> {
    let Outcome { failed_from, failure, counts } = outcome;
    tracing::info!(
        shard,
        records = counts.records,
        skipped = counts.skipped,
        quarantined = counts.quarantined.values().sum::<u64>(),
        fired = counts.fired,
        resolved = counts.resolved,
        notifications = counts.notifications,
        "evaluated"
    );
    let Some(failure) = failure else { return Ok(BatchResponse::default()) };
    let kind = match &failure {
        drive::Failure::Deadline => "deadline",
        drive::Failure::Unavailable { .. } => "unavailable",
        drive::Failure::Chain { .. } => "state_unreadable",
        drive::Failure::RuleSet { .. } => "rule_set_unusable",
    };
    metrics.count_by_reason("Stopped", kind, 1);
    if !failure.is_transient() {
        return Err(Failure { kind, message: format!("shard {shard}: {failure}") });
    }
    tracing::warn!(shard, kind, reason = %failure, from = failed_from.map(tracing::field::display), "stopped early");
    Ok(failed_from.map_or_else(BatchResponse::default, |sequence| BatchResponse::again_from(sequence.to_string())))
}

fn note(metrics: &mut Metrics, counts: &Counts, now: Timestamp) {
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    metrics.put("Records", Unit::Count, count(counts.records));
    metrics.put("Transitions", Unit::Count, count(counts.fired + counts.resolved));
    metrics.put("Notifications", Unit::Count, count(counts.notifications));
    if let Some(newest) = counts.newest_ingest {
        metrics.put("EventLagMs", Unit::Milliseconds, count(now.since(newest).0));
    }
    for (name, value) in [
        ("BasesFailed", counts.bases_failed),
        ("ExpiredEffects", counts.expired_effects),
        ("LeftBehind", counts.left_behind),
        ("Memberships", counts.memberships),
        ("Members", counts.members),
        ("Overrides", counts.overrides),
        ("Seals", counts.seals),
        ("UnusableOverrides", counts.unusable_overrides),
        ("UnusableRuleSets", counts.unusable_rule_sets),
    ] {
        // Zeros are left out to save cost: alarms on these metrics treat missing data as good.
        if value > 0 {
            metrics.put(name, Unit::Count, count(value));
        }
    }
    for (reason, value) in &counts.quarantined {
        metrics.count_by_reason("Quarantined", reason.as_str(), count(*value));
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
