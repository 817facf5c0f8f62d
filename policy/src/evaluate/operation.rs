//! What a client attempts to do, and everything that AWS IoT authorizes along the way.
//!
//! One packet may need several permissions: a will is published on its topic, and a retained message is retained
//! there. Over MQTT, a client must connect before it does anything else.

use super::{
    Connection, Decision, Policy, Request,
    connection::{Connect, Way},
    decide,
    document::By,
};

/// An operation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Connect.
    Connect {
        /// Whether it requests a persistent session.
        is_persistent: bool,
        /// The will that it leaves, if any.
        will: Option<Will>,
    },
    /// Publish a message.
    Publish {
        /// Name of the topic.
        topic: String,
        /// Whether the message is to be retained.
        is_retained: bool,
    },
    /// Subscribe.
    Subscribe {
        /// The topic filter.
        filter: String,
    },
    /// Receive a message.
    Receive {
        /// The topic that the message was published on.
        topic: String,
    },
    /// Call an operation of the AWS IoT data plane over HTTPS.
    Call {
        /// The action, such as `iot:GetThingShadow`.
        action: &'static str,
        /// The resource without the ARN's prefix, such as `thing/name`.
        resource: String,
    },
}

/// A message that the broker publishes for a client whose connection is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Name of the topic.
    pub topic: String,
    /// Whether the message is to be retained.
    pub is_retained: bool,
}

/// Whether a client may do what it attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed.
    Allowed {
        /// The statement that allows the last of the required permissions, such as `core/Publish`.
        by: String,
    },
    /// Refused.
    Refused(Refusal),
}

/// The first permission that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The action, such as `iot:Publish`.
    pub action: &'static str,
    /// The resource, without the ARN's prefix.
    pub resource: String,
    /// The statement that denies it; `None` if no statement allows it.
    pub by: Option<String>,
}

impl Outcome {
    /// Whether the operation is allowed.
    pub fn is_allowed(&self) -> bool {
        match self {
            Self::Allowed { .. } => true,
            Self::Refused(_) => false,
        }
    }
}

/// Attempts an operation. `arn` is the prefix of the ARNs of the account and region, such as
/// `arn:aws:iot:us-east-1:111111111111`.
///
/// # Panics
/// If the operation does not exist for the connection: connecting, subscribing or receiving over HTTPS, or calling an
/// operation over MQTT.
pub fn attempt(policies: &[Policy], arn: &str, connection: &Connection, operation: &Operation) -> Outcome {
    let mut allowed = String::new();
    for (action, resource, connect) in takes(arn, connection, operation) {
        let request = Request { action, resource: format!("{arn}:{resource}"), connection, connect };
        match decide(policies, &request) {
            Decision::Allowed(by) => allowed = written(by),
            Decision::Forbidden(by) => {
                return Outcome::Refused(Refusal { action, resource, by: Some(written(by)) });
            }
            Decision::NotAllowed => return Outcome::Refused(Refusal { action, resource, by: None }),
        }
    }
    Outcome::Allowed { by: allowed }
}

fn written(by: By<'_>) -> String {
    format!("{}/{}", by.policy, by.statement)
}

type Takes = Vec<(&'static str, String, Option<Connect>)>;

/// Returns the permissions that an operation needs, in the order in which they are checked.
fn takes(arn: &str, connection: &Connection, operation: &Operation) -> Takes {
    let Way::Mqtt { client_id, .. } = &connection.way else {
        return match operation {
            Operation::Publish { topic, is_retained } => publish(topic, *is_retained),
            Operation::Call { action, resource } => vec![(action, resource.clone(), None)],
            Operation::Connect { .. } | Operation::Subscribe { .. } | Operation::Receive { .. } => {
                panic!("there is no {operation:?} over HTTPS")
            }
        };
    };
    assert!(!matches!(operation, Operation::Call { .. }), "there is no {operation:?} over MQTT");
    let client = format!("client/{client_id}");
    if let Operation::Connect { is_persistent, will } = operation {
        let mut connect = Connect::default();
        if *is_persistent {
            connect.attributes.push("PersistentConnect");
        }
        let mut takes = Takes::new();
        if let Some(will) = will {
            connect.attributes.push("LastWill");
            connect.will_topic = Some(format!("{arn}:topic/{}", will.topic));
            takes = publish(&will.topic, will.is_retained);
        }
        takes.insert(0, ("iot:Connect", client, Some(connect)));
        return takes;
    }
    let mut takes = vec![("iot:Connect", client, Some(Connect::default()))];
    match operation {
        Operation::Connect { .. } | Operation::Call { .. } => {}
        Operation::Publish { topic, is_retained } => takes.extend(publish(topic, *is_retained)),
        Operation::Subscribe { filter } => takes.push(("iot:Subscribe", format!("topicfilter/{filter}"), None)),
        Operation::Receive { topic } => takes.push(("iot:Receive", format!("topic/{topic}"), None)),
    }
    takes
}

fn publish(topic: &str, is_retained: bool) -> Takes {
    let resource = format!("topic/{topic}");
    let mut takes = vec![("iot:Publish", resource.clone(), None)];
    if is_retained {
        // In addition to `iot:Publish`:
        // <https://docs.aws.amazon.com/iot/latest/developerguide/retained-message-policy-examples.html>
        takes.push(("iot:RetainPublish", resource, None));
    }
    takes
}
