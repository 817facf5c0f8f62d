//! A function of the runtime: log group, dead-letter queue, policy, role and the function, in that order, so that the
//! role may do everything before the function first needs it.

use std::collections::BTreeMap;

use fleetform_policy::iam::{Condition, Document, Principals, Statement, Target};

use super::{encryption, site::Site};
use crate::cfn::{
    resource::{
        lambda::{
            Code, DeadLetterConfig, DestinationConfig, Environment, EventSourceMapping, Function, LoggingConfig,
            MetricsConfig, OnFailure, TracingConfig,
        },
        logs::LogGroup,
        sqs::{Queue, QueuePolicy},
    },
    stack::{Handle, Stack},
    value::Text,
};

/// Retries of one batch. The age of its records decides, not this count, which function errors would use up within
/// minutes: it is the highest that the service takes.
const RETRIES_MAX: u32 = 10_000;

/// Seconds that a dead letter is kept: the longest that SQS offers.
const DEAD_LETTER_RETENTION_S: u32 = 14 * 86_400;

/// How a function differs from the others.
pub(crate) struct Plan {
    /// Its logical id, in Pascal case.
    pub(crate) id: &'static str,
    /// Its handler, which the binary is told by `_HANDLER`.
    pub(crate) handler: &'static str,
    pub(crate) description: &'static str,
    pub(crate) code: Code,
    pub(crate) memory_mib: u32,
    pub(crate) timeout_s: u32,
    pub(crate) reserved: Option<u32>,
    pub(crate) environment: BTreeMap<&'static str, Text>,
    /// What it may do besides writing its log, its traces and its dead letters.
    pub(crate) statements: Vec<Statement<Text>>,
}

/// What was added for a function.
pub(crate) struct Added {
    pub(crate) function: Handle<Function>,
    pub(crate) dead_letters: Handle<Queue>,
}

/// Adds a function and everything that only it uses.
pub(crate) fn add(site: &Site<'_>, stack: &mut Stack, key: &Text, plan: Plan) -> Added {
    let id = plan.id;
    // The stack's own part of the name lets a stack of the same name be created again while the old log group, which
    // stays when its stack goes, is still there.
    let name = ["/aws/lambda/".into(), format!("{}-{}-", site.name, plan.handler).into(), Text::stack_uuid()];
    let log_group = stack.add(
        format!("{id}LogGroup"),
        LogGroup {
            log_group_name: Text::concat(name),
            kms_key_id: key.clone(),
            retention_in_days: site.platform.observe.log_retention_days,
        },
    );
    let dead_letters = add_queue(stack, &format!("{id}DeadLetters"), key);
    let own = [
        // The group's ARN ends in `:*`, which are its streams.
        Statement::allow("Log", ["logs:CreateLogStream", "logs:PutLogEvents"], [Target::One(log_group.arn())]),
        Statement::allow("DeadLetters", ["sqs:SendMessage"], [Target::One(dead_letters.arn())]),
    ];
    let is_traced = site.platform.observe.tracing;
    let traces = is_traced.then(|| {
        Statement::allow(
            "Traces",
            ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
            [Target::Every { reason: "X-Ray has no permissions by resource" }],
        )
    });
    let statements = own.into_iter().chain(traces).chain([encryption::use_key("Key", key)]).chain(plan.statements);
    let role = site.role(stack, id, plan.description, "lambda.amazonaws.com", statements);
    let function = stack.add(
        format!("{id}Function"),
        Function {
            description: plan.description,
            runtime: "provided.al2023",
            architectures: [site.platform.processor.arch.as_str()],
            handler: plan.handler,
            code: plan.code,
            memory_size: plan.memory_mib,
            timeout: plan.timeout_s,
            role: role.arn(),
            environment: Environment { variables: plan.environment },
            kms_key_arn: key.clone(),
            dead_letter_config: DeadLetterConfig { target_arn: dead_letters.arn() },
            tracing_config: TracingConfig { mode: if is_traced { "Active" } else { "PassThrough" } },
            // The runtime writes JSON by itself; this makes the service's own lines JSON too.
            logging_config: LoggingConfig { log_format: "JSON", log_group: log_group.reference() },
            reserved_concurrent_executions: plan.reserved,
        },
    );
    Added { function, dead_letters }
}

/// Adds a queue for dead letters that takes TLS only.
fn add_queue(stack: &mut Stack, id: &str, key: &Text) -> Handle<Queue> {
    let queue =
        stack.add(id, Queue { kms_master_key_id: key.clone(), message_retention_period: DEAD_LETTER_RETENTION_S });
    let tls_only = Statement::deny("TlsOnly", ["sqs:*"], [Target::One(queue.arn())])
        .by(Principals::Anybody)
        .when(Condition::truth("Bool", "aws:SecureTransport", false));
    stack.add(
        format!("{id}Policy"),
        QueuePolicy { queues: [queue.reference()], policy_document: Document::new([tls_only]) },
    );
    queue
}

/// How a stream feeds a function: from the oldest record, one batch of a shard at a time, and what nobody could
/// process goes whole to a bucket.
pub(crate) fn mapping(source_arn: Text, function: &Handle<Function>, failures_arn: Text) -> EventSourceMapping {
    EventSourceMapping {
        event_source_arn: source_arn,
        function_name: function.reference(),
        starting_position: "TRIM_HORIZON",
        batch_size: 100,
        batching_window_s: 0,
        parallelization_factor: 1,
        bisect_batch_on_function_error: true,
        maximum_retry_attempts: RETRIES_MAX,
        record_age_max_s: 86_400,
        function_response_types: ["ReportBatchItemFailures"],
        destination_config: DestinationConfig { on_failure: OnFailure { destination: failures_arn } },
        metrics_config: MetricsConfig { metrics: ["EventCount"] },
        filter_criteria: None,
    }
}
