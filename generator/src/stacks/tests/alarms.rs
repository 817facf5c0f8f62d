//! What the alarms of every platform have in common, and what they watch.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{SHA, timestream::on_timestream, trees};
use crate::{
    platform::{Platform, identity::Provisioning},
    rule_set::RuleSetArtifact,
    script,
    stacks::{
        sample::{platform, with_authorities},
        stacks,
    },
};

fn alarms(platform: &Platform) -> BTreeMap<String, Value> {
    let templates = trees(platform);
    let resources = templates["observability.yaml"]["Resources"].as_object().unwrap().clone();
    resources.into_iter().filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm").collect()
}

/// The metrics of an alarm, without what is computed of them.
fn metrics(alarm: &Value) -> Vec<&Value> {
    let metrics = alarm["Properties"]["Metrics"].as_array().unwrap().iter();
    metrics.filter_map(|one| one.get("MetricStat")).map(|one| &one["Metric"]).collect()
}

#[test]
fn the_runbook_says_of_every_alarm_what_to_do() {
    let provisioned = |provisioning| {
        let mut platform = platform();
        platform.identity.provisioning = provisioning;
        platform
    };
    let others = [Provisioning::Csr, Provisioning::FleetClaim].map(provisioned);
    for platform in others.into_iter().chain([with_authorities(1), on_timestream()]) {
        let runbook = script::scripts(&platform, &RuleSetArtifact::of(&platform), &stacks(&platform, SHA)).runbook;
        for id in alarms(&platform).into_keys().filter(|id| !id.ends_with("TableThrottleAlarm")) {
            assert!(runbook.contains(&format!("`{id}`")), "nothing is said of {id}");
        }
    }
}

/// AWS IoT asks `register` without waiting for it, so what it gives up is in its queue or nowhere.
#[test]
fn registration_is_watched_to_its_end() {
    let alarms = alarms(&with_authorities(10));
    for (id, action, name) in
        [("RegistrationFailuresAlarm", "Lambda", "Failure"), ("RegistrationLossAlarm", "S3", "ErrorActionFailure")]
    {
        let metrics = metrics(&alarms[id]);
        assert_eq!(metrics.len(), 10, "{id}");
        for (number, metric) in metrics.into_iter().enumerate() {
            let rule = format!("riverton_water_prod_registered_{number:02x}");
            assert_eq!(metric["MetricName"], name);
            let action = json!({ "Name": "ActionType", "Value": action });
            assert_eq!(metric["Dimensions"], json!([action, { "Name": "RuleName", "Value": rule }]));
        }
    }
    let lost = json!({ "Ref": "ProvisionFunctionName" });
    let of_register = |metric: &&Value| metric["Dimensions"][0]["Value"] == lost;
    let lost = metrics(&alarms["LostFailuresAlarm"]);
    let names: Vec<_> = lost.into_iter().filter(of_register).map(|metric| &metric["MetricName"]).collect();
    assert_eq!(names, ["DeadLetterErrors"]);
    assert!(!self::alarms(&platform()).contains_key("RegistrationFailuresAlarm"), "nobody is registered by a claim");
}
