//! A platform at the place where it is deployed: names, and what all its stacks share.

use std::sync::Arc;

use fleetform_engine::{
    ids::{ContactId, DeviceTypeId, ZoneId},
    rule_set::Channel,
};
use fleetform_policy::iam::{Condition, Document, POLICY_CHARS_MAX, Principals, Statement};
use sha2::{Digest, Sha256};
use smol_str::SmolStr;

use crate::{
    cfn::{
        resource::iam::{ManagedPolicy, Role},
        stack::{Common, Handle, Stack},
        value::Text,
    },
    platform::Platform,
};

/// Longest name of a thing type, a thing group, an IoT policy or a topic rule, in characters.
const IOT_NAME_CHARS_MAX: usize = 128;

/// Longest name of a provisioning template, in characters.
const PROVISIONING_TEMPLATE_NAME_CHARS_MAX: usize = 36;

/// Longest name of a table bucket, in characters, without the part that a stack gives it: `-` and the stack's own 36.
const TABLE_BUCKET_PREFIX_CHARS_MAX: usize = 63 - 36;

/// Longest description of a template, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 1_024;

/// A platform at the place where it is deployed.
pub(crate) struct Site<'a> {
    /// What is deployed.
    pub(crate) platform: &'a Platform,
    /// `<prefix>-<environment>`: the first part of every physical name.
    pub(crate) name: String,
    common: Arc<Common>,
}

impl<'a> Site<'a> {
    /// The site of one environment.
    pub(crate) fn new(platform: &'a Platform) -> Self {
        let common = Common { tags: platform.tags.clone(), overrides: platform.overrides.clone() };
        Self {
            platform,
            name: format!("{}-{}", platform.deploy.prefix, platform.environment.id),
            common: Arc::new(common),
        }
    }

    /// An empty stack of this site.
    pub(crate) fn stack(&self, name: impl Into<SmolStr>, purpose: &str) -> Stack {
        self.described(name, format!("{}: {purpose}", self.name))
    }

    /// An empty stack that all environments of the platform in one account and region share: nothing in it names one.
    pub(crate) fn shared_stack(&self, name: impl Into<SmolStr>, purpose: &str) -> Stack {
        self.described(name, format!("{}: {purpose}", self.platform.deploy.prefix))
    }

    fn described(&self, name: impl Into<SmolStr>, mut description: String) -> Stack {
        description.truncate(description.floor_char_boundary(DESCRIPTION_BYTES_MAX));
        Stack::new(name, description, &self.common)
    }

    /// Bytes that a resource's tags take in a template, at most.
    pub(crate) fn tag_bytes(&self) -> usize {
        self.common.tags.iter().map(|(key, value)| key.len() + value.len() + 60).sum()
    }

    /// Name of the thing type of a device type.
    pub(crate) fn thing_type(&self, id: &DeviceTypeId) -> String {
        self.iot_name(id.as_str())
    }

    /// Name of the thing group of a zone.
    pub(crate) fn thing_group(&self, id: &ZoneId) -> String {
        self.iot_name(id.as_str())
    }

    /// Name of something in AWS IoT.
    pub(crate) fn iot_name(&self, what: &str) -> String {
        self.bounded(format!("{}-{what}", self.name))
    }

    /// A name in AWS IoT, cut short with a hash where it would be too long.
    pub(crate) fn bounded(&self, name: String) -> String {
        cut(name, IOT_NAME_CHARS_MAX)
    }

    /// Name of the template by which devices are provisioned.
    pub(crate) fn provisioning_template(&self) -> String {
        cut(self.name.clone(), PROVISIONING_TEMPLATE_NAME_CHARS_MAX)
    }

    /// The first part of the name of a table bucket; the rest is its stack's own, so that a stack of the same name can be
    /// created again while the bucket of the old one, which stays, is still there.
    pub(crate) fn table_bucket_prefix(&self) -> String {
        let mut prefix = cut(self.name.clone(), TABLE_BUCKET_PREFIX_CHARS_MAX - 1);
        prefix.push('-');
        prefix
    }

    /// Name of a topic rule, which takes no `-`.
    pub(crate) fn topic_rule(&self, channel: &str) -> String {
        self.iot_name(channel).replace('-', "_")
    }

    /// Name of the SNS topic of a contact and a channel.
    pub(crate) fn topic(&self, contact: &ContactId, channel: Channel) -> String {
        format!("{}-{contact}-{}", self.name, channel.as_str())
    }

    /// ARN of that topic, which needs no look-up since the topic has a fixed name.
    pub(crate) fn topic_arn(&self, contact: &ContactId, channel: Channel) -> Text {
        Text::arn("sns", [self.topic(contact, channel).into()])
    }

    /// Contacts with an SNS topic for text messages or e-mail, and which of the two.
    pub(crate) fn topics(&self) -> impl Iterator<Item = (&'a ContactId, Channel)> {
        self.platform.contacts.iter().flat_map(|(id, contact)| {
            let sms = (!contact.sms.is_empty()).then_some((id, Channel::Sms));
            let email = (!contact.email.is_empty()).then_some((id, Channel::Email));
            sms.into_iter().chain(email)
        })
    }

    /// A role that one service assumes, with a managed policy of its own: `<id>Role` and `<id>Policy`, and `<id>Policy2` and so
    /// on where one has no room for all.
    pub(crate) fn role(
        &self,
        stack: &mut Stack,
        id: &str,
        description: &'static str,
        service: &'static str,
        statements: impl IntoIterator<Item = Statement<Text>>,
    ) -> Handle<Role> {
        let documents = Document::parts(statements, POLICY_CHARS_MAX, Text::chars).into_iter().enumerate();
        let policies = documents.map(|(index, policy_document)| {
            let number = if index == 0 { String::new() } else { (index + 1).to_string() };
            stack.add(format!("{id}Policy{number}"), ManagedPolicy { description, policy_document }).reference()
        });
        let policies = policies.collect();
        self.bare_role(stack, &format!("{id}Role"), description, service, policies)
    }

    /// A role that one service assumes, with these managed policies.
    pub(crate) fn bare_role(
        &self,
        stack: &mut Stack,
        id: &str,
        description: &'static str,
        service: &'static str,
        managed_policy_arns: Vec<Text>,
    ) -> Handle<Role> {
        // "The confused deputy problem" in the IAM User Guide asks for this, but no page there says which services send the
        // account. For Lambda, what AWS publishes itself has the condition: `lambda-trust-policy.json` in the repository
        // aws/agent-toolkit-for-aws. `aws:SourceArn` would be narrower, but a function needs its role before it has an ARN.
        let trust = Statement::trust("Trust", Principals::Services(vec![service.into()])).when(in_this_account());
        stack.add(
            id,
            Role {
                description,
                assume_role_policy_document: Document::new([trust]),
                managed_policy_arns,
                permissions_boundary: self.platform.security.permissions_boundary.as_ref().map(Text::from),
            },
        )
    }
}

/// A service acts for this account and for no other.
pub(crate) fn in_this_account() -> Condition<Text> {
    Condition::text("StringEquals", "aws:SourceAccount", Text::account())
}

/// A name cut short with a hash where it would be too long.
fn cut(name: String, chars_max: usize) -> String {
    if name.len() <= chars_max {
        return name;
    }
    let hash = short_hash(&name);
    format!("{}-{hash}", &name[..chars_max - hash.len() - 1])
}

/// Eight hexadecimal digits that stand for a text.
pub(crate) fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}
