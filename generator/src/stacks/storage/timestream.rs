//! Amazon Timestream as what keeps samples: a database with its table, and what the functions may do with it.

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

/// The table. Its database has a name of its own in the account.
pub(crate) const TABLE: &str = "samples";

/// Where rows lie that Timestream refused, and those that it took for its magnetic store and could not keep.
const REFUSED: &str = "refused/";
const LATE: &str = "late";

/// Where Timestream writes what `export` reads then.
pub(super) const STAGING: &str = "staging/";

/// Why both functions may ask for endpoints of every table ("Actions, resources, and condition keys for Amazon Timestream",
/// service authorization reference).
const ENDPOINTS: &str = "Timestream has no permissions by resource for asking where to call it";

/// What was added.
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
        // Otherwise rows would lie beside each other by the names of their measures, and one device's in no order.
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
    /// How `store` reaches the table.
    pub(super) fn for_store(&self) -> Access {
        let place = |prefix| bucket::objects(&self.undelivered.arn(), prefix);
        Access {
            statements: vec![
                Statement::allow("WriteSamples", ["timestream:WriteRecords"], [Target::One(self.table.arn())]),
                self.endpoints(),
                // The service writes late rows that it cannot keep by the rights of who sent them.
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

    /// How `export` reaches it, and where Timestream writes for it ("Prerequisites for UNLOAD from Timestream for
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

    /// How `query` reaches it ("Common operations in Timestream for LiveAnalytics", Amazon Timestream developer guide). By
    /// these rights nobody writes, whatever is asked.
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
