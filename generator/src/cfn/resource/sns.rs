//! SNS topics, their policies and subscriptions.

use serde::Serialize;
use smol_str::SmolStr;

use super::Document;
use crate::cfn::{stack::Resource, value::Text};

/// A topic.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Topic {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) topic_name: Option<String>,
    /// The sender name that text messages start with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<SmolStr>,
    pub(crate) kms_master_key_id: Text,
}

impl Resource for Topic {
    const TYPE: &'static str = "AWS::SNS::Topic";
}

/// A topic policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TopicPolicy {
    pub(crate) topics: [Text; 1],
    pub(crate) policy_document: Document,
}

impl Resource for TopicPolicy {
    const TYPE: &'static str = "AWS::SNS::TopicPolicy";
    const TAGS: Option<&'static str> = None;

    fn wide_resources(&self) -> Vec<(&'static str, &'static str)> {
        self.policy_document.wide_resources().collect()
    }
}

/// An address that a topic sends to.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Subscription {
    pub(crate) topic_arn: Text,
    pub(crate) protocol: &'static str,
    pub(crate) endpoint: SmolStr,
}

impl Resource for Subscription {
    const TYPE: &'static str = "AWS::SNS::Subscription";
    const TAGS: Option<&'static str> = None;
}
