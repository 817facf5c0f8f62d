//! What holds for the templates of every platform: references resolve, limits are kept, nothing is wider than it says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use fleetform_engine::units::Millis;
use proptest::prelude::*;

use super::{
    sample::{platform, platform_of},
    *,
};
use crate::platform::{mqtt::Topic, stream::Mode};

const SHA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Every template as a tree, by file name.
fn trees(platform: &Platform) -> BTreeMap<String, Value> {
    let site = Site::new(platform);
    let stacks = root::deployment(&site, SHA).stacks.into_iter().chain(apart(&site));
    stacks.map(|stack| (format!("{}.yaml", stack.name()), stack.to_tree())).collect()
}

/// Every resource of every template: file name and logical id, type, properties.
fn resources(templates: &BTreeMap<String, Value>) -> Vec<(String, &str, &Value)> {
    let all = templates.iter().flat_map(|(file, tree)| {
        let resources = tree["Resources"].as_object().unwrap().iter();
        resources.map(move |(id, resource)| (format!("{file} {id}"), resource["Type"].as_str().unwrap(), resource))
    });
    all.collect()
}

/// Follows every reference of every template; gives what does not lead anywhere.
fn dangling(templates: &BTreeMap<String, Value>) -> Vec<String> {
    let exports: BTreeSet<&str> = templates
        .values()
        .filter_map(|tree| tree["Outputs"].as_object())
        .flat_map(|outputs| outputs.values())
        .filter_map(|output| output["Export"]["Name"].as_str())
        .collect();
    let mut faults = Vec::new();
    for (name, tree) in templates {
        let has = |section: &str, id: &str| tree[section].get(id).is_some();
        let mut used = BTreeSet::new();
        let mut refer = |id: &str, attribute: Option<&str>, faults: &mut Vec<String>| {
            used.insert(id.to_owned());
            let known = match attribute {
                Some(_) => has("Resources", id),
                None => id.starts_with("AWS::") || has("Resources", id) || has("Parameters", id),
            };
            if !known {
                faults.push(format!("{name}: {id}"));
            }
        };
        walk(tree, &mut |key, value| match (key, value) {
            ("Ref", Value::String(id)) => refer(id, None, &mut faults),
            ("Fn::GetAtt", Value::Array(path)) => {
                let (id, attribute) = (path[0].as_str().unwrap(), path[1].as_str().unwrap());
                refer(id, Some(attribute), &mut faults);
                if let Some(output) = attribute.strip_prefix("Outputs.") {
                    let nested =
                        templates.iter().find(|(file, _)| logical_id(file.trim_end_matches(".yaml"), "") == id);
                    if nested.is_none_or(|(_, tree)| tree["Outputs"].get(output).is_none()) {
                        faults.push(format!("{name}: {id} has no output {output}"));
                    }
                }
            }
            ("Fn::Sub", sub) => {
                let template = sub.as_str().or_else(|| sub[0].as_str()).unwrap();
                for part in template.split("${").skip(1).filter(|part| !part.starts_with('!')) {
                    let inner = part.split('}').next().unwrap();
                    match inner.split_once('.') {
                        Some((id, attribute)) => refer(id, Some(attribute), &mut faults),
                        None if inner == "StackUuid" => {}
                        None => refer(inner, None, &mut faults),
                    }
                }
            }
            ("Fn::ImportValue", Value::String(export)) if !exports.contains(export.as_str()) => {
                faults.push(format!("{name}: nobody exports {export}"));
            }
            ("DependsOn", Value::Array(ids)) => {
                ids.iter().for_each(|id| refer(id.as_str().unwrap(), Some("DependsOn"), &mut faults));
            }
            _ => {}
        });
        let parameters = tree["Parameters"].as_object().into_iter().flat_map(|map| map.keys());
        faults.extend(parameters.filter(|id| !used.contains(*id)).map(|id| format!("{name}: nothing uses {id}")));
    }
    faults.extend(unfilled(templates));
    faults
}

/// Parameters of nested stacks that the root does not give, or gives without being asked.
fn unfilled(templates: &BTreeMap<String, Value>) -> Vec<String> {
    let keys =
        |value: &Value| value.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect::<BTreeSet<_>>();
    let root = &templates["root.yaml"];
    let nested = templates.iter().filter_map(|(file, tree)| {
        let id = logical_id(file.trim_end_matches(".yaml"), "");
        root["Resources"].get(id.as_str()).map(|resource| (file, tree, resource))
    });
    nested
        .filter(|(_, tree, resource)| keys(&tree["Parameters"]) != keys(&resource["Properties"]["Parameters"]))
        .map(|(file, ..)| format!("root.yaml: parameters of {file}"))
        .collect()
}

fn walk<'a>(tree: &'a Value, see: &mut impl FnMut(&'a str, &'a Value)) {
    match tree {
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            see(key, value);
            walk(value, see);
        }),
        _ => {}
    }
}

#[test]
fn every_reference_resolves() {
    for platform in [platform(), platform_of(1, 1, 0), platform_of(40, 20, 5), platform_of(1_000, 200, 300)] {
        assert_eq!(dangling(&trees(&platform)), Vec::<String>::new());
    }
}

/// The checker sees what it is for.
#[test]
fn a_dangling_reference_is_found() {
    let mut templates = trees(&platform());
    let at = |tree: &mut Value, text: &str| {
        let edited = tree.to_string().replace(text, &format!("{text}X"));
        *tree = serde_json::from_str(&edited).unwrap();
    };
    for (file, text) in [
        ("processing.yaml", r#""Ref":"StateBucket"#),
        ("observability.yaml", "${EvaluateFunctionName"),
        ("root.yaml", r#""Ingest","Outputs.KeyArn"#),
        ("artifacts.yaml", r#""Name":"riverton-water-prod-artifacts-key"#),
    ] {
        let good = templates[file].clone();
        at(templates.get_mut(file).unwrap(), text);
        assert!(!dangling(&templates).is_empty(), "{file} {text}");
        templates.insert(file.to_owned(), good);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_platform_renders_to_stacks_whose_references_resolve(
        (zones, device_types, contacts) in prop_oneof![
            4 => (1..40usize, 1..20usize, 0..40usize),
            1 => (400..700usize, 1..200usize, 0..260usize),
        ],
        on_demand: bool, fan_out: bool, basic_ingest: bool, retain_status: bool, last_will: bool,
        own_key: bool, own_bucket: bool, budget: bool, device_defender: bool, alarms_to in 0..12usize,
        region in prop::sample::select(&["us-east-1", "sa-east-1", "eu-north-1", "cn-north-1", "us-gov-west-1"][..]),
    ) {
        let mut platform = platform_of(zones, device_types, contacts);
        if on_demand {
            platform.stream.mode = Mode::OnDemand;
        }
        platform.stream.fan_out = fan_out;
        platform.mqtt.basic_ingest = basic_ingest;
        platform.mqtt.retain_status = retain_status;
        platform.mqtt.last_will = last_will;
        platform.security.device_defender = device_defender;
        platform.security.kms_key_arn = (!own_key).then(|| "arn:aws:kms:us-east-1:222222222222:key/1".into());
        platform.deploy.artifact_bucket = (!own_bucket).then(|| "given-bucket".into());
        platform.environment.monthly_budget_usd = budget.then_some(10);
        platform.environment.region = region.into();
        let to: Vec<_> = platform.contacts.keys().take(alarms_to).cloned().collect();
        platform.observe.quarantine = Some(crate::platform::observe::Quarantine { max_per_hour: 1, to });
        let templates = trees(&platform);
        prop_assert_eq!(dangling(&templates), Vec::<String>::new());
        for (file, tree) in &templates {
            prop_assert!(tree["Resources"].as_object().unwrap().len() <= 500, "{} has too many resources", file);
        }
        prop_assert_eq!(faults(&templates), Vec::<String>::new());
    }
}

/// What must hold for every resource of a kind, whatever the platform: each fault by file and logical id.
fn faults(templates: &BTreeMap<String, Value>) -> Vec<String> {
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
                    let traces = statement["Sid"] == "Traces";
                    must(traces || statement["Resource"] != "*", "allows everything");
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
                must(payload["Actions"][0]["Kinesis"]["PartitionKey"] == "${topic(2)}", "mixes devices");
            }
            "AWS::CloudWatch::Alarm" => {
                let actions = properties["AlarmActions"].as_array().unwrap();
                must((1..=5).contains(&actions.len()), "nobody hears it, or too many");
            }
            _ => {}
        }
    }
    faults
}

#[test]
fn every_resource_keeps_the_security_bar() {
    for platform in [platform(), platform_of(40, 20, 60)] {
        assert_eq!(faults(&trees(&platform)), Vec::<String>::new());
    }
}

#[test]
fn case_15_a_stack_that_would_be_too_large_is_split() {
    let templates = trees(&platform_of(1_000, 200, 300));
    let mut counts = BTreeMap::new();
    for (name, tree) in &templates {
        let resources = tree["Resources"].as_object().unwrap();
        assert!(resources.len() <= 500, "{name} has {} resources", resources.len());
        for resource in resources.values() {
            *counts.entry(resource["Type"].as_str().unwrap()).or_insert(0) += 1;
        }
    }
    assert!(templates.contains_key("ingest-2.yaml") && templates.contains_key("alerting-2.yaml"));
    assert_eq!((counts["AWS::IoT::ThingGroup"], counts["AWS::IoT::ThingType"]), (1_000, 200));
    assert_eq!((counts["AWS::SNS::Topic"], counts["AWS::SNS::Subscription"]), (601, 601));
}

/// A child group is made in its parent's stack, or in one that waits for it.
#[test]
fn a_thing_group_never_comes_before_its_parent() {
    let templates = trees(&platform_of(1_000, 200, 0));
    let mut home = BTreeMap::new();
    for (file, tree) in &templates {
        for resource in tree["Resources"].as_object().unwrap().values() {
            if let Some(name) = resource["Properties"]["ThingGroupName"].as_str() {
                home.insert(name, file);
            }
        }
    }
    let mut apart = 0;
    for (file, tree) in &templates {
        for resource in tree["Resources"].as_object().unwrap().values() {
            let Some(parent) = resource["Properties"]["ParentGroupName"].as_str() else { continue };
            let stack = |file: &str| logical_id(file.trim_end_matches(".yaml"), "").to_string();
            let waits = &templates["root.yaml"]["Resources"][stack(file)]["DependsOn"];
            assert!(waits.as_array().unwrap().contains(&stack(home[parent]).into()), "{file} needs {}", home[parent]);
            apart += 1;
        }
    }
    assert!(apart > 0, "the platform has no parent in another stack");
}

/// Logical ids are one name space over all stacks, since `[overrides.<LogicalId>]` names no stack.
#[test]
fn logical_ids_are_unique_over_all_stacks() {
    for platform in [platform(), platform_of(1_000, 200, 300)] {
        let templates = trees(&platform);
        let ids = templates.values().flat_map(|tree| tree["Resources"].as_object().unwrap().keys());
        assert_eq!(logical_ids(&platform).len(), ids.count());
    }
}

#[test]
fn the_same_platform_gives_the_same_bytes() {
    assert_eq!(stacks(&platform(), SHA), stacks(&platform(), SHA));
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
        let named = ["AssumeRolePolicyDocument", "KeyPolicy", "PolicyDocument"].into_iter();
        named.filter_map(|name| properties.get(name)).map(|document| (at.clone(), document.clone())).collect::<Vec<_>>()
    });
    let tree: serde_json::Map<String, Value> = documents.collect();
    insta::assert_snapshot!(crate::cfn::yaml::to_yaml(&Sorted(&Value::Object(tree))));
}

#[test]
fn topic_rules_follow_the_device_level_of_the_topics() {
    let mut platform = platform();
    platform.mqtt.telemetry =
        Topic { before: vec!["water".into(), "eu".into()], after: vec!["out".into(), "telemetry".into()] };
    platform.mqtt.alerts = Topic { before: vec!["sensors".into()], after: vec!["alarm".into()] };
    let templates = trees(&platform);
    let payload = |id: &str| templates["ingest.yaml"]["Resources"][id]["Properties"]["TopicRulePayload"].clone();
    let sql = |id: &str| payload(id)["Sql"].as_str().unwrap().to_owned();
    assert_eq!(
        sql("StatusTopicRule"),
        "SELECT 1 AS ff, 'message' AS k, encode(*, 'base64') AS p, topic(2) AS d, topic(3) AS ch, clientid() AS c, \
         timestamp() AS t FROM 'sensors/+/status'"
    );
    assert_eq!(
        sql("TelemetryTopicRule"),
        "SELECT 1 AS ff, 'message' AS k, encode(*, 'base64') AS p, topic(3) AS d, topic(5) AS ch, clientid() AS c, \
         timestamp() AS t FROM 'water/eu/+/out/telemetry'"
    );
    assert_eq!(payload("TelemetryTopicRule")["Actions"][0]["Kinesis"]["PartitionKey"], "${topic(3)}");
    assert!(sql("AlertsTopicRule").contains("'alerts' AS ch"));
}

#[test]
fn basic_ingest_publishes_past_the_broker_to_the_named_rule() {
    let mut platform = platform();
    platform.mqtt.basic_ingest = true;
    let core: Value = serde_json::from_str(&iot_policies(&platform)["core.json"]).unwrap();
    let arn = |rest: &str| format!("arn:aws:iot:us-east-1:222222222222:topic/{rest}");
    assert_eq!(
        core["Statement"][1]["Resource"],
        serde_json::json!([
            arn("$aws/rules/riverton_water_prod_telemetry/sensors/${iot:Connection.Thing.ThingName}/telemetry"),
            arn("sensors/${iot:Connection.Thing.ThingName}/status"),
            arn("$aws/rules/riverton_water_prod_alerts/sensors/${iot:Connection.Thing.ThingName}/alerts"),
        ])
    );
    let templates = trees(&platform);
    assert_eq!(
        templates["ingest.yaml"]["Resources"]["TelemetryTopicRule"]["Properties"]["RuleName"],
        "riverton_water_prod_telemetry"
    );
}

#[test]
fn overrides_are_merged_and_show_in_the_template() {
    let mut platform = platform();
    let patch = serde_json::json!({"Timeout": 300, "TracingConfig": {"Mode": "PassThrough"}, "Environment": {"Variables": {"RUST_LOG": "debug"}}});
    platform.overrides.insert("EvaluateFunction".into(), patch.as_object().unwrap().clone());
    let templates = trees(&platform);
    let function = &templates["processing.yaml"]["Resources"]["EvaluateFunction"]["Properties"];
    assert_eq!((&function["Timeout"], &function["TracingConfig"]["Mode"]), (&300.into(), &"PassThrough".into()));
    assert_eq!(function["Environment"]["Variables"]["RUST_LOG"], "debug");
    assert_eq!(function["Environment"]["Variables"]["FLEETFORM_PLATFORM"], "riverton-water");
    assert!(logical_ids(&platform).contains("EvaluateFunction"));
}

#[test]
fn settings_reach_the_stacks() {
    let mut platform = platform();
    platform.identity.rotate_after = Some(Millis::from_secs(90 * 86_400));
    let templates = trees(&platform);
    for (at, kind, resource) in resources(&templates) {
        let properties = &resource["Properties"];
        if kind == "AWS::IAM::Role" {
            assert_eq!(properties["PermissionsBoundary"], "arn:aws:iam::222222222222:policy/boundary", "{at}");
        }
        if properties.get("Tags").is_some() {
            assert_eq!(properties["Tags"], serde_json::json!([{"Key": "cost-centre", "Value": "water"}]), "{at}");
        }
    }
    let checks = &templates["account.yaml"]["Resources"]["IotAudit"]["Properties"]["AuditCheckConfigurations"];
    assert_eq!(checks["DeviceCertificateAgeCheck"]["Configuration"]["CertAgeThresholdInDays"], "90");
    let notify = &templates["processing.yaml"]["Resources"]["NotifyFunction"]["Properties"];
    assert_eq!(notify["Environment"]["Variables"]["FLEETFORM_SMS_ORIGINATION"], "+12025550100");
}

/// The resource of a zone or a contact stays where it is when another comes or goes.
#[test]
fn adding_a_zone_moves_no_other() {
    let homes = |zones: usize| -> BTreeMap<String, String> {
        let templates = trees(&platform_of(zones, 200, 0));
        let groups = resources(&templates).into_iter().filter(|(_, kind, _)| *kind == "AWS::IoT::ThingGroup");
        groups.map(|(at, ..)| at.split_once(' ').map(|(file, id)| (id.to_owned(), file.to_owned())).unwrap()).collect()
    };
    let (before, after) = (homes(700), homes(701));
    assert!(before.iter().all(|(id, file)| after[id] == *file));
}
