//! What the platform file says reaches the templates.

use fleetform_engine::{rule_set::Webhook, units::Millis};
use serde_json::Value;

use super::{
    super::{
        has_room_for_targets, iot_policies, logical_ids,
        sample::{contact_id, platform},
    },
    resources, trees,
};
use crate::{
    cfn::fill::Place,
    platform::{Platform, contact::Contact, mqtt::Topic},
};

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
    assert_eq!(
        sql("LifecycleTopicRule"),
        "SELECT 1 AS ff, 'lifecycle' AS k, topic(5) AS d, topic(4) AS e, versionNumber AS v, disconnectReason AS r, \
         timestamp() AS t FROM '$aws/events/presence/+/+'"
    );
    assert_eq!(payload("LifecycleTopicRule")["Actions"][0]["Kinesis"]["PartitionKey"], "${topic(5)}");
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
fn an_override_takes_the_place_of_what_stands_for_a_value() {
    let mut platform = platform();
    let patch = serde_json::json!({"StreamEncryption": {"KeyId": {"Ref": "AWS::NoValue"}}});
    platform.overrides.insert("TelemetryStream".into(), patch.as_object().unwrap().clone());
    let templates = trees(&platform);
    let encryption = &templates["ingest.yaml"]["Resources"]["TelemetryStream"]["Properties"]["StreamEncryption"];
    assert_eq!(encryption["KeyId"], serde_json::json!({"Ref": "AWS::NoValue"}));
    assert_eq!(encryption["EncryptionType"], "KMS");
}

/// A managed policy has 6,144 characters, and a role ten of them ("IAM and AWS STS quotas").
#[test]
fn the_secrets_of_many_webhooks_are_spread_over_policies() {
    let with_webhooks = |count: usize| {
        let mut platform = platform();
        let contact = |n: usize| Contact {
            sms: Vec::new(),
            email: Vec::new(),
            webhook: Some(Webhook {
                url: format!("https://hooks.riverton.example/{n}").into(),
                secret: Some(format!("secretsmanager:riverton/notices/{n}/{}", "x".repeat(60)).into()),
            }),
        };
        platform.contacts = (0..count).map(|n| (contact_id(&format!("hook-{n}")), contact(n))).collect();
        platform
    };
    let few = with_webhooks(5);
    assert!(!logical_ids(&few).contains("NotifyPolicy2"));
    let many = with_webhooks(100);
    let templates = trees(&many);
    let resources = templates["processing.yaml"]["Resources"].as_object().unwrap();
    let policies: Vec<_> = resources.iter().filter(|(id, _)| id.starts_with("NotifyPolicy")).collect();
    assert!(policies.len() > 2, "{}", policies.len());
    let arns = &resources["NotifyRole"]["Properties"]["ManagedPolicyArns"];
    assert_eq!(arns.as_array().unwrap().len(), policies.len());
    let texts: String = policies.iter().map(|(_, policy)| policy["Properties"]["PolicyDocument"].to_string()).collect();
    assert!((0..100).all(|n| texts.contains(&format!("/notices/{n}/"))));
    let place = Place { partition: "aws-us-gov", region: "us-gov-west-1", account: "222222222222" };
    for (id, policy) in policies {
        let length = place.fill(&policy["Properties"]["PolicyDocument"]).to_string().len();
        assert!(length <= 6_144, "{id} has {length} characters");
    }
    assert!(has_room_for_targets(&many) && !has_room_for_targets(&with_webhooks(1_000)));
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

#[test]
fn a_stream_of_the_next_generation_is_another_resource_with_states_of_its_own() {
    let mut platform = platform();
    let stream_of = |platform: &Platform| -> Vec<String> {
        let templates = trees(platform);
        let streams = resources(&templates).into_iter().filter(|(_, kind, _)| *kind == "AWS::Kinesis::Stream");
        streams.map(|(at, ..)| at).collect()
    };
    assert_eq!(stream_of(&platform), ["ingest.yaml TelemetryStream"]);
    platform.stream.generation = 3;
    assert_eq!(stream_of(&platform), ["ingest.yaml TelemetryStream3"]);
    let templates = trees(&platform);
    for function in ["EvaluateFunction", "SweepFunction"] {
        let function = &templates["processing.yaml"]["Resources"][function]["Properties"];
        assert_eq!(function["Environment"]["Variables"]["FLEETFORM_STREAM_GENERATION"], "3");
    }
}

#[test]
fn a_function_may_write_traces_only_where_they_are_wanted() {
    let mut platform = platform();
    for tracing in [true, false] {
        platform.observe.tracing = tracing;
        for (name, template) in trees(&platform) {
            let has_functions = template.to_string().contains("AWS::Lambda::Function");
            assert_eq!(template.to_string().contains("xray:"), tracing && has_functions, "{name}");
        }
    }
}

/// Each environment would otherwise undo what the other has deployed.
#[test]
fn environments_in_one_account_share_the_stacks_of_the_account() {
    let one = platform();
    let mut other = platform();
    other.environment.id = "dev".parse().unwrap();
    for name in ["account.yaml", "catalog.yaml"] {
        assert_eq!(trees(&one)[name], trees(&other)[name], "{name}");
    }
}

/// "Overview of managing access permissions to your CloudWatch Logs resources": a log group without `:*` is meant by tags only.
#[test]
fn aws_iot_may_write_its_log() {
    let templates = trees(&platform());
    let policy = &templates["account.yaml"]["Resources"]["IotLoggingPolicy"]["Properties"]["PolicyDocument"];
    for statement in policy["Statement"].as_array().unwrap() {
        let resource = statement["Resource"]["Fn::Sub"].as_str().unwrap();
        assert!(resource.contains(":log-group:AWSIotLogsV2:") && resource.ends_with('*'), "{statement}");
    }
}

/// A description may have a thousand characters of four bytes each, a template's no more than 1,024 bytes.
#[test]
fn a_long_description_is_cut_between_characters() {
    let mut platform = platform();
    platform.description = Some("水".repeat(1_000).into());
    let templates = trees(&platform);
    let description = templates["root.yaml"]["Description"].as_str().unwrap();
    assert!((1_020..=1_024).contains(&description.len()), "{} bytes", description.len());
}

#[test]
fn evaluate_may_ask_the_stream_where_a_shard_came_from_and_read_it_back() {
    let templates = trees(&platform());
    let resources = &templates["processing.yaml"]["Resources"];
    let policies = resources.as_object().unwrap().iter().filter(|(id, _)| id.starts_with("Evaluate"));
    let text: String = policies.map(|(_, resource)| resource["Properties"]["PolicyDocument"].to_string()).collect();
    for action in ["kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"] {
        assert!(text.contains(action), "{action} in {text}");
    }
    let variables = &resources["EvaluateFunction"]["Properties"]["Environment"]["Variables"];
    assert_eq!(variables["FLEETFORM_RECORD_AGE_MAX_S"], "21600");
    assert!(variables["FLEETFORM_STREAM_ARN"].is_object());
}

#[test]
fn sweep_is_woken_as_often_as_the_file_says_and_alone_deletes_state() {
    let mut platform = platform();
    for (seconds, expression, silence_s) in
        [(60, "rate(1 minute)", 300), (120, "rate(2 minutes)", 360), (3_600, "rate(60 minutes)", 10_800)]
    {
        platform.processor.sweep_every = Millis::from_secs(seconds);
        let templates = trees(&platform);
        let schedule = &templates["processing.yaml"]["Resources"]["SweepSchedule"]["Properties"];
        assert_eq!(schedule["ScheduleExpression"], expression);
        let alarm = &templates["observability.yaml"]["Resources"]["SweepSilentAlarm"]["Properties"];
        assert_eq!(alarm["Metrics"][0]["MetricStat"]["Period"], silence_s);
        assert_eq!((&alarm["TreatMissingData"], &alarm["Threshold"]), (&"breaching".into(), &1.into()));
    }
    let templates = trees(&platform);
    let deleting: Vec<String> = resources(&templates)
        .into_iter()
        .flat_map(|(at, _, resource)| {
            let statements = resource["Properties"]["PolicyDocument"]["Statement"].as_array().cloned();
            statements.unwrap_or_default().into_iter().map(move |statement| (at.clone(), statement))
        })
        .filter(|(_, statement)| statement["Effect"] == "Allow" && statement["Action"].to_string().contains("Delete"))
        .map(|(at, statement)| format!("{at} {}", statement["Resource"]))
        // Which has nothing to do with states.
        .filter(|deleting| !deleting.contains("ColdBucket"))
        .collect();
    assert_eq!(deleting.len(), 1, "{deleting:?}");
    let only = &deleting[0];
    assert!(only.starts_with("processing.yaml/SweepPolicy") || only.contains("SweepPolicy"), "{only}");
    assert!(only.contains("/log/*") && only.contains("/base/*") && !only.contains("/start/"), "{only}");
}
