//! Whatever this reader accepts, the parser of whole documents reads in the same way.

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::json;

use super::*;
use crate::source::{Refused, limits};

/// Reads a text. If it is accepted, asserts that it has no error and that the parser of whole documents reads the same.
fn check(text: &str) -> Option<Value> {
    let read = read(text);
    let in_parts = read_parts(text, 1);
    assert_eq!(in_parts.map(|source| source.value), read.as_ref().map(|source| source.value.clone()), "{text}");
    let read = read?;
    let whole = Source::parse_whole(text).unwrap_or_else(|mistakes| panic!("{mistakes:?} in {text}"));
    assert_eq!(whole.unusable, [], "{text}");
    assert_eq!(read.value, whole.value, "{text}");
    assert_eq!(read.places, whole.places, "{text}");
    assert_eq!(limits::too_deep(text), None, "{text}");
    Some(read.value)
}

#[test]
fn what_platform_files_are_made_of_is_read_at_once() {
    let text = r#"
            schema = 1 # a comment
            'quoted key'."another \u0041" = """
several
lines"""
            [zones.zone-a]
            title = 'Zone "A"'
            [zones.zone-b]
            [device_types.meter]
            limits.rate = 0x1F
            limits.burst = 1_000.5
            [device_types.meter.readings]
            pressure = { unit = "[psi]", min = 0, max = -3.6e2, required = true, values = [] }
            [[routes]]
            to = [
                "zone",  # and another comment
                ["crew"],
            ]
            [[routes]]
            [routes.match]
            zones = [{ name = "a" }, { name = "b", more = { deep.er = false } }]
        "#;
    let pressure = json!({ "unit": "[psi]", "min": 0, "max": -360.0, "required": true, "values": [] });
    assert_eq!(
        check(text).expect("nothing is wrong with it"),
        json!({
            "schema": 1,
            "quoted key": { "another A": "several\nlines" },
            "zones": { "zone-a": { "title": "Zone \"A\"" }, "zone-b": {} },
            "device_types": {
                "meter": { "limits": { "rate": 31, "burst": 1000.5 }, "readings": { "pressure": pressure } }
            },
            "routes": [
                { "to": ["zone", ["crew"]] },
                { "match": { "zones": [{ "name": "a" }, { "name": "b", "more": { "deep": { "er": false } } }] } }
            ]
        })
    );
}

#[test]
fn what_may_be_wrong_is_not_read() {
    for text in [
        "a = 1\na = 2",
        "a = {}\n[a]",
        "a = {}\n[a.b]",
        "a = {}\na.b = 1",
        "a = [{}]\n[[a]]",
        "a = [{}]\n[a.b]",
        "[a]\nb = { c = 1 }\n[a.b.d]",
        "[[a]]\n[[a.b]]\n[[a]]\nb = [{}]\n[[a.b]]",
        "[a]\n[a]",
        "[a]\n[[a]]",
        "a = 1\n[a.b]",
        "a = { b = {}, b.c = 1 }",
        "a = { b = 1, b = 2 }",
        "a = 1 b = 2",
        "a = [1, 2",
        "a = 1]",
        "a = { b }",
        "a =",
        "= 1",
        "[a",
        "[]",
        "a.",
        "a = 01",
        r#"a = "\x""#,
        "a = \"x",
        "a = 1 # \u{7}",
        "a = 1\rb = 2",
        "a = nan",
        "a = 1e400",
        "a = 99999999999999999999",
        "a = 2026-11-26",
    ] {
        assert_eq!(check(text), None, "{text}");
    }
}

#[test]
fn what_nests_deeply_is_not_read() {
    let (keys, arrays) = ("a.".repeat(LEVELS_MAX), "[".repeat(LEVELS_MAX + 1));
    for text in [
        format!("{keys}a = 1"),
        format!("[{keys}a]"),
        format!("[[{keys}a]]"),
        format!("a = {{ {keys}a = 1 }}"),
        "[a.a.a.a.a.a.a.a]\na.a.a.a.a = { a.a.a = [{ a = 1 }] }".to_owned(),
        format!("a = {arrays}1{}", "]".repeat(LEVELS_MAX + 1)),
    ] {
        assert_eq!(check(&text), None, "{text}");
    }
    assert!(check(&format!("{}a = 1", "a.".repeat(LEVELS_MAX - 1))).is_some());
}

#[test]
fn what_nests_by_thousands_is_refused_and_nothing_of_it_is_kept() {
    let keys = "a.".repeat(30_000);
    for text in [
        format!("{keys}a = 1"),
        format!("a = {{ {keys}a = 1 }}"),
        format!("a = [{{ {keys}a = 1 }}]"),
        format!("[{keys}a]\na = 1"),
        format!("[[{keys}a]]\n{keys}a = 1"),
        format!("{keys}a = {{ {keys}a = 1 }}"),
    ] {
        assert!(matches!(Source::parse(&text), Err(Refused::TooDeep(_))), "{}", &text[..20]);
    }
}

#[test]
fn what_never_ends_is_not_read() {
    for items in [1_000, TOKENS_MAX] {
        let text = format!("a = [{}]", "1,".repeat(items));
        assert_eq!(check(&text).is_some(), items < TOKENS_MAX, "{items}");
    }
}

#[test]
fn a_long_text_is_read_in_parts() {
    let zone = |index| format!("[zones.zone-{index}]\ncontacts = [\n  \"crew\",\n]\nlimits = {{ a = 1 }}\n");
    let text: String = (0..TOKENS_AT_ONCE).map(zone).collect();
    let value = check(&text).expect("nothing is wrong with it");
    assert_eq!(value["zones"].as_object().map(Map::len), Some(TOKENS_AT_ONCE));
    assert_eq!(check(&format!("{text}[zones.zone-7]\n")), None, "a zone that is there twice");
}

fn key() -> impl Strategy<Value = String> {
    let step = prop_oneof![6 => "[abc]", 1 => Just("\"a\"".to_owned()), 1 => Just("'b c'".to_owned())];
    vec(step, 1..4).prop_map(|steps| steps.join("."))
}

fn value() -> impl Strategy<Value = String> {
    let usual = prop_oneof![
        Just("1"),
        Just("0x1F"),
        Just("-1_0.5e-3"),
        Just("true"),
        Just(r#""x\n\u00e9""#),
        Just("'y'"),
        Just("\"\"\"\nz\\\n  \"\"\""),
        Just("'''\n'''"),
    ];
    let unusual = prop_oneof![Just("inf"), Just("1979-05-27"), Just("9223372036854775808"), Just("1e400")];
    let scalar = prop_oneof![
        20 => usual.prop_map(str::to_owned),
        1 => unusual.prop_map(str::to_owned),
        1 => "[-+_.0-9a-fx]{1,6}",
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        let comma = prop_oneof![Just(", "), Just(",\n # x\n")];
        let entry = (key(), inner.clone()).prop_map(|(key, value)| format!("{key} = {value}"));
        prop_oneof![
            (vec(inner, 0..3), comma.clone()).prop_map(|(items, comma)| format!("[{}]", items.join(comma))),
            (vec(entry, 0..3), comma).prop_map(|(entries, comma)| format!("{{{}}}", entries.join(comma))),
        ]
    })
}

fn document() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        6 => (key(), value()).prop_map(|(key, value)| format!("{key} = {value}")),
        3 => key().prop_map(|key| format!("[{key}]")),
        2 => key().prop_map(|key| format!("[[ {key} ]]")),
        1 => Just("  # a comment".to_owned()),
        1 => Just(String::new()),
    ];
    vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

proptest! {
    /// There are few keys, so they collide often, in valid and in invalid ways.
    #[test]
    fn whatever_is_read_is_what_the_parser_of_whole_documents_reads(text in document()) {
        check(&text);
    }

    #[test]
    fn whatever_is_read_of_a_damaged_text_is_too(
        text in document(),
        damages in vec((any::<Index>(), "[\\[\\]{}=,.#\"'\\\\ \r\n\ta1\u{7}é]?"), 1..4),
    ) {
        let mut text: Vec<char> = text.chars().collect();
        for (place, instead) in damages {
            let place = place.index(text.len() + 1);
            text.splice(place..text.len().min(place + 1), instead.chars());
        }
        check(&text.into_iter().collect::<String>());
    }
}
