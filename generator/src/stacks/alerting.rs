//! The stack `alerting`: the recipients of notices, and what has been sent to them.

use fleetform_engine::{ids::ContactId, rule_set::Channel};
use fleetform_policy::iam::{Condition, Document, Principals, Statement, Target};
use smol_str::SmolStr;

use super::{
    ingest,
    site::{Site, in_this_account, short_hash},
    spread::{Item, Spread, spread},
};
use crate::cfn::{
    resource::{
        dynamodb::Table,
        sns::{Subscription, Topic, TopicPolicy},
    },
    stack::{Output, Stack},
    value::{Text, logical_id},
};

/// The index of unsettled notices, keyed by a digit of their id and the time at which they were last put into the
/// stream.
pub(crate) const OPEN_INDEX: &str = "open";

/// The values that other stacks need.
pub(crate) struct Outputs {
    pub(crate) outbox_name: Output,
    pub(crate) outbox_arn: Output,
    pub(crate) outbox_stream_arn: Output,
    pub(crate) alerts_name: Output,
    pub(crate) alerts_arn: Output,
    pub(crate) deliveries_name: Output,
    pub(crate) deliveries_arn: Output,
    pub(crate) configuration_name: Output,
    pub(crate) configuration_stream_arn: Output,
}

/// Builds the stacks: one, or more if there are very many contacts.
pub(crate) fn stacks(site: &Site<'_>, ingest: &ingest::Outputs) -> (Vec<Stack>, Outputs) {
    let (main, outputs) = main(site, ingest);
    let stacks = topics(site, main).fill(|stack, (contact, channel)| {
        let key = stack.import(&ingest.key_arn);
        let id = logical_id(
            contact.as_str(),
            match channel {
                Channel::Sms => "Sms",
                Channel::Email => "Email",
                Channel::Webhook => unreachable!("a webhook has no topic"),
            },
        );
        // A text message starts with the display name. Without one, SNS rejects phone subscriptions.
        let display_name = (channel == Channel::Sms).then(|| site.platform.deploy.prefix.clone());
        let topic = Topic { topic_name: Some(site.topic(contact, channel)), display_name, kms_master_key_id: key };
        add_topic(stack, &id, topic, &[(channel, addresses(site, contact, channel))]);
    });
    (stacks, outputs)
}

/// How full each stack is, as a percentage of the point at which another one is started.
pub(crate) fn fills(site: &Site<'_>, ingest: &ingest::Outputs) -> Vec<(SmolStr, usize)> {
    topics(site, main(site, ingest).0).fills()
}

/// Returns the stack without the topics, along with the values that other stacks need.
fn main(site: &Site<'_>, ingest: &ingest::Outputs) -> (Stack, Outputs) {
    let mut stack = site.stack("alerting", "notices to send, the alert history and the topics of the contacts");
    let key = stack.import(&ingest.key_arn);
    let outbox = stack.add(
        "OutboxTable",
        Table::new("id", None, &key).with_index(OPEN_INDEX, "open", "touched_at").with_stream("NEW_IMAGE"),
    );
    let alerts = stack.add("AlertsTable", Table::new("device", Some("episode"), &key));
    let deliveries = stack.add("DeliveriesTable", Table::new("notification", Some("target"), &key));
    let configuration =
        stack.add("AlertConfigurationTable", Table::new("rule", None, &key).with_stream("NEW_AND_OLD_IMAGES"));
    let outputs = Outputs {
        outbox_name: stack.output("OutboxTableName", "Name of the table of notices to send", outbox.reference()),
        outbox_arn: stack.output("OutboxTableArn", "ARN of the table of notices to send", outbox.arn()),
        outbox_stream_arn: stack.output("OutboxStreamArn", "ARN of that table's stream", outbox.stream_arn()),
        alerts_name: stack.output("AlertsTableName", "Name of the table of alerts", alerts.reference()),
        alerts_arn: stack.output("AlertsTableArn", "ARN of the table of alerts", alerts.arn()),
        deliveries_name: stack.output("DeliveriesTableName", "Name of the table of deliveries", deliveries.reference()),
        deliveries_arn: stack.output("DeliveriesTableArn", "ARN of the table of deliveries", deliveries.arn()),
        configuration_name: stack.output(
            "AlertConfigurationTableName",
            "Name of the table of what operators set for rules",
            configuration.reference(),
        ),
        configuration_stream_arn: stack.output(
            "AlertConfigurationStreamArn",
            "ARN of that table's stream",
            configuration.stream_arn(),
        ),
    };
    (stack, outputs)
}

/// Distributes the topics of contacts, over further stacks if they do not fit into `main`.
fn topics<'p>(site: &Site<'p>, main: Stack) -> Spread<(&'p ContactId, Channel)> {
    let items = site.topics().map(|(contact, channel)| {
        let addresses = addresses(site, contact, channel);
        Item {
            id: contact.as_str().into(),
            tier: 0,
            resources: 2 + addresses.len(),
            bytes: 1_000 + addresses.iter().map(SmolStr::len).sum::<usize>(),
            content: (contact, channel),
        }
    });
    spread(site, main, "more topics of contacts", items.collect())
}

/// The addresses of a contact on a channel, without duplicates.
pub(crate) fn addresses(site: &Site<'_>, contact: &ContactId, channel: Channel) -> Vec<SmolStr> {
    let contact = &site.platform.contacts[contact];
    let mut addresses = match channel {
        Channel::Sms => contact.sms.clone(),
        Channel::Email => contact.email.clone(),
        Channel::Webhook => Vec::new(),
    };
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Adds the topic `<id>Topic`, its policy, and its subscriptions. Their ids are derived from their addresses, so
/// changing one leaves the others alone.
pub(crate) fn add_topic(stack: &mut Stack, id: &str, topic: Topic, addresses: &[(Channel, Vec<SmolStr>)]) -> Text {
    let topic = stack.add(format!("{id}Topic"), topic);
    let this = || [Target::One(topic.reference())];
    let services = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"].map(Text::from).to_vec();
    let policy_document = Document::new([
        Statement::deny("TlsOnly", ["sns:Publish"], this()).by(Principals::Anybody).when(Condition::truth(
            "Bool",
            "aws:SecureTransport",
            false,
        )),
        Statement::allow("Alarms", ["sns:Publish"], this()).by(Principals::Services(services)).when(in_this_account()),
    ]);
    stack.add(format!("{id}TopicPolicy"), TopicPolicy { topics: [topic.reference()], policy_document });
    for (channel, addresses) in addresses {
        for endpoint in addresses {
            let id = format!("{id}Subscription{}", short_hash(endpoint));
            let protocol = channel.as_str();
            stack.add(id, Subscription { topic_arn: topic.reference(), protocol, endpoint: endpoint.clone() });
        }
    }
    topic.reference()
}
