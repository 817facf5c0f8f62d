//! Amazon Timestream as the sample store: a database with its table, and the functions' permissions for it.

use fleetform_engine::{rows::columns::DEVICE_ID, units::Millis};
use fleetform_policy::iam::{Statement, Target};

use super::{Access, Given, delivery::undelivered_bucket, export};
use crate::{
    cfn::{
        resource::{
            s3::Bucket,
            timestream::{
                Database, MagneticStoreWriteProperties, PartitionKey, RejectedDataLocation, RetentionProperties,
                S3Configuration, Schema, Table,
            },
        },
        stack::{Handle, Output, Stack},
        value::Text,
    },
    platform::storage::Storage,
    stacks::bucket,
};

/// The table. Its database has a unique name in the account.
pub(crate) const TABLE: &str = "samples";

/// The prefixes of rows that Timestream rejected, and of rows that it accepted for its magnetic store but could not
/// store.
const REFUSED: &str = "refused/";
const LATE: &str = "late";

/// The prefix that Timestream unloads to, from which `export` then reads.
pub(super) const STAGING: &str = "staging/";

/// Why both functions may request endpoints for every table ("Actions, resources, and condition keys for Amazon
/// Timestream", service authorization reference).
const ENDPOINTS: &str = "Timestream has no permissions by resource for asking where to call it";

/// The added resources.
pub(super) struct Timestream {
    pub(super) database_name: Output,
    database: Text,
    table: Handle<Table>,
    undelivered: Handle<Bucket>,
}

pub(super) fn add(stack: &mut Stack, given: &Given, kept: &Storage, memory: Millis) -> Timestream {
    let undelivered = undelivered_bucket(stack, given);
    let database = stack.add("TimestreamDatabase", Database { kms_key_id: given.key.clone() });
    let table = Table {
        database_name: database.reference(),
        table_name: TABLE,
        // By default, rows would be partitioned by measure name, which scatters the rows of a device.
        schema: Schema {
            composite_partition_key: [PartitionKey {
                r#type: "DIMENSION",
                name: DEVICE_ID,
                enforcement_in_record: "REQUIRED",
            }],
        },
        retention_properties: RetentionProperties {
            memory_store_retention_period_in_hours: (memory.as_secs() / 3_600).to_string(),
            magnetic_store_retention_period_in_days: (kept.retention.warm.as_secs() / 86_400).to_string(),
        },
        magnetic_store_write_properties: MagneticStoreWriteProperties {
            enable_magnetic_store_writes: true,
            magnetic_store_rejected_data_location: RejectedDataLocation {
                s3: S3Configuration {
                    bucket_name: undelivered.reference(),
                    object_key_prefix: LATE,
                    encryption_option: "SSE_KMS",
                    kms_key_id: given.key.clone(),
                },
            },
        },
    };
    let table = stack.add("TimestreamTable", table);
    let database_name =
        stack.output("TimestreamDatabaseName", "Name of the database of the samples", database.reference());
    Timestream { database_name, database: database.reference(), table, undelivered }
}

impl Timestream {
    /// How `store` accesses the table.
    pub(super) fn for_store(&self) -> Access {
        let place = |prefix| bucket::objects(&self.undelivered.arn(), prefix);
        Access {
            statements: vec![
                Statement::allow("WriteSamples", ["timestream:WriteRecords"], [Target::One(self.table.arn())]),
                self.endpoints(),
                // The service uses the sender's permissions to write late rows that it cannot store.
                Statement::allow("KeepRefused", ["s3:PutObject"], [place(REFUSED), place("late/")]),
                Statement::allow("FindRefused", ["s3:GetBucketAcl"], [Target::One(self.undelivered.arn())]),
            ],
            environment: self
                .names()
                .into_iter()
                .chain([("FLEETFORM_UNDELIVERED_BUCKET", self.undelivered.reference())])
                .collect(),
        }
    }

    /// How `export` accesses it, and where Timestream writes for it ("Prerequisites for UNLOAD from Timestream for
    /// LiveAnalytics", Amazon Timestream developer guide).
    pub(super) fn for_export(&self, export::Cold(cold): &export::Cold, key: &Text) -> Access {
        let staging = || [bucket::objects(&cold.arn(), STAGING)];
        let unload = ["timestream:DescribeTable", "timestream:ListMeasures", "timestream:Select", "timestream:Unload"];
        Access {
            statements: vec![
                Statement::allow("Unload", unload, [Target::One(self.table.arn())]),
                self.endpoints(),
                Statement::allow(
                    "Stage",
                    ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
                    staging(),
                ),
                Statement::allow("FindStage", ["s3:GetBucketAcl"], [Target::One(cold.arn())]),
            ],
            environment: self.names().into_iter().chain([("FLEETFORM_KEY_ARN", key.clone())]).collect(),
        }
    }

    /// How `query` accesses it ("Common operations in Timestream for LiveAnalytics", Amazon Timestream developer
    /// guide). These permissions do not allow writing, whatever the query.
    pub(super) fn for_query(&self) -> Access {
        let select = ["timestream:DescribeTable", "timestream:ListMeasures", "timestream:Select"];
        Access {
            statements: vec![Statement::allow("Select", select, [Target::One(self.table.arn())]), self.endpoints()],
            environment: self.names().into(),
        }
    }

    fn names(&self) -> [(&'static str, Text); 2] {
        [("FLEETFORM_TIMESTREAM_DATABASE", self.database.clone()), ("FLEETFORM_TIMESTREAM_TABLE", TABLE.into())]
    }

    fn endpoints(&self) -> Statement<Text> {
        Statement::allow("Endpoints", ["timestream:DescribeEndpoints"], [Target::Every { reason: ENDPOINTS }])
    }
}
