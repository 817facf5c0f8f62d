//! Handwritten cases, played through the command line and its files, as any user would.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

const RULES: &str = include_str!("../../engine/tests/fixtures/rule-set.json");
/// 2026-01-31T10:30:00Z
const START_MS: i64 = 1_769_855_400_000;

struct Case {
    folder: tempfile::TempDir,
    log: Vec<Value>,
}

/// What was written.
struct Played {
    outbox: Vec<Value>,
    quarantine: Vec<Value>,
    responses: Vec<Value>,
    deliveries: Vec<Value>,
    state: Value,
    code: Option<i32>,
    stderr: String,
}

impl Case {
    /// A shard with one registered logger, whose number is 1.
    fn new() -> Self {
        let mut case = Self { folder: tempfile::tempdir().unwrap(), log: Vec::new() };
        case.register(1, "s0", "logger-0");
        case
    }

    fn register(&mut self, seq: u64, shard: &str, device: &str) {
        let data = json!({
            "ff": 1, "k": "device", "d": device, "rev": 1, "type": "pressure-logger", "zone": "zone-a", "t": START_MS,
        });
        self.record(seq, shard, device, 0, &data);
    }

    fn record(&mut self, seq: u64, shard: &str, key: &str, at_s: i64, data: &Value) {
        let at = START_MS + at_s * 1_000;
        self.log.push(json!({ "kind": "rec", "shard": shard, "seq": seq, "pk": key, "arr": at, "data": data }));
    }

    /// A logger that is too hot at each of these records, a minute apart.
    fn hot(&mut self, shard: &str, device: &str, seqs: std::ops::Range<u64>) {
        for seq in seqs {
            let data = json!({ "readings": { "pressure": 20.0, "temperature": 55.0 } });
            self.record(seq, shard, device, 60 * seq as i64, &data);
        }
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn run(&self, faults: &str) -> Output {
        let lines: String = self.log.iter().map(|line| format!("{line}\n")).collect();
        self.run_log(&lines, faults)
    }

    fn run_log(&self, lines: &str, faults: &str) -> Output {
        self.file("log.jsonl", lines);
        self.file("faults.json", faults);
        if !self.folder.path().join("rules.json").exists() {
            self.file("rules.json", RULES);
        }
        Command::new(env!("CARGO_BIN_EXE_fleetform-faults"))
            .current_dir(self.folder.path())
            .args(["--rules", "rules.json", "--log", "log.jsonl", "--faults", "faults.json", "--out", "out"])
            .output()
            .unwrap()
    }

    fn play(&self, faults: &Value) -> Played {
        let output = self.run(&faults.to_string());
        let out = self.folder.path().join("out");
        let lines = |name: &str| -> Vec<Value> {
            let text = std::fs::read_to_string(out.join(name)).unwrap_or_default();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        Played {
            outbox: lines("outbox.jsonl"),
            quarantine: lines("quarantine.jsonl"),
            responses: lines("responses.jsonl"),
            deliveries: lines("deliveries.jsonl"),
            state: std::fs::read_to_string(out.join("state.json"))
                .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap()),
            code: output.status.code(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The error message.
    fn refused(&self, faults: &str) -> String {
        let output = self.run(faults);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(!Path::new(&self.folder.path().join("out")).exists(), "nothing is written");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Played {
    fn results(&self) -> Vec<&str> {
        self.responses.iter().map(|response| response["result"].as_str().unwrap()).collect()
    }

    /// The one alert that a hot logger causes.
    fn is_one_alert_of(&self, sequence: &str) -> bool {
        self.outbox.len() == 1
            && self.outbox[0]["alert"]["rule"] == "very-hot"
            && self.outbox[0]["alert"]["sequence"] == sequence
    }
}

#[test]
fn case_24_the_same_batch_ten_times_is_one_outbox_row() {
    let mut case = Case::new();
    case.hot("s0", "logger-0", 2..4);
    for env in 0..10 {
        case.log.push(json!({ "kind": "batch", "shard": "s0", "seqs": [1, 2, "3"], "env": env % 3 }));
    }
    let played = case.play(&json!([]));
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    assert_eq!(played.results(), ["ok"; 10]);
    assert!(played.is_one_alert_of("2"));
    assert_eq!(played.deliveries.len(), 1);
    assert_eq!(
        (&played.deliveries[0]["contact"], &played.deliveries[0]["channel"]),
        (&json!("oncall"), &json!("email"))
    );
}

#[test]
fn case_30_a_batch_of_nothing_but_bad_records_is_done_and_the_next_one_flows() {
    let mut case = Case::new();
    for seq in 2..=501 {
        case.record(seq, "s0", "logger-0", 1, &json!({ "readings": { "pressure": "61" } }));
    }
    case.hot("s0", "logger-0", 502..503);
    case.log.insert(501, json!({ "kind": "batch", "shard": "s0", "seqs": (2..=501).collect::<Vec<u64>>() }));
    case.log.insert(1, json!({ "kind": "batch", "shard": "s0", "seqs": [1] }));
    let played = case.play(&json!([]));
    assert_eq!(played.results(), ["ok"; 3]);
    assert!(played.responses.iter().all(|response| response["batchItemFailures"] == json!([])));
    assert_eq!(played.quarantine.len(), 500);
    assert!(played.quarantine.iter().all(|row| row["reason"] == "wrong_type"));
    assert!(played.is_one_alert_of("502"));
}

#[test]
fn case_33_ten_minutes_without_the_state_store_lose_nothing() {
    for operation in ["create", "list", "publish"] {
        let mut case = Case::new();
        case.hot("s0", "logger-0", 2..5);
        let played = case.play(&json!([{ "inv": 1, "op": operation, "do": "brownout" }]));
        assert_eq!(played.code, Some(0), "{}", played.stderr);
        let results = played.results();
        assert!(results.len() > 5, "it is tried again and again: {results:?}");
        assert_eq!(results.iter().filter(|result| **result == "ok").count(), 1);
        assert!(played.is_one_alert_of("2"), "{operation}");
        let ends = |index: usize| played.responses[index]["ended_at"].as_i64().unwrap();
        assert!(ends(results.len() - 1) - ends(0) > 590_000, "ten minutes passed");
    }
}

#[test]
fn case_34_a_corrupt_object_fails_the_invocation_and_changes_nothing() {
    let mut case = Case::new();
    case.register(1, "s1", "logger-1");
    case.hot("s0", "logger-0", 2..4);
    case.hot("s1", "logger-1", 2..4);
    case.log.push(json!({ "kind": "batch", "shard": "s0", "seqs": [1, 2], "env": 1 }));
    case.log.push(json!({ "kind": "batch", "shard": "s0", "seqs": [3], "env": 2 }));
    case.log.push(json!({ "kind": "batch", "shard": "s1", "seqs": [1, 2, 3], "env": 3 }));
    let played = case.play(&json!([{ "inv": "*", "op": "get", "nth": "*", "do": "corrupt" }]));
    assert_eq!(played.code, Some(1));
    assert!(played.stderr.contains("shard s0: 1 records from 3 on were given up"), "{}", played.stderr);
    let failures: Vec<_> = played.responses.iter().filter(|response| response["result"] == "error").collect();
    assert!(failures.iter().all(|response| response["shard"] == "s0"));
    assert!(failures[0]["failure"].as_str().unwrap().contains("cannot be read"), "{}", failures[0]);
    assert_eq!(played.state["shards"]["s0"]["log"], json!(["log/1/0/s0/-start"]), "nothing follows the first delta");
    assert_eq!(played.outbox.len(), 2, "the other shard flows");
}

#[test]
fn case_35_an_object_of_a_newer_version_fails_the_invocation() {
    let mut case = Case::new();
    case.hot("s0", "logger-0", 2..4);
    case.log.push(json!({ "kind": "batch", "shard": "s0", "seqs": [1, 2], "env": 1 }));
    case.log.push(json!({ "kind": "batch", "shard": "s0", "seqs": [3], "env": 2 }));
    let played = case.play(&json!([{ "inv": 2, "op": "get", "nth": "*", "do": "newer" }]));
    assert_eq!(played.results(), ["ok", "error", "ok"]);
    assert!(played.responses[1]["failure"].as_str().unwrap().contains("newer version"), "{}", played.responses[1]);
    assert!(played.is_one_alert_of("2"));
}

#[test]
fn case_36_a_thousand_transitions_of_one_batch_are_in_the_outbox_once() {
    let mut case = Case { folder: tempfile::tempdir().unwrap(), log: Vec::new() };
    // A cooldown would hold back most of them.
    let mut rules: Value = serde_json::from_str(RULES).unwrap();
    rules["severities"]["medium"]["cooldown_ms"] = json!(0);
    rules["rules"]["very-hot"]["keep_firing_for_ms"] = json!(0);
    case.file("rules.json", &rules.to_string());
    case.register(1, "s0", "logger-0");
    for seq in 2..=1_001 {
        let data = json!({ "readings": { "pressure": 20.0, "temperature": if seq % 2 == 0 { 55.0 } else { 40.0 } } });
        case.record(seq, "s0", "logger-0", seq as i64, &data);
    }
    case.log.push(json!({ "kind": "batch", "shard": "s0", "seqs": (1..=1_001).collect::<Vec<u64>>() }));
    let played = case.play(&json!([
        { "inv": 1, "op": "publish", "nth": 700, "do": "kill" },
        { "inv": 2, "op": "publish", "nth": 300, "do": "timeout_applied" },
        { "inv": 3, "op": "publish", "nth": 900, "do": "throttle" },
    ]));
    assert_eq!(played.results(), ["killed", "partial", "partial", "ok"]);
    let mut sequences: Vec<u64> =
        played.outbox.iter().map(|row| row["alert"]["sequence"].as_str().unwrap().parse().unwrap()).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (2..=1_001).collect::<Vec<_>>());
}

#[test]
fn two_environments_race_for_one_shard_and_one_of_them_wins() {
    let mut case = Case::new();
    case.hot("s0", "logger-0", 2..5);
    let played = case.play(&json!([{ "inv": 1, "op": "create", "nth": 3, "do": "stall_until:2" }]));
    assert_eq!(played.results(), ["timed_out", "ok"]);
    assert!(played.is_one_alert_of("2"));
}

#[test]
fn a_rule_set_takes_effect_at_its_line() {
    let mut case = Case::new();
    case.hot("s0", "logger-0", 2..4);
    let mut set: Value = serde_json::from_str(RULES).unwrap();
    set["rules"]["very-hot"]["condition"]["threshold"] = json!(56.0);
    case.file("later.json", &set.to_string());
    case.log.push(json!({ "kind": "rules", "version": 1, "at": START_MS + 200_000, "file": "later.json" }));
    case.hot("s0", "logger-0", 4..6);
    let played = case.play(&json!([]));
    let kinds: Vec<_> = played.outbox.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["firing", "resolved"]);
    assert_eq!(played.outbox[1]["alert"]["sequence"], "3.1", "between the records 3 and 4");
    assert_eq!(played.responses[0]["seqs"], json!(["1", "2", "3", "3.1", "4", "5"]));
}

#[test]
fn children_go_on_where_their_parent_ended() {
    let mut case = Case::new();
    case.register(2, "s0", "logger-1");
    case.hot("s0", "logger-0", 3..4);
    case.hot("s0", "logger-1", 4..5);
    case.log.push(json!({ "kind": "split", "shard": "s0", "into": ["s1", "s2"] }));
    // `logger-1` hashes to the lower half, `logger-0` to the upper.
    for (shard, device, seq) in [("s1", "logger-1", 10), ("s2", "logger-0", 11)] {
        case.record(seq, shard, device, 600, &json!({ "readings": { "pressure": 20.0, "temperature": 30.0 } }));
        case.record(seq + 2, shard, device, 800, &json!({ "readings": { "pressure": 20.0, "temperature": 30.0 } }));
    }
    case.log.push(json!({ "kind": "merge", "shards": ["s1", "s2"], "into": "s3", "at": START_MS + 900_000 }));
    for (device, seq) in [("logger-0", 20), ("logger-1", 21)] {
        case.record(seq, "s3", device, 1_300, &json!({ "readings": { "pressure": 20.0, "temperature": 55.0 } }));
    }
    let played = case.play(&json!([{ "inv": 2, "op": "create", "do": "kill" }]));
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    let rows: Vec<_> = played
        .outbox
        .iter()
        .map(|row| (row["kind"].as_str().unwrap(), row["alert"]["shard"].as_str().unwrap()))
        .collect();
    for row in [("firing", "s0"), ("resolved", "s1"), ("resolved", "s2"), ("firing", "s3")] {
        let expected = if row.1 == "s0" || row.1 == "s3" { 2 } else { 1 };
        assert_eq!(rows.iter().filter(|other| **other == row).count(), expected, "{row:?} in {rows:?}");
    }
    assert_eq!(played.quarantine, [] as [Value; 0]);
}

/// A logger that fires in the parent and is cool again in the child, whose own records have these numbers.
fn cools_in_the_child(numbers: [u64; 2]) -> Case {
    let mut case = Case::new();
    case.hot("s0", "logger-0", 20..21);
    case.log.push(json!({ "kind": "split", "shard": "s0", "into": ["s1", "s2"], "at": START_MS + 1_300_000 }));
    for (seq, at_s) in numbers.into_iter().zip([1_400, 1_600]) {
        // `logger-0` hashes to the upper half.
        case.record(seq, "s2", "logger-0", at_s, &json!({ "readings": { "pressure": 20.0, "temperature": 30.0 } }));
    }
    case
}

#[test]
fn a_child_may_number_its_records_anew() {
    for numbers in [[30, 31], [21, 22], [1, 2], [20, 21]] {
        let played = cools_in_the_child(numbers).play(&json!([]));
        assert_eq!((played.code, played.stderr.as_str()), (Some(0), ""), "{numbers:?}");
        let told: Vec<_> = played.outbox.iter().map(|row| (&row["kind"], &row["alert"]["sequence"])).collect();
        let last = json!(numbers[1].to_string());
        assert_eq!(told, [(&json!("firing"), &json!("20")), (&json!("resolved"), &last)]);
        assert_eq!(played.state["alerts"][0]["state"]["is"], "resolved", "it is the newer one: {numbers:?}");
        assert_eq!(played.responses.last().unwrap()["seqs"], json!([numbers[0].to_string(), last]));
    }
}

#[test]
fn a_rule_set_that_a_child_begins_with_comes_after_its_parents_records() {
    let mut case = cools_in_the_child([30, 31]);
    let mut set: Value = serde_json::from_str(RULES).unwrap();
    set["rules"].as_object_mut().unwrap().remove("very-hot");
    case.file("later.json", &set.to_string());
    let news =
        json!({ "kind": "rules", "version": 1, "at": START_MS + 1_350_000, "file": "later.json", "shard": "s2" });
    case.log.insert(3, news);
    let played = case.play(&json!([]));
    assert_eq!((played.code, played.stderr.as_str()), (Some(0), ""));
    assert_eq!(played.outbox[1]["alert"]["state"]["reason"], "rule_removed");
    assert_eq!(played.state["alerts"][0]["state"]["is"], "resolved");
}

#[test]
fn what_devices_say_to_fleets_is_heard_in_a_child_without_records_too() {
    let mut case = hydrants(10);
    case.log.push(json!({ "kind": "split", "shard": "s0", "into": ["s1", "s2"], "at": START_MS + 500 }));
    for (shard, key) in [("s1", "any"), ("s2", "any")] {
        case.record(1_000, shard, key, 3_600, &json!({ "ff": 1, "k": "tick", "t": START_MS + 3_600_000 }));
    }
    let played = case.play(&json!([]));
    assert_eq!((played.code, played.stderr.as_str()), (Some(0), ""));
    assert_eq!(fleet_alerts(&played).len(), 1, "{}", played.state);
}

#[test]
fn numbers_are_written_as_in_the_log() {
    let mut case = Case::new();
    case.log.clear();
    let device = json!({
        "ff": 1, "k": "device", "d": "logger-0", "rev": 1, "type": "pressure-logger", "zone": "zone-a", "t": START_MS,
    });
    let mut record = |seq: &str, at_s: i64, data: &Value| {
        let at = START_MS + at_s * 1_000;
        case.log.push(json!({ "kind": "rec", "shard": "s0", "seq": seq, "pk": "logger-0", "arr": at, "data": data }));
    };
    record("00007", 0, &device);
    record(
        "49590338271490256608559692538361571095921575989136588898",
        60,
        &json!({ "readings": { "temperature": 55.0 } }),
    );
    let lines: String = case.log.iter().map(|line| format!("{line}\n")).collect();
    // A stream's number as a JSON number, which is longer than most readers accept.
    let number = "49590338271490256608559692538361571095921575989136588898";
    let bare = lines.replace(&format!("\"{number}\""), number);
    assert_ne!(lines, bare);
    let output = case.run_log(&bare, "[]");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let responses = std::fs::read_to_string(case.folder.path().join("out/responses.jsonl")).unwrap();
    assert!(responses.contains(&format!("\"seqs\":[\"00007\",\"{number}\"]")), "{responses}");
}

#[test]
fn bad_input_is_refused_with_its_line_and_nothing_is_written() {
    let mut case = Case::new();
    let good = case.log.clone();
    for (line, problem) in [
        (
            json!({ "kind": "rec", "shard": "s0", "seq": 1, "pk": "k", "arr": START_MS, "data": "" }),
            "does not come after",
        ),
        (json!({ "kind": "rec", "shard": "s0", "seq": "x", "pk": "k", "arr": START_MS, "data": "" }), "decimal digits"),
        (json!({ "kind": "rec", "shard": "s0", "seq": 2, "pk": "k", "arr": "soon", "data": "" }), "no time"),
        (json!({ "kind": "rec", "shard": "s0", "seq": 2, "pk": "k", "arr": 0, "data": "" }), "lies before"),
        (json!({ "kind": "rec", "shard": "s0", "seq": 2, "pk": "k", "arr": i64::MAX, "data": "" }), "no time"),
        (json!({ "kind": "rec", "shard": "s0", "seq": 2, "pk": "k", "arr": 1e300, "data": "" }), "no time"),
        (json!({ "kind": "rec", "shard": "../s", "seq": 2, "pk": "k", "arr": START_MS, "data": "" }), "`shard`"),
        (json!({ "kind": "rec", "shard": "s0", "seq": 2, "pk": "k", "arr": START_MS, "data_b64": "e30" }), "base64"),
        (json!({ "kind": "rec", "shard": "s0", "seq": 2, "arr": START_MS, "data": "" }), "`pk`"),
        (json!({ "kind": "batch", "shard": "s0", "seqs": [9] }), "no record 9"),
        (json!({ "kind": "rules", "version": 1, "at": 1, "file": "nowhere.json" }), "nowhere.json"),
        (json!({ "kind": "split", "shard": "s0", "into": ["s1"] }), "split into two"),
        (json!({ "kind": "split", "shard": "s0", "into": ["s1", "s0"] }), "there already"),
        (json!({ "kind": "later" }), "later"),
    ] {
        case.log = good.clone();
        case.log.push(line);
        let stderr = case.refused("[]");
        assert!(stderr.starts_with("error: log.jsonl:2: ") && stderr.contains(problem), "{stderr}");
    }
    case.log = good;
    for (faults, place, problem) in [
        ("[{\"inv\": 1,\n \"do\": \"throttle\"},\n {\"do\": \"explode\"}]", "faults.json:3: ", "`explode`"),
        ("[\n{\"do\": \"kill\", \"op\": \"delete\"}]", "faults.json:2: ", "`delete`"),
        ("[\n{\"do\": \"kill\",]", "faults.json:2: ", "not JSON"),
        ("{\"inv\": 1, \"do\": \"kill\"}\n{\"inv\": -1, \"do\": \"kill\"}", "faults.json:2: ", "no count"),
        ("[{\"op\": \"get\"}]", "faults.json:1: ", "`do`"),
        ("[{\"do\": \"stall_until:later\"}]", "faults.json:1: ", "no invocation"),
        ("[{\"do\": \"stall_until:-1\"}]", "faults.json:1: ", "no invocation"),
        ("[{\"inv\": 2, \"do\": \"stall_until:2\"}]", "faults.json:1: ", "waits for itself"),
        ("[{\"do\": \"brownout:9223372036854775807\"}]", "faults.json:1: ", "a brown-out"),
        ("[{\"do\": \"brownout\", \"for_ms\": -1}]", "faults.json:1: ", "a brown-out"),
        ("{\"faults\": [], \"zz\": 1}", "faults.json: ", "`zz`"),
        (
            "[{\"inv\": 0, \"do\": \"kill\"},\n{\"inv\": 9223372036854775807, \"do\": \"kill\"}]",
            "faults.json:2: ",
            "no count",
        ),
    ] {
        let stderr = case.refused(faults);
        assert!(stderr.starts_with(&format!("error: {place}")) && stderr.contains(problem), "{stderr}");
    }
    let twice = "{\"kind\":\"rec\",\"shard\":\"s0\",\"seq\":1,\"seq\":2,\"pk\":\"k\",\"arr\":1,\"data\":\"\"}\n";
    let output = case.run_log(twice, "[]");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("error: log.jsonl:1: ") && stderr.contains("duplicate"), "{stderr}");
    case.file("rules.json", "{\n\"format_version\": true}");
    let stderr = case.refused("[]");
    assert!(stderr.starts_with("error: rules.json:2: "), "{stderr}");
}

/// Five hydrants of a zone, three of which are opened. The numbers of their records leave room for others or not,
/// depending on `step`.
fn hydrants(step: u64) -> Case {
    let mut case = Case { folder: tempfile::tempdir().unwrap(), log: Vec::new() };
    for device in 0..5 {
        let id = format!("hydrant-{device}");
        let data =
            json!({ "ff": 1, "k": "device", "d": id, "rev": 1, "type": "hydrant", "zone": "zone-a", "t": START_MS });
        case.record(step * (device + 1), "s0", &id, 0, &data);
    }
    for device in 0..3 {
        let id = format!("hydrant-{device}");
        case.record(step * (device + 6), "s0", &id, 60 * (device as i64 + 1), &json!({ "readings": { "open": true } }));
    }
    case
}

fn fleet_alerts(played: &Played) -> Vec<&Value> {
    let all = played.state["alerts"].as_array().unwrap().iter();
    all.filter(|alert| alert["rule"] == "hydrants-open").collect()
}

#[test]
fn what_devices_say_to_fleets_is_heard() {
    let alone = hydrants(1_000).play(&json!([]));
    assert_eq!((alone.code, alone.stderr.as_str()), (Some(0), ""));
    // The log ends with the third hydrant, so that all reports arrive in a batch of their own.
    let [fleet] = fleet_alerts(&alone)[..] else { panic!("{}", alone.state) };
    assert_eq!((&fleet["zone"], &fleet["value"]), (&json!("zone-a"), &json!(3.0)));
    assert_eq!(alone.responses.len(), 2);
    // A kill before any row is published, and a second host that finds what was committed, change nothing about it.
    let killed = hydrants(1_000).play(&json!([{ "inv": 1, "op": "publish", "nth": 5, "do": "kill" }]));
    assert_eq!(killed.results()[0], "killed");
    assert_eq!(fleet_alerts(&killed).len(), 1);
    assert_eq!(killed.outbox.len(), alone.outbox.len());
}

#[test]
fn records_without_a_number_in_the_log_find_one() {
    let mut case = hydrants(1);
    // Reports made before the next records arrive must lie before them.
    case.record(9, "s0", "hydrant-3", 3_600, &json!({ "readings": { "open": false } }));
    case.log.push(json!({ "kind": "batch", "shard": "s0", "seqs": (1..=8).collect::<Vec<u64>>() }));
    case.log.push(json!({ "kind": "batch", "shard": "s0", "seqs": [9] }));
    let played = case.play(&json!([]));
    assert_eq!((played.code, played.stderr.as_str()), (Some(0), ""));
    assert_eq!(fleet_alerts(&played).len(), 1, "{}", played.state);
    let named: Vec<String> = serde_json::from_value(played.responses[0]["seqs"].clone()).unwrap();
    assert_eq!(named, ["1", "2", "3", "4", "5", "6", "7", "8"]);
}
