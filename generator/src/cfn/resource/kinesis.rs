//! Kinesis data streams.

use serde::Serialize;

use crate::cfn::{
    stack::{Handle, Removal, Resource},
    value::Text,
};

/// A stream.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Stream {
    pub(crate) stream_mode_details: StreamModeDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shard_count: Option<u32>,
    pub(crate) retention_period_hours: u64,
    pub(crate) stream_encryption: StreamEncryption,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamModeDetails {
    pub(crate) stream_mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamEncryption {
    pub(crate) encryption_type: &'static str,
    pub(crate) key_id: Text,
}

impl Resource for Stream {
    const TYPE: &'static str = "AWS::Kinesis::Stream";
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

impl Handle<Stream> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("Arn")
    }
}

/// A consumer with its own read throughput.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamConsumer {
    pub(crate) consumer_name: &'static str,
    #[serde(rename = "StreamARN")]
    pub(crate) stream_arn: Text,
}

impl Resource for StreamConsumer {
    const TYPE: &'static str = "AWS::Kinesis::StreamConsumer";
}

impl Handle<StreamConsumer> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("ConsumerARN")
    }
}
