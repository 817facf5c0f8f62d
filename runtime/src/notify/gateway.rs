//! The port through which a notice leaves: one call, one target, one outcome. Behind it lie SNS and webhooks here, and
//! an inbox wherever the same notifier runs without AWS.

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
    /// To whom, and how.
    pub target: &'a Target,
    /// The notice.
    pub notification: &'a Notification,
    /// The notice in words.
    pub message: &'a Message,
    /// What routed it.
    pub rules: &'a RuleSet,
    /// Time that may be spent on it.
    pub budget: Millis,
}

/// Why a parcel was not delivered. The reason is for an operator: no address of a person, no payload, no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    /// It may work later, and not before `after` where the receiver said so.
    #[error("{reason}")]
    Later {
        /// Why.
        reason: String,
        /// How long the receiver asked to be left alone.
        after: Option<Millis>,
    },
    /// Trying again cannot help.
    #[error("{reason}")]
    Never {
        /// Why.
        reason: String,
    },
    /// The receiver wants nothing more at this address, this notice or another.
    #[error("{reason}")]
    Gone {
        /// Why.
        reason: String,
    },
}

impl NotDelivered {
    /// It may work later.
    pub fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), after: None }
    }
}

/// Where parcels leave.
pub trait Gateway: Sync {
    /// Delivers a parcel. `Ok` only when the other side has accepted it.
    fn send(&self, parcel: Parcel<'_>) -> impl Future<Output = Result<(), NotDelivered>> + Send;
}

/// SNS for text messages and e-mail, HTTPS for webhooks.
#[derive(Debug)]
pub struct AwsGateway<S> {
    /// Text messages and e-mail.
    pub sns: SnsSender,
    /// Webhooks.
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
