//! The artifact: reading returns what was written, and refuses anything inconsistent.

use fleetform_engine::rule_set::{RuleSet, RuleSetError};
use serde_json::{Value, json};

use crate::support::EXAMPLE;

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_slice(EXAMPLE).unwrap();
    change(&mut value);
    RuleSet::from_bytes(&serde_json::to_vec(&value).unwrap()).unwrap_err().to_string()
}

#[test]
fn a_rule_set_survives_a_round_trip() {
    let set = RuleSet::from_bytes(EXAMPLE).unwrap();
    let bytes = set.to_bytes();
    let again = RuleSet::from_bytes(&bytes).unwrap();
    assert_eq!(again, set);
    assert_eq!(again.to_bytes(), bytes);
    assert_eq!(RuleSet::sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn a_newer_format_says_so_whatever_its_shape() {
    let newer = serde_json::to_vec(&json!({ "format_version": 2, "rules": [] })).unwrap();
    assert!(matches!(RuleSet::from_bytes(&newer), Err(RuleSetError::Newer { found: 2 })));
    assert!(matches!(RuleSet::from_bytes(b"{}"), Err(RuleSetError::Shape(_))));
}

#[test]
fn every_contradiction_names_its_place() {
    let cases: Vec<(String, &str)> = vec![
        (refused(|set| set["zones"]["zone-a"]["parent"] = json!("zone-b")), "zones.zone-a.parent"),
        (refused(|set| set["zones"]["zone-a"]["parent"] = json!("nowhere")), "there is no zone `nowhere`"),
        (refused(|set| set["zones"]["zone-a"]["contacts"] = json!(["nobody"])), "there is no contact `nobody`"),
        (refused(|set| set["rules"]["burst"]["metric"] = json!("ph")), "rules.burst.metric"),
        (refused(|set| set["rules"]["burst"]["severity"] = json!("urgent")), "there is no severity `urgent`"),
        (refused(|set| set["rules"]["burst"]["zones"] = json!(["zone-z"])), "rules.burst.zones"),
        (refused(|set| set["rules"]["burst"]["device_types"] = json!([])), "rules.burst.metric"),
        (refused(|set| set["rules"]["burst"]["device_types"] = json!(["tap"])), "there is no device type `tap`"),
        (refused(|set| set["rules"]["burst"]["condition"]["per_ms"] = json!(0)), "rules.burst.condition.per_ms"),
        (refused(|set| set["rules"]["burst"]["notify"] = json!(["nobody"])), "rules.burst.notify"),
        (refused(|set| set["rules"]["low-battery"]["condition"]["clear"] = json!(19.0)), "not on the good side of `<`"),
        (refused(|set| set["rules"]["high-pressure"]["condition"]["clear"] = json!(61.0)), "condition.clear"),
        (
            refused(|set| set["rules"]["flow-range"]["condition"]["min"] = json!(801.0)),
            "rules.flow-range.condition.min",
        ),
        (
            refused(|set| set["rules"]["pump-fault"]["condition"]["equals"] = json!("broken")),
            "rules.pump-fault.condition",
        ),
        (refused(|set| set["rules"]["pump-fault"]["condition"]["from"] = json!("fault")), "cannot come from itself"),
        (refused(|set| set["rules"]["pump-fault"]["metric"] = json!("vibration")), "does not take values"),
        (refused(|set| set["rules"]["vibration-high"]["hold"]["breach"] = json!(6)), "breach ≤ of"),
        (refused(|set| set["rules"]["vibration-high"]["hold"]["of"] = json!(65)), "of ≤ 64"),
        (refused(|set| set["device_types"]["pump"]["readings"]["note"]["key"] = json!("state")), "readings"),
        (
            refused(|set| {
                set["device_types"]["pump"]["readings"]["battery_level"] =
                    set["device_types"]["pump"]["readings"]["note"].clone()
            }),
            "same name",
        ),
        (
            refused(|set| set["device_types"]["pump"]["readings"]["state"]["value"]["values"] = json!(["a", "a"])),
            "different words",
        ),
        (refused(|set| set["device_types"]["pump"]["report_every_ms"] = json!(0)), "device_types.pump.report_every_ms"),
        (refused(|set| set["message"]["readings"] = json!("timestamp.x")), "overlap"),
        (refused(|set| set["message"]["batch"] = json!("a..b")), "message.batch"),
        (refused(|set| set["routes"][0]["to"] = json!([])), "routes.0.to"),
        (refused(|set| set["routes"][0]["match"] = json!({ "rules": ["gone"] })), "routes.0.match.rules"),
        (refused(|set| set["rules"]["valve-offline"]["metric"] = json!("position")), "reads no metric"),
        (refused(|set| set["rules"]["valve-open"]["metric"] = serde_json::Value::Null), "reads a metric"),
        (
            refused(|set| set["rules"]["valve-open-and-leaking"]["condition"]["all"] = json!(["gone"])),
            "there is no rule `gone`",
        ),
        (
            refused(|set| set["rules"]["valve-open-and-leaking"]["condition"]["not"] = json!(["valve-open-and-fine"])),
            "read each other",
        ),
        (
            refused(|set| {
                set["rules"]["valve-open-and-leaking"]["condition"]["any"] = json!(["valve-open-and-leaking"])
            }),
            "read each other",
        ),
        (refused(|set| set["rules"]["valve-alarm"]["condition"]["codes"] = json!([""])), "1 to 64 characters"),
        (refused(|set| set["rules"]["valve-by-night"]["active"]["to_minute"] = json!(330)), "active"),
        (refused(|set| set["rules"]["valve-flaps"]["flap_limit"]["firings"] = json!(0)), "flap_limit.firings"),
        (refused(|set| set["severities"]["reminded"]["repeat_every_ms"] = json!(0)), "repeat_every_ms"),
        (refused(|set| set["surprise"] = json!(1)), "unknown field `surprise`"),
        (refused(|set| set["rules"]["burst"]["condition"]["threshold"] = json!("61")), "invalid type"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}
