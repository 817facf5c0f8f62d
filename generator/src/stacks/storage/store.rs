//! The function `store`, which turns the messages of the telemetry stream into rows and puts them into the delivery
//! stream.

use fleetform_engine::units::Millis;
use fleetform_policy::iam::{Statement, Target::One};

use super::{Access, Given};
use crate::{
    cfn::{
        resource::{dynamodb::Table, lambda::EventSourceMapping},
        stack::{Handle, Stack},
    },
    stacks::{
        bucket,
        function::{self, Plan},
        ingest, processing,
        shared::{FunctionOutputs, common_environment, dead_letters, keep_failures, read_stream},
        site::Site,
    },
};

/// Memory, in MiB.
const MEMORY_MIB: u32 = 256;
/// Seconds that a batch may take, including retries if a service is slow.
const TIMEOUT_S: u32 = 120;
/// Records per batch, set to the maximum of the service, and seconds in which they accumulate. A batch that covers a
/// minute of a shard becomes one item of the hot table for everything that a device sent in it. 6 MB of records end a
/// batch earlier ("CreateEventSourceMapping", AWS Lambda API).
const BATCH_SIZE: u32 = 10_000;
const BATCH_WINDOW_S: u64 = 60;
/// The maximum record age that a mapping accepts ("CreateEventSourceMapping", AWS Lambda API).
const RECORD_AGE_MAX_S: u64 = 604_800;

/// The source and the destination of rows, and the state that the function keeps.
pub(super) struct Way<'a> {
    pub(super) ingest: &'a ingest::Outputs,
    pub(super) processing: &'a processing::Outputs,
    /// The destination of rows.
    pub(super) target: Access,
    pub(super) registrations: &'a Handle<Table>,
    pub(super) hot: Option<&'a (Handle<Table>, Millis)>,
    pub(super) rule_set_sha256: &'a str,
}

pub(super) fn add(site: &Site<'_>, stack: &mut Stack, given: &Given, way: Way<'_>) -> FunctionOutputs {
    let Way { ingest, processing, target, registrations, hot, rule_set_sha256 } = way;
    let stream_arn = stack.import(&ingest.stream_arn);
    let state_arn = stack.import(&processing.state_arn);
    let mut statements = vec![
        read_stream(&stream_arn),
        // A device that was registered before samples were stored is known only from its shard's states.
        Statement::allow(
            "ReadState",
            ["s3:GetObject"],
            ["log/", "base/", "start/"].map(|prefix| bucket::objects(&state_arn, prefix)),
        ),
        Statement::allow("ListState", ["s3:ListBucket"], [One(state_arn)]),
    ];
    statements.extend(target.statements);
    statements.push(Statement::allow(
        "Registrations",
        ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
        [One(registrations.arn())],
    ));
    let mut environment = common_environment(site);
    environment.extend([
        ("FLEETFORM_ARTIFACT_BUCKET", given.artifacts.bucket.clone()),
        ("FLEETFORM_RULE_SET_SHA256", rule_set_sha256.into()),
        ("FLEETFORM_STREAM_ARN", stream_arn.clone()),
        ("FLEETFORM_STREAM_GENERATION", site.platform.stream.generation.to_string().into()),
        ("FLEETFORM_STATE_BUCKET", stack.import(&processing.state_name)),
        ("FLEETFORM_STATE_REPAIR", "0".into()),
        ("FLEETFORM_REGISTRATIONS_TABLE", registrations.reference()),
    ]);
    environment.extend(target.environment);
    if let Some((table, retention)) = hot {
        statements.push(Statement::allow("Hot", ["dynamodb:BatchWriteItem"], [One(table.arn())]));
        environment.insert("FLEETFORM_HOT_TABLE", table.reference());
        environment.insert("FLEETFORM_HOT_RETENTION_S", retention.as_secs().to_string().into());
    }
    statements.extend(keep_failures(&given.failures));
    statements.extend(given.artifacts.read_rule_sets());
    let plan = Plan {
        id: "Store",
        handler: "store",
        description: "Stores the samples of the telemetry stream",
        code: given.code(stack),
        memory_mib: MEMORY_MIB,
        timeout_s: TIMEOUT_S,
        reserved: None,
        environment,
        statements,
    };
    let added = function::add(site, stack, &given.key, plan);
    let mapping = EventSourceMapping {
        batch_size: BATCH_SIZE,
        batching_window_s: BATCH_WINDOW_S,
        // As long as the stream keeps them: samples are not urgent, and the first batch is as old as the stream.
        record_age_max_s: site.platform.stream.retention.as_secs().min(RECORD_AGE_MAX_S),
        ..function::mapping(stream_arn, &added.function, given.failures.clone())
    };
    let mapping = stack.add("StoreEventSource", mapping);
    FunctionOutputs {
        name: stack.output("StoreFunctionName", "Name of the function store", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "StoreDeadLettersName"),
        mapping_id: Some(stack.output("StoreEventSourceId", "Id of the event source of store", mapping.reference())),
    }
}
