use proptest::prelude::*;
use serde_json::json;

use super::{super::parse, *};
use crate::{
    compiled::{Compiled, Home},
    ids::DeviceId,
    reason::Refusal,
    rule_set::RuleSet,
    sample::Samples,
};

const EXAMPLE: &[u8] = include_bytes!("../../tests/fixtures/rule-set.json");
const USUAL: &str = r#"{"deviceId":"pump-1","timestamp":"2026-01-31T10:30:00.250Z","readings":{"state":"running","doorOpen":true,"note":"all is well","vibration":2.75},"batteryLevel":85,"signalStrength":-65}"#;

/// The example's rule set, and one whose messages nest their parts and hold times as numbers.
fn rule_sets() -> &'static [Compiled] {
    static SETS: std::sync::OnceLock<Vec<Compiled>> = std::sync::OnceLock::new();
    SETS.get_or_init(compiled)
}

fn compiled() -> Vec<Compiled> {
    let mut nested: serde_json::Value = serde_json::from_slice(EXAMPLE).unwrap();
    nested["message"] = json!({
        "device_id": "about.id", "timestamp": "about.when.ms", "timestamp_format": "epoch_ms",
        "readings": "data.values", "batch": "data.records",
        "health": { "battery_level": "about.battery", "signal_strength": "rssi" },
        "max_future_skew_ms": 120_000, "max_past_ms": 86_400_000, "unknown_reading": "reject",
    });
    [EXAMPLE.to_vec(), serde_json::to_vec(&nested).unwrap()]
        .iter()
        .map(|bytes| Compiled::new(&RuleSet::from_bytes(bytes).unwrap(), RuleSet::sha256(bytes)))
        .collect()
}

fn home(rules: &Compiled) -> Home {
    rules.home(&"pump".parse().unwrap(), &"zone-a".parse().unwrap()).unwrap()
}

/// The spelling of the type's messages, with no template learned yet.
fn spelling(rules: &Compiled) -> Spelling {
    let readings = &rules.device_type(home(rules)).metrics[..usize::from(rules.device_type(home(rules)).health_from)];
    Spelling::new(&rules.layout, readings.iter().map(|metric| metric.key.as_str())).expect("plain keys")
}

/// The result of the scan, if it succeeds, and the result of the parser.
fn both(rules: &Compiled, spelling: &Spelling, message: &[u8]) -> (Option<Samples>, Result<Samples, Refusal>) {
    let device_type = rules.device_type(home(rules));
    let device = DeviceId::new("pump-1").unwrap();
    let mut scanned = Samples::default();
    let mut reader = Reader::new(&mut scanned, rules, device_type, &device);
    let done = read(&mut reader, spelling, message).is_ok();
    scanned.read.clear();
    let mut parsed = Samples::default();
    let read = parse::general(&mut parsed, message, rules, device_type, &device);
    (done.then_some(scanned), read.map(|()| parsed))
}

/// Whether the message was scanned. Panics if the parser's result differs.
fn check_as(rules: &Compiled, spelling: &Spelling, message: &[u8]) -> bool {
    match both(rules, spelling, message) {
        (None, _) => false,
        (Some(scanned), parsed) => {
            let parsed = parsed.unwrap_or_else(|refusal| panic!("scanned {:?}, but {refusal:?}", text(message)));
            assert_eq!(format!("{scanned:?}"), format!("{parsed:?}"), "{:?}", text(message));
            true
        }
    }
}

/// Checks the message twice: without a template, and with the one learned from it.
fn check(rules: &Compiled, message: &[u8]) -> bool {
    let spelling = spelling(rules);
    let scanned = check_as(rules, &spelling, message);
    assert_eq!(check_as(rules, &spelling, message), scanned, "{:?}", text(message));
    scanned
}

fn text(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}

#[test]
fn usual_messages_are_scanned() {
    let [flat, nested] = rule_sets() else { panic!("two sets") };
    for message in [
        USUAL.to_owned(),
        USUAL.replace(',', ", ").replace("\":", "\": "),
        USUAL.replace(',', "\n,\t").replace('{', "{ \r\n"),
        USUAL.replace("2.75", "1e1").replace("1e1", "0.5"),
        USUAL.replace("\"vibration\":2.75", "\"vibration\":2.75,\"torque\":[1]").replace("[1]", "7"),
        USUAL.replace("\"batteryLevel\":85,", "\"firmware\":\"1.2.3\",\"test\":false,\"spare\":null,"),
        r#"{"readings":{}}"#.to_owned(),
        r#"{"readings":{"vibration":-0},"timestamp":null}"#.to_owned(),
        r#"{"readings":{"vibration":-0.0},"timestamp":"yesterday"}"#.to_owned(),
        r#"{"batteryLevel":85,"records":[{"timestamp":"2026-01-31T10:30:00Z","readings":{"vibration":1}},{"readings":{"vibration":2}}],"signalStrength":-3}"#.to_owned(),
        r#"[{"timestamp":"2026-01-31T10:30:00Z","readings":{"vibration":1}}]"#.to_owned(),
        "[]".to_owned(),
    ] {
        assert!(check(flat, message.as_bytes()), "{message}");
    }
    for message in [
        r#"{"about":{"id":"pump-1","when":{"ms":1769855400000},"battery":50},"data":{"values":{"vibration":3.5}},"rssi":-80}"#,
        r#"{"data":{"records":[{"about":{"when":{"ms":1769855400000}},"data":{"values":{"doorOpen":false}}}]}}"#,
    ] {
        assert!(check(nested, message.as_bytes()), "{message}");
    }
}

#[test]
fn what_was_read_once_is_read_by_its_template() {
    let rules = &rule_sets()[0];
    let spelling = spelling(rules);
    let templates = spelling.templates(Which::Root);
    let later = USUAL.replace("2.75", "3.5").replace("10:30:00.250", "10:31:00.000").replace("running", "stopped");
    assert!(templates.has_room());
    for message in [USUAL, &later, &later.replace(':', ": "), &later.replace(',', " ,"), &later.replace("-65", "-5")] {
        assert!(check_as(rules, &spelling, message.as_bytes()));
    }
    assert!(templates.has_room(), "three spellings");
    assert!(check_as(rules, &spelling, later.replace('}', " }").as_bytes()));
    assert!(!templates.has_room(), "four");
    assert!(check_as(rules, &spelling, later.replace('{', "{ ").as_bytes()), "a fifth is read without");
    assert!(spelling.templates(Which::Element).has_room());
}

#[test]
fn what_the_parser_refuses_or_reads_in_another_way_is_never_scanned() {
    let [flat, nested] = rule_sets() else { panic!("two sets") };
    for (from, to) in [
        ("2.75", "2.750000000000000000000000001"),
        ("2.75", "02.75"),
        ("2.75", "2."),
        ("2.75", ".5"),
        ("2.75", "-"),
        ("2.75", "+1"),
        ("2.75", "1e400"),
        ("2.75", "1e2"),
        ("2.75", "90071992547409931"),
        ("2.75", "51"),
        ("2.75", "\"2.75\""),
        ("2.75", "null"),
        ("2.75", "[2.75]"),
        ("true", "1"),
        ("true", "truely"),
        ("running", "walking"),
        ("running", "runnin\\u0067"),
        ("all is well", "all is \\\"well"),
        ("all is well", "alles schön"),
        ("all is well", "all\tis well"),
        ("pump-1", "pump-2"),
        ("\"pump-1\"", "1"),
        ("\"vibration\"", "\"vibratio\\u006e\""),
        ("\"vibration\":2.75", "\"vibration\":2.75,\"vibration\":2.75"),
        ("\"vibration\":2.75", "\"a\":1,\"a\":1"),
        ("\"vibration\":2.75", "\"a\":{}"),
        ("\"vibration\":2.75", "\"vibration\":2.75,\"vibration\" :2.75"),
        ("\"vibration\":2.75", "\"vibration\":2.75,"),
        ("\"readings\"", "\"reading\""),
        ("-65}", "-65}}"),
        ("-65}", "-65"),
        ("-65}", "-65} x"),
        ("{\"deviceId\"", "{,\"deviceId\""),
        ("{\"deviceId\"", "\u{feff}{\"deviceId\""),
        ("\"deviceId\":", "\"deviceId\""),
    ] {
        let message = USUAL.replacen(from, to, 1);
        assert_ne!(message, USUAL, "{from}");
        assert!(!check(flat, message.as_bytes()), "{message}");
    }
    for end in 0..USUAL.len() {
        assert!(!check(flat, &USUAL.as_bytes()[..end]));
    }
    assert!(!check(nested, br#"{"data":{"values":{"vibration":3.5,"torque":1}}}"#), "an unknown reading is rejected");
    assert!(!check(flat, b"7"));
}

/// Pieces of messages that are combined at random.
fn pieces() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,18})?",
        "-?[0-9]{1,4}(\\.[0-9]{0,4})?([eE][+-]?[0-9]{1,3})?",
        any::<f64>().prop_map(|number| number.to_string()),
        any::<f32>().prop_map(|number| number.to_string()),
        (-60.0..60.0_f64).prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
    ];
    let scalar = prop_oneof![
        6 => number,
        1 => prop::sample::select(vec!["true", "false", "null", "\"running\"", "\"2026-01-31T10:30:00Z\"", "\"pump-1\"",
            "\"\\u0061\"", "\"ä\"", "[]", "{}", "[1]", "1769855400000", "\"\""]).prop_map(str::to_owned),
    ];
    let key = prop::sample::select(vec![
        "vibration",
        "state",
        "doorOpen",
        "note",
        "torque",
        "deviceId",
        "timestamp",
        "batteryLevel",
        "rssi",
        "battery",
        "id",
        "ms",
        "readings",
        "records",
        "values",
        "vibratio\\u006e",
        "Vibration",
        "",
    ]);
    let space = prop::sample::select(vec!["", "", "", "", " ", "\n\t"]);
    let pair = (key, space.clone(), scalar).prop_map(|(key, space, scalar)| format!("\"{key}\":{space}{scalar}"));
    let fields = prop::collection::vec(pair, 0..6).prop_map(|pairs| pairs.join(","));
    (fields.clone(), fields.clone(), fields, 0..8_u8, space).prop_map(|(root, inner, other, shape, space)| {
        let join = |parts: &[&str]| parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(",");
        match shape {
            0..3 => format!("{{{}}}{space}", join(&[&root, &format!("\"readings\":{space}{{{inner}}}"), &other])),
            3 => format!(
                "{{{}}}",
                join(&[&root, &format!("\"records\":[{{\"readings\":{{{inner}}}}},{{\"readings\":{{{other}}}}}]")])
            ),
            4 => format!("[{{\"readings\":{{{inner}}}}},{{{}}}]", join(&[&root, &format!("\"readings\":{{{other}}}")])),
            5 => format!("{{\"about\":{{{root}}},\"data\":{{\"values\":{{{inner}}}}}}}"),
            6 => format!("{{\"data\":{{\"records\":[{{\"about\":{{{root}}},\"data\":{{\"values\":{{{inner}}}}}}}]}}}}"),
            _ => format!("{{{root}}}"),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_scanned_is_what_the_parser_reads(message in pieces()) {
        for rules in rule_sets() {
            check(rules, message.as_bytes());
        }
    }

    #[test]
    fn a_byte_that_is_changed_changes_both_readings_alike(at: prop::sample::Index, byte: u8) {
        let mut message = USUAL.as_bytes().to_vec();
        let at = at.index(message.len());
        message[at] = byte;
        let rules = &rule_sets()[0];
        check(rules, &message);
        // Also by the template of the unchanged message, alone and as a sample of a batch.
        let spelling = spelling(rules);
        prop_assert!(check_as(rules, &spelling, USUAL.as_bytes()));
        check_as(rules, &spelling, &message);
        let batch = |one: &[u8]| [b"[", USUAL.as_bytes(), b",", one, b"]"].concat();
        prop_assert!(check_as(rules, &spelling, &batch(USUAL.as_bytes())));
        check_as(rules, &spelling, &batch(&message));
    }

    #[test]
    fn a_message_is_read_alike_by_the_template_of_any_other(messages in prop::collection::vec(pieces(), 1..7)) {
        for rules in rule_sets() {
            let spelling = spelling(rules);
            for message in messages.iter().chain(&messages) {
                check_as(rules, &spelling, message.as_bytes());
            }
        }
    }

    #[test]
    fn other_values_are_read_by_a_template_as_the_parser_reads_them(
        values in prop::collection::vec(("-?[0-9]{1,4}(\\.[0-9]{0,4})?", "true|false|null|0", "running|stopped|x", "[ -~]{0,9}", "-?[0-9]{1,3}"), 1..5)
    ) {
        let rules = &rule_sets()[0];
        let spelling = spelling(rules);
        prop_assert!(check_as(rules, &spelling, USUAL.as_bytes()));
        for (vibration, open, state, note, battery) in values {
            let message = USUAL.replace("2.75", &vibration).replace("true", &open).replace("running", &state);
            check_as(rules, &spelling, message.replace("all is well", &note).replace("85", &battery).as_bytes());
        }
    }

    #[test]
    fn short_numbers_are_read_as_longer_ones_are(text in "[-0-9.eE, ]{8,14}") {
        let longer = longer(text.as_bytes());
        let short = octets::decimal(text.as_bytes().first_chunk().unwrap());
        prop_assert_eq!(short, longer.filter(|number| number.length < 8));
    }

    #[test]
    fn numbers_have_the_bits_that_the_parser_gives_them(text in "-?(0|[1-9][0-9]{0,15})(\\.[0-9]{1,22})?") {
        let parsed: f64 = serde_json::from_str(&text).unwrap();
        let followed = format!("{text},12345678");
        prop_assert_eq!(number(text.as_bytes()).map(|read| read.0), number(followed.as_bytes()).map(|read| read.0));
        if let Some((number, rest)) = number(followed.as_bytes()) {
            prop_assert_eq!(number.to_bits(), parsed.to_bits());
            prop_assert_eq!(rest, b",12345678");
        } else {
            prop_assert!(text.len() > 15, "{} is short enough", text);
        }
    }
}
