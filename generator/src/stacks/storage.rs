//! The stack `storage`: the table of samples, the path of a sample into it, and the storage that the functions on that
//! path use. The table is either in Amazon S3 Tables or in Amazon Timestream.

mod columns;
mod delivery;
mod export;
mod query;
mod store;
mod table;
pub(crate) mod timestream;

use fleetform_engine::rows::columns::{FIXED, columns as all_columns};
use fleetform_policy::iam::Statement;

use super::{
    ingest, processing,
    shared::{Artifacts, FunctionOutputs},
    site::Site,
};
use crate::{
    cfn::{
        resource::{dynamodb::Table, lambda::Code},
        stack::{Output, Stack},
        value::Text,
    },
    platform::storage::{Engine, Hot},
    rule_set::without_rules,
};

/// The values that other stacks need.
pub(crate) struct Outputs {
    pub(crate) store: FunctionOutputs,
    pub(crate) export: FunctionOutputs,
    pub(crate) columns: FunctionOutputs,
    pub(crate) query: FunctionOutputs,
    pub(crate) registrations_name: Output,
    /// Only if samples are in an Amazon S3 Tables table.
    pub(crate) delivery_stream_name: Option<Output>,
    /// `None` if there is no hot table.
    pub(crate) hot_name: Option<Output>,
    /// Only if Timestream stores samples.
    pub(crate) timestream_database_name: Option<Output>,
}

/// How a function accesses the sample store: its environment variables and permissions.
struct Access {
    statements: Vec<Statement<Text>>,
    environment: Vec<(&'static str, Text)>,
}

/// What the stack is built from, besides the platform.
struct Given {
    key: Text,
    access_log: Text,
    artifacts: Artifacts,
    /// ARN of the bucket for records that could not be processed.
    failures: Text,
}

impl Given {
    /// `columns` and `store` share one zip file.
    fn code(&self, stack: &mut Stack) -> Code {
        self.artifacts.code(stack, "StoreCodeKey", "Key of the zip of the functions columns and store")
    }
}

/// Builds the stack, if samples are stored.
pub(crate) fn stacks(
    site: &Site<'_>,
    ingest: &ingest::Outputs,
    processing: &processing::Outputs,
    rule_set_sha256: &str,
) -> (Vec<Stack>, Option<Outputs>) {
    let Some(kept) = &site.platform.storage else { return (Vec::new(), None) };
    let mut stack = site.stack("storage", "the table of samples and the way into it");
    let given = Given {
        key: stack.import(&ingest.key_arn),
        access_log: stack.import(&ingest.access_log_bucket),
        artifacts: Artifacts::of(site, &mut stack),
        failures: stack.import(&processing.failures_arn),
    };
    let cold = export::add_cold(&mut stack, &given, kept);
    let registrations = stack.add("RegistrationsTable", Table::new("id", None, &given.key));
    let registrations_name = stack.output(
        "RegistrationsTableName",
        "Name of the table of what devices are, for their samples",
        registrations.reference(),
    );
    let store_from =
        |target, hot| store::Way { ingest, processing, target, registrations: &registrations, hot, rule_set_sha256 };
    let all =
        all_columns(&without_rules(site.platform)).expect("readings that fit into no table do not pass the checks");
    let own = all[FIXED.len()..].to_vec();
    let database = query::database(site, &mut stack);
    let files = query::Files { kept, cold: &cold, database: &database };
    let outputs = match kept.engine {
        Engine::Iceberg => {
            let samples = table::add(site, &mut stack, &given);
            let (columns, brought_about) = columns::add(site, &mut stack, &given, Some(&samples), &files, own);
            let delivery = delivery::add(site, &mut stack, &given, &samples, &brought_about);
            let hot = match kept.hot {
                Hot::Same => None,
                Hot::Table { retention } => {
                    Some((stack.add("HotTable", Table::new("device_id", Some("sample"), &given.key)), retention))
                }
            };
            let way = store_from(delivery::for_store(&delivery), hot.as_ref());
            let store = store::add(site, &mut stack, &given, way);
            let export = export::add(site, &mut stack, &given, kept, &cold, samples.for_export());
            let (query, workgroup) =
                query::add(site, &mut stack, &given, &files, samples.for_query(hot.as_ref()), query::TABLE_TIMEOUT_S);
            query::questions(site, &mut stack, &samples, &all, &database, &workgroup);
            stack.output("TableBucketArn", "ARN of the table bucket of the samples", samples.bucket_arn);
            Outputs {
                store,
                export,
                registrations_name,
                columns,
                query,
                delivery_stream_name: Some(stack.output(
                    "DeliveryStreamName",
                    "Name of the stream that delivers samples to their table",
                    delivery.reference(),
                )),
                hot_name: hot.map(|(table, _)| {
                    stack.output("HotTableName", "Name of the table of the newest samples", table.reference())
                }),
                timestream_database_name: None,
            }
        }
        Engine::Timestream { memory } => {
            let timestream = timestream::add(&mut stack, &given, kept, memory);
            let (columns, _) = columns::add(site, &mut stack, &given, None, &files, own);
            let store = store::add(site, &mut stack, &given, store_from(timestream.for_store(), None));
            let source = timestream.for_export(&cold, &given.key);
            let export = export::add(site, &mut stack, &given, kept, &cold, source);
            let source = timestream.for_query();
            let (query, _) = query::add(site, &mut stack, &given, &files, source, query::TIMESTREAM_TIMEOUT_S);
            Outputs {
                store,
                export,
                registrations_name,
                columns,
                query,
                delivery_stream_name: None,
                hot_name: None,
                timestream_database_name: Some(timestream.database_name),
            }
        }
    };
    (vec![stack], Some(outputs))
}
