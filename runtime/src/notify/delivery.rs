//! One notice to all of its targets: each is claimed, sent to and settled by itself, so that one channel's failure
//! hides none of the others and a retry sends only what failed.
//!
//! It promises at least one delivery to every target, and at most one more for every sender that dies between
//! sending and writing down that it did.

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

/// With less time than this left nothing is begun: a send that is cut off may have arrived.
const BUDGET_MIN: Millis = Millis(1_500);
/// How much longer than its invocation a claim lasts.
const LEASE_BEYOND: Millis = Millis(2_000);

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is ours; this is the n-th attempt.
    Granted {
        /// 1 for the first.
        attempt: u32,
    },
    /// The delivery is over: it was made, or given up.
    Settled {
        /// Whether it was made.
        sent: bool,
    },
    /// Another sender holds it, or the receiver asked to be left alone.
    Held {
        /// Until when.
        until: Timestamp,
    },
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The other side has it.
    Sent,
    /// It failed, and the next attempt comes no earlier than this.
    Failed {
        /// The earliest moment of the next attempt.
        not_before: Timestamp,
    },
    /// It failed for good.
    GivenUp,
}

/// The port to what is known about deliveries, by notice and target.
pub trait Deliveries: Sync {
    /// Claims a delivery until `lease_until`, if nobody else holds it and its time has come. A claim whose answer was lost
    /// is still that of whoever made it.
    fn claim(
        &self,
        notification: &str,
        target: &Target,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> impl Future<Output = Result<Claim, PortError>> + Send;

    /// Whether a delivery was ever claimed, so that somebody may have it.
    fn is_begun(&self, notification: &str, target: &Target) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Writes down how attempt `attempt` ended. A failure is not written over a later attempt's claim or success.
    fn settle(
        &self,
        notification: &str,
        target: &Target,
        attempt: u32,
        ending: Ending,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Whether the receiver at this address has said that it wants nothing more.
    fn is_disabled(&self, target: &Target, address: &str) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Writes down that the receiver at this address wants nothing more.
    fn disable(&self, target: &Target, address: &str) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// What became of a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Targets that have it, from now or before.
    pub sent: usize,
    /// Attempts that failed just now, by channel; those given up are among them.
    pub failed: BTreeMap<&'static str, i64>,
    /// Targets that were given up, now or before.
    pub given_up: usize,
    /// Targets that are to be tried again.
    pub open: usize,
    /// When the first of them may be tried, where that is known.
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

/// What a delivery needs to know besides the notice.
#[derive(Debug)]
pub struct Courier<'a, D, G> {
    /// What is known about deliveries.
    pub deliveries: &'a D,
    /// Where notices leave.
    pub gateway: &'a G,
    /// When this invocation ends.
    pub deadline: Deadline,
    /// The time now.
    pub clock: fn() -> Timestamp,
}

impl<D: Deliveries, G: Gateway> Courier<'_, D, G> {
    /// Delivers a notice to every target that does not have it yet, to all of them at once.
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

/// What became of one target.
enum Outcome {
    Sent,
    GivenUpBefore,
    Held { until: Option<Timestamp> },
    Failed { retry: Retry },
}

/// Whether a failed delivery is tried again, and from when.
#[derive(PartialEq)]
enum Retry {
    From(Option<Timestamp>),
    Never,
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
