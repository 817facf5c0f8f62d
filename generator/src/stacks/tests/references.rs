//! Every reference in every template resolves, and the checker that asserts this detects dangling ones.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;

use super::{
    super::{
        logical_id,
        sample::{platform, platform_of},
    },
    bar::faults,
    trees, walk,
};
use crate::platform::{observe::Quarantine, stream::Mode};

/// Follows every reference in every template; returns those that do not resolve.
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

/// Parameters of nested stacks that the root does not set, or sets although they are not declared.
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

#[test]
fn every_reference_resolves() {
    for platform in [platform(), platform_of(1, 1, 0), platform_of(40, 20, 5), platform_of(1_000, 200, 300)] {
        assert_eq!(dangling(&trees(&platform)), Vec::<String>::new());
    }
}

/// The checker detects what it is intended to detect.
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
        platform.observe.quarantine = Some(Quarantine { max_per_hour: 1, to });
        let templates = trees(&platform);
        prop_assert_eq!(dangling(&templates), Vec::<String>::new());
        for (file, tree) in &templates {
            prop_assert!(tree["Resources"].as_object().unwrap().len() <= 500, "{} has too many resources", file);
        }
        prop_assert_eq!(faults(&templates), Vec::<String>::new());
    }
}
