//! The function `relay`, which sends operators' changes to rules to the shards of the telemetry stream.

use fleetform_policy::iam::{Statement, Target};

use super::{Given, read_table_stream};
use crate::{
    cfn::{resource::lambda::EventSourceMapping, stack::Stack},
    stacks::{
        alerting,
        function::{self, Plan},
        ingest,
        shared::{FunctionOutputs, common_environment, dead_letters, keep_failures},
        site::Site,
    },
};

/// Memory, in MiB: it mostly waits for the stream, and stores nothing.
const MEMORY_MIB: u32 = 256;
/// Seconds that a batch may take: a few requests for each of its rows.
const TIMEOUT_S: u32 = 60;
/// Rows per batch. If a batch stops at a row, that row and all following ones are delivered again.
const BATCH_SIZE: u32 = 10;

pub(super) fn add(
    site: &Site<'_>,
    stack: &mut Stack,
    given: &Given,
    ingest: &ingest::Outputs,
    alerting: &alerting::Outputs,
) -> FunctionOutputs {
    let stream_arn = stack.import(&ingest.stream_arn);
    let configuration_stream_arn = stack.import(&alerting.configuration_stream_arn);
    let mut statements = vec![
        read_table_stream("ReadConfiguration", &configuration_stream_arn),
        Statement::allow("TellShards", ["kinesis:ListShards", "kinesis:PutRecords"], [Target::One(stream_arn.clone())]),
    ];
    statements.extend(keep_failures(&given.failures));
    let mut environment = common_environment(site);
    environment.insert("FLEETFORM_STREAM_ARN", stream_arn);
    let plan = Plan {
        id: "Relay",
        handler: "relay",
        description: "Tells the shards what operators set for rules",
        code: given.artifacts.code(stack, "JobsCodeKey", "Key of the zip of the functions relay and sweep"),
        memory_mib: MEMORY_MIB,
        timeout_s: TIMEOUT_S,
        reserved: None,
        environment,
        statements,
    };
    let added = function::add(site, stack, &given.key, plan);
    let mapping = EventSourceMapping {
        batch_size: BATCH_SIZE,
        ..function::mapping(configuration_stream_arn, &added.function, given.failures.clone())
    };
    let mapping = stack.add("RelayEventSource", mapping);
    FunctionOutputs {
        name: stack.output("RelayFunctionName", "Name of the function relay", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "RelayDeadLettersName"),
        mapping_id: Some(stack.output("RelayEventSourceId", "Id of the event source of relay", mapping.reference())),
    }
}
