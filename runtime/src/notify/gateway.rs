//! The port through which notices leave: one call, one target, one outcome. It is implemented by SNS and webhooks here,
//! and by an inbox where the same notifier runs without AWS.

use fleetform_engine::{
    effect::Notification,
    routing::Target,
    rule_set::{Channel, RuleSet},
    units::Millis,
};

use crate::notify::{
    message::Message,
    sns::SnsSender,
    webhook::{Secrets, WebhookSender},
};

/// One notice to one target.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// The recipient and the channel.
    pub target: &'a Target,
    /// The notice.
    pub notification: &'a Notification,
    /// The notice as text.
    pub message: &'a Message,
    /// The rule set that routed it.
    pub rules: &'a RuleSet,
    /// Maximum time to spend on it.
    pub budget: Millis,
}

/// Why a parcel was not delivered. The reason is for operators: no personal address, no payload, no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    /// A later attempt may succeed, not before `after` if the receiver gave one.
    #[error("{reason}")]
    Later {
        /// The reason.
        reason: String,
        /// The pause that the receiver asked for.
        after: Option<Millis>,
    },
    /// Another attempt cannot succeed.
    #[error("{reason}")]
    Never {
        /// The reason.
        reason: String,
    },
    /// The receiver wants no more messages at this address, neither this one nor others.
    #[error("{reason}")]
    Gone {
        /// The reason.
        reason: String,
    },
}

impl NotDelivered {
    /// A failure that a later attempt may overcome.
    pub fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), after: None }
    }
}

/// The way out for parcels.
pub trait Gateway: Sync {
    /// Delivers a parcel. `Ok` only if the receiver has accepted it.
    fn send(&self, parcel: Parcel<'_>) -> impl Future<Output = Result<(), NotDelivered>> + Send;
}

/// SNS for text messages and e-mail, HTTPS for webhooks.
#[derive(Debug)]
pub struct AwsGateway<S> {
    /// The sender of text messages and e-mail.
    pub sns: SnsSender,
    /// The sender of webhooks.
    pub webhooks: WebhookSender<S>,
}

impl<S: Secrets> Gateway for AwsGateway<S> {
    async fn send(&self, parcel: Parcel<'_>) -> Result<(), NotDelivered> {
        match parcel.target.channel {
            Channel::Sms | Channel::Email => self.sns.send(parcel).await,
            Channel::Webhook => self.webhooks.send(parcel).await,
        }
    }
}
