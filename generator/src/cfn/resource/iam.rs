//! IAM roles and managed policies.

use serde::Serialize;

use super::Document;
use crate::cfn::{
    stack::{Handle, Resource},
    value::Text,
};

/// A role. Its permissions are in managed policies, never inline.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Role {
    pub(crate) description: &'static str,
    pub(crate) assume_role_policy_document: Document,
    pub(crate) managed_policy_arns: Vec<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) permissions_boundary: Option<Text>,
}

impl Resource for Role {
    const TYPE: &'static str = "AWS::IAM::Role";

    fn wide_resources(&self) -> Vec<(&'static str, &'static str)> {
        self.assume_role_policy_document.wide_resources().collect()
    }
}

impl Handle<Role> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("Arn")
    }
}

/// A managed policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ManagedPolicy {
    pub(crate) description: &'static str,
    pub(crate) policy_document: Document,
}

impl Resource for ManagedPolicy {
    const TYPE: &'static str = "AWS::IAM::ManagedPolicy";
    const TAGS: Option<&'static str> = None;

    fn wide_resources(&self) -> Vec<(&'static str, &'static str)> {
        self.policy_document.wide_resources().collect()
    }
}
