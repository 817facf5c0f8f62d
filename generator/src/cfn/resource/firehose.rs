//! Amazon Data Firehose.

use serde::Serialize;

use crate::cfn::{
    stack::{Handle, Resource},
    value::Text,
};

/// A delivery stream into one table of an Apache Iceberg catalog.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeliveryStream {
    pub(crate) delivery_stream_type: &'static str,
    pub(crate) delivery_stream_encryption_configuration_input: StreamEncryption,
    pub(crate) iceberg_destination_configuration: IcebergDestination,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamEncryption {
    pub(crate) key_type: &'static str,
    #[serde(rename = "KeyARN")]
    pub(crate) key_arn: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IcebergDestination {
    #[serde(rename = "RoleARN")]
    pub(crate) role_arn: Text,
    /// Rows are only added, so the stream scales with its input.
    pub(crate) append_only: bool,
    pub(crate) catalog_configuration: Catalog,
    pub(crate) destination_table_configuration_list: [DestinationTable; 1],
    pub(crate) buffering_hints: Buffering,
    pub(crate) retry_options: Retry,
    // Starts with a lowercase letter here, and with an uppercase one in the bucket destination.
    #[serde(rename = "s3BackupMode")]
    pub(crate) s3_backup_mode: &'static str,
    #[serde(rename = "S3Configuration")]
    pub(crate) s3_configuration: ErrorBucket,
    pub(crate) cloud_watch_logging_options: ErrorLog,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Catalog {
    pub(crate) catalog_arn: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DestinationTable {
    pub(crate) destination_database_name: &'static str,
    pub(crate) destination_table_name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Buffering {
    #[serde(rename = "SizeInMBs")]
    pub(crate) size_mb: u32,
    #[serde(rename = "IntervalInSeconds")]
    pub(crate) interval_s: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Retry {
    #[serde(rename = "DurationInSeconds")]
    pub(crate) duration_s: u32,
}

/// Where undeliverable rows go.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ErrorBucket {
    #[serde(rename = "BucketARN")]
    pub(crate) bucket_arn: Text,
    #[serde(rename = "RoleARN")]
    pub(crate) role_arn: Text,
    pub(crate) error_output_prefix: &'static str,
    pub(crate) compression_format: &'static str,
    pub(crate) encryption_configuration: BucketEncryption,
    pub(crate) cloud_watch_logging_options: ErrorLog,
}

#[derive(Serialize)]
pub(crate) struct BucketEncryption {
    #[serde(rename = "KMSEncryptionConfig")]
    pub(crate) kms: BucketKey,
}

#[derive(Serialize)]
pub(crate) struct BucketKey {
    #[serde(rename = "AWSKMSKeyARN")]
    pub(crate) key_arn: Text,
}

/// Where delivery errors are logged.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ErrorLog {
    pub(crate) enabled: bool,
    pub(crate) log_group_name: Text,
    pub(crate) log_stream_name: &'static str,
}

impl Resource for DeliveryStream {
    const TYPE: &'static str = "AWS::KinesisFirehose::DeliveryStream";
}

impl Handle<DeliveryStream> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("Arn")
    }
}
