//! Amazon S3 Tables: table buckets, their policies, namespaces and Apache Iceberg tables.

use serde::Serialize;
use smol_str::SmolStr;

use super::Document;
use crate::cfn::{
    stack::{Handle, Removal, Resource},
    value::Text,
};

/// A table bucket.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableBucket {
    pub(crate) table_bucket_name: Text,
    pub(crate) encryption_configuration: Encryption,
    /// The default for tables that set no storage class.
    pub(crate) storage_class_configuration: StorageClass,
    pub(crate) unreferenced_file_removal: UnreferencedFileRemoval,
}

#[derive(Serialize)]
pub(crate) struct Encryption {
    #[serde(rename = "SSEAlgorithm")]
    pub(crate) algorithm: &'static str,
    #[serde(rename = "KMSKeyArn")]
    pub(crate) key: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StorageClass {
    pub(crate) storage_class: &'static str,
}

/// When files that no snapshot of a table refers to are removed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UnreferencedFileRemoval {
    pub(crate) status: &'static str,
    pub(crate) unreferenced_days: u32,
    pub(crate) noncurrent_days: u32,
}

impl Resource for TableBucket {
    const TYPE: &'static str = "AWS::S3Tables::TableBucket";
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

impl Handle<TableBucket> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("TableBucketARN")
    }
}

/// A table bucket policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableBucketPolicy {
    #[serde(rename = "TableBucketARN")]
    pub(crate) table_bucket_arn: Text,
    pub(crate) resource_policy: Document,
}

impl Resource for TableBucketPolicy {
    const TYPE: &'static str = "AWS::S3Tables::TableBucketPolicy";
    const TAGS: Option<&'static str> = None;

    fn wide_resources(&self) -> Vec<(&'static str, &'static str)> {
        self.resource_policy.wide_resources().collect()
    }
}

/// A namespace in a table bucket.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Namespace {
    #[serde(rename = "TableBucketARN")]
    pub(crate) table_bucket_arn: Text,
    pub(crate) namespace: &'static str,
}

impl Resource for Namespace {
    const TYPE: &'static str = "AWS::S3Tables::Namespace";
    const TAGS: Option<&'static str> = None;
    // A namespace that contains a table cannot be deleted, and its table is retained.
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

/// A table. Everything but its maintenance settings is create-only: changing it creates another table.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IcebergTable {
    #[serde(rename = "TableBucketARN")]
    pub(crate) table_bucket_arn: Text,
    pub(crate) namespace: &'static str,
    pub(crate) table_name: &'static str,
    pub(crate) open_table_format: &'static str,
    pub(crate) iceberg_metadata: IcebergMetadata,
    pub(crate) compaction: Compaction,
    pub(crate) snapshot_management: SnapshotManagement,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IcebergMetadata {
    pub(crate) iceberg_schema: IcebergSchema,
    pub(crate) iceberg_partition_spec: PartitionSpec,
    pub(crate) iceberg_sort_order: SortOrder,
}

/// A schema without nested types; those need `IcebergSchemaV2`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IcebergSchema {
    pub(crate) schema_field_list: Vec<SchemaField>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SchemaField {
    pub(crate) id: u32,
    pub(crate) name: SmolStr,
    pub(crate) r#type: &'static str,
    pub(crate) required: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PartitionSpec {
    pub(crate) fields: Vec<PartitionField>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PartitionField {
    pub(crate) name: &'static str,
    /// The id of a column.
    pub(crate) source_id: u32,
    pub(crate) transform: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SortOrder {
    pub(crate) fields: Vec<SortField>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SortField {
    /// The id of a column.
    pub(crate) source_id: u32,
    pub(crate) transform: &'static str,
    pub(crate) direction: &'static str,
    pub(crate) null_order: &'static str,
}

/// How small files are compacted into larger ones. The service writes the words in lowercase here.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Compaction {
    pub(crate) status: &'static str,
    #[serde(rename = "TargetFileSizeMB")]
    pub(crate) target_file_size_mb: u32,
}

/// How long earlier versions of a table can be read.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SnapshotManagement {
    pub(crate) status: &'static str,
    pub(crate) min_snapshots_to_keep: u32,
    pub(crate) max_snapshot_age_hours: u32,
}

impl Resource for IcebergTable {
    const TYPE: &'static str = "AWS::S3Tables::Table";
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

impl Handle<IcebergTable> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("TableARN")
    }
}
