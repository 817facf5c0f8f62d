//! The stack `processing`: the functions of the runtime, what feeds or wakes them and where they keep their state.

mod relay;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};

use fleetform_policy::iam::{Condition, Principals, Statement, Target};

use super::{
    alerting,
    artifacts::{self, Decryption},
    bucket::{self, Plan as BucketPlan},
    encryption,
    function::{self, Added, Plan},
    ingest,
    site::Site,
};
use crate::cfn::{
    resource::{
        dynamodb::Table,
        kinesis::StreamConsumer,
        lambda::{Code, EventSourceMapping, Filter, FilterCriteria},
        s3::Bucket,
    },
    stack::{Handle, Output, Stack},
    value::Text,
};

/// Days that a record which nobody could process is kept.
const FAILURE_DAYS: u32 = 365;

/// More topics than this and `notify` is allowed the topics of the platform by prefix: a managed policy has room for
/// 6,144 characters.
const TOPICS_BY_NAME_MAX: usize = 30;

/// What other stacks need of this one.
pub(crate) struct Outputs {
    pub(crate) evaluate: FunctionOutputs,
    pub(crate) notify: FunctionOutputs,
    pub(crate) relay: FunctionOutputs,
    pub(crate) sweep: FunctionOutputs,
    pub(crate) quarantine_name: Output,
}

/// What is watched of a function.
pub(crate) struct FunctionOutputs {
    pub(crate) name: Output,
    pub(crate) dead_letters_name: Output,
    /// None where nothing feeds it.
    pub(crate) mapping_id: Option<Output>,
}

/// What the stack is built from besides the platform.
struct Given {
    key: Text,
    artifact_bucket: Text,
    artifact_key: Decryption,
    failures: Handle<Bucket>,
}

/// The stack.
pub(crate) fn stacks(
    site: &Site<'_>,
    ingest: &ingest::Outputs,
    alerting: &alerting::Outputs,
    rule_set_sha256: &str,
) -> (Vec<Stack>, Outputs) {
    let mut stack = site.stack("processing", "the functions of the runtime, their state and their failures");
    let key = stack.import(&ingest.key_arn);
    let access_log = stack.import(&ingest.access_log_bucket);
    let artifact_bucket = stack.parameter("ArtifactBucket", "Name of the bucket for templates, code and rule sets");
    let artifact_key = match artifacts::decryption(site) {
        Decryption::ArtifactKey(arn) => {
            Decryption::ArtifactKey(stack.passed("ArtifactKeyArn", "ARN of the key of the artifact bucket", arn))
        }
        other => other,
    };
    let state = bucket::add(
        &mut stack,
        "StateBucket",
        BucketPlan { key: &key, access_log: (&access_log, "state/"), expire_days: None },
        |arn| vec![create_only(arn)],
    );
    let failures = bucket::add(
        &mut stack,
        "FailureBucket",
        BucketPlan { key: &key, access_log: (&access_log, "failures/"), expire_days: Some(FAILURE_DAYS) },
        |_| Vec::new(),
    );
    let quarantine = stack.add("QuarantineTable", Table::new("id", None, &key));
    let given = Given { key, artifact_bucket, artifact_key, failures };

    let evaluate = add_evaluate(site, &mut stack, &given, ingest, alerting, &state, &quarantine, rule_set_sha256);
    let notify = add_notify(site, &mut stack, &given, alerting);
    let relay = relay::add(site, &mut stack, &given, ingest, alerting);
    let sweep = sweep::add(site, &mut stack, &given, ingest, alerting, &state);
    stack.output("StateBucketName", "Name of the bucket of the state log", state.reference());
    stack.output(
        "FailureBucketName",
        "Name of the bucket of records that nobody could process",
        given.failures.reference(),
    );
    let quarantine_name =
        stack.output("QuarantineTableName", "Name of the table of quarantined records", quarantine.reference());
    let outputs = Outputs { evaluate, notify, relay, sweep, quarantine_name };
    (vec![stack], outputs)
}

/// Deltas of the state log are created, never overwritten: of all writers that try one key, one wins.
///
/// Uploads in parts begin without the condition, which their completion then needs; the second condition exempts their
/// beginning: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html>.
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
        Statement::allow(
            "ReadStream",
            [
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
            ],
            [Target::One(stream_arn.clone())],
        ),
        Statement::allow(
            "State",
            ["s3:GetObject", "s3:PutObject"],
            ["log/", "base/", "start/"].map(|prefix| bucket::objects(&state.arn(), prefix)),
        ),
        Statement::allow("ListState", ["s3:ListBucket"], [Target::One(state.arn())]),
        // What devices say to fleets, on the stream that it came from.
        Statement::allow("PutMembers", ["kinesis:PutRecords"], [Target::One(stream_arn.clone())]),
        Statement::allow("Publish", ["dynamodb:PutItem"], [outbox_arn, alerts_arn, quarantine.arn()].map(Target::One)),
    ];
    if let Some(consumer) = &consumer {
        let consume = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];
        statements.push(Statement::allow("FanOut", consume, [Target::One(consumer.clone())]));
    }
    statements.extend(keep_failures(given));
    statements.extend(read_rule_sets(given));
    let mut environment = common_environment(site);
    environment.insert("FLEETFORM_ARTIFACT_BUCKET", given.artifact_bucket.clone());
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
        code: code(stack, given, "EvaluateCodeKey", "Key of the zip of the function evaluate"),
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
        ..function::mapping(consumer.unwrap_or(stream_arn), &added.function, given.failures.arn())
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
    let topics = topics(site);
    if !topics.is_empty() {
        statements.push(Statement::allow("PublishToTopics", ["sns:Publish"], topics));
    }
    statements.extend(secrets(site));
    statements.extend(keep_failures(given));
    statements.extend(read_rule_sets(given));
    let mut environment = common_environment(site);
    environment.insert("FLEETFORM_ARTIFACT_BUCKET", given.artifact_bucket.clone());
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
        code: code(stack, given, "DeliverCodeKey", "Key of the zip of the function notify"),
        memory_mib: 256,
        timeout_s: 120,
        reserved: None,
        environment,
        statements,
    };
    let added = function::add(site, stack, &given.key, plan);
    let mapping = EventSourceMapping {
        // A webhook may take 5 s: ten of them, one after the other, end well before the time-out.
        batch_size: 10,
        // A notice whose target could not be reached is changed, so that it comes round again; a settled one is not new.
        filter_criteria: Some(FilterCriteria {
            filters: vec![Filter {
                pattern: r#"{"eventName":["INSERT","MODIFY"],"dynamodb":{"NewImage":{"status":{"S":["new"]}}}}"#,
            }],
        }),
        ..function::mapping(outbox_stream_arn, &added.function, given.failures.arn())
    };
    let mapping = stack.add("NotifyEventSource", mapping);
    FunctionOutputs {
        name: stack.output("NotifyFunctionName", "Name of the function notify", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "NotifyDeadLettersName"),
        mapping_id: Some(stack.output("NotifyEventSourceId", "Id of the event source of notify", mapping.reference())),
    }
}

pub(super) fn dead_letters(stack: &mut Stack, added: &Added, name: &'static str) -> Output {
    stack.output(name, "Name of a queue of dead letters", added.dead_letters.name())
}

fn code(stack: &mut Stack, given: &Given, key: &'static str, description: &'static str) -> Code {
    Code { bucket: given.artifact_bucket.clone(), key: stack.parameter(key, description) }
}

/// Reading the stream of a table.
fn read_table_stream(id: &'static str, stream_arn: &Text) -> Statement<Text> {
    let actions =
        ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"];
    Statement::allow(id, actions, [Target::One(stream_arn.clone())])
}

/// What the functions that are fed by a stream may do: leave what they could not process.
fn keep_failures(given: &Given) -> [Statement<Text>; 2] {
    [
        Statement::allow("KeepFailures", ["s3:PutObject"], [bucket::objects(&given.failures.arn(), "")]),
        Statement::allow("FindFailures", ["s3:ListBucket"], [Target::One(given.failures.arn())]),
    ]
}

/// Reading rule sets.
fn read_rule_sets(given: &Given) -> Vec<Statement<Text>> {
    let artifacts = bucket::bucket_arn(&given.artifact_bucket);
    let mut statements =
        vec![Statement::allow("ReadRuleSets", ["s3:GetObject"], [bucket::objects(&artifacts, "rules/")])];
    match &given.artifact_key {
        Decryption::PlatformKey => {}
        Decryption::ArtifactKey(key) => statements.push(encryption::decrypt("ArtifactKey", key)),
        Decryption::Unknown => {
            let keys = Target::Many {
                arn: Text::arn("kms", ["key/*".into()]),
                reason: "only the owner of a given artifact bucket knows its key; the conditions tie it to that bucket",
            };
            let s3 = Text::concat(["s3.".into(), Text::region(), ".".into(), Text::url_suffix()]);
            let any = Text::concat([artifacts.clone(), "/rules/*".into()]);
            statements.push(
                Statement::allow("ArtifactKey", ["kms:Decrypt"], [keys])
                    .when(Condition::text("StringEquals", "kms:ViaService", s3))
                    .when(Condition::texts("StringLike", "kms:EncryptionContext:aws:s3:arn", [artifacts, any])),
            );
        }
    }
    statements
}

pub(super) fn common_environment(site: &Site<'_>) -> BTreeMap<&'static str, Text> {
    BTreeMap::from([
        ("FLEETFORM_PLATFORM", site.platform.name.as_str().into()),
        ("FLEETFORM_ENVIRONMENT", site.platform.environment.id.as_str().into()),
    ])
}

fn topics(site: &Site<'_>) -> Vec<Target<Text>> {
    let topics: Vec<_> =
        site.topics().map(|(contact, channel)| Target::One(site.topic_arn(contact, channel))).collect();
    if topics.len() <= TOPICS_BY_NAME_MAX {
        return topics;
    }
    vec![Target::Many {
        arn: Text::arn("sns", [format!("{}-*", site.name).into()]),
        reason: "a managed policy has no room to name the topics of so many contacts",
    }]
}

/// Reading the secrets that sign webhooks, and no others.
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
