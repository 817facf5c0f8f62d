//! Contracts of device types: the generated code compiles in its language, and a message that it writes is accepted by
//! the runtime's own parser and described by its schema.

use std::{collections::BTreeSet, fs, process::Command, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use camino::{Utf8Path, Utf8PathBuf};
use fleetform_engine::{
    compiled::Compiled,
    ids::{DeviceId, DeviceTypeId, ZoneId},
    rule_set::RuleSet,
    session::{Answer, Session},
    state::Registration,
    units::Timestamp,
};
use fleetform_generator::Tree;
use fleetform_tests::rendering::rendered;
use serde_json::{Value, json};

const DEVICE: &str = "odd:1";

/// The arrival time of every message.
const NOW: Timestamp = Timestamp(1_769_855_460_000);

/// The output of each driver, with readings and times as they were given in the languages.
const FULL: &str = r#"{"in\"t\\ é": 100.5, "class": -3, "__proto__": true, "constructor": "é\"\\??/",
    "//*/": "tab\t\"quoted\" back\\slash é", "field": "none", "toString": -0.1, "int_": -1000000000000000}"#;
const LEAST: &str = r#"{"in\"t\\ é": 0.3333333333333333, "__proto__": false, "field": "self"}"#;

/// The formats of a time: the value in the platform file, two times in this format, and one in TypeScript.
const CLOCKS: [(&str, &str, &str, &str); 3] = [
    ("rfc3339", "\"2026-01-31T10:30:00.250Z\"", "\"2024-02-29T12:00:00.000Z\"", "\"2026-01-31T10:30:00Z\""),
    ("epoch_s", "1769855400.25", "1709208000", "1769855400"),
    ("epoch_ms", "1769855400250", "1709208000000", "1769855400000"),
];

fn fixtures() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/contracts")
}

fn read(path: impl AsRef<Utf8Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref()))
}

/// The fixture, with times in this format.
fn platform(clock: &str) -> Tree {
    rendered(&read(fixtures().join("platform.toml")).replace("\"rfc3339\"", &format!("\"{clock}\"")))
}

fn schema(tree: &Tree, message: &str) -> jsonschema::Validator {
    let path = format!("dev/contracts/odd-one/{message}.schema.json");
    let schema: Value = serde_json::from_slice(tree.get(path).expect("the schema")).expect("JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("a schema of draft 2020-12");
    jsonschema::draft202012::new(&schema).expect("a schema that can be used")
}

/// A shard that knows one device, and receives its messages.
struct Runtime {
    set: RuleSet,
    rules: Arc<Compiled>,
}

impl Runtime {
    fn new(tree: &Tree) -> Self {
        let bytes = tree.get("dev/rules/rule-set.json").expect("the rule set");
        Self {
            set: RuleSet::from_bytes(bytes).expect("a rule set"),
            rules: Arc::new(Compiled::from_bytes(bytes).expect("a rule set")),
        }
    }

    /// The engine's answer to a payload on a channel.
    fn take(&self, channel: &str, payload: &str) -> Answer {
        let mut session = Session::new(&self.set, self.rules.clone());
        let registration = Registration {
            id: DeviceId::new(DEVICE).expect("a device id"),
            revision: 1,
            device_type: DeviceTypeId::new("odd-one").expect("a device type"),
            zone: ZoneId::new("zone-a").expect("a zone"),
            attributes: Vec::new(),
            retired: false,
        };
        assert_eq!(session.register(&registration, Timestamp(0)).counts.registrations, 1);
        let record = json!({ "ff": 1, "k": "message", "p": STANDARD.encode(payload), "d": DEVICE, "ch": channel,
            "c": DEVICE, "t": NOW });
        session.take(DEVICE, record.to_string().as_bytes(), NOW)
    }
}

/// Runs a command that must succeed, and returns its output.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (printed, problems) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{printed}\n{problems}", output.status);
    printed.into_owned()
}

/// The TypeScript compiler, which `cargo xtask tools` installs if npm is available.
fn typescript() -> Option<Utf8PathBuf> {
    let compiler =
        Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/typescript/node_modules/typescript/bin/tsc");
    if compiler.exists() {
        return Some(compiler);
    }
    anstream::eprintln!("TypeScript is left out: `cargo xtask tools` installs its compiler where npm is installed");
    None
}

fn tsc(compiler: &Utf8Path, folder: &Utf8Path) -> Command {
    let mut command = Command::new("node");
    command.current_dir(folder).arg(compiler).args(["--strict", "--target", "es2022", "--module", "commonjs"]);
    command
}

/// A folder with the contract of the fixture's device type, and the drivers next to it.
fn folder(tree: &Tree, when: &str) -> (tempfile::TempDir, Utf8PathBuf) {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = Utf8Path::from_path(temporary.path()).expect("UTF-8").to_owned();
    write_contract(tree, "dev", "odd-one", &folder);
    for extension in ["c", "rs", "py", "ts"] {
        let name = format!("driver.{extension}");
        fs::write(folder.join(&name), read(fixtures().join(&name)).replace("WHEN", when)).expect("the driver");
    }
    (temporary, folder)
}

fn write_contract(tree: &Tree, environment: &str, device_type: &str, folder: &Utf8Path) {
    let below = format!("{environment}/contracts/{device_type}/");
    let files = tree.iter().filter_map(|(path, bytes)| Some((path.as_str().strip_prefix(&below)?, bytes)));
    let written = files.map(|(name, bytes)| fs::write(folder.join(name), bytes).expect("the contract")).count();
    // A type with settings has a schema for each shadow that they are in, and one with commands has a schema for these.
    assert!((7..=10).contains(&written), "{device_type}: {written}");
}

fn by_c(folder: &Utf8Path) -> String {
    let flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "driver.c", "-o", "by-c"];
    run(Command::new("cc").current_dir(folder).args(flags));
    // If this locale is installed, numbers have a decimal comma unless the program prevents it.
    run(Command::new(folder.join("by-c")).env("LC_ALL", "de_DE.UTF-8"))
}

fn by_rust(folder: &Utf8Path) -> String {
    let flags = ["--edition", "2021", "--deny", "warnings", "driver.rs", "-o", "by-rust"];
    run(Command::new("rustc").current_dir(folder).args(flags));
    run(&mut Command::new(folder.join("by-rust")))
}

fn by_python(folder: &Utf8Path) -> String {
    run(Command::new("python3").current_dir(folder).args(["-W", "error", "driver.py"]))
}

fn by_typescript(folder: &Utf8Path) -> Option<String> {
    let compiler = typescript()?;
    run(tsc(&compiler, folder).arg("driver.ts"));
    Some(run(Command::new("node").current_dir(folder).arg("driver.js")))
}

/// The expected output of every driver: the kind of a line, and JSON or a string.
fn expected(first: &str, second: &str) -> Vec<(String, Value)> {
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let full = json!({ "data": { "when": json(first), "values": json(FULL), "battery": 87.5 }, "while": 1e15 });
    let mut alone = full.clone();
    alone["data"]["id"] = json!(DEVICE);
    let least = json!({ "data": { "id": DEVICE, "values": json(LEAST) } });
    let element = json!({ "data": { "when": json(second), "values": json(LEAST) } });
    let batch = json!({ "data": { "id": DEVICE }, "packet": { "records": [full, element] } });
    let mut lines = vec![
        ("telemetry", alone),
        ("telemetry", least),
        ("telemetry", batch),
        ("status", json!({ "status": "online" })),
        ("status", json!({ "status": "offline" })),
        ("alerts", json!({ "code": "leak é\"", "active": true })),
        ("topic", json!("sensors/odd:1/telemetry")),
        ("topic", json!("sensors/odd:1/status")),
        ("topic", json!("sensors/odd:1/alarms")),
    ];
    for kind in ["above", "not a number", "whole above", "after 9999", "no code", "control"] {
        lines.push((kind, json!("invalid")));
    }
    lines.into_iter().map(|(kind, value)| (kind.to_owned(), comparable(&value))).collect()
}

/// The same value, with every number as a floating-point number: `1` and `1.0` are the same number in JSON.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(comparable).collect(),
        Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), comparable(item))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

#[test]
fn messages_of_every_language_are_the_same_and_the_runtime_takes_them() {
    for (clock, first, second, when) in CLOCKS {
        let tree = platform(clock);
        let (_temporary, folder) = folder(&tree, when);
        let runtime = Runtime::new(&tree);
        let printed = [
            ("C", Some(by_c(&folder))),
            ("Rust", Some(by_rust(&folder))),
            ("Python", Some(by_python(&folder))),
            ("TypeScript", by_typescript(&folder)),
        ];
        for (language, printed) in printed.into_iter().filter_map(|(language, text)| Some((language, text?))) {
            let kinds = expected(first, second);
            let lines: Vec<&str> = printed.lines().collect();
            assert_eq!(lines.len(), kinds.len(), "{language}: {printed}");
            for (line, (kind, value)) in lines.into_iter().zip(kinds) {
                let text = line.strip_prefix(&format!("{kind} ")).unwrap_or_else(|| panic!("{language}: {line}"));
                let found = match &value {
                    Value::String(_) => json!(text),
                    _ => comparable(&serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))),
                };
                assert_eq!(found, value, "{language}, {clock}");
                if value.is_object() {
                    accepted(&tree, &runtime, &kind, text);
                }
            }
        }
    }
}

/// The schema describes the message, and the engine accepts it and finds the values that were sent.
fn accepted(tree: &Tree, runtime: &Runtime, channel: &str, text: &str) {
    let message = if channel == "alerts" { "alarm" } else { channel };
    let value = serde_json::from_str(text).expect("JSON");
    assert!(schema(tree, message).is_valid(&value), "{text}: {:?}", schema(tree, message).validate(&value));
    let counts = runtime.take(channel, text).counts;
    assert!(counts.quarantined.is_empty(), "{text}: {counts:?}");
    let taken = (counts.samples + counts.too_old, counts.unknown_readings, counts.alarms, counts.unread);
    let expected = match channel {
        "telemetry" if text.contains("packet") => (2, 0, 0, 0),
        "telemetry" => (1, 0, 0, 0),
        "alerts" => (0, 0, 1, 0),
        _ => (0, 0, 0, 0),
    };
    assert_eq!(taken, expected, "{text}: {counts:?}");
}

#[test]
fn a_schema_refuses_what_the_runtime_refuses() {
    let tree = platform("rfc3339");
    let runtime = Runtime::new(&tree);
    let good = |change: &dyn Fn(&mut Value)| {
        let mut message = json!({ "data": { "id": DEVICE, "when": "2026-01-31T10:30:00Z",
            "values": serde_json::from_str::<Value>(LEAST).expect("JSON") } });
        change(&mut message);
        message
    };
    let values = |change: &dyn Fn(&mut Value)| good(&|message| change(&mut message["data"]["values"]));
    let batch = |records: Value| json!({ "data": { "id": DEVICE }, "packet": { "records": records } });
    let sample = || good(&|message| message["data"]["id"] = json!(DEVICE));
    let without =
        |key: &str| values(&|values| assert!(values.as_object_mut().expect("an object").remove(key).is_some()));
    for (payload, is_taken) in [
        (good(&|_| {}), true),
        (good(&|message| message["more"] = json!({ "a": [1] })), true),
        (good(&|message| message["data"]["values"] = json!({})), true),
        (good(&|message| message["data"]["battery"] = json!(12)), true),
        (good(&|message| message["data"]["battery"] = json!("12")), false),
        (good(&|message| message["data"]["battery"] = json!(2e15)), false),
        (good(&|message| message["data"]["id"] = json!(7)), false),
        (good(&|message| message["data"]["values"] = json!([])), false),
        (good(&|message| message["data"] = json!({ "id": DEVICE })), false),
        (without("field"), false),
        (without("__proto__"), false),
        (values(&|values| values["field"] = json!("other")), false),
        (values(&|values| values["field"] = json!(1)), false),
        (values(&|values| values["__proto__"] = json!("true")), false),
        (values(&|values| values["__proto__"] = Value::Null), false),
        (values(&|values| values["in\"t\\ é"] = json!(100.6)), false),
        (values(&|values| values["in\"t\\ é"] = json!(-0.1)), false),
        (values(&|values| values["in\"t\\ é"] = json!("1")), false),
        (values(&|values| values["class"] = json!(3.0)), true),
        (values(&|values| values["class"] = json!(3.5)), false),
        (values(&|values| values["//*/"] = json!("any")), true),
        (values(&|values| values["//*/"] = json!(1)), false),
        (values(&|values| values["undeclared"] = json!(1)), false),
        (batch(json!([])), true),
        (batch(json!([sample(), sample()])), true),
        (batch(json!([sample(), {}])), false),
        (batch(json!([sample(), 7])), false),
        (batch(json!({})), false),
        (json!([sample(), sample()]), true),
        (json!([sample(), { "data": {} }]), false),
        (json!({}), false),
        (json!("text"), false),
        (json!(1), false),
    ] {
        let text = payload.to_string();
        let quarantined = runtime.take("telemetry", &text).counts.quarantined;
        assert_eq!(quarantined.is_empty(), is_taken, "{text}: {quarantined:?}");
        assert_eq!(schema(&tree, "telemetry").is_valid(&payload), is_taken, "{text}");
    }
    for (payload, is_taken) in [
        (json!({ "status": "online" }), true),
        (json!({ "status": "offline", "data": { "id": DEVICE } }), true),
        (json!({ "status": "away" }), false),
        (json!({ "status": 1 }), false),
        (json!({}), false),
    ] {
        let quarantined = runtime.take("status", &payload.to_string()).counts.quarantined;
        assert_eq!(quarantined.is_empty(), is_taken, "{payload}: {quarantined:?}");
        assert_eq!(schema(&tree, "status").is_valid(&payload), is_taken, "{payload}");
    }
    for (payload, is_taken) in [
        (json!({ "code": "leak", "active": false }), true),
        (json!({ "code": "é".repeat(64), "active": true }), true),
        (json!({ "code": "é".repeat(65), "active": true }), false),
        (json!({ "code": "", "active": true }), false),
        (json!({ "code": "a\nb", "active": true }), false),
        (json!({ "code": "a\u{85}", "active": true }), false),
        (json!({ "code": "leak" }), false),
        (json!({ "code": "leak", "active": 1 }), false),
    ] {
        let quarantined = runtime.take("alerts", &payload.to_string()).counts.quarantined;
        assert_eq!(quarantined.is_empty(), is_taken, "{payload}: {quarantined:?}");
        assert_eq!(schema(&tree, "alarm").is_valid(&payload), is_taken, "{payload}");
    }
}

/// Contracts of platforms that were not made for this test, without a driver: they only have to compile.
#[test]
fn contracts_of_other_platforms_compile() {
    let here = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiled = BTreeSet::new();
    for file in
        ["../platform.toml", "fixtures/golden/source-spelling/platform.toml", "fixtures/golden/smallest/platform.toml"]
    {
        let tree = rendered(&read(here.join(file)));
        let schemas = tree.iter().filter_map(|(path, _)| path.as_str().strip_suffix("/telemetry.schema.json"));
        let types: Vec<(&str, &str)> = schemas.filter_map(|path| path.split_once("/contracts/")).collect();
        for (environment, device_type) in types {
            let temporary = tempfile::tempdir().expect("a folder");
            let folder = Utf8Path::from_path(temporary.path()).expect("UTF-8");
            write_contract(&tree, environment, device_type, folder);
            // Environments that do not differ here have the same contracts.
            if !compiled.insert(read(folder.join("telemetry.schema.json"))) {
                continue;
            }
            let name = |extension: &str| format!("{}_contract.{extension}", device_type.replace('-', "_"));
            let c = ["-x", "c", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"];
            run(Command::new("cc").current_dir(folder).args(c).arg(name("h")));
            let rust = ["--edition", "2021", "--crate-type", "lib", "--emit", "metadata", "--deny", "warnings"];
            run(Command::new("rustc").current_dir(folder).args(rust).arg(name("rs")));
            run(Command::new("python3").current_dir(folder).args(["-W", "error"]).arg(name("py")));
            if let Some(compiler) = typescript() {
                run(tsc(&compiler, folder).arg("--noEmit").arg(name("ts")));
            }
        }
    }
    assert!(compiled.len() >= 6, "{compiled:#?}");
}

/// The schema is for the sender of a setting, and a simulated device follows the platform: both accept the same values.
#[test]
fn a_device_takes_the_settings_that_the_schema_allows() {
    let settings = r#"
[device_types.odd-one.desired]
interval = { type = "int", default = 60, min = 5, max = 3600 }
gain     = { default = 1.5, max = 2 }
led      = { type = "bool", default = true }
mode     = { type = "enum", values = ["eco", "é\"\\"], default = "eco" }
label    = { type = "string", max_len = 3, default = "" }
"#;
    let text = read(fixtures().join("platform.toml")) + settings;
    let desired = schema(&rendered(&text), "desired");
    let project = fleetform_generator::check("platform.toml", &text).project.expect("a sound file");
    let of_type = &project.environments["dev"].device_types["odd-one"].desired;
    assert_eq!(of_type.len(), 5);
    let values =
        json!([5, 4, 3600, 3601, 7.5, 2, 2.5, -1e300, true, "eco", "é\"\\", "off", "", "ééé", "four", null, [], {}]);
    for (id, setting) in of_type {
        let setting = fleetform_fleet::Setting {
            name: id.to_string(),
            value: setting.value.clone(),
            text_chars_max: setting.text_chars_max as usize,
            default: setting.default.clone(),
        };
        let is_allowed = |value: &Value| desired.is_valid(&json!({ setting.name.clone(): value }));
        assert!(setting.takes(&setting.default) && is_allowed(&setting.default), "{id}");
        for value in values.as_array().expect("values") {
            // For numbers beyond those in the platform, the schema has a bound of its own.
            let is_beyond = value.as_f64().is_some_and(|number| number.abs() > 1e15);
            assert!(is_beyond || setting.takes(value) == is_allowed(value), "{id}: {value}");
        }
    }
    assert!(!desired.is_valid(&json!({ "unheard": 1 })));
}

/// The author of the firmware finds one object for each shadow, with only that shadow's settings.
#[test]
fn each_shadow_has_a_schema_of_its_own() {
    let settings = r#"
[device_types.odd-one.desired]
led     = { type = "bool", default = true }
channel = { type = "int", default = 1, min = 1, max = 13, shadow = "radio" }
power   = { default = 1.5, max = 2, shadow = "radio" }
url     = { type = "string", default = "", shadow = "firmware" }
"#;
    let file = read(fixtures().join("platform.toml"));
    let table = "[device_types.odd-one]\n";
    assert!(file.contains(table), "{file}");
    let text = file.replace(table, &format!("{table}shadows = [\"radio\", \"firmware\", \"empty\"]\n")) + settings;
    let tree = rendered(&text);
    let of_shadow = |what: &str| schema(&tree, what);
    for (what, own) in [
        ("desired", json!({ "led": false })),
        ("desired-radio", json!({ "channel": 13, "power": 0.5 })),
        ("desired-firmware", json!({ "url": "x" })),
    ] {
        for (other, is_own) in ["desired", "desired-radio", "desired-firmware"].map(|other| (other, other == what)) {
            assert_eq!(of_shadow(other).is_valid(&own), is_own, "{own} in {other}");
        }
        assert!(of_shadow(what).is_valid(&json!({})), "{what}");
    }
    assert!(!of_shadow("desired-radio").is_valid(&json!({ "channel": 14 })));
    let path = "dev/contracts/odd-one/desired-radio.schema.json";
    let bytes = tree.iter().find_map(|(found, bytes)| (found.as_str() == path).then_some(bytes)).expect("its file");
    let written = std::str::from_utf8(bytes).expect("UTF-8");
    assert!(written.contains("begin with `$aws/things/<device>/shadow/name/radio/`"), "{written}");
    assert!(!tree.iter().any(|(path, _)| path.as_str().contains("desired-empty")), "it has no settings");
}

/// A device receives numbers as AWS IoT fills them in, possibly as strings.
#[test]
fn the_schema_of_commands_takes_what_a_device_hears() {
    let commands = r#"
[device_types.odd-one.commands]
restart = {}
[device_types.odd-one.commands.set]
timeout = "10m"
params  = { level = { type = "int", min = 1, max = 5 }, mode = { type = "enum", values = ["é\"\\", "full"] }, why = { max_len = 3 } }
"#;
    let heard = schema(&rendered(&(read(fixtures().join("platform.toml")) + commands)), "commands");
    let set = |params: Value| json!({ "command": "set", "timeout_s": "600", "params": params });
    for message in [
        json!({ "command": "restart", "timeout_s": 60, "params": {} }),
        set(json!({ "level": 5, "mode": "é\"\\", "why": "ééé" })),
        set(json!({ "level": "5", "mode": "full", "why": "" })),
    ] {
        assert!(heard.is_valid(&message), "{message}");
    }
    for message in [
        json!({ "command": "stop", "timeout_s": "60", "params": {} }),
        json!({ "command": "restart", "params": {} }),
        set(json!({})),
        set(json!({ "level": 6, "mode": "full", "why": "" })),
        set(json!({ "level": 5.5, "mode": "full", "why": "" })),
        set(json!({ "level": 5, "mode": "half", "why": "" })),
        set(json!({ "level": 5, "mode": "full", "why": "four" })),
        set(json!({ "level": 5, "mode": "full" })),
    ] {
        assert!(!heard.is_valid(&message), "{message}");
    }
}
