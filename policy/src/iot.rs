//! The AWS IoT policies of a device: what a certificate may connect as, publish, subscribe to and receive.
//!
//! Every topic that a policy names holds [`THING`], the name of the thing whose certificate made the connection, so
//! one document serves all devices and none can act as another. In an IoT policy `*` crosses `/`, and `+` and `#` are
//! plain characters, so filters and topics are written out. Nothing here knows an account, a region or a partition:
//! the caller, which knows them, turns a [`Resource`] into an ARN.

use serde::Serialize;

use crate::iam::{Condition, Document, Statement, Target};

/// The policy variable for the name of the thing that is connected.
pub const THING: &str = "${iot:Connection.Thing.ThingName}";

/// The policy variable for the name in the subject of the certificate that is connected.
pub const COMMON_NAME: &str = "${iot:Certificate.Subject.CommonName}";

/// Maximum length of a policy document in AWS IoT, in characters without white space. CloudFormation's schema does
/// not state it: <https://docs.aws.amazon.com/general/latest/gr/iot-core.html>.
pub const DOCUMENT_CHARS_MAX: usize = 2_048;

/// What an IoT policy statement covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The name space.
    pub kind: Kind,
    /// The name in that name space, which may contain [`THING`].
    pub name: String,
}

/// A name space of AWS IoT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Client ids.
    Client,
    /// Topics, for publishing and receiving.
    Topic,
    /// Filters, for subscribing.
    TopicFilter,
}

impl Kind {
    /// Returns its word in an ARN.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Topic => "topic",
            Self::TopicFilter => "topicfilter",
        }
    }
}

/// What a device may do on the topics of its platform. Each topic holds [`THING`] as a whole level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceTopics {
    /// Topics that it publishes to.
    pub publish: Vec<String>,
    /// The one of those topics on which it may retain messages.
    pub retain: Option<String>,
    /// Topics that it subscribes to.
    pub subscribe: Vec<String>,
    /// Whether it may leave a will.
    pub last_will: bool,
}

/// Returns the core policy: connecting, and the topics of the platform.
pub fn core_policy(topics: &DeviceTopics) -> Document<Resource> {
    // Attributes that are not listed are refused. A persistent session lets a device that was offline receive what
    // was sent to it meanwhile. A will has to be allowed here and, as a publish, below.
    let attributes: &'static [&'static str] =
        if topics.last_will { &["LastWill", "PersistentConnect"] } else { &["PersistentConnect"] };
    let mut statements = vec![
        Statement::allow("Connect", ["iot:Connect"], [one(Kind::Client, THING)])
            .when(Condition::words("Bool", "iot:Connection.Thing.IsAttached", &["true"]))
            .when(Condition::words("ForAllValues:StringEquals", "iot:ConnectAttributes", attributes)),
        Statement::allow("Publish", ["iot:Publish"], each(Kind::Topic, &topics.publish)),
    ];
    if let Some(topic) = &topics.retain {
        // In addition to `iot:Publish`: <https://docs.aws.amazon.com/iot/latest/developerguide/retained-message.html>
        statements.push(Statement::allow("Retain", ["iot:RetainPublish"], [one(Kind::Topic, topic)]));
    }
    statements.push(Statement::allow("Subscribe", ["iot:Subscribe"], each(Kind::TopicFilter, &topics.subscribe)));
    statements.push(Statement::allow("Receive", ["iot:Receive"], each(Kind::Topic, &topics.subscribe)));
    Document::new(statements)
}

/// Returns the policy of a shadow: reading and reporting the device's own over MQTT, the classic one unless a name is
/// given.
///
/// Each is a policy of its own next to the core policy, since two together would exceed [`DOCUMENT_CHARS_MAX`].
/// Deleting a shadow is not included: that is left to the operator who retires the device. The name must have no
/// wildcard and no variable.
pub fn shadow_policy(name: Option<&str>) -> Document<Resource> {
    let shadow = shadow_topic(THING, name);
    let topics = |names: &[&str]| -> Vec<String> { names.iter().map(|name| format!("{shadow}/{name}")).collect() };
    let requests = topics(&["get", "update"]);
    let answers = topics(&["get/accepted", "get/rejected", "update/accepted", "update/delta", "update/rejected"]);
    Document::new([
        Statement::allow("Publish", ["iot:Publish"], each(Kind::Topic, &requests)),
        Statement::allow("Subscribe", ["iot:Subscribe"], each(Kind::TopicFilter, &answers)),
        Statement::allow("Receive", ["iot:Receive"], each(Kind::Topic, &answers)),
    ])
}

/// Returns the prefix of the topics of a thing's shadow, the classic one unless a name is given:
/// <https://docs.aws.amazon.com/iot/latest/developerguide/reserved-topics.html>.
pub fn shadow_topic(thing: &str, name: Option<&str>) -> String {
    match name {
        None => format!("$aws/things/{thing}/shadow"),
        Some(name) => format!("$aws/things/{thing}/shadow/name/{name}"),
    }
}

/// Returns the policy of devices of a type that has commands: to receive commands, to respond, and to receive the
/// result of the response.
///
/// An execution has an id that AWS IoT generates, so one level of a topic is not known in advance. In a policy only
/// `*` can stand for it. It comes after the thing's name, and whatever it covers is the device's own.
pub fn commands_policy() -> Document<Resource> {
    let topics = |any: &str, ends: &[&str]| -> Vec<String> {
        ends.iter().map(|end| format!("{COMMANDS}{THING}/executions/{any}/{end}")).collect()
    };
    const HEARD: [&str; 3] = ["request/json", "response/accepted/json", "response/rejected/json"];
    let wide = |name: &String| Target::Many {
        arn: Resource { kind: Kind::Topic, name: name.clone() },
        reason: "AWS IoT makes the ids of executions",
    };
    Document::new([
        Statement::allow("Publish", ["iot:Publish"], topics("*", &["response/json"]).iter().map(wide)),
        Statement::allow("Subscribe", ["iot:Subscribe"], each(Kind::TopicFilter, &topics("+", &HEARD))),
        Statement::allow("Receive", ["iot:Receive"], topics("*", &HEARD).iter().map(wide)),
    ])
}

/// Prefix of the topics of commands.
pub(crate) const COMMANDS: &str = "$aws/commands/things/";

/// Returns the policy of a claim certificate, which many devices share until each has one of its own: to request a
/// certificate for a key that the device generated, and to have it provisioned by one template. No part of it belongs
/// to a single device.
///
/// The client id is a name, a `/` and any string that the device chooses, since two clients with the same id
/// disconnect each other. A thing's name contains no `/`, so a claim certificate never disconnects a device.
pub fn claim_policy(template: &str) -> Document<Resource> {
    let requests = [CREATE_FROM_CSR.to_owned(), format!("{TEMPLATES}{template}/provision/json")];
    let answers: Vec<String> = requests
        .iter()
        .flat_map(|request| ["accepted", "rejected"].map(|answer| format!("{request}/{answer}")))
        .collect();
    let clients = Target::Many {
        arn: Resource { kind: Kind::Client, name: format!("{COMMON_NAME}/*") },
        reason: "devices that are not known yet choose their client ids, none of which can be a thing's",
    };
    Document::new([
        Statement::allow("Connect", ["iot:Connect"], [clients]).when(Condition::words(
            "ForAllValues:StringNotEquals",
            "iot:ConnectAttributes",
            &["LastWill", "PersistentConnect"],
        )),
        Statement::allow("Publish", ["iot:Publish"], each(Kind::Topic, &requests)),
        Statement::allow("Subscribe", ["iot:Subscribe"], each(Kind::TopicFilter, &answers)),
        Statement::allow("Receive", ["iot:Receive"], each(Kind::Topic, &answers)),
    ])
}

/// The topic for requesting a certificate for a key of the device's own.
pub(crate) const CREATE_FROM_CSR: &str = "$aws/certificates/create-from-csr/json";

/// Prefix of the topics of provisioning templates.
pub(crate) const TEMPLATES: &str = "$aws/provisioning-templates/";

/// Returns the length of a document as AWS IoT counts it.
pub fn document_chars(document: &impl Serialize) -> usize {
    let text = serde_json::to_string(document).expect("a policy document has only text keys");
    text.chars().filter(|character| !character.is_whitespace()).count()
}

fn one(kind: Kind, name: &str) -> Target<Resource> {
    Target::One(Resource { kind, name: name.to_owned() })
}

fn each(kind: Kind, names: &[String]) -> impl Iterator<Item = Target<Resource>> {
    names.iter().map(move |name| one(kind, name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arn(resource: Resource) -> String {
        format!("arn:aws:iot:us-east-1:111111111111:{}/{}", resource.kind.as_str(), resource.name)
    }

    fn topics() -> DeviceTopics {
        let topic = |name: &str| format!("sensors/{THING}/{name}");
        DeviceTopics {
            publish: vec![topic("telemetry"), topic("status"), topic("alerts")],
            retain: Some(topic("status")),
            subscribe: vec![topic("alerts/state")],
            last_will: true,
        }
    }

    #[test]
    fn the_core_policy_is_exactly_this() {
        let iot = |rest: &str| format!("arn:aws:iot:us-east-1:111111111111:{rest}");
        assert_eq!(
            serde_json::to_value(core_policy(&topics()).map(arn)).unwrap(),
            json!({"Version": "2012-10-17", "Statement": [
                {"Sid": "Connect", "Effect": "Allow", "Action": "iot:Connect",
                 "Resource": iot("client/${iot:Connection.Thing.ThingName}"),
                 "Condition": {
                    "Bool": {"iot:Connection.Thing.IsAttached": "true"},
                    "ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill", "PersistentConnect"]}}},
                {"Sid": "Publish", "Effect": "Allow", "Action": "iot:Publish", "Resource": [
                    iot("topic/sensors/${iot:Connection.Thing.ThingName}/telemetry"),
                    iot("topic/sensors/${iot:Connection.Thing.ThingName}/status"),
                    iot("topic/sensors/${iot:Connection.Thing.ThingName}/alerts")]},
                {"Sid": "Retain", "Effect": "Allow", "Action": "iot:RetainPublish",
                 "Resource": iot("topic/sensors/${iot:Connection.Thing.ThingName}/status")},
                {"Sid": "Subscribe", "Effect": "Allow", "Action": "iot:Subscribe",
                 "Resource": iot("topicfilter/sensors/${iot:Connection.Thing.ThingName}/alerts/state")},
                {"Sid": "Receive", "Effect": "Allow", "Action": "iot:Receive",
                 "Resource": iot("topic/sensors/${iot:Connection.Thing.ThingName}/alerts/state")}]})
        );
    }

    #[test]
    fn without_a_will_only_a_persistent_session_is_allowed() {
        let document = core_policy(&DeviceTopics { last_will: false, retain: None, ..topics() }).map(arn);
        let value = serde_json::to_value(document).unwrap();
        let condition = &value["Statement"][0]["Condition"]["ForAllValues:StringEquals"];
        assert_eq!(condition["iot:ConnectAttributes"], "PersistentConnect");
        assert!(!value.to_string().contains("RetainPublish"));
    }

    #[test]
    fn the_shadow_policy_names_each_topic_of_the_own_shadow() {
        for (name, before) in [(None, ""), (Some("config"), "name/config/")] {
            let value = serde_json::to_value(shadow_policy(name).map(arn)).unwrap();
            let shadow = |kind: &str, name: &str| {
                format!("arn:aws:iot:us-east-1:111111111111:{kind}/$aws/things/{THING}/shadow/{before}{name}")
            };
            let answers = ["get/accepted", "get/rejected", "update/accepted", "update/delta", "update/rejected"];
            let of = |kind| answers.map(|name| shadow(kind, name));
            assert_eq!(
                value["Statement"],
                json!([
                    {"Sid": "Publish", "Effect": "Allow", "Action": "iot:Publish",
                     "Resource": [shadow("topic", "get"), shadow("topic", "update")]},
                    {"Sid": "Subscribe", "Effect": "Allow", "Action": "iot:Subscribe", "Resource": of("topicfilter")},
                    {"Sid": "Receive", "Effect": "Allow", "Action": "iot:Receive", "Resource": of("topic")},
                ])
            );
        }
    }

    #[test]
    fn every_resource_holds_the_thing_name_and_no_wildcard() {
        for document in [core_policy(&topics()), shadow_policy(None), shadow_policy(Some("config"))] {
            assert_eq!(document.wide_resources().count(), 0);
            for statement in document.statements() {
                for target in statement.resources() {
                    let Target::One(resource) = target else { panic!("{} is wide", statement.sid()) };
                    let level = |name: &str| name.split('/').any(|level| level == THING);
                    assert!(level(&resource.name), "{}", resource.name);
                    assert!(!resource.name.contains(['*', '+', '#', '?']), "{}", resource.name);
                }
            }
        }
    }

    #[test]
    fn the_claim_policy_is_exactly_this() {
        let iot = |rest: &str| format!("arn:aws:iot:us-east-1:111111111111:{rest}");
        let answers = |kind: &str| {
            let of = |request: &str, answer: &str| iot(&format!("{kind}/{request}/{answer}"));
            let (csr, own) =
                ("$aws/certificates/create-from-csr/json", "$aws/provisioning-templates/water-dev/provision/json");
            [of(csr, "accepted"), of(csr, "rejected"), of(own, "accepted"), of(own, "rejected")]
        };
        assert_eq!(
            serde_json::to_value(claim_policy("water-dev").map(arn)).unwrap(),
            json!({"Version": "2012-10-17", "Statement": [
                {"Sid": "Connect", "Effect": "Allow", "Action": "iot:Connect",
                 "Resource": iot("client/${iot:Certificate.Subject.CommonName}/*"),
                 "Condition": {"ForAllValues:StringNotEquals":
                    {"iot:ConnectAttributes": ["LastWill", "PersistentConnect"]}}},
                {"Sid": "Publish", "Effect": "Allow", "Action": "iot:Publish", "Resource": [
                    iot("topic/$aws/certificates/create-from-csr/json"),
                    iot("topic/$aws/provisioning-templates/water-dev/provision/json")]},
                {"Sid": "Subscribe", "Effect": "Allow", "Action": "iot:Subscribe", "Resource": answers("topicfilter")},
                {"Sid": "Receive", "Effect": "Allow", "Action": "iot:Receive", "Resource": answers("topic")}]})
        );
    }

    #[test]
    fn the_commands_policy_hears_and_answers_of_its_own_thing_alone() {
        let value = serde_json::to_value(commands_policy().map(arn)).unwrap();
        let own = |kind: &str, rest: &str| {
            format!("arn:aws:iot:us-east-1:111111111111:{kind}/$aws/commands/things/{THING}/executions/{rest}")
        };
        let heard = |kind: &str, any: &str| {
            ["request/json", "response/accepted/json", "response/rejected/json"]
                .map(|end| own(kind, &format!("{any}/{end}")))
        };
        assert_eq!(
            value["Statement"],
            json!([
                {"Sid": "Publish", "Effect": "Allow", "Action": "iot:Publish", "Resource": own("topic", "*/response/json")},
                {"Sid": "Subscribe", "Effect": "Allow", "Action": "iot:Subscribe", "Resource": heard("topicfilter", "+")},
                {"Sid": "Receive", "Effect": "Allow", "Action": "iot:Receive", "Resource": heard("topic", "*")},
            ])
        );
    }

    /// The longest region names of each partition still leave every document within the limit.
    #[test]
    fn all_fit_in_every_partition() {
        for prefix in
            ["arn:aws:iot:ap-southeast-7", "arn:aws-cn:iot:cn-northwest-1", "arn:aws-us-gov:iot:us-gov-east-1"]
        {
            let arn =
                |resource: Resource| format!("{prefix}:111111111111:{}/{}", resource.kind.as_str(), resource.name);
            let of_shadows = [shadow_policy(None), shadow_policy(Some(&"x".repeat(20)))];
            let others = [core_policy(&topics()), commands_policy(), claim_policy(&"x".repeat(36))];
            for document in of_shadows.into_iter().chain(others) {
                let chars = document_chars(&document.map(arn));
                assert!(chars <= DOCUMENT_CHARS_MAX, "{chars} characters");
            }
        }
    }
}
