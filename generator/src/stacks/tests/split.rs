//! Platforms that are too large for one template, and what stays in place as they grow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    super::{
        logical_id, logical_ids,
        sample::{platform, platform_of},
        stacks,
    },
    SHA, resources, trees,
};

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
    // 200 of the zones have no parent: more than fit into one group.
    let between = groups_between(&templates);
    assert!((50..=100).contains(&between), "{between}");
    assert_eq!((counts["AWS::IoT::ThingGroup"], counts["AWS::IoT::ThingType"]), (1_001 + between, 200));
    assert_eq!((counts["AWS::SNS::Topic"], counts["AWS::SNS::Subscription"]), (601, 601));
}

fn groups_between(templates: &BTreeMap<String, Value>) -> usize {
    let groups = resources(templates).into_iter().filter(|(_, kind, _)| *kind == "AWS::IoT::ThingGroup");
    groups.filter(|(.., group)| group["Properties"]["ThingGroupName"].as_str().unwrap().contains(':')).count()
}

/// AWS IoT allows a hundred direct child groups ("AWS IoT Core thing group limits and quotas").
#[test]
fn no_thing_group_has_more_groups_directly_in_it_than_aws_iot_takes() {
    let templates = trees(&platform_of(1_000, 20, 0));
    let mut children: BTreeMap<String, usize> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (.., group) in resources(&templates).into_iter().filter(|(_, kind, _)| *kind == "AWS::IoT::ThingGroup") {
        let properties = &group["Properties"];
        assert!(names.insert(properties["ThingGroupName"].as_str().unwrap().to_owned()));
        if let Some(parent) = properties["ParentGroupName"].as_str() {
            *children.entry(parent.to_owned()).or_default() += 1;
        }
    }
    assert!(children.keys().all(|parent| names.contains(parent)));
    assert!(children.values().all(|count| *count <= 100), "{children:?}");
}

/// Ids that are the same in every platform do not end with a word that ends the id of a zone, a type or a contact.
#[test]
fn no_zone_type_or_contact_takes_the_id_of_another_resource() {
    let (one, other) = (logical_ids(&platform()), logical_ids(&platform_of(3, 2, 2)));
    for id in one.intersection(&other) {
        for word in ["ThingGroup", "ThingType", "CommandsPolicy", "NamedShadowPolicy", "Sms", "Email"] {
            assert!(!id.ends_with(word), "`{id}` may be that of something in the file");
        }
    }
}

/// A child group is created in its parent's stack, or in one that waits for it.
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

/// Logical ids share a single namespace across all stacks, because `[overrides.<LogicalId>]` names no stack.
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

/// The resource of a zone or a contact stays in its stack when another one is added or removed.
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
