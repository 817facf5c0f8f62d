//! KMS keys.

use serde::Serialize;

use super::Document;
use crate::cfn::{
    stack::{Handle, Removal, Resource},
    value::Text,
};

/// A symmetric key.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Key {
    pub(crate) description: String,
    pub(crate) enable_key_rotation: bool,
    pub(crate) key_policy: Document,
}

impl Resource for Key {
    const TYPE: &'static str = "AWS::KMS::Key";
    const REMOVAL: Option<Removal> = Some(Removal::Retain);

    fn wide_resources(&self) -> Vec<(&'static str, &'static str)> {
        self.key_policy.wide_resources().collect()
    }
}

impl Handle<Key> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("Arn")
    }
}

/// A name for a key.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Alias {
    pub(crate) alias_name: String,
    pub(crate) target_key_id: Text,
}

impl Resource for Alias {
    const TYPE: &'static str = "AWS::KMS::Alias";
    const TAGS: Option<&'static str> = None;
}
