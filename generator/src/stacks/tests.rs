//! What holds for the templates of every platform: references resolve, limits are kept, nothing is wider than it says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    sample::{platform, platform_of},
    *,
};

const SHA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn trees(platform: &Platform) -> BTreeMap<String, Value> {
    stacks(platform, SHA).into_iter().map(|(name, text)| (name, serde_saphyr::from_str(&text).unwrap())).collect()
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
