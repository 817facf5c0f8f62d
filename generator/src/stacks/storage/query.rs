//! The function `query`, which answers queries about samples, and what it uses in Amazon Athena: a workgroup with a
//! limit, a database for the exported files, and the questions that users commonly start with.

use fleetform_engine::rows::{
    columns::{Column, DEVICE_ID, INGESTED_AT, RECORD, SAMPLED_AT, ZONE},
    sql,
};
use fleetform_policy::iam::{Statement, Target};

use super::{
    Access, Given,
    export::Cold,
    table::{NAMESPACE, Samples, TABLE},
};
use crate::{
    cfn::{
        resource::{
            athena::{
                EngineVersion, NamedQuery, ResultConfiguration, ResultEncryption, WorkGroup, WorkGroupConfiguration,
            },
            glue::{Database, DatabaseInput},
            s3::Bucket,
        },
        stack::{Handle, Stack},
        value::Text,
    },
    platform::storage::{Engine, Storage},
    questions::ROLLING_HOURS,
    stacks::{
        bucket::{self, Expiry, Plan as BucketPlan},
        function::{self, Plan},
        shared::{FunctionOutputs, common_environment, dead_letters},
        site::Site,
    },
};

/// The tables for the exported files and for their aggregates. The exports of one engine stay available under its name
/// after a switch to the other.
pub(super) const fn tables(engine: Engine) -> [&'static str; 2] {
    match engine {
        Engine::Iceberg => ["exported", "aggregates"],
        Engine::Timestream { .. } => ["timestream_exported", "timestream_aggregates"],
    }
}

/// Memory, in MiB: for an answer, and the items or the page that it is built from.
const MEMORY_MIB: u32 = 512;
/// Seconds that a response may take. The caller polls for anything that takes longer.
pub(super) const TABLE_TIMEOUT_S: u32 = 30;
/// The same for Timestream, which may take up to a minute for a page ("Query", Amazon Timestream API).
pub(super) const TIMESTREAM_TIMEOUT_S: u32 = 120;
/// Days that query results are kept, from which pages are read.
const RESULT_DAYS: u32 = 1;
/// The prefix of results.
const RESULTS: &str = "results/";
/// The placeholder, while a query is being assembled, for the table's bucket, which CloudFormation names.
const BUCKET: &str = "\0";

/// Adds the database for the exported files.
pub(super) fn database(site: &Site<'_>, stack: &mut Stack) -> Handle<Database> {
    stack.add(
        "SampleDatabase",
        Database {
            catalog_id: Text::account(),
            database_input: DatabaseInput {
                // Athena allows letters, digits and underscores ("Name databases, tables, and columns", Amazon Athena
                // user guide).
                name: format!("{}_samples", site.name.replace('-', "_")),
                description: "Exported samples",
            },
        },
    )
}

/// The exported files.
pub(super) struct Files<'a> {
    pub(super) kept: &'a Storage,
    pub(super) cold: &'a Cold,
    /// The database that contains their tables.
    pub(super) database: &'a Handle<Database>,
}

pub(super) fn add(
    site: &Site<'_>,
    stack: &mut Stack,
    given: &Given,
    files: &Files<'_>,
    source: Access,
    timeout_s: u32,
) -> (FunctionOutputs, Handle<WorkGroup>) {
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
    let workgroup = workgroup(site, stack, given, files.kept, &results);
    stack.output("WorkgroupName", "Name of the workgroup for questions about samples", workgroup.reference());
    let [exported, aggregates] = tables(files.kept.engine);
    let mut environment = common_environment(site);
    environment.extend(source.environment);
    environment.extend([
        ("FLEETFORM_WARM_RETENTION_S", files.kept.retention.warm.as_secs().to_string().into()),
        ("FLEETFORM_WORKGROUP", workgroup.reference()),
        ("FLEETFORM_EXPORTED_DATABASE", files.database.reference()),
        ("FLEETFORM_EXPORTED_TABLE", exported.into()),
    ]);
    if files.kept.retention.downsample.is_some() {
        environment.insert("FLEETFORM_AGGREGATES_TABLE", aggregates.into());
    }
    let plan = Plan {
        id: "Query",
        handler: "query",
        description: "Answers questions about samples",
        code: given.artifacts.code(stack, "LiveCodeKey", "Key of the zip of the function query"),
        memory_mib: MEMORY_MIB,
        timeout_s,
        reserved: None,
        environment,
        statements: source.statements.into_iter().chain(statements(files, &workgroup, &results)).collect(),
    };
    let added = function::add(site, stack, &given.key, plan);
    let outputs = FunctionOutputs {
        name: stack.output("QueryFunctionName", "Name of the function query", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "QueryDeadLettersName"),
        mapping_id: None,
    };
    (outputs, workgroup)
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

/// The questions that users commonly start with, about the newest samples of the first zone in their table.
pub(super) fn questions(
    site: &Site<'_>,
    stack: &mut Stack,
    samples: &Samples,
    columns: &[Column],
    database: &Handle<Database>,
    workgroup: &Handle<WorkGroup>,
) {
    let Some(zone) = site.platform.zones.keys().next() else { return };
    if sql::numbers(columns).next().is_none() {
        return;
    }
    let since = |hours: u64| format!("current_timestamp - INTERVAL '{hours}' HOUR");
    let hourly = sql::hourly(columns);
    let rolling = sql::rolling_hour(columns, &since(ROLLING_HOURS));
    let all = [
        ("HourlyQuery", "hourly", "Mean and maximum by device and hour, of the last day", since(24), hourly),
        (
            "RollingHourQuery",
            "rolling-hour",
            "Values of the last six hours, each with the mean of an hour",
            since(ROLLING_HOURS + 1),
            rolling,
        ),
    ];
    let is_key = |column: &&Column| [DEVICE_ID, SAMPLED_AT, INGESTED_AT, RECORD].contains(&column.name.as_str());
    let keys = columns.iter().filter(is_key);
    let read: Vec<Column> = keys.chain(sql::numbers(columns)).cloned().collect();
    let merged: Vec<Column> = sql::numbers(columns).cloned().collect();
    for (id, name, title, from, question) in all {
        let conditions = [format!("{SAMPLED_AT} >= {from}"), format!("{ZONE} = {}", sql::text(zone.as_str()))];
        let rows = sql::table(&sql::table_bucket(BUCKET, NAMESPACE, TABLE), &read, &conditions);
        let text = sql::ask(&sql::merged(&merged, &[rows]), &question);
        let mut parts = text.split(BUCKET);
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.flat_map(|part| [samples.bucket.clone(), part.to_owned().into()]);
        stack.add(
            id,
            NamedQuery {
                name: name.to_owned(),
                description: format!("{title}, in zone {zone}: put another zone's name in its place"),
                database: database.reference(),
                query_string: Text::concat([first.into()].into_iter().chain(rest)),
                work_group: workgroup.reference(),
            },
        );
    }
}

/// The function's permissions for any engine: run queries, read exported files, and write results ("Access to Athena,
/// AWS Glue and Amazon S3 for workgroups", Amazon Athena user guide).
fn statements(files: &Files<'_>, workgroup: &Handle<WorkGroup>, results: &Handle<Bucket>) -> Vec<Statement<Text>> {
    let Files { kept, cold: Cold(cold), database } = files;
    let glue = |rest: &[Text]| Target::One(Text::arn("glue", rest.iter().cloned()));
    let table = |name: &str| glue(&["table/".into(), database.reference(), format!("/{name}").into()]);
    let [exported, aggregates] = tables(kept.engine);
    let aggregates = kept.retention.downsample.map(|_| table(aggregates));
    let folders: Vec<&str> =
        [Some("samples/"), aggregates.as_ref().map(|_| super::export::AGGREGATES)].into_iter().flatten().collect();
    vec![
        Statement::allow(
            "Ask",
            ["athena:GetQueryExecution", "athena:GetQueryResults", "athena:StartQueryExecution"],
            [Target::One(workgroup.arn())],
        ),
        Statement::allow(
            "FindExported",
            ["glue:GetCatalog", "glue:GetDatabase", "glue:GetTable"],
            [
                glue(&["catalog".into()]),
                // Athena reads this for every query ("Configure access to databases and tables in the AWS Glue Data
                // Catalog", Amazon Athena user guide).
                glue(&["database/default".into()]),
                glue(&["database/".into(), database.reference()]),
                table(exported),
            ]
            .into_iter()
            .chain(aggregates),
        ),
        Statement::allow(
            "ReadExports",
            ["s3:GetObject"],
            folders.into_iter().map(|prefix| bucket::objects(&cold.arn(), prefix)),
        ),
        Statement::allow("FindExports", ["s3:GetBucketLocation", "s3:ListBucket"], [Target::One(cold.arn())]),
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
