//! The function `sweep` and its schedule.

use fleetform_policy::iam::{Statement, Target};

use super::Given;
use crate::{
    cfn::{
        resource::{s3::Bucket, scheduler::Schedule},
        stack::{Handle, Stack},
        value::Text,
    },
    stacks::{
        alerting, bucket,
        function::{self, Plan},
        ingest,
        schedule::{self, Plan as SchedulePlan},
        shared::{FunctionOutputs, common_environment, dead_letters},
        site::Site,
    },
};

/// Memory, in MiB: it mostly waits for other services, and stores little.
const MEMORY_MIB: u32 = 256;
/// Seconds that one sweep may take. The next may start in the meantime: a repeated sweep has no further effect.
const TIMEOUT_S: u32 = 120;
/// How long an undeliverable event is kept, and how often its delivery is retried. A later sweep does everything that
/// an earlier one would have done.
const EVENT_AGE_MAX_S: u32 = 60;
const RETRIES_MAX: u32 = 2;

pub(super) fn add(
    site: &Site<'_>,
    stack: &mut Stack,
    given: &Given,
    ingest: &ingest::Outputs,
    alerting: &alerting::Outputs,
    state: &Handle<Bucket>,
) -> FunctionOutputs {
    let platform = site.platform;
    let stream_arn = stack.import(&ingest.stream_arn);
    let outbox_arn = stack.import(&alerting.outbox_arn);
    let open_index = Text::concat([outbox_arn.clone(), "/index/".into(), alerting::OPEN_INDEX.into()]);
    let statements = vec![
        Statement::allow("TellTime", ["kinesis:ListShards", "kinesis:PutRecords"], [Target::One(stream_arn.clone())]),
        Statement::allow("ListState", ["s3:ListBucket"], [Target::One(state.arn())]),
        // No other role may delete any part of the state, and no role may delete the start of a chain.
        Statement::allow(
            "ClearState",
            ["s3:DeleteObject"],
            ["log/", "base/"].map(|prefix| bucket::objects(&state.arn(), prefix)),
        ),
        Statement::allow("FindNotices", ["dynamodb:Query"], [Target::One(open_index)]),
        Statement::allow("TouchNotices", ["dynamodb:UpdateItem"], [Target::One(outbox_arn)]),
    ];
    let mut environment = common_environment(site);
    environment.extend([
        ("FLEETFORM_STATE_BUCKET", state.reference()),
        ("FLEETFORM_STREAM_ARN", stream_arn),
        ("FLEETFORM_STREAM_GENERATION", platform.stream.generation.to_string().into()),
        ("FLEETFORM_STATE_REPAIR", "0".into()),
        ("FLEETFORM_OUTBOX_TABLE", stack.import(&alerting.outbox_name)),
    ]);
    let plan = Plan {
        id: "Sweep",
        handler: "sweep",
        description: "Tells silent shards the time and clears away what nobody needs",
        code: given.artifacts.code(stack, "JobsCodeKey", "Key of the zip of the functions relay and sweep"),
        memory_mib: MEMORY_MIB,
        timeout_s: TIMEOUT_S,
        reserved: None,
        environment,
        statements,
    };
    let added = function::add(site, stack, &given.key, plan);
    schedule::add(
        site,
        stack,
        &given.key,
        &added,
        SchedulePlan {
            id: "SweepSchedule",
            description: "Wakes the function sweep",
            role_description: "Lets the schedule wake the function sweep",
            expression: Schedule::every_minutes(platform.processor.sweep_every.as_secs() / 60),
            timezone: None,
            event_age_max_s: EVENT_AGE_MAX_S,
            retries_max: RETRIES_MAX,
        },
    );
    FunctionOutputs {
        name: stack.output("SweepFunctionName", "Name of the function sweep", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "SweepDeadLettersName"),
        mapping_id: None,
    }
}
