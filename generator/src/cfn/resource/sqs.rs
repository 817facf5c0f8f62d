//! SQS queues, which hold messages that could not be delivered.

use serde::Serialize;

use super::Document;
use crate::cfn::{
    stack::{Handle, Removal, Resource},
    value::Text,
};

/// A queue.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Queue {
    pub(crate) kms_master_key_id: Text,
    /// Seconds.
    pub(crate) message_retention_period: u32,
}

impl Resource for Queue {
    const TYPE: &'static str = "AWS::SQS::Queue";
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

impl Handle<Queue> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("Arn")
    }

    pub(crate) fn name(&self) -> Text {
        self.attribute("QueueName")
    }
}

/// A queue policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueuePolicy {
    pub(crate) queues: [Text; 1],
    pub(crate) policy_document: Document,
}

impl Resource for QueuePolicy {
    const TYPE: &'static str = "AWS::SQS::QueuePolicy";
    const TAGS: Option<&'static str> = None;

    fn wide_resources(&self) -> Vec<(&'static str, &'static str)> {
        self.policy_document.wide_resources().collect()
    }
}
