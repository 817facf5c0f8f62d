//! The stack `processing`: the functions of the runtime, their event sources and schedules, and the storage of their
//! state.

mod relay;
mod sweep;

use std::collections::BTreeSet;

use fleetform_policy::iam::{Condition, Document, POLICY_CHARS_MAX, Principals, Statement, Target};

use super::{
    alerting,
    bucket::{self, Expiry, Plan as BucketPlan},
    function::{self, Plan},
    ingest,
    shared::{Artifacts, FunctionOutputs, common_environment, dead_letters, keep_failures, read_stream},
    site::Site,
};
use crate::cfn::{
    resource::{
        dynamodb::Table,
        kinesis::StreamConsumer,
        lambda::{EventSourceMapping, Filter, FilterCriteria},
        s3::Bucket,
    },
    stack::{Handle, Output, Stack},
    value::Text,
};

/// Days that a record is kept that could not be processed.
const FAILURE_DAYS: u32 = 365;

/// Above this number of topics, `notify` is granted access to the platform's topics by prefix, because its managed
/// policies have no room for all of them.
const TOPICS_BY_NAME_MAX: usize = 30;

/// The values that other stacks need.
pub(crate) struct Outputs {
    pub(crate) evaluate: FunctionOutputs,
    pub(crate) notify: FunctionOutputs,
    pub(crate) relay: FunctionOutputs,
    pub(crate) sweep: FunctionOutputs,
    pub(crate) quarantine_name: Output,
    pub(crate) failures_arn: Output,
    pub(crate) state_name: Output,
    pub(crate) state_arn: Output,
}

/// What the stack is built from, besides the platform.
struct Given {
    key: Text,
    artifacts: Artifacts,
    /// ARN of the bucket for records that could not be processed.
    failures: Text,
}

/// Builds the stack.
pub(crate) fn stacks(
    site: &Site<'_>,
    ingest: &ingest::Outputs,
    alerting: &alerting::Outputs,
    rule_set_sha256: &str,
) -> (Vec<Stack>, Outputs) {
    let mut stack = site.stack("processing", "the functions of the runtime, their state and their failures");
    let key = stack.import(&ingest.key_arn);
    let access_log = stack.import(&ingest.access_log_bucket);
    let artifacts = Artifacts::of(site, &mut stack);
    let state = bucket::add(
        &mut stack,
        "StateBucket",
        BucketPlan { key: &key, access_log: (&access_log, "state/"), expiry: Expiry::Never, class: None },
        |arn| vec![create_only(arn)],
    );
    let failures = bucket::add(
        &mut stack,
        "FailureBucket",
        BucketPlan {
            key: &key,
            access_log: (&access_log, "failures/"),
            expiry: Expiry::Days(FAILURE_DAYS),
            class: None,
        },
        |_| Vec::new(),
    );
    let quarantine = stack.add("QuarantineTable", Table::new("id", None, &key));
    let given = Given { key, artifacts, failures: failures.arn() };

    let evaluate = add_evaluate(site, &mut stack, &given, ingest, alerting, &state, &quarantine, rule_set_sha256);
    let notify = add_notify(site, &mut stack, &given, alerting);
    let relay = relay::add(site, &mut stack, &given, ingest, alerting);
    let sweep = sweep::add(site, &mut stack, &given, ingest, alerting, &state);
    let state_name = stack.output("StateBucketName", "Name of the bucket of the state log", state.reference());
    let state_arn = stack.output("StateBucketArn", "ARN of the bucket of the state log", state.arn());
    stack.output("FailureBucketName", "Name of the bucket of records that nobody could process", failures.reference());
    let failures_arn =
        stack.output("FailureBucketArn", "ARN of the bucket of records that nobody could process", failures.arn());
    let quarantine_name =
        stack.output("QuarantineTableName", "Name of the table of quarantined records", quarantine.reference());
    let outputs = Outputs { evaluate, notify, relay, sweep, quarantine_name, failures_arn, state_name, state_arn };
    (vec![stack], outputs)
}

/// Deltas of the state log are created, never overwritten: if several writers try the same key, one wins.
///
/// Multipart uploads start without the condition, and their completion then requires it; the second condition exempts
/// their start: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html>.
fn create_only(state_arn: &Text) -> Statement<Text> {
    Statement::deny("LogIsCreateOnly", ["s3:PutObject"], [bucket::objects(state_arn, "log/")])
        .by(Principals::Anybody)
        .when(Condition::truth("Null", "s3:if-none-match", true))
        .when(Condition::truth("Bool", "s3:ObjectCreationOperation", true))
}

#[expect(
    clippy::too_many_arguments,
    reason = "each is a resource of another owner that the function is allowed to use"
)]
fn add_evaluate(
    site: &Site<'_>,
    stack: &mut Stack,
    given: &Given,
    ingest: &ingest::Outputs,
    alerting: &alerting::Outputs,
    state: &Handle<Bucket>,
    quarantine: &Handle<Table>,
    rule_set_sha256: &str,
) -> FunctionOutputs {
    let settings = &site.platform.processor;
    let stream_arn = stack.import(&ingest.stream_arn);
    let consumer = site.platform.stream.fan_out.then(|| {
        let consumer = StreamConsumer { consumer_name: "evaluate", stream_arn: stream_arn.clone() };
        stack.add("EvaluateConsumer", consumer).arn()
    });
    let outbox_arn = stack.import(&alerting.outbox_arn);
    let alerts_arn = stack.import(&alerting.alerts_arn);
    let mut statements = vec![
        read_stream(&stream_arn),
        Statement::allow(
            "State",
            ["s3:GetObject", "s3:PutObject"],
            ["log/", "base/", "start/"].map(|prefix| bucket::objects(&state.arn(), prefix)),
        ),
        Statement::allow("ListState", ["s3:ListBucket"], [Target::One(state.arn())]),
        // Member records for fleet rules, on the stream that the devices' messages came from.
        Statement::allow("PutMembers", ["kinesis:PutRecords"], [Target::One(stream_arn.clone())]),
        Statement::allow("Publish", ["dynamodb:PutItem"], [outbox_arn, alerts_arn, quarantine.arn()].map(Target::One)),
    ];
    if let Some(consumer) = &consumer {
        let consume = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];
        statements.push(Statement::allow("FanOut", consume, [Target::One(consumer.clone())]));
    }
    statements.extend(keep_failures(&given.failures));
    statements.extend(given.artifacts.read_rule_sets());
    let mut environment = common_environment(site);
    environment.insert("FLEETFORM_ARTIFACT_BUCKET", given.artifacts.bucket.clone());
    let generation = site.platform.stream.generation.to_string();
    environment.extend([
        ("FLEETFORM_RULE_SET_SHA256", rule_set_sha256.into()),
        ("FLEETFORM_STATE_BUCKET", state.reference()),
        ("FLEETFORM_STREAM_ARN", stream_arn.clone()),
        ("FLEETFORM_RECORD_AGE_MAX_S", settings.max_record_age.as_secs().to_string().into()),
        ("FLEETFORM_STREAM_GENERATION", generation.into()),
        ("FLEETFORM_STATE_REPAIR", "0".into()),
        ("FLEETFORM_OUTBOX_TABLE", stack.import(&alerting.outbox_name)),
        ("FLEETFORM_ALERTS_TABLE", stack.import(&alerting.alerts_name)),
        ("FLEETFORM_QUARANTINE_TABLE", quarantine.reference()),
        ("FLEETFORM_CHECKPOINT_EVERY_S", settings.checkpoint_every.as_secs().to_string().into()),
        ("FLEETFORM_ALERT_RETENTION_S", site.platform.alert_retention.as_secs().to_string().into()),
    ]);
    let plan = Plan {
        id: "Evaluate",
        handler: "evaluate",
        description: "Evaluates the telemetry stream",
        code: given.artifacts.code(stack, "EvaluateCodeKey", "Key of the zip of the function evaluate"),
        memory_mib: settings.memory_mib,
        timeout_s: 120,
        reserved: settings.reserved,
        environment,
        statements,
    };
    let added = function::add(site, stack, &given.key, plan);
    let mapping = EventSourceMapping {
        batch_size: settings.batch_size,
        batching_window_s: settings.batch_window.as_secs(),
        record_age_max_s: settings.max_record_age.as_secs(),
        ..function::mapping(consumer.unwrap_or(stream_arn), &added.function, given.failures.clone())
    };
    let mapping = stack.add("EvaluateEventSource", mapping);
    FunctionOutputs {
        name: stack.output("EvaluateFunctionName", "Name of the function evaluate", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "EvaluateDeadLettersName"),
        mapping_id: Some(stack.output(
            "EvaluateEventSourceId",
            "Id of the event source of evaluate",
            mapping.reference(),
        )),
    }
}

fn add_notify(site: &Site<'_>, stack: &mut Stack, given: &Given, alerting: &alerting::Outputs) -> FunctionOutputs {
    let outbox_arn = stack.import(&alerting.outbox_arn);
    let outbox_stream_arn = stack.import(&alerting.outbox_stream_arn);
    let deliveries_arn = stack.import(&alerting.deliveries_arn);
    let alerts_arn = stack.import(&alerting.alerts_arn);
    let mut statements = vec![
        read_table_stream("ReadOutbox", &outbox_stream_arn),
        Statement::allow("CloseNotices", ["dynamodb:GetItem", "dynamodb:UpdateItem"], [Target::One(outbox_arn)]),
        Statement::allow("ReadFleets", ["dynamodb:GetItem"], [Target::One(alerts_arn)]),
        Statement::allow("ClaimDeliveries", ["dynamodb:GetItem", "dynamodb:UpdateItem"], [Target::One(deliveries_arn)]),
    ];
    statements.extend(keep_failures(&given.failures));
    statements.extend(given.artifacts.read_rule_sets());
    statements.extend(targets(site));
    let mut environment = common_environment(site);
    environment.insert("FLEETFORM_ARTIFACT_BUCKET", given.artifacts.bucket.clone());
    environment.extend([
        ("FLEETFORM_DELIVERIES_TABLE", stack.import(&alerting.deliveries_name)),
        ("FLEETFORM_OUTBOX_TABLE", stack.import(&alerting.outbox_name)),
        ("FLEETFORM_ALERTS_TABLE", stack.import(&alerting.alerts_name)),
        ("FLEETFORM_TOPIC_ARN_PREFIX", Text::arn("sns", [format!("{}-", site.name).into()])),
    ]);
    if let Some(sms) = &site.platform.channels.sms {
        environment.insert("FLEETFORM_SMS_ORIGINATION", (&sms.origination).into());
    }
    let plan = Plan {
        id: "Notify",
        handler: "notify",
        description: "Sends the notices of the outbox",
        code: given.artifacts.code(stack, "DeliverCodeKey", "Key of the zip of the function notify"),
        memory_mib: 256,
        timeout_s: 120,
        reserved: None,
        environment,
        statements,
    };
    let added = function::add(site, stack, &given.key, plan);
    let mapping = EventSourceMapping {
        // A webhook may take 5 s: ten of them in sequence finish well before the timeout.
        batch_size: 10,
        // A notice whose target could not be reached is modified so that the stream delivers it again; a settled one is
        // not new.
        filter_criteria: Some(FilterCriteria {
            filters: vec![Filter {
                pattern: r#"{"eventName":["INSERT","MODIFY"],"dynamodb":{"NewImage":{"status":{"S":["new"]}}}}"#,
            }],
        }),
        ..function::mapping(outbox_stream_arn, &added.function, given.failures.clone())
    };
    let mapping = stack.add("NotifyEventSource", mapping);
    FunctionOutputs {
        name: stack.output("NotifyFunctionName", "Name of the function notify", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "NotifyDeadLettersName"),
        mapping_id: Some(stack.output("NotifyEventSourceId", "Id of the event source of notify", mapping.reference())),
    }
}

/// Permission to read the stream of a table.
fn read_table_stream(id: &'static str, stream_arn: &Text) -> Statement<Text> {
    let actions =
        ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"];
    Statement::allow(id, actions, [Target::One(stream_arn.clone())])
}

/// How many additional managed policies the targets of notices need, besides the one that `notify` always has.
pub(crate) fn target_policies(site: &Site<'_>) -> usize {
    Document::parts(targets(site), POLICY_CHARS_MAX, Text::chars).len()
}

/// The targets of notices. In the worst case there are as many statements as contacts.
fn targets(site: &Site<'_>) -> Vec<Statement<Text>> {
    let topics = Some(topics(site)).filter(|topics| !topics.is_empty());
    let publish = topics.map(|topics| Statement::allow("PublishToTopics", ["sns:Publish"], topics));
    publish.into_iter().chain(secrets(site)).collect()
}

fn topics(site: &Site<'_>) -> Vec<Target<Text>> {
    let topics: Vec<_> =
        site.topics().map(|(contact, channel)| Target::One(site.topic_arn(contact, channel))).collect();
    if topics.len() <= TOPICS_BY_NAME_MAX {
        return topics;
    }
    vec![Target::Many {
        arn: Text::arn("sns", [format!("{}-*", site.name).into()]),
        reason: "managed policies have no room to name the topics of so many contacts",
    }]
}

/// Permission to read the secrets that sign webhooks, and no others.
fn secrets(site: &Site<'_>) -> Vec<Statement<Text>> {
    let webhooks = site.platform.contacts.values().filter_map(|contact| contact.webhook.as_ref());
    let named: BTreeSet<_> = webhooks.filter_map(|webhook| webhook.secret.as_deref()).collect();
    let (mut secrets, mut parameters) = (Vec::new(), Vec::new());
    for name in named {
        if let Some(name) = name.strip_prefix("secretsmanager:") {
            secrets.push(Target::Many {
                arn: Text::arn("secretsmanager", [format!("secret:{name}-??????").into()]),
                reason: "Secrets Manager ends the ARN of a secret in six characters of its own",
            });
        } else if let Some(name) = name.strip_prefix("ssm:") {
            parameters
                .push(Target::One(Text::arn("ssm", [format!("parameter/{}", name.trim_start_matches('/')).into()])));
        }
    }
    let mut statements = Vec::new();
    if !secrets.is_empty() {
        statements.push(Statement::allow("WebhookSecrets", ["secretsmanager:GetSecretValue"], secrets));
    }
    if !parameters.is_empty() {
        statements.push(Statement::allow("WebhookParameters", ["ssm:GetParameter"], parameters));
    }
    statements
}
