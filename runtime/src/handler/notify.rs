//! `notify`: rows of the outbox, from their table's stream, to the people and systems that are told.
//!
//! A row that is not settled in the end is delivered again from the stream, with everything after it. That costs
//! little: what was sent has been written down.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use fleetform_engine::{
    drive::{self, PortError},
    effect::Notification,
    rule_set::RuleSet,
    units::Timestamp,
};
use futures_util::{StreamExt as _, stream};
use smol_str::SmolStr;

use crate::{
    event::dynamodb::{self, OutboxRow},
    host::{BatchResponse, Deadline, Failure, Handler},
    notify::{
        delivery::{Courier, Delivered, Deliveries},
        gateway::Gateway,
    },
    telemetry::{Metrics, Unit},
};

/// Episodes whose notices are delivered at once.
const EPISODES_AT_ONCE: usize = 16;

/// The port to the outbox itself.
pub trait Outbox: Sync {
    /// Marks a notice as settled: every target has it, or one at least was given up.
    fn close(&self, notification: &str, all_sent: bool) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// The handler with its ports.
#[derive(Debug)]
pub struct Notify<D, G, R> {
    /// What is known about deliveries, and the outbox.
    pub deliveries: D,
    /// Where notices leave.
    pub gateway: G,
    /// Where rule sets are kept.
    pub rule_sets: R,
    /// The time now.
    pub clock: fn() -> Timestamp,
}

/// What became of a row.
enum Done {
    /// Nothing is left to do.
    Settled(Delivered),
    /// It is to be delivered again.
    Open(Delivered),
    /// It is no notice that this code can read. It stays in the outbox as it is.
    Unreadable,
}

impl<D, G, R> Handler for Notify<D, G, R>
where
    D: Deliveries + Outbox + Send,
    G: Gateway + Send,
    R: drive::RuleSets + Send,
{
    async fn handle(&self, body: Bytes, deadline: Deadline, metrics: &mut Metrics) -> Result<BatchResponse, Failure> {
        let event = dynamodb::parse(&body).map_err(|error| Failure {
            kind: "bad_event",
            message: format!("the event is no batch of the outbox's stream: {error}"),
        })?;
        let rows: Vec<(&str, Option<Notification>)> = event
            .records
            .iter()
            .filter_map(|record| Some((&*record.change.sequence, record.change.row.as_ref()?)))
            .filter(|(_, row)| row.status.text == "new")
            .map(|(sequence, row)| (sequence, readable(row)))
            .collect();
        let rule_sets = self.rule_sets(rows.iter().filter_map(|(_, notification)| notification.as_ref())).await;

        // Notices of one episode go out in their order, others beside them.
        let mut episodes: Vec<Vec<usize>> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for (index, (_, notification)) in rows.iter().enumerate() {
            let episode = notification.as_ref().map_or("", |notification| notification.alert.episode.as_str());
            let place = *known.entry(episode).or_insert_with(|| {
                episodes.push(Vec::new());
                episodes.len() - 1
            });
            episodes[place].push(index);
        }
        let one_episode = |indices: Vec<usize>| async {
            let mut done = Vec::with_capacity(indices.len());
            for index in indices {
                done.push((index, self.one_row(rows[index].1.as_ref(), &rule_sets, deadline).await));
            }
            done
        };
        let mut done: Vec<(usize, Done)> = stream::iter(episodes)
            .map(one_episode)
            .buffer_unordered(EPISODES_AT_ONCE)
            .map(stream::iter)
            .flatten()
            .collect()
            .await;
        done.sort_by_key(|(index, _)| *index);

        let mut first_open = None;
        let (mut sent, mut failures) = (0, 0);
        for (index, done) in &done {
            let delivered = match done {
                Done::Settled(delivered) => delivered,
                Done::Open(delivered) => {
                    first_open = first_open.or(Some(*index));
                    delivered
                }
                Done::Unreadable => {
                    failures += 1;
                    continue;
                }
            };
            sent += delivered.sent;
            failures += delivered.failed.values().sum::<i64>();
        }
        metrics.put("Notices", Unit::Count, i64::try_from(done.len()).unwrap_or(i64::MAX));
        metrics.put("DeliveryFailures", Unit::Count, failures);
        tracing::info!(notices = done.len(), sent, failures, open = first_open.is_some(), "delivered");
        Ok(first_open.map_or_else(BatchResponse::default, |index| BatchResponse::again_from(rows[index].0)))
    }
}

impl<D: Deliveries + Outbox, G: Gateway, R: drive::RuleSets> Notify<D, G, R> {
    async fn one_row(
        &self,
        notification: Option<&Notification>,
        rule_sets: &HashMap<SmolStr, Option<Arc<RuleSet>>>,
        deadline: Deadline,
    ) -> Done {
        let Some(notification) = notification else { return Done::Unreadable };
        let Some(rules) = rule_sets.get(&notification.alert.rule_set).and_then(Option::as_ref) else {
            return Done::Open(Delivered { failed: [("rule_set", 1)].into(), open: 1, ..Delivered::default() });
        };
        let courier = Courier { deliveries: &self.deliveries, gateway: &self.gateway, deadline, clock: self.clock };
        let delivered = courier.deliver(rules, notification).await;
        if !delivered.is_settled() {
            return Done::Open(delivered);
        }
        if let Err(error) = self.deliveries.close(&notification.id, delivered.given_up == 0).await {
            tracing::warn!(notification = %notification.id, reason = %error, "a notice could not be closed");
            return Done::Open(delivered);
        }
        Done::Settled(delivered)
    }

    /// Every rule set that the notices name, loaded once. One that cannot be had fails its own notices only.
    async fn rule_sets(
        &self,
        notifications: impl Iterator<Item = &Notification>,
    ) -> HashMap<SmolStr, Option<Arc<RuleSet>>> {
        let mut sets = HashMap::new();
        for notification in notifications {
            let sha256 = &notification.alert.rule_set;
            if sets.contains_key(sha256) {
                continue;
            }
            let loaded = match self.rule_sets.load(sha256).await {
                Ok(Some(bytes)) => RuleSet::from_bytes(&bytes).map_err(|error| error.to_string()),
                Ok(None) => Err("there is no such rule set".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = &loaded {
                tracing::error!(rule_set = %sha256, reason, "a rule set cannot be used");
            }
            sets.insert(sha256.clone(), loaded.ok().map(Arc::new));
        }
        sets
    }
}

fn readable(row: &OutboxRow<'_>) -> Option<Notification> {
    match serde_json::from_str(&row.notification.text) {
        Ok(notification) => Some(notification),
        Err(error) => {
            tracing::error!(notification = %row.id.text, place = error.column(), "a notice cannot be read");
            None
        }
    }
}
