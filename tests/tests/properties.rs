//! Properties of the output for every valid platform, not only for hand-written examples.

use fleetform_tests::{
    platforms::{Size, platform},
    rendering::rendered,
    template::{templates, unresolved},
};
use proptest::prelude::*;

const RESOURCES_MAX: usize = 500;
const TEMPLATE_BYTES_MAX: usize = 1_000_000;

/// A platform file of a random size, with random choices for what affects the stacks.
fn text() -> impl Strategy<Value = String> {
    let size = (1..60_usize, 1..25_usize, 1..20_usize, 1..60_usize);
    let stream = prop_oneof![
        Just("mode = \"on_demand\"".to_owned()),
        (1..40_u32).prop_map(|shards| format!("mode = \"provisioned\"\nshards = {shards}")),
    ];
    let arch = prop_oneof![Just("x86_64"), Just("arm64")];
    (size, stream, arch, title()).prop_map(|((zones, device_types, contacts, rules), stream, arch, title)| {
        let text = platform(Size { zones, device_types, contacts, rules });
        let title = toml_string(&title);
        format!("{text}\n[stream]\n{stream}\n\n[processor]\narch = \"{arch}\"\n\n[zones.added]\ntitle = {title}\n")
    })
}

/// Text that a user may have pasted: it must come out as one scalar, whatever it contains.
fn title() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("North\nResources:\n  Evil:\n    Type: AWS::IAM::User".to_owned()),
        Just("{{resolve:ssm:secret}} ${AWS::AccountId}".to_owned()),
        Just("yes".to_owned()),
        Just("10:00".to_owned()),
        "[ -~]{1,40}",
        "\\PC{1,40}",
    ]
}

fn toml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn references_resolve_and_limits_hold(text in text()) {
        let Some(tree) = valid(&text) else { return Ok(()) };
        for (environment, templates) in templates(&tree) {
            prop_assert_eq!(unresolved(&templates), Vec::<String>::new(), "{}", environment);
            for (file, template) in &templates {
                let resources = template["Resources"].as_object().map_or(0, serde_json::Map::len);
                prop_assert!((1..=RESOURCES_MAX).contains(&resources), "{file}: {resources} resources");
                prop_assert!(!template["Resources"].as_object().is_some_and(|all| all.contains_key("Evil")), "{file}");
            }
        }
        for (path, bytes) in tree.iter() {
            prop_assert!(bytes.len() <= TEMPLATE_BYTES_MAX || path.extension() != Some("yaml"), "{path}");
            prop_assert!(bytes.ends_with(b"\n") && !bytes.ends_with(b"\n\n"), "{path} ends in one line feed");
        }
    }

    #[test]
    fn the_order_of_tables_changes_nothing(size in (1..6_usize, 1..4_usize, 1..4_usize, 1..12_usize), seed in any::<u64>()) {
        let (zones, device_types, contacts, rules) = size;
        let text = platform(Size { zones, device_types, contacts, rules });
        prop_assert_eq!(rendered(&shuffled(&text, seed)), rendered(&text));
    }
}

/// Titles may contain what the language refuses; a file that is refused has no output.
fn valid(text: &str) -> Option<fleetform_generator::Tree> {
    let project = fleetform_generator::check("platform.toml", text).project?;
    Some(fleetform_generator::render(&project, fleetform_generator::Selection::All))
}

/// Reorders the tables of zones, contacts and rules. Arrays of tables keep their order, which has a meaning.
fn shuffled(text: &str, seed: u64) -> String {
    let (head, tables) = text.split_once("\n[").expect("a table");
    let mut tables: Vec<_> = format!("\n[{tables}").split("\n[").skip(1).map(|table| format!("\n[{table}")).collect();
    let movable: Vec<usize> = (0..tables.len()).filter(|&at| is_movable(&tables[at])).collect();
    let mut state = seed | 1;
    for index in (1..movable.len()).rev() {
        // A xorshift is good enough to shuffle tables.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (index as u64 + 1)).expect("an index");
        tables.swap(movable[index], movable[other]);
    }
    format!("{head}{}", tables.concat())
}

fn is_movable(table: &str) -> bool {
    ["\n[zones.", "\n[contacts.", "\n[rules."].iter().any(|kind| table.starts_with(kind))
}
