//! The security bar: what no template of any platform may lack, and how far its policies reach.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    super::{
        Site, apart, root,
        sample::{platform, platform_of, with_authorities},
    },
    SHA, resources,
    timestream::on_timestream,
    trees,
};
use crate::cfn::yaml::{Sorted, to_yaml};

/// What must hold for every resource of a kind, whatever the platform: each fault by file and logical id.
pub(super) fn faults(templates: &BTreeMap<String, Value>) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, kind, resource) in resources(templates) {
        let properties = &resource["Properties"];
        let mut must = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("{at}: {what}"));
            }
        };
        let set = |pointer: &str| properties.pointer(pointer).is_some();
        let is = |pointer: &str, value: Value| properties.pointer(pointer) == Some(&value);
        let retained = resource["DeletionPolicy"] == "Retain" && resource["UpdateReplacePolicy"] == "Retain";
        match kind {
            "AWS::DynamoDB::Table" => {
                must(retained, "is not retained");
                must(is("/DeletionProtectionEnabled", true.into()), "is not protected");
                must(
                    is("/PointInTimeRecoverySpecification/PointInTimeRecoveryEnabled", true.into()),
                    "has no recovery",
                );
                must(
                    is("/SSESpecification/SSEType", "KMS".into()) && set("/SSESpecification/KMSMasterKeyId"),
                    "has no key",
                );
                must(is("/TimeToLiveSpecification/Enabled", true.into()), "keeps rows for ever");
            }
            "AWS::Kinesis::Stream" => {
                must(retained, "is not retained");
                must(set("/StreamEncryption/KeyId"), "has no key");
                must(properties["RetentionPeriodHours"].as_u64() >= Some(48), "keeps records for too short");
                must(is("/StreamModeDetails/StreamMode", "PROVISIONED".into()) == set("/ShardCount"), "mixes modes");
            }
            "AWS::KMS::Key" => must(retained && is("/EnableKeyRotation", true.into()), "is not retained or rotated"),
            "AWS::Logs::LogGroup" => {
                must(retained && set("/KmsKeyId") && set("/RetentionInDays"), "is unbounded or plain")
            }
            "AWS::SNS::Topic" => must(set("/KmsMasterKeyId"), "has no key"),
            "AWS::SQS::Queue" => must(retained && set("/KmsMasterKeyId"), "has no key or is not retained"),
            "AWS::S3::Bucket" => {
                let log = at.contains("AccessLogBucket");
                must(retained, "is not retained");
                must(is("/VersioningConfiguration/Status", "Enabled".into()), "has no versions");
                must(log || set("/LoggingConfiguration/DestinationBucketName"), "has no access log");
                let encryption = "/BucketEncryption/ServerSideEncryptionConfiguration/0";
                let key = set(&format!("{encryption}/ServerSideEncryptionByDefault/KMSMasterKeyID"));
                must(log || key && is(&format!("{encryption}/BucketKeyEnabled"), true.into()), "has no key");
                for block in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
                    must(is(&format!("/PublicAccessBlockConfiguration/{block}"), true.into()), block);
                }
            }
            "AWS::S3Tables::TableBucket" => {
                must(retained, "is not retained");
                let key = set("/EncryptionConfiguration/KMSKeyArn");
                must(is("/EncryptionConfiguration/SSEAlgorithm", "aws:kms".into()) && key, "has no key");
                must(is("/UnreferencedFileRemoval/Status", "Enabled".into()), "keeps files for ever");
            }
            "AWS::S3Tables::Namespace" => must(retained, "is not retained"),
            "AWS::S3Tables::Table" => {
                must(retained, "is not retained");
                must(is("/Compaction/Status", "enabled".into()), "is not compacted");
                must(is("/SnapshotManagement/Status", "enabled".into()), "keeps snapshots for ever");
            }
            "AWS::S3Tables::TableBucketPolicy" => {
                let tls = &properties["ResourcePolicy"]["Statement"][0];
                must(
                    tls["Effect"] == "Deny" && tls["Condition"]["Bool"]["aws:SecureTransport"] == false,
                    "takes plain HTTP",
                );
            }
            "AWS::Timestream::Database" => must(retained && set("/KmsKeyId"), "is not retained, or has no key"),
            "AWS::Timestream::Table" => {
                must(retained, "is not retained");
                let late = "/MagneticStoreWriteProperties";
                must(is(&format!("{late}/EnableMagneticStoreWrites"), true.into()), "refuses late samples");
                let rejected = format!("{late}/MagneticStoreRejectedDataLocation/S3Configuration");
                must(set(&format!("{rejected}/BucketName")), "loses late samples");
                must(
                    is(&format!("{rejected}/EncryptionOption"), "SSE_KMS".into()),
                    "leaves late samples without a key",
                );
                let days = properties["RetentionProperties"]["MagneticStoreRetentionPeriodInDays"].as_str();
                must(days.is_some(), "has a retention that the service does not take");
            }
            "AWS::KinesisFirehose::DeliveryStream" => {
                let encryption = "/DeliveryStreamEncryptionConfigurationInput";
                must(
                    is(&format!("{encryption}/KeyType"), "CUSTOMER_MANAGED_CMK".into())
                        && set(&format!("{encryption}/KeyARN")),
                    "has no key",
                );
                let table = &properties["IcebergDestinationConfiguration"];
                must(table["s3BackupMode"] == "FailedDataOnly", "loses rows");
                must(table["CloudWatchLoggingOptions"]["Enabled"] == true, "has no log");
                let key =
                    "/IcebergDestinationConfiguration/S3Configuration/EncryptionConfiguration/KMSEncryptionConfig";
                must(set(key), "leaves rows without a key");
            }
            "AWS::S3::BucketPolicy" | "AWS::SNS::TopicPolicy" | "AWS::SQS::QueuePolicy" => {
                let tls = &properties["PolicyDocument"]["Statement"][0];
                must(
                    tls["Effect"] == "Deny" && tls["Condition"]["Bool"]["aws:SecureTransport"] == false,
                    "takes plain HTTP",
                );
            }
            "AWS::IAM::Role" => {
                must(properties.get("Policies").is_none(), "has inline policies");
                let trust = &properties["AssumeRolePolicyDocument"]["Statement"][0];
                must(trust["Condition"]["StringEquals"].get("aws:SourceAccount").is_some(), "trusts other accounts");
            }
            "AWS::IAM::ManagedPolicy" => {
                for statement in properties["PolicyDocument"]["Statement"].as_array().unwrap() {
                    must(!statement["Action"].to_string().contains('*'), "allows a wildcard action");
                    let by_no_resource =
                        ["Traces", "Endpoints", "AttachedPolicies"].iter().any(|sid| statement["Sid"] == *sid);
                    must(by_no_resource || statement["Resource"] != "*", "allows everything");
                }
                must(properties["PolicyDocument"].to_string().len() < 6_144, "is too long");
            }
            "AWS::Lambda::Function" => {
                for pointer in
                    ["/MemorySize", "/Timeout", "/KmsKeyArn", "/DeadLetterConfig/TargetArn", "/LoggingConfig/LogGroup"]
                {
                    must(set(pointer), pointer);
                }
                must(is("/TracingConfig/Mode", "Active".into()), "is not traced");
                must(is("/Runtime", "provided.al2023".into()), "has another runtime");
            }
            "AWS::Lambda::EventSourceMapping" => {
                for pointer in
                    ["/DestinationConfig/OnFailure/Destination", "/MaximumRecordAgeInSeconds", "/MaximumRetryAttempts"]
                {
                    must(set(pointer), pointer);
                }
                must(is("/BisectBatchOnFunctionError", true.into()), "does not bisect");
                must(is("/FunctionResponseTypes/0", "ReportBatchItemFailures".into()), "takes a batch as a whole");
                must(
                    is("/ParallelizationFactor", 1.into()) && is("/StartingPosition", "TRIM_HORIZON".into()),
                    "loses order",
                );
            }
            "AWS::IoT::TopicRule" => {
                let payload = &properties["TopicRulePayload"];
                must(payload["AwsIotSqlVersion"] == "2016-03-23", "has an old SQL version");
                must(payload["ErrorAction"]["S3"].get("BucketName").is_some(), "loses messages");
                let device = if at.contains("Lifecycle") { "${topic(5)}" } else { "${topic(2)}" };
                let stream = payload["Actions"][0].get("Kinesis");
                must(stream.is_none_or(|stream| stream["PartitionKey"] == device), "mixes devices");
                must(stream.is_some() || at.contains("Registered"), "leaves the stream out");
            }
            "AWS::Scheduler::Schedule" => {
                must(set("/Target/DeadLetterConfig/Arn"), "loses events");
                must(set("/Target/RetryPolicy/MaximumRetryAttempts"), "has no retry policy");
                must(set("/Target/RetryPolicy/MaximumEventAgeInSeconds"), "has no retry policy");
            }
            "AWS::CloudWatch::Alarm" => {
                let actions = properties["AlarmActions"].as_array().unwrap();
                must((1..=5).contains(&actions.len()), "nobody hears it, or too many");
                let metrics = properties["Metrics"].as_array().unwrap().iter();
                // "CloudWatch service quotas": what an alarm on an expression may be based on.
                must(metrics.filter(|one| one.get("MetricStat").is_some()).count() <= 10, "has too many metrics");
            }
            _ => {}
        }
    }
    faults
}

#[test]
fn every_resource_keeps_the_security_bar() {
    for platform in [platform(), platform_of(40, 20, 60), on_timestream(), with_authorities(10)] {
        assert_eq!(faults(&trees(&platform)), Vec::<String>::new());
    }
}

/// Every resource of a policy that covers more than one thing, with its reason. A new one has to be written down here.
#[test]
fn wide_resources_are_these() {
    let platform = platform();
    let site = Site::new(&platform);
    let stacks = root::deployment(&site, SHA).stacks.into_iter().chain(apart(&site));
    let mut wide: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for stack in stacks {
        for (id, sid, reason) in stack.wide_resources() {
            wide.entry(*reason).or_default().insert(format!("{id}/{sid}"));
        }
    }
    insta::assert_debug_snapshot!(wide);
}

/// All policy documents of a platform as they will stand in the account.
#[test]
fn policy_documents_are_these() {
    let templates = trees(&platform());
    let documents = resources(&templates).into_iter().flat_map(|(at, _, resource)| {
        let properties = &resource["Properties"];
        let named = ["AssumeRolePolicyDocument", "KeyPolicy", "PolicyDocument", "ResourcePolicy"].into_iter();
        named.filter_map(|name| properties.get(name)).map(|document| (at.clone(), document.clone())).collect::<Vec<_>>()
    });
    let tree: serde_json::Map<String, Value> = documents.collect();
    insta::assert_snapshot!(to_yaml(&Sorted(&Value::Object(tree))));
}
