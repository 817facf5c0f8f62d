//! Platforms that reach the limits of CloudFormation.

use fleetform_tests::{
    platforms::{Size, platform},
    rendering::rendered,
    template::{templates, unresolved},
};
use serde_json::Value;

fn resources(template: &Value) -> usize {
    template["Resources"].as_object().map_or(0, serde_json::Map::len)
}

#[test]
fn case_15_five_thousand_rules_are_rows_of_the_rule_set_and_not_resources() {
    let few = templates(&rendered(&platform(Size { zones: 10, device_types: 5, contacts: 3, rules: 50 })));
    let tree = rendered(&platform(Size { zones: 10, device_types: 5, contacts: 3, rules: 5_000 }));
    let many = templates(&tree);
    let count = |all: &fleetform_tests::template::Templates| all["dev"].values().map(resources).sum::<usize>();
    assert_eq!(count(&many), count(&few));
    let rule_set: Value =
        serde_json::from_slice(tree.get("dev/rules/rule-set.json").expect("a rule set")).expect("JSON");
    assert_eq!(rule_set["rules"].as_object().map(serde_json::Map::len), Some(5_000));
}

#[test]
fn case_15_more_resources_than_a_stack_may_hold_are_split() {
    let tree = rendered(&platform(Size { zones: 700, device_types: 300, contacts: 600, rules: 10 }));
    for templates in templates(&tree).values() {
        assert_eq!(unresolved(templates), Vec::<String>::new());
        for (file, template) in templates {
            assert!(resources(template) <= 500, "{file}: {} resources", resources(template));
        }
        assert!(templates.keys().any(|file| file.ends_with("-2.yaml")), "{:?}", templates.keys());
        // A stack with more than 200 outputs or parameters is refused too.
        for (file, template) in templates {
            for section in ["Parameters", "Outputs"] {
                let count = template[section].as_object().map_or(0, serde_json::Map::len);
                assert!(count <= 200, "{file}: {count} {section}");
            }
        }
    }
}
