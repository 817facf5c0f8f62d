//! Delivers one notice to all of its targets. Each target is claimed, sent to and settled separately, so a failure of
//! one channel does not affect the others, and a retry sends only what failed.
//!
//! Every target gets at least one delivery, and at most one more for every sender that dies between sending and
//! recording it.

use std::collections::BTreeMap;

use fleetform_engine::{
    drive::PortError,
    effect::Notification,
    routing::{self, Target},
    rule_set::{Channel, RuleSet},
    units::{Millis, Timestamp},
};
use futures_util::future::join_all;

use crate::{
    host::Deadline,
    notify::{
        gateway::{Gateway, NotDelivered, Parcel},
        message::{Message, message},
        retry,
    },
};

/// Nothing is started with less time than this left: a send that is cut off may have arrived.
const BUDGET_MIN: Millis = Millis(1_500);
/// How much longer than its invocation a claim lasts.
const LEASE_BEYOND: Millis = Millis(2_000);

/// The result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The claim is granted, for the n-th attempt.
    Granted {
        /// The number of the attempt, starting at 1.
        attempt: u32,
    },
    /// The delivery is over: it succeeded, or was given up.
    Settled {
        /// Whether it succeeded.
        sent: bool,
    },
    /// Another sender holds the claim, or the receiver asked for a pause.
    Held {
        /// When it can be claimed again.
        until: Timestamp,
    },
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The target has received the notice.
    Sent,
    /// It failed, and the next attempt must not be earlier than this.
    Failed {
        /// The earliest time of the next attempt.
        not_before: Timestamp,
    },
    /// It failed permanently.
    GivenUp,
}

/// The port to the state of deliveries, by notice and target.
pub trait Deliveries: Sync {
    /// Claims a delivery until `lease_until`, if no other sender holds it and its time has come. If the answer was
    /// lost, the claim still belongs to its sender.
    fn claim(
        &self,
        notification: &str,
        target: &Target,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> impl Future<Output = Result<Claim, PortError>> + Send;

    /// Whether a delivery was ever claimed, so the target may have it.
    fn is_begun(&self, notification: &str, target: &Target) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Records the outcome of attempt `attempt`. A failure does not overwrite a later attempt's claim or success.
    fn settle(
        &self,
        notification: &str,
        target: &Target,
        attempt: u32,
        ending: Ending,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Whether the receiver at this address has asked for no more messages.
    fn is_disabled(&self, target: &Target, address: &str) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Records that the receiver at this address has asked for no more messages.
    fn disable(&self, target: &Target, address: &str) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// The state of a notice after a delivery run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The number of targets that have it, from this run or an earlier one.
    pub sent: usize,
    /// The number of attempts that failed in this run, by channel, including targets that were given up.
    pub failed: BTreeMap<&'static str, i64>,
    /// The number of targets that were given up, in this run or an earlier one.
    pub given_up: usize,
    /// The number of targets that need another attempt.
    pub open: usize,
    /// The earliest time of the next attempt, if known.
    pub not_before: Option<Timestamp>,
}

impl Delivered {
    /// Whether nothing is left to do.
    pub fn is_settled(&self) -> bool {
        self.open == 0
    }

    fn hold(&mut self, until: Option<Timestamp>) {
        self.open += 1;
        self.not_before = match (self.not_before, until) {
            (Some(known), Some(until)) => Some(known.min(until)),
            (known, until) => known.or(until),
        };
    }
}

/// Everything that a delivery needs apart from the notice.
#[derive(Debug)]
pub struct Courier<'a, D, G> {
    /// The state of deliveries.
    pub deliveries: &'a D,
    /// The way out for notices.
    pub gateway: &'a G,
    /// The end of this invocation.
    pub deadline: Deadline,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
}

impl<D: Deliveries, G: Gateway> Courier<'_, D, G> {
    /// Delivers a notice concurrently to every target that does not have it yet.
    pub async fn deliver(&self, rules: &RuleSet, notification: &Notification) -> Delivered {
        let message = message(rules, notification);
        let targets = routing::notice_targets(rules, notification);
        if targets.is_empty() {
            tracing::warn!(notification = %notification.id, rule = %notification.alert.rule, "no target");
        }
        let one = async |target| (target, self.to_target(rules, notification, &message, target).await);
        let mut delivered = Delivered::default();
        for (target, outcome) in join_all(targets.iter().map(one)).await {
            match outcome {
                Outcome::Sent => delivered.sent += 1,
                Outcome::GivenUpBefore => delivered.given_up += 1,
                Outcome::Held { until } => delivered.hold(until),
                Outcome::Failed { retry } => {
                    *delivered.failed.entry(target.channel.as_str()).or_default() += 1;
                    match retry {
                        Retry::Never => delivered.given_up += 1,
                        Retry::From(until) => delivered.hold(until),
                    }
                }
            }
        }
        delivered
    }

    async fn to_target(
        &self,
        rules: &RuleSet,
        notification: &Notification,
        message: &Message,
        target: &Target,
    ) -> Outcome {
        let now = (self.clock)();
        if self.deadline.left(now) < BUDGET_MIN {
            return Outcome::Held { until: None };
        }
        let log = |reason: &dyn std::fmt::Display, what: &'static str| {
            tracing::warn!(
                notification = %notification.id,
                rule = %notification.alert.rule,
                contact = %target.contact,
                channel = target.channel.as_str(),
                reason = %reason,
                "{what}"
            );
        };
        let lease_until = self.deadline.end().after(LEASE_BEYOND);
        let attempt = match self.deliveries.claim(&notification.id, target, now, lease_until).await {
            Ok(Claim::Granted { attempt }) => attempt,
            Ok(Claim::Settled { sent: true }) => return Outcome::Sent,
            Ok(Claim::Settled { sent: false }) => return Outcome::GivenUpBefore,
            Ok(Claim::Held { until }) => return Outcome::Held { until: Some(until) },
            Err(error) => {
                log(&error, "a delivery could not be claimed");
                return Outcome::Failed { retry: Retry::From(None) };
            }
        };
        let failure = match self.send(rules, notification, message, target).await {
            Ok(()) => {
                if let Err(error) = self.deliveries.settle(&notification.id, target, attempt, Ending::Sent).await {
                    log(&error, "a delivery was made and could not be written down");
                    return Outcome::Held { until: Some(lease_until) };
                }
                return Outcome::Sent;
            }
            Err(failure) => failure,
        };
        let ending = match &failure {
            NotDelivered::Never { .. } | NotDelivered::Gone { .. } => Ending::GivenUp,
            NotDelivered::Later { after, .. } => match retry::next_attempt(attempt, (self.clock)(), *after) {
                Some(not_before) => Ending::Failed { not_before },
                None => Ending::GivenUp,
            },
        };
        let retry = match ending {
            Ending::Failed { not_before } => Retry::From(Some(not_before)),
            Ending::GivenUp | Ending::Sent => Retry::Never,
        };
        log(&failure, if retry == Retry::Never { "a delivery was given up" } else { "a delivery failed" });
        match self.deliveries.settle(&notification.id, target, attempt, ending).await {
            Ok(()) => Outcome::Failed { retry },
            Err(error) => {
                log(&error, "a failed delivery could not be written down");
                Outcome::Failed { retry: Retry::From(Some(lease_until)) }
            }
        }
    }

    async fn send(
        &self,
        rules: &RuleSet,
        notification: &Notification,
        message: &Message,
        target: &Target,
    ) -> Result<(), NotDelivered> {
        let address = match target.channel {
            Channel::Webhook => rules.contacts.get(&target.contact).and_then(|contact| contact.webhook.as_ref()),
            Channel::Sms | Channel::Email => None,
        };
        if let Some(webhook) = address {
            match self.deliveries.is_disabled(target, &webhook.url).await {
                Ok(false) => {}
                Ok(true) => {
                    return Err(NotDelivered::Never { reason: "the webhook answered 410 before".to_owned() });
                }
                Err(error) => return Err(NotDelivered::later(error.to_string())),
            }
        }
        let budget = self.deadline.left((self.clock)());
        if budget < BUDGET_MIN {
            return Err(NotDelivered::later("no time was left to send it"));
        }
        let sent = self.gateway.send(Parcel { target, notification, message, rules, budget }).await;
        if let (Err(NotDelivered::Gone { .. }), Some(webhook)) = (&sent, address)
            && let Err(error) = self.deliveries.disable(target, &webhook.url).await
        {
            return Err(NotDelivered::later(error.to_string()));
        }
        sent
    }
}

/// The outcome for one target.
enum Outcome {
    Sent,
    GivenUpBefore,
    Held { until: Option<Timestamp> },
    Failed { retry: Retry },
}

/// Whether a failed delivery is retried, and when.
#[derive(PartialEq)]
enum Retry {
    From(Option<Timestamp>),
    Never,
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
