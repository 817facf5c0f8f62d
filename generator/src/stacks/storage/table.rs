//! The table of samples: an S3 Tables bucket, a namespace, and the table with the columns that every platform has.

use fleetform_engine::{
    rows::columns::{DEVICE_ID, FIXED, SAMPLED_AT, SAMPLED_ON, ZONE},
    units::Millis,
};
use fleetform_policy::iam::{Condition, Document, Principals, Statement, Target};

use super::{Access, Given};
use crate::{
    cfn::{
        resource::{
            dynamodb::Table,
            s3tables::{
                Compaction, Encryption, IcebergMetadata, IcebergSchema, IcebergTable, Namespace, PartitionField,
                PartitionSpec, SchemaField, SnapshotManagement, SortField, SortOrder, StorageClass, TableBucket,
                TableBucketPolicy, UnreferencedFileRemoval,
            },
        },
        stack::{Handle, Stack},
        value::Text,
    },
    stacks::{catalog, site::Site},
};

/// The namespace; AWS Glue calls it a database.
pub(super) const NAMESPACE: &str = "telemetry";
/// The table.
pub(super) const TABLE: &str = "samples";

/// Target size of compacted files, in MB.
const FILE_MB: u32 = 128;
/// Hours for which earlier versions of the table can be read: enough for three days of mistakes and a weekend.
const SNAPSHOT_HOURS: u32 = 120;
/// Days after which a file that no snapshot refers to is marked for deletion, and days that it is then still kept.
const UNREFERENCED_DAYS: u32 = 3;
const NONCURRENT_DAYS: u32 = 10;

/// The added resources.
pub(super) struct Samples {
    pub(super) bucket_arn: Text,
    /// Name of the bucket.
    pub(super) bucket: Text,
    pub(super) table: Handle<IcebergTable>,
}

/// The permissions required to load a table through the Iceberg REST API and to commit to it ("Accessing tables using
/// the Amazon S3 Tables Iceberg REST endpoint", Amazon S3 user guide).
pub(super) const CHANGE: [&str; 5] = [
    "s3tables:GetTable",
    "s3tables:GetTableData",
    "s3tables:GetTableMetadataLocation",
    "s3tables:PutTableData",
    "s3tables:UpdateTableMetadataLocation",
];

impl Samples {
    /// How `export` accesses the table: rows are removed by a metadata commit.
    pub(super) fn for_export(&self) -> Access {
        Access {
            statements: vec![Statement::allow("ReadTable", CHANGE, [Target::One(self.table.arn())])],
            environment: self.names().into(),
        }
    }

    /// How `query` accesses it, and the hot table if there is one ("Register S3 table bucket catalogs and query Tables
    /// from Athena", Amazon Athena user guide).
    pub(super) fn for_query(&self, hot: Option<&(Handle<Table>, Millis)>) -> Access {
        let glue = |rest: &[Text]| Target::One(Text::arn("glue", rest.iter().cloned()));
        let federated = |kind: &'static str, rest: String| {
            glue(&[kind.into(), "/s3tablescatalog/".into(), self.bucket.clone(), rest.into()])
        };
        let mut statements = vec![
            Statement::allow(
                "FindTable",
                ["glue:GetCatalog", "glue:GetDatabase", "glue:GetTable"],
                [
                    glue(&[catalog::PATH.into()]),
                    glue(&[catalog::PATH.into(), "/".into(), self.bucket.clone()]),
                    federated("database", format!("/{NAMESPACE}")),
                    federated("table", format!("/{NAMESPACE}/{TABLE}")),
                ],
            ),
            Statement::allow(
                "FindTableBucket",
                ["s3tables:GetNamespace", "s3tables:GetTableBucket"],
                [Target::One(self.bucket_arn.clone())],
            ),
            Statement::allow(
                "ReadTable",
                ["s3tables:GetTable", "s3tables:GetTableData", "s3tables:GetTableMetadataLocation"],
                [Target::One(self.table.arn())],
            ),
        ];
        let mut environment = Vec::from(self.names());
        if let Some((table, retention)) = hot {
            statements.push(Statement::allow("ReadHot", ["dynamodb:Query"], [Target::One(table.arn())]));
            environment.push(("FLEETFORM_HOT_TABLE", table.reference()));
            environment.push(("FLEETFORM_HOT_RETENTION_S", retention.as_secs().to_string().into()));
        }
        Access { statements, environment }
    }

    fn names(&self) -> [(&'static str, Text); 3] {
        [
            ("FLEETFORM_TABLE_BUCKET_ARN", self.bucket_arn.clone()),
            ("FLEETFORM_TABLE_NAMESPACE", NAMESPACE.into()),
            ("FLEETFORM_TABLE", TABLE.into()),
        ]
    }
}

pub(super) fn add(site: &Site<'_>, stack: &mut Stack, given: &Given) -> Samples {
    let name = Text::concat([site.table_bucket_prefix().into(), Text::stack_uuid()]);
    let bucket = stack.add(
        "TableBucket",
        TableBucket {
            table_bucket_name: name.clone(),
            encryption_configuration: Encryption { algorithm: "aws:kms", key: given.key.clone() },
            // Data that is not read for a month costs less, and is read just as fast.
            storage_class_configuration: StorageClass { storage_class: "INTELLIGENT_TIERING" },
            unreferenced_file_removal: UnreferencedFileRemoval {
                status: "Enabled",
                unreferenced_days: UNREFERENCED_DAYS,
                noncurrent_days: NONCURRENT_DAYS,
            },
        },
    );
    let everything = Target::Many {
        arn: Text::concat([bucket.arn(), "/*".into()]),
        reason: "a table bucket's policy is for all of its tables",
    };
    let tls_only = Statement::deny("TlsOnly", ["s3tables:*"], [Target::One(bucket.arn()), everything])
        .by(Principals::Anybody)
        .when(Condition::truth("Bool", "aws:SecureTransport", false));
    stack.add(
        "TableBucketPolicy",
        TableBucketPolicy { table_bucket_arn: bucket.arn(), resource_policy: Document::new([tls_only]) },
    );
    let namespace = stack.add("SampleNamespace", Namespace { table_bucket_arn: bucket.arn(), namespace: NAMESPACE });
    let table = stack.add(
        "SampleTable",
        IcebergTable {
            table_bucket_arn: bucket.arn(),
            namespace: NAMESPACE,
            table_name: TABLE,
            open_table_format: "ICEBERG",
            iceberg_metadata: metadata(),
            compaction: Compaction { status: "enabled", target_file_size_mb: FILE_MB },
            snapshot_management: SnapshotManagement {
                status: "enabled",
                min_snapshots_to_keep: 1,
                max_snapshot_age_hours: SNAPSHOT_HOURS,
            },
        },
    );
    stack.wait(&table, &namespace);
    Samples { bucket_arn: bucket.arn(), bucket: name, table }
}

/// The table's initial schema. It is the same for every platform and must never change: CloudFormation can only replace
/// a table, so it contains no readings and nothing else that may change.
fn metadata() -> IcebergMetadata {
    let fields = (1..).zip(FIXED).map(|(id, column)| SchemaField {
        id,
        name: column.name,
        r#type: column.column_type.as_str(),
        required: column.required,
    });
    let sorted =
        |name| SortField { source_id: id_of(name), transform: "identity", direction: "asc", null_order: "nulls-first" };
    IcebergMetadata {
        iceberg_schema: IcebergSchema { schema_field_list: fields.collect() },
        iceberg_partition_spec: PartitionSpec {
            fields: vec![
                PartitionField { name: ZONE, source_id: id_of(ZONE), transform: "identity" },
                PartitionField { name: SAMPLED_ON, source_id: id_of(SAMPLED_AT), transform: "day" },
            ],
        },
        iceberg_sort_order: SortOrder { fields: vec![sorted(DEVICE_ID), sorted(SAMPLED_AT)] },
    }
}

/// The id of a column that every platform has: its position in the table.
fn id_of(name: &str) -> u32 {
    let place = (1..).zip(FIXED).find(|(_, column)| column.name == name);
    place.map(|(id, _)| id).expect("a column of every platform")
}
