//! The function `query`, which answers questions about samples, and where Amazon Athena looks for them: a workgroup with a
//! limit, a database that knows the exported files, and the questions that people begin with.

use fleetform_engine::rows::{
    aggregates::AGGREGATES,
    columns::{Column, DEVICE_ID, INGESTED_AT, RECORD, SAMPLED_AT, ZONE},
    sql,
};
use fleetform_policy::iam::{Statement, Target};

use super::{
    Given,
    export::Cold,
    table::{NAMESPACE, Samples, TABLE},
};
use crate::{
    cfn::{
        resource::{
            athena::{
                EngineVersion, NamedQuery, ResultConfiguration, ResultEncryption, WorkGroup, WorkGroupConfiguration,
            },
            dynamodb::Table,
            glue::{Database, DatabaseInput},
            s3::Bucket,
        },
        stack::{Handle, Stack},
        value::Text,
    },
    platform::storage::Storage,
    stacks::{
        bucket::{self, Expiry, Plan as BucketPlan},
        catalog,
        function::{self, Plan},
        shared::{FunctionOutputs, common_environment, dead_letters},
        site::Site,
    },
};

/// The table that stands for the exported files.
pub(super) const EXPORTED: &str = "exported";

/// Memory, in MiB: an answer, and the items or the page that it is made of.
const MEMORY_MIB: u32 = 512;
/// Seconds that an answer may take. What takes longer is asked for again.
const TIMEOUT_S: u32 = 30;
/// Days that the results of a query are kept, from which its pages are read.
const RESULT_DAYS: u32 = 1;
/// Where results lie.
const RESULTS: &str = "results/";
/// What stands for the bucket of the table, which CloudFormation names, while a question is put together.
const BUCKET: &str = "\0";

/// Where the exported files are known.
pub(super) fn database(site: &Site<'_>, stack: &mut Stack) -> Handle<Database> {
    stack.add(
        "SampleDatabase",
        Database {
            catalog_id: Text::account(),
            database_input: DatabaseInput {
                // Athena knows letters, digits and underscores ("Name databases, tables, and columns", Amazon Athena user
                // guide).
                name: format!("{}_samples", site.name.replace('-', "_")),
                description: "Exported samples",
            },
        },
    )
}

/// What answers.
pub(super) struct Way<'a> {
    pub(super) kept: &'a Storage,
    pub(super) samples: &'a Samples,
    pub(super) cold: &'a Cold,
    pub(super) database: &'a Handle<Database>,
    pub(super) hot: Option<&'a Handle<Table>>,
    /// The columns of the table as the file has them.
    pub(super) columns: &'a [Column],
}

pub(super) fn add(site: &Site<'_>, stack: &mut Stack, given: &Given, way: &Way<'_>) -> FunctionOutputs {
    let results = bucket::add(
        stack,
        "QueryResultBucket",
        BucketPlan {
            key: &given.key,
            access_log: (&given.access_log, "query-results/"),
            expiry: Expiry::Days(RESULT_DAYS),
            class: None,
        },
        |_| Vec::new(),
    );
    let workgroup = workgroup(site, stack, given, way.kept, &results);
    stack.output("WorkgroupName", "Name of the workgroup for questions about samples", workgroup.reference());
    questions(site, stack, way, &workgroup);
    let mut environment = common_environment(site);
    environment.extend([
        ("FLEETFORM_TABLE_BUCKET_ARN", way.samples.bucket_arn.clone()),
        ("FLEETFORM_TABLE_NAMESPACE", NAMESPACE.into()),
        ("FLEETFORM_TABLE", TABLE.into()),
        ("FLEETFORM_WARM_RETENTION_S", way.kept.retention.warm.as_secs().to_string().into()),
        ("FLEETFORM_WORKGROUP", workgroup.reference()),
        ("FLEETFORM_EXPORTED_DATABASE", way.database.reference()),
        ("FLEETFORM_EXPORTED_TABLE", EXPORTED.into()),
    ]);
    if way.kept.retention.downsample.is_some() {
        environment.insert("FLEETFORM_AGGREGATES_TABLE", AGGREGATES.into());
    }
    let mut statements = statements(way, &workgroup, &results);
    if let (Some(table), crate::platform::storage::Hot::Table { retention }) = (way.hot, way.kept.hot) {
        statements.push(Statement::allow("ReadHot", ["dynamodb:Query"], [Target::One(table.arn())]));
        environment.insert("FLEETFORM_HOT_TABLE", table.reference());
        environment.insert("FLEETFORM_HOT_RETENTION_S", retention.as_secs().to_string().into());
    }
    let plan = Plan {
        id: "Query",
        handler: "query",
        description: "Answers questions about samples",
        code: given.artifacts.code(stack, "LiveCodeKey", "Key of the zip of the function query"),
        memory_mib: MEMORY_MIB,
        timeout_s: TIMEOUT_S,
        reserved: None,
        environment,
        statements,
    };
    let added = function::add(site, stack, &given.key, plan);
    FunctionOutputs {
        name: stack.output("QueryFunctionName", "Name of the function query", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "QueryDeadLettersName"),
        mapping_id: None,
    }
}

fn workgroup(
    site: &Site<'_>,
    stack: &mut Stack,
    given: &Given,
    kept: &Storage,
    results: &Handle<Bucket>,
) -> Handle<WorkGroup> {
    let configuration = WorkGroupConfiguration {
        bytes_scanned_cutoff_per_query: kept.scan_limit,
        enforce_work_group_configuration: true,
        engine_version: EngineVersion { selected_engine_version: "Athena engine version 3" },
        publish_cloud_watch_metrics_enabled: true,
        result_configuration: ResultConfiguration {
            encryption_configuration: ResultEncryption { encryption_option: "SSE_KMS", kms_key: given.key.clone() },
            output_location: Text::concat(["s3://".into(), results.reference(), format!("/{RESULTS}").into()]),
        },
    };
    stack.add(
        "SampleWorkgroup",
        WorkGroup {
            name: format!("{}-samples", site.name),
            description: "Questions about samples",
            state: "ENABLED",
            recursive_delete_option: true,
            work_group_configuration: configuration,
        },
    )
}

/// The questions that people begin with, about the newest samples of the first zone.
fn questions(site: &Site<'_>, stack: &mut Stack, way: &Way<'_>, workgroup: &Handle<WorkGroup>) {
    let Some(zone) = site.platform.zones.keys().next() else { return };
    if sql::numbers(way.columns).next().is_none() {
        return;
    }
    let since = |hours: u32| format!("current_timestamp - INTERVAL '{hours}' HOUR");
    let hourly = sql::hourly(way.columns);
    let rolling = sql::rolling_hour(way.columns, &since(6));
    let all = [
        ("HourlyQuery", "hourly", "Mean and maximum by device and hour, of the last day", since(24), hourly),
        (
            "RollingHourQuery",
            "rolling-hour",
            "Values of the last six hours, each with the mean of an hour",
            since(7),
            rolling,
        ),
    ];
    let is_key = |column: &&Column| [DEVICE_ID, SAMPLED_AT, INGESTED_AT, RECORD].contains(&column.name.as_str());
    let keys = way.columns.iter().filter(is_key);
    let read: Vec<Column> = keys.chain(sql::numbers(way.columns)).cloned().collect();
    let merged: Vec<Column> = sql::numbers(way.columns).cloned().collect();
    for (id, name, title, from, question) in all {
        let conditions = [format!("{SAMPLED_AT} >= {from}"), format!("{ZONE} = {}", sql::text(zone.as_str()))];
        let rows = sql::table(&sql::table_bucket(BUCKET, NAMESPACE, TABLE), &read, &conditions);
        let text = sql::ask(&sql::merged(&merged, &[rows]), &question);
        let mut parts = text.split(BUCKET);
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.flat_map(|part| [way.samples.bucket.clone(), part.to_owned().into()]);
        stack.add(
            id,
            NamedQuery {
                name: name.to_owned(),
                description: format!("{title}, in zone {zone}: put another zone's name in its place"),
                database: way.database.reference(),
                query_string: Text::concat([first.into()].into_iter().chain(rest)),
                work_group: workgroup.reference(),
            },
        );
    }
}

/// What the function may do besides what every function may: read, and leave results ("Access to Athena, AWS Glue and
/// Amazon S3 for workgroups", "Register S3 table bucket catalogs and query Tables from Athena", Amazon Athena user guide).
fn statements(way: &Way<'_>, workgroup: &Handle<WorkGroup>, results: &Handle<Bucket>) -> Vec<Statement<Text>> {
    let Way { samples, cold, database, .. } = way;
    let glue = |rest: &[Text]| Target::One(Text::arn("glue", rest.iter().cloned()));
    let federated = |kind: &'static str, rest: String| {
        glue(&[kind.into(), "/s3tablescatalog/".into(), samples.bucket.clone(), rest.into()])
    };
    let table = |name: &str| glue(&["table/".into(), database.reference(), format!("/{name}").into()]);
    let aggregates = way.kept.retention.downsample.map(|_| table(AGGREGATES));
    let files: Vec<&str> =
        [Some("samples/"), aggregates.as_ref().map(|_| super::export::AGGREGATES)].into_iter().flatten().collect();
    vec![
        Statement::allow(
            "Ask",
            ["athena:GetQueryExecution", "athena:GetQueryResults", "athena:StartQueryExecution"],
            [Target::One(workgroup.arn())],
        ),
        Statement::allow(
            "FindTables",
            ["glue:GetCatalog", "glue:GetDatabase", "glue:GetTable"],
            [
                glue(&["catalog".into()]),
                glue(&[catalog::PATH.into()]),
                glue(&[catalog::PATH.into(), "/".into(), samples.bucket.clone()]),
                federated("database", format!("/{NAMESPACE}")),
                federated("table", format!("/{NAMESPACE}/{TABLE}")),
                // Athena looks at it whatever is asked ("Configure access to databases and tables in the AWS Glue Data
                // Catalog", Amazon Athena user guide).
                glue(&["database/default".into()]),
                glue(&["database/".into(), database.reference()]),
                table(EXPORTED),
            ]
            .into_iter()
            .chain(aggregates),
        ),
        Statement::allow(
            "FindTableBucket",
            ["s3tables:GetNamespace", "s3tables:GetTableBucket"],
            [Target::One(samples.bucket_arn.clone())],
        ),
        Statement::allow(
            "ReadTable",
            ["s3tables:GetTable", "s3tables:GetTableData", "s3tables:GetTableMetadataLocation"],
            [Target::One(samples.table.arn())],
        ),
        Statement::allow(
            "ReadExports",
            ["s3:GetObject"],
            files.into_iter().map(|prefix| bucket::objects(&cold.0.arn(), prefix)),
        ),
        Statement::allow("FindExports", ["s3:GetBucketLocation", "s3:ListBucket"], [Target::One(cold.0.arn())]),
        Statement::allow(
            "KeepResults",
            ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"],
            [bucket::objects(&results.arn(), RESULTS)],
        ),
        Statement::allow(
            "FindResults",
            ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            [Target::One(results.arn())],
        ),
    ]
}
