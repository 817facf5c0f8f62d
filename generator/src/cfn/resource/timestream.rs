//! Amazon Timestream for LiveAnalytics: databases and tables.

use serde::Serialize;

use crate::cfn::{
    stack::{Handle, Removal, Resource},
    value::Text,
};

/// A database, named by its stack.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Database {
    pub(crate) kms_key_id: Text,
}

impl Resource for Database {
    const TYPE: &'static str = "AWS::Timestream::Database";
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

/// A table in a database.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Table {
    pub(crate) database_name: Text,
    pub(crate) table_name: &'static str,
    pub(crate) schema: Schema,
    pub(crate) retention_properties: RetentionProperties,
    pub(crate) magnetic_store_write_properties: MagneticStoreWriteProperties,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Schema {
    pub(crate) composite_partition_key: [PartitionKey; 1],
}

/// The key that rows are partitioned by.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PartitionKey {
    pub(crate) r#type: &'static str,
    pub(crate) name: &'static str,
    pub(crate) enforcement_in_record: &'static str,
}

/// How long rows are kept. The service takes both values as strings.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RetentionProperties {
    pub(crate) memory_store_retention_period_in_hours: String,
    pub(crate) magnetic_store_retention_period_in_days: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MagneticStoreWriteProperties {
    pub(crate) enable_magnetic_store_writes: bool,
    pub(crate) magnetic_store_rejected_data_location: RejectedDataLocation,
}

/// Where rows go that were accepted but could not be stored.
#[derive(Serialize)]
pub(crate) struct RejectedDataLocation {
    #[serde(rename = "S3Configuration")]
    pub(crate) s3: S3Configuration,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct S3Configuration {
    pub(crate) bucket_name: Text,
    pub(crate) object_key_prefix: &'static str,
    pub(crate) encryption_option: &'static str,
    pub(crate) kms_key_id: Text,
}

impl Resource for Table {
    const TYPE: &'static str = "AWS::Timestream::Table";
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

impl Handle<Table> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("Arn")
    }
}
