//! The stack `ingest`: the registry of devices, their permissions, and the path from a topic to the stream.

use fleetform_policy::iam::{Statement, Target};
use smol_str::SmolStr;

use super::{
    bucket::{self, Expiry, Plan},
    encryption, iot_policies, registry,
    site::Site,
};
use crate::{
    cfn::{
        resource::{
            iot::{Action, KinesisAction, S3Action, ThingGroup, TopicRule, TopicRulePayload},
            kinesis::{Stream, StreamEncryption, StreamModeDetails},
        },
        stack::{Handle, Output, Stack},
    },
    platform::{mqtt::Topic, stream::Mode},
};

/// Days that a message is kept whose rule action failed.
const RULE_ERROR_DAYS: u32 = 365;

/// The values that other stacks need.
pub(crate) struct Outputs {
    pub(crate) key_arn: Output,
    pub(crate) access_log_bucket: Output,
    pub(crate) stream_name: Output,
    pub(crate) stream_arn: Output,
    pub(crate) rule_error_bucket: Output,
}

/// What a topic rule receives from the broker.
pub(crate) struct Source {
    /// Its word in records, topics and names.
    pub(crate) name: &'static str,
    id: &'static str,
    description: &'static str,
    sql: String,
    /// The topic level that contains the device id, counted from 1.
    device_level: usize,
}

/// Returns what the topic rules receive: messages from devices on their channels, and the broker's events about their
/// connections.
pub(crate) fn sources(site: &Site<'_>) -> [Source; 4] {
    let mqtt = &site.platform.mqtt;
    let sent = |id, name, topic: &Topic| Source {
        name,
        id,
        description: "Wraps a message without trusting it and puts it on the telemetry stream",
        sql: message_sql(name, topic),
        device_level: topic.device_level(),
    };
    [
        sent("TelemetryTopicRule", "telemetry", &mqtt.telemetry),
        sent("StatusTopicRule", "status", &mqtt.status),
        sent("AlertsTopicRule", "alerts", &mqtt.alerts),
        Source {
            name: "lifecycle",
            id: "LifecycleTopicRule",
            description: "Puts what the broker says of connections on the telemetry stream",
            sql: LIFECYCLE_SQL.to_owned(),
            device_level: 5,
        },
    ]
}

/// The statement that selects the broker's connection events under `$aws/events/presence/<event>/<client>`. An event
/// without a reason, such as a connect, leaves the field out. The event's own time is accurate only to two minutes, so
/// it is not used ("Lifecycle events", AWS IoT Core developer guide).
const LIFECYCLE_SQL: &str = "SELECT 1 AS ff, 'lifecycle' AS k, topic(5) AS d, topic(4) AS e, versionNumber AS v, \
                             disconnectReason AS r, timestamp() AS t FROM '$aws/events/presence/+/+'";

/// Builds the stacks: one, or more if there are very many zones or device types.
pub(crate) fn stacks(site: &Site<'_>) -> (Vec<Stack>, Outputs) {
    let (main, all, outputs) = main(site);
    let all = (main.name().clone(), all);
    (registry::fill(site, registry::spread(site, main), &all), outputs)
}

/// How full each stack is, as a percentage of the point at which another one is started.
pub(crate) fn fills(site: &Site<'_>) -> (Vec<(SmolStr, usize)>, Outputs) {
    let (main, _, outputs) = main(site);
    (registry::spread(site, main).fills(), outputs)
}

/// Returns the stack without the resources that may be spread over others, along with the thing group around all zones
/// and the values that other stacks need.
fn main(site: &Site<'_>) -> (Stack, Handle<ThingGroup>, Outputs) {
    let mut stack = site.stack("ingest", "device types, zones, device policies, topic rules and the telemetry stream");
    let key = encryption::platform_key(site, &mut stack);
    let access_log = bucket::add_access_log(&mut stack, "AccessLogBucket").reference();
    let errors = bucket::add(
        &mut stack,
        "RuleErrorBucket",
        Plan {
            key: &key,
            access_log: (&access_log, "rule-errors/"),
            expiry: Expiry::Days(RULE_ERROR_DAYS),
            class: None,
        },
        |_| Vec::new(),
    );
    let stream = {
        let settings = &site.platform.stream;
        let (mode, shard_count) = match settings.mode {
            Mode::OnDemand => ("ON_DEMAND", None),
            Mode::Provisioned { shards } => ("PROVISIONED", Some(shards)),
        };
        stack.add(
            settings.logical_id(),
            Stream {
                stream_mode_details: StreamModeDetails { stream_mode: mode },
                shard_count,
                retention_period_hours: settings.retention.as_secs() / 3_600,
                stream_encryption: StreamEncryption { encryption_type: "KMS", key_id: key.clone() },
            },
        )
    };
    let to_stream = site.role(
        &mut stack,
        "TopicRule",
        "Lets topic rules put records on the telemetry stream",
        "iot.amazonaws.com",
        [
            Statement::allow("PutRecords", ["kinesis:PutRecord"], [Target::One(stream.arn())]),
            encryption::encrypt("EncryptRecords", &key),
        ],
    );
    let to_errors = site.role(
        &mut stack,
        "TopicRuleError",
        "Lets topic rules keep messages that did not reach the telemetry stream",
        "iot.amazonaws.com",
        [
            Statement::allow("PutObjects", ["s3:PutObject"], [bucket::objects(&errors.arn(), "")]),
            encryption::encrypt("EncryptObjects", &key),
        ],
    );
    for source in sources(site) {
        let rule = TopicRule {
            rule_name: site.topic_rule(source.name),
            topic_rule_payload: TopicRulePayload {
                description: source.description,
                aws_iot_sql_version: "2016-03-23",
                sql: source.sql.into(),
                rule_disabled: false,
                actions: vec![Action::Kinesis(KinesisAction {
                    stream_name: stream.reference(),
                    // One device, one shard: its records stay in order.
                    partition_key: format!("${{topic({})}}", source.device_level),
                    role_arn: to_stream.arn(),
                })],
                // The object written there contains the original bytes, the rule and the reason.
                error_action: Action::S3(S3Action {
                    bucket_name: errors.reference(),
                    key: format!("{}/${{parse_time(\"yyyy/MM/dd\", timestamp())}}/${{newuuid()}}", source.name),
                    role_arn: to_errors.arn(),
                }),
            },
        };
        stack.add(source.id, rule);
    }
    for policy in iot_policies::shared(site) {
        iot_policies::add(site, &mut stack, policy);
    }
    let outputs = Outputs {
        key_arn: stack.output("KeyArn", "ARN of the key that encrypts the platform", key),
        access_log_bucket: stack.output("AccessLogBucketName", "Name of the bucket that takes access logs", access_log),
        stream_name: stack.output("TelemetryStreamName", "Name of the telemetry stream", stream.reference()),
        stream_arn: stack.output("TelemetryStreamArn", "ARN of the telemetry stream", stream.arn()),
        rule_error_bucket: stack.output(
            "RuleErrorBucketName",
            "Name of the bucket for messages that did not reach the stream",
            errors.reference(),
        ),
    };
    let all = registry::add_platform(site, &mut stack);
    (stack, all, outputs)
}

/// The statement that wraps a message: its original bytes, and what is known from the connection.
fn message_sql(name: &str, topic: &Topic) -> String {
    let device = topic.device_level();
    // If the topic contains the channel's name, it is read from there; otherwise it is a constant.
    let level = topic.after.iter().position(|level| level == name);
    let channel = level.map_or_else(|| format!("'{name}'"), |at| format!("topic({})", device + 1 + at));
    let filter = topic.with_device("+");
    format!(
        "SELECT 1 AS ff, 'message' AS k, encode(*, 'base64') AS p, topic({device}) AS d, {channel} AS ch, \
         clientid() AS c, timestamp() AS t FROM '{filter}'"
    )
}
