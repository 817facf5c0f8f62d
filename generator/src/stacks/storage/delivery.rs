//! The delivery stream, which writes the rows from `store` to the table of samples, and the handling of rows that it
//! cannot write.

use fleetform_policy::iam::{Statement, Target};

use super::{
    Access, Given,
    table::{CHANGE, NAMESPACE, Samples, TABLE},
};
use crate::{
    cfn::{
        resource::{
            cloudformation::TableColumns,
            firehose::{
                BucketEncryption, BucketKey, Buffering, Catalog, DeliveryStream, DestinationTable, ErrorBucket,
                ErrorLog, IcebergDestination, Retry, StreamEncryption,
            },
            logs::{LogGroup, LogStream},
            s3::Bucket,
        },
        stack::{Handle, Stack},
        value::Text,
    },
    stacks::{
        bucket::{self, Expiry, Plan as BucketPlan},
        catalog, encryption,
        site::Site,
    },
};

/// Days that an undeliverable row is kept.
const UNDELIVERED_DAYS: u32 = 365;
/// The buffer size in MB and the buffer interval in seconds before rows are written. The service treats both as hints.
const GATHERED_MB: u32 = 128;
const GATHERED_S: u32 = 60;
/// Seconds for which a row is retried before it is dropped from delivery: the longest that the service offers.
const RETRY_S: u32 = 7_200;
/// Log streams: for the table, and for the bucket of undelivered rows.
const TABLE_LOG: &str = "table";
const UNDELIVERED_LOG: &str = "undelivered";

/// How `store` accesses the delivery stream.
pub(super) fn for_store(stream: &Handle<DeliveryStream>) -> Access {
    Access {
        statements: vec![Statement::allow("Deliver", ["firehose:PutRecordBatch"], [Target::One(stream.arn())])],
        environment: vec![("FLEETFORM_DELIVERY_STREAM", stream.reference())],
    }
}

pub(super) fn add(
    site: &Site<'_>,
    stack: &mut Stack,
    given: &Given,
    samples: &Samples,
    columns: &Handle<TableColumns>,
) -> Handle<DeliveryStream> {
    let undelivered = undelivered_bucket(stack, given);
    let name = ["/aws/kinesisfirehose/".into(), format!("{}-samples-", site.name).into(), Text::stack_uuid()];
    let log_group = stack.add(
        "DeliveryLogGroup",
        LogGroup {
            log_group_name: Text::concat(name),
            kms_key_id: given.key.clone(),
            retention_in_days: site.platform.observe.log_retention_days,
        },
    );
    let log_streams = [("DeliveryTableLogStream", TABLE_LOG), ("DeliveryUndeliveredLogStream", UNDELIVERED_LOG)]
        .map(|(id, name)| stack.add(id, LogStream { log_group_name: log_group.reference(), log_stream_name: name }));
    let statements = statements(given, samples, &undelivered.arn(), &log_group.arn());
    let role = site.role(
        stack,
        "Delivery",
        "Lets the delivery stream write to the table of samples",
        "firehose.amazonaws.com",
        statements,
    );
    let log = |log_stream_name| ErrorLog { enabled: true, log_group_name: log_group.reference(), log_stream_name };
    let stream = DeliveryStream {
        delivery_stream_type: "DirectPut",
        delivery_stream_encryption_configuration_input: StreamEncryption {
            key_type: "CUSTOMER_MANAGED_CMK",
            key_arn: given.key.clone(),
        },
        iceberg_destination_configuration: IcebergDestination {
            role_arn: role.arn(),
            append_only: true,
            catalog_configuration: Catalog { catalog_arn: glue([catalog::PATH, "/"], &samples.bucket) },
            destination_table_configuration_list: [DestinationTable {
                destination_database_name: NAMESPACE,
                destination_table_name: TABLE,
            }],
            buffering_hints: Buffering { size_mb: GATHERED_MB, interval_s: GATHERED_S },
            retry_options: Retry { duration_s: RETRY_S },
            s3_backup_mode: "FailedDataOnly",
            s3_configuration: ErrorBucket {
                bucket_arn: undelivered.arn(),
                role_arn: role.arn(),
                error_output_prefix: "samples/",
                compression_format: "GZIP",
                encryption_configuration: BucketEncryption { kms: BucketKey { key_arn: given.key.clone() } },
                cloud_watch_logging_options: log(UNDELIVERED_LOG),
            },
            cloud_watch_logging_options: log(TABLE_LOG),
        },
    };
    let stream = stack.add("DeliveryStream", stream);
    // The service reads the table's schema when the stream is created, and does not deliver rows with columns that the
    // table lacks.
    stack.wait(&stream, columns);
    log_streams.iter().for_each(|log_stream| stack.wait(&stream, log_stream));
    stream
}

/// The bucket for rows that no table accepts.
pub(super) fn undelivered_bucket(stack: &mut Stack, given: &Given) -> Handle<Bucket> {
    let undelivered = bucket::add(
        stack,
        "UndeliveredBucket",
        BucketPlan {
            key: &given.key,
            access_log: (&given.access_log, "undelivered/"),
            expiry: Expiry::Days(UNDELIVERED_DAYS),
            class: None,
        },
        |_| Vec::new(),
    );
    stack.output(
        "UndeliveredBucketName",
        "Name of the bucket of samples that could not be delivered to their table",
        undelivered.reference(),
    );
    undelivered
}

/// The permissions of the delivery stream ("Grant Firehose access to Amazon S3 Tables", Amazon Data Firehose developer
/// guide), with the permissions for the table itself that IAM requires if Lake Formation does not grant them.
fn statements(given: &Given, samples: &Samples, undelivered: &Text, log_group: &Text) -> Vec<Statement<Text>> {
    let place = |kind, rest: String| {
        Target::One(Text::concat([glue([kind, "/s3tablescatalog/"], &samples.bucket), rest.into()]))
    };
    vec![
        Statement::allow(
            "FindTable",
            ["glue:GetDatabase", "glue:GetTable", "glue:UpdateTable"],
            [
                Target::One(Text::arn("glue", ["catalog".into()])),
                Target::One(Text::arn("glue", [catalog::PATH.into()])),
                Target::One(glue([catalog::PATH, "/"], &samples.bucket)),
                place("database", format!("/{NAMESPACE}")),
                place("table", format!("/{NAMESPACE}/{TABLE}")),
            ],
        ),
        Statement::allow(
            "FindTableBucket",
            ["s3tables:GetNamespace", "s3tables:GetTableBucket"],
            [Target::One(samples.bucket_arn.clone())],
        ),
        Statement::allow("WriteTable", CHANGE, [Target::One(samples.table.arn())]),
        Statement::allow(
            "KeepUndelivered",
            ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
            [bucket::objects(undelivered, "samples/")],
        ),
        Statement::allow(
            "FindUndelivered",
            ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            [Target::One(undelivered.clone())],
        ),
        // The group's ARN ends with `:*`, which stands for its streams.
        Statement::allow("Log", ["logs:PutLogEvents"], [Target::One(log_group.clone())]),
        encryption::use_key("Key", &given.key),
    ]
}

/// Returns an ARN in the data catalog.
fn glue(path: [&'static str; 2], bucket: &Text) -> Text {
    Text::arn("glue", path.map(Text::from).into_iter().chain([bucket.clone()]))
}
