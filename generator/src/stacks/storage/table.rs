//! The table of samples: a bucket of S3 Tables, a namespace, and the table with the columns that every platform has.

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

/// The namespace, which AWS Glue calls a database.
pub(super) const NAMESPACE: &str = "telemetry";
/// The table.
pub(super) const TABLE: &str = "samples";

/// Size that small files are made into, in MB.
const FILE_MB: u32 = 128;
/// Hours in which the table can still be read as it was: three days of mistakes, and a weekend.
const SNAPSHOT_HOURS: u32 = 120;
/// Days after which a file goes that no snapshot refers to, and days that it is kept still.
const UNREFERENCED_DAYS: u32 = 3;
const NONCURRENT_DAYS: u32 = 10;

/// What was added.
pub(super) struct Samples {
    pub(super) bucket_arn: Text,
    /// Name of the bucket.
    pub(super) bucket: Text,
    pub(super) table: Handle<IcebergTable>,
}

/// What loading a table by Iceberg's REST and committing to it come down to ("Accessing tables using the Amazon S3 Tables
/// Iceberg REST endpoint", Amazon S3 user guide).
pub(super) const CHANGE: [&str; 5] = [
    "s3tables:GetTable",
    "s3tables:GetTableData",
    "s3tables:GetTableMetadataLocation",
    "s3tables:PutTableData",
    "s3tables:UpdateTableMetadataLocation",
];

impl Samples {
    /// How `export` reaches the table: rows leave it by a commit of metadata.
    pub(super) fn for_export(&self) -> Access {
        Access {
            statements: vec![Statement::allow("ReadTable", CHANGE, [Target::One(self.table.arn())])],
            environment: self.names().into(),
        }
    }

    /// How `query` reaches it, and the hot table where there is one ("Register S3 table bucket catalogs and query Tables from
    /// Athena", Amazon Athena user guide).
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
            // What is not read for a month costs less, and is read as quickly.
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

/// The table as it is made. It is the same for every platform, for ever: CloudFormation can only replace a table by another
/// one, so a reading has no place here, and neither has anything else that may change.
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

/// The id of a column that every platform has: its place in the table.
fn id_of(name: &str) -> u32 {
    let place = (1..).zip(FIXED).find(|(_, column)| column.name == name);
    place.map(|(id, _)| id).expect("a column of every platform")
}
