//! What a client sets out to do, and everything that AWS IoT authorizes on the way.
//!
//! One packet may take several permissions: a will is published on its topic, and what is retained is retained there. Over
//! MQTT, whatever a client does comes after it has connected.

use super::{
    Connection, Decision, Policy, Request,
    connection::{Connect, Way},
    decide,
    document::By,
};

/// What a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It connects.
    Connect {
        /// Whether it asks for a persistent session.
        is_persistent: bool,
        /// The will that it leaves.
        will: Option<Will>,
    },
    /// It publishes a message.
    Publish {
        /// On this topic.
        topic: String,
        /// Whether the message is to be retained.
        is_retained: bool,
    },
    /// It subscribes.
    Subscribe {
        /// To this filter.
        filter: String,
    },
    /// A message is delivered to it.
    Receive {
        /// That was published on this topic.
        topic: String,
    },
    /// It calls an operation of the AWS IoT data plane over HTTPS.
    Call {
        /// The action, as in `iot:GetThingShadow`.
        action: &'static str,
        /// The resource without the ARN's beginning, as in `thing/name`.
        resource: String,
    },
}

/// A message that the broker publishes for a client that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// On this topic.
    pub topic: String,
    /// Whether it is to be retained.
    pub is_retained: bool,
}

/// Whether a client may do what it set out to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may: the statement, as in `core/Publish`, that allows the last of what it takes.
    Allowed {
        /// The statement.
        by: String,
    },
    /// It may not.
    Refused(Refusal),
}

/// The first permission that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The action.
    pub action: &'static str,
    /// The resource, without the ARN's beginning.
    pub resource: String,
    /// The statement that denies it; none where nothing allows it.
    pub by: Option<String>,
}

impl Outcome {
    /// Whether it may.
    pub fn is_allowed(&self) -> bool {
        match self {
            Self::Allowed { .. } => true,
            Self::Refused(_) => false,
        }
    }
}

/// Tries an operation. `arn` is how the ARNs of the account and region begin, as in `arn:aws:iot:us-east-1:111111111111`.
///
/// # Panics
/// If a client is to connect, subscribe or receive over HTTPS, or to call an operation over MQTT: there is no such thing.
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

/// The permissions that an operation takes, in the order in which they are asked for.
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
        // On top of `iot:Publish`: <https://docs.aws.amazon.com/iot/latest/developerguide/retained-message-policy-examples.html>
        takes.push(("iot:RetainPublish", resource, None));
    }
    takes
}
