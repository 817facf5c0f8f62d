//! `notify`: delivers rows of the outbox, from their table's stream, to people and systems.
//!
//! A notice that cannot be settled goes to the end of the line: its row is changed, which puts it into the stream
//! again, behind everything that came since. So a receiver that is down for an hour delays only its own notices.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use fleetform_engine::{
    drive::{self, PortError},
    effect::Notification,
    routing,
    rule_set::RuleSet,
    units::{Millis, Timestamp},
};
use futures_util::{StreamExt as _, future::join_all, stream};
use smol_str::SmolStr;

use crate::{
    event::dynamodb::{self, Event, OutboxRow},
    host::{BatchResponse, Deadline, Failure, Handler},
    notify::{
        delivery::{Courier, Delivered, Deliveries},
        fleet::{self, Fleets},
        gateway::Gateway,
    },
    outbox::OPEN_MAX,
    telemetry::{Metrics, Unit},
};

/// Episodes whose notices are delivered concurrently.
const EPISODES_AT_ONCE: usize = 16;

/// The longest pause of an invocation in which every notice has to wait for its next attempt. It limits how often those
/// go round, and how long a new notice behind them waits.
const REST_MAX: Millis = Millis(5_000);

/// The port to the outbox itself.
pub trait Outbox: Sync {
    /// Marks a notice as settled: each target has received it or was given up.
    fn close(&self, notification: &str, all_sent: bool) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Puts an open notice into the stream again, unless that has happened since its row was read: `requeued` is how
    /// often it had gone round by then. So however often a batch is delivered, only one image of a row goes round.
    fn requeue(
        &self,
        notification: &str,
        requeued: u64,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// The handler with its ports.
#[derive(Debug)]
pub struct Notify<D, G, R> {
    /// The state of deliveries, and the outbox.
    pub deliveries: D,
    /// The way out for notices.
    pub gateway: G,
    /// The storage of rule sets.
    pub rule_sets: R,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
}

/// A row to deliver.
struct Row<'a> {
    /// The row's sequence number in the stream.
    sequence: &'a str,
    /// How often it has gone round.
    requeued: u64,
    /// The row's key.
    id: &'a str,
    /// When it was put; `None` if the row does not record it, and then its notice's time counts.
    put_at: Option<Timestamp>,
    /// The notice; `None` if this version cannot parse it.
    notification: Option<Notification>,
}

/// The outcome for a row.
enum Done {
    /// Nothing is left to do.
    Settled(Delivered),
    /// The row must be delivered again.
    Open(Delivered),
    /// No one is notified: a fleet's alert covers it.
    Held,
    /// No one is notified: this version cannot parse it, or it has gone round for too long.
    GivenUp,
}

impl<D, G, R> Handler for Notify<D, G, R>
where
    D: Deliveries + Outbox + Fleets + Send,
    G: Gateway + Send,
    R: drive::RuleSets + Send,
{
    type Answer = BatchResponse;

    async fn handle(&self, body: Bytes, deadline: Deadline, metrics: &mut Metrics) -> Result<BatchResponse, Failure> {
        let event = dynamodb::parse(&body).map_err(|error| Failure {
            kind: "bad_event",
            message: format!("the event is no batch of the outbox's stream: {error}"),
        })?;
        let rows = new_rows(&event);
        let rule_sets = self.rule_sets(rows.iter().filter_map(|row| row.notification.as_ref())).await;
        let one_episode = |indices: Vec<usize>| async {
            let mut done = Vec::with_capacity(indices.len());
            for index in indices {
                done.push((index, self.one_row(&rows[index], &rule_sets, deadline).await));
            }
            done
        };
        let done: Vec<(usize, Done)> = stream::iter(episodes(&rows))
            .map(one_episode)
            .buffer_unordered(EPISODES_AT_ONCE)
            .map(stream::iter)
            .flatten()
            .collect()
            .await;

        let (mut sent, mut failures, mut held, mut open) = (0, 0, 0, Vec::new());
        let mut not_before: Option<Timestamp> = None;
        for (index, done) in &done {
            let delivered = match done {
                Done::Settled(delivered) => delivered,
                Done::Open(delivered) => {
                    open.push(*index);
                    let first = delivered.not_before.unwrap_or((self.clock)());
                    not_before = Some(not_before.map_or(first, |known| known.min(first)));
                    delivered
                }
                Done::Held => {
                    held += 1;
                    continue;
                }
                Done::GivenUp => {
                    failures += 1;
                    continue;
                }
            };
            sent += delivered.sent;
            failures += delivered.failed.values().sum::<i64>();
        }
        metrics.put("Notices", Unit::Count, i64::try_from(done.len()).unwrap_or(i64::MAX));
        metrics.put("DeliveryFailures", Unit::Count, failures);
        if held > 0 {
            metrics.put("HeldForFleets", Unit::Count, held);
        }
        tracing::info!(notices = done.len(), sent, failures, held, open = open.len(), "delivered");
        if open.len() == done.len()
            && let Some(not_before) = not_before
        {
            let rest = not_before.since((self.clock)()).min(REST_MAX).min(deadline.left((self.clock)()));
            tokio::time::sleep(Duration::from_millis(rest.0)).await;
        }
        Ok(self.send_round(&rows, open).await.map_or_else(BatchResponse::default, BatchResponse::again_from))
    }
}

impl<D: Deliveries + Outbox + Fleets, G: Gateway, R: drive::RuleSets> Notify<D, G, R> {
    async fn one_row(
        &self,
        row: &Row<'_>,
        rule_sets: &HashMap<SmolStr, Option<Arc<RuleSet>>>,
        deadline: Deadline,
    ) -> Done {
        let put_at = row.put_at.or_else(|| Some(row.notification.as_ref()?.created_at));
        if put_at.is_some_and(|put_at| (self.clock)().since(put_at) > OPEN_MAX) {
            tracing::error!(notification = row.id, "a notice is too old to be delivered");
            if let Err(error) = self.deliveries.close(row.id, false).await {
                tracing::warn!(notification = row.id, reason = %error, "a notice could not be closed");
            }
            return Done::GivenUp;
        }
        let Some(notification) = &row.notification else { return Done::GivenUp };
        let Some(rules) = rule_sets.get(&notification.alert.rule_set).and_then(Option::as_ref) else {
            let not_before = Some((self.clock)().after(REST_MAX));
            return Done::Open(Delivered {
                failed: [("rule_set", 1)].into(),
                open: 1,
                not_before,
                ..Delivered::default()
            });
        };
        // A notice that has gone round was already tried.
        if row.requeued == 0 && self.is_held(rules, notification).await {
            return Done::Held;
        }
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

    /// Whether a fleet's alert covers a notice, which is then held. If that cannot be determined, the notice is
    /// delivered.
    async fn is_held(&self, rules: &RuleSet, notification: &Notification) -> bool {
        let held = async || {
            let Some(held_for) = fleet::held_for(&self.deliveries, rules, notification).await? else { return Ok(None) };
            // The same image comes again if a run ended before the row could go round.
            for target in routing::notice_targets(rules, notification) {
                if self.deliveries.is_begun(&notification.id, &target).await? {
                    return Ok(None);
                }
            }
            self.deliveries.hold(&notification.id, &held_for).await?;
            Ok::<_, PortError>(Some(held_for))
        };
        match held().await {
            Ok(None) => false,
            Ok(Some(held_for)) => {
                tracing::info!(notification = %notification.id, rule = %notification.alert.rule, held_for, "held");
                true
            }
            Err(error) => {
                tracing::warn!(notification = %notification.id, reason = %error, "no word of a fleet, so it is told");
                false
            }
        }
    }

    /// Puts open notices at the end of the line. If that fails, the stream has to deliver them again: returns the
    /// sequence number of the first that could not be moved.
    async fn send_round<'a>(&self, rows: &'a [Row<'_>], open: Vec<usize>) -> Option<&'a str> {
        let requeue = async |index: usize| {
            let Row { notification: Some(notification), requeued, .. } = &rows[index] else { return None };
            match self.deliveries.requeue(&notification.id, *requeued, (self.clock)()).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(notification = %notification.id, reason = %error, "a notice could not go round");
                    Some(index)
                }
            }
        };
        let stuck = join_all(open.into_iter().map(requeue)).await;
        stuck.into_iter().flatten().min().map(|index| rows[index].sequence)
    }

    /// Loads every rule set that the notices name once. A set that cannot be loaded fails only its own notices.
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

/// The unsettled rows of an event, each notice once: of several images of a row, the last counts.
fn new_rows<'a>(event: &'a Event<'_>) -> Vec<Row<'a>> {
    let mut last: HashMap<&str, usize> = HashMap::new();
    let images: Vec<(&str, &OutboxRow<'_>)> = event
        .records
        .iter()
        .filter_map(|record| Some((&*record.change.sequence, record.change.row.as_ref()?)))
        .enumerate()
        .map(|(index, (sequence, row))| {
            last.insert(&row.id.text, index);
            (sequence, row)
        })
        .collect();
    images
        .into_iter()
        .enumerate()
        .filter(|(index, (_, row))| last.get(&*row.id.text) == Some(index) && row.status.text == "new")
        .map(|(_, (sequence, row))| Row {
            sequence,
            requeued: row.requeued(),
            id: &row.id.text,
            put_at: row.put_at(),
            notification: readable(row),
        })
        .collect()
}

/// Groups notices by episode. Those of one episode are sent in order, and episodes concurrently.
fn episodes(rows: &[Row<'_>]) -> Vec<Vec<usize>> {
    let mut episodes: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        let episode = row.notification.as_ref().map_or("", |notification| notification.alert.episode.as_str());
        let place = *known.entry(episode).or_insert_with(|| {
            episodes.push(Vec::new());
            episodes.len() - 1
        });
        episodes[place].push(index);
    }
    episodes
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

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
