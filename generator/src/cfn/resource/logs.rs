//! CloudWatch Logs.

use serde::Serialize;

use crate::cfn::{
    stack::{Handle, Removal, Resource},
    value::Text,
};

/// A log stream, for a service that does not create its own.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LogStream {
    pub(crate) log_group_name: Text,
    pub(crate) log_stream_name: &'static str,
}

impl Resource for LogStream {
    const TYPE: &'static str = "AWS::Logs::LogStream";
    const TAGS: Option<&'static str> = None;
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

/// A log group.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LogGroup {
    pub(crate) log_group_name: Text,
    pub(crate) kms_key_id: Text,
    pub(crate) retention_in_days: u32,
}

impl Resource for LogGroup {
    const TYPE: &'static str = "AWS::Logs::LogGroup";
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

impl Handle<LogGroup> {
    /// Ends in `:*`, which stands for the group's streams.
    pub(crate) fn arn(&self) -> Text {
        self.attribute("Arn")
    }
}
