//! What is watched in every platform, and when it is too much.

use super::{Names, samples};
use crate::{
    cfn::{
        resource::cloudwatch::{Dimension, Metric},
        value::Text,
    },
    stacks::{ingest, provisioning, site::Site},
};

/// Age of the oldest record that a function has yet to see, in milliseconds, at which somebody must look.
const ITERATOR_AGE_MAX_MS: u64 = 300_000;

/// How far the newest full copy of a shard's state may be behind, in milliseconds: from then on only the deltas of many
/// hours stand between a cold start and the state.
const BASE_BEHIND_MAX_MS: u64 = 86_400_000;

/// Seconds in which every chain is looked at at least twice.
const CHAINS_LOOKED_AT_S: u32 = 3 * 3_600;

/// Name space of the runtime's own metrics.
const NAMESPACE: &str = "fleetform";

/// One thing that is watched.
pub(super) struct Watch {
    pub(super) id: &'static str,
    pub(super) description: String,
    /// Their sum is compared.
    pub(super) metrics: Vec<Metric>,
    pub(super) stat: &'static str,
    pub(super) period_s: u32,
    pub(super) periods: u32,
    /// Above this, the alarm goes off.
    pub(super) above: u64,
}

/// What is watched in every platform.
pub(super) fn watches(site: &Site<'_>, names: &Names) -> Vec<Watch> {
    let stream = |name| metric("AWS/Kinesis", name, [("StreamName", &names.stream)]);
    let ingest_rules: Vec<_> = ingest::sources(site).iter().map(|source| site.topic_rule(source.name)).collect();
    let mut watches = vec![
        Watch {
            stat: "Maximum",
            period_s: CHAINS_LOOKED_AT_S,
            above: BASE_BEHIND_MAX_MS - 1,
            ..five_minutes(
                "BaseBehindAlarm",
                "No full copy of a shard's state has been written for a day",
                vec![own_metric(site, "BaseBehindMs")],
            )
        },
        five_minutes(
            "GivenUpAlarm",
            "An event source gave records up: they are in the failure bucket",
            names
                .mappings
                .iter()
                .map(|id| {
                    metric("AWS/Lambda", "OnFailureDestinationDeliveredEventCount", [("EventSourceMappingUUID", id)])
                })
                .collect(),
        ),
        five_minutes(
            "LostFailuresAlarm",
            "What a function gave up reached neither the failure bucket nor its queue of dead letters",
            lost_metrics(names),
        ),
        Watch {
            stat: "Maximum",
            ..five_minutes(
                "DeadLettersAlarm",
                "A queue of dead letters is not empty",
                names
                    .dead_letters
                    .iter()
                    .map(|queue| metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", [("QueueName", queue)]))
                    .collect(),
            )
        },
        five_minutes(
            "TopicRuleFailuresAlarm",
            "Messages did not reach the telemetry stream: they are in the rule error bucket",
            rule_metrics("Failure", "Kinesis", &ingest_rules),
        ),
        five_minutes(
            "TopicRuleLossAlarm",
            "Messages reached neither the telemetry stream nor the rule error bucket",
            rule_metrics("ErrorActionFailure", "S3", &ingest_rules),
        ),
        Watch {
            periods: 3,
            ..five_minutes(
                "StreamThrottlesAlarm",
                "The telemetry stream has too few shards for what is written and read",
                vec![stream("WriteProvisionedThroughputExceeded"), stream("ReadProvisionedThroughputExceeded")],
            )
        },
        five_minutes(
            "DeliveryFailuresAlarm",
            "A notice could not be delivered to one of its targets",
            vec![own_metric(site, "DeliveryFailures")],
        ),
        five_minutes(
            "LeftBehindAlarm",
            "A shard was closed before some of its records were evaluated: they are in the failure bucket",
            vec![own_metric(site, "LeftBehind")],
        ),
        five_minutes(
            "OverridesIgnoredAlarm",
            "What operators have set for a rule is ignored: the row or the rule does not allow it",
            vec![own_metric(site, "MalformedOverrides"), own_metric(site, "UnusableOverrides")],
        ),
        five_minutes(
            "PoisonAlarm",
            "The engine failed on a record: it is in the quarantine",
            vec![reason_metric(site, "Quarantined", "killer"), reason_metric(site, "Quarantined", "panic")],
        ),
    ];
    let store = names.storage.iter().map(|storage| &storage.store);
    let waiting = [
        ("EvaluateIteratorAgeAlarm", "Records wait for minutes before evaluate sees them", &names.evaluate),
        ("NotifyIteratorAgeAlarm", "Notices wait for minutes before notify sees them", &names.notify),
        (
            "RelayIteratorAgeAlarm",
            "What operators set for rules waits for minutes before shards are told",
            &names.relay,
        ),
    ];
    let stored =
        store.clone().map(|name| ("StoreIteratorAgeAlarm", "Samples wait for minutes before store sees them", name));
    for (id, description, function) in waiting.into_iter().chain(stored) {
        watches.push(Watch {
            stat: "Maximum",
            period_s: 60,
            periods: 5,
            above: ITERATOR_AGE_MAX_MS,
            ..five_minutes(id, description, vec![lambda("IteratorAge", function)])
        });
    }
    if names.provision.is_some() {
        watches.push(five_minutes(
            "ProvisioningRefusedAlarm",
            "A device was not provisioned: its serial is not on the allow-list, or was used before",
            vec![own_metric(site, "ProvisioningRefused")],
        ));
    }
    watches.extend(registration(site));
    let functions = [
        ("EvaluateErrorsAlarm", "EvaluateThrottlesAlarm", "Evaluate", &names.evaluate),
        ("NotifyErrorsAlarm", "NotifyThrottlesAlarm", "Notify", &names.notify),
        ("RelayErrorsAlarm", "RelayThrottlesAlarm", "Relay", &names.relay),
        ("SweepErrorsAlarm", "SweepThrottlesAlarm", "Sweep", &names.sweep),
    ];
    let store = store.map(|name| ("StoreErrorsAlarm", "StoreThrottlesAlarm", "Store", name));
    let provision =
        names.provision.iter().map(|name| ("ProvisionErrorsAlarm", "ProvisionThrottlesAlarm", "Provision", name));
    for (errors, throttles, title, function) in functions.into_iter().chain(store).chain(provision) {
        let failing = format!("{title} keeps failing");
        let throttled = format!("{title} is throttled: the account has too little concurrency left");
        for (id, description, name) in [(errors, failing, "Errors"), (throttles, throttled, "Throttles")] {
            watches.push(Watch { periods: 3, ..five_minutes(id, &description, vec![lambda(name, function)]) });
        }
    }
    let storage = names.storage.iter().zip(&site.platform.storage);
    watches.extend(storage.flat_map(|(names, kept)| samples::watches(site, names, kept)));
    watches.extend(names.tables.iter().map(|(id, table)| {
        let throttles = ["ReadThrottleEvents", "WriteThrottleEvents"]
            .map(|name| metric("AWS/DynamoDB", name, [("TableName", table)]));
        five_minutes(id, "A table is throttled", throttles.to_vec())
    }));
    watches
}

/// Of what a function gives up: a reader of a stream leaves it in the bucket, and whatever is invoked without anybody waiting
/// leaves it in its queue.
fn lost_metrics(names: &Names) -> Vec<Metric> {
    let store = names.storage.iter().map(|storage| &storage.store);
    let readers = [&names.evaluate, &names.notify, &names.relay].into_iter().chain(store);
    let invoked = names.functions().chain(&names.provision);
    let undelivered = readers.map(|function| lambda("DestinationDeliveryFailures", function));
    undelivered.chain(invoked.map(|function| lambda("DeadLetterErrors", function))).collect()
}

/// What is watched of the rules that have devices registered: apart from those of ingestion, since together they may be more
/// than an alarm takes.
fn registration(site: &Site<'_>) -> Vec<Watch> {
    let rules = provisioning::rules(site);
    if rules.is_empty() {
        return Vec::new();
    }
    vec![
        five_minutes(
            "RegistrationFailuresAlarm",
            "Register was not told of new certificates: the events are in the rule error bucket",
            rule_metrics("Failure", "Lambda", &rules),
        ),
        five_minutes(
            "RegistrationLossAlarm",
            "Events of new certificates reached neither register nor the rule error bucket",
            rule_metrics("ErrorActionFailure", "S3", &rules),
        ),
    ]
}

fn rule_metrics(name: &'static str, action: &'static str, rules: &[String]) -> Vec<Metric> {
    let of_rule =
        |rule: &String| metric("AWS/IoT", name, [("ActionType", &action.into()), ("RuleName", &rule.as_str().into())]);
    rules.iter().map(of_rule).collect()
}

/// What must never happen within five minutes.
pub(super) fn five_minutes(id: &'static str, description: &str, metrics: Vec<Metric>) -> Watch {
    Watch { id, description: description.to_owned(), metrics, stat: "Sum", period_s: 300, periods: 1, above: 0 }
}

/// A metric of a function.
pub(super) fn lambda(name: &'static str, function: &Text) -> Metric {
    metric("AWS/Lambda", name, [("FunctionName", function)])
}

pub(super) fn metric<const N: usize>(
    namespace: &'static str,
    name: &'static str,
    dimensions: [(&'static str, &Text); N],
) -> Metric {
    let dimensions = dimensions.map(|(name, value)| Dimension { name, value: value.clone() }).into();
    Metric { namespace, metric_name: name, dimensions }
}

/// A metric of the runtime, over all its reasons.
pub(super) fn own_metric(site: &Site<'_>, name: &'static str) -> Metric {
    let platform = site.platform.name.as_str().into();
    let environment = site.platform.environment.id.as_str().into();
    metric(NAMESPACE, name, [("Environment", &environment), ("Platform", &platform)])
}

/// A metric of the runtime, for one of its reasons.
fn reason_metric(site: &Site<'_>, name: &'static str, reason: &'static str) -> Metric {
    let mut metric = own_metric(site, name);
    metric.dimensions.push(Dimension { name: "Reason", value: reason.into() });
    metric
}
