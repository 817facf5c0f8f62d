//! Scripted sessions: lines of samples with the expected verdicts next to them. A session is the life of one device,
//! or of a few, under the example's rules.
//!
//! ```text
//! device pump-0 pump zone-a          registers the device that all following lines refer to
//! of pump-1                          from here on, lines refer to this device
//! retire pump-0 pump zone-a          takes it out of service
//! rule vibration-high                only this rule's verdicts are shown
//! 0s vibration=20 | inactive         a sample, and where the rule then stands
//! 10s vibration=20 | firing 0s send  … since when, and whether a notice is sent
//! 10s @25s vibration=20 | …          taken at 10 s, arrived at 25 s
//! 90s !tick | firing 61s, send at 61s  time alone passes; a verdict without a sample shows when it was made
//! 90s !status offline                 a message on the channel `status`; `!alarm leak on` one on `alerts`
//! 90s !override burst rev=1 enabled=false until=300s   an override of a rule
//! 90s !disconnected 5 CLIENT_ERROR    what the broker reports about the connection, with its version
//! ```
//! `UPDATE_SESSIONS=1` writes the actual results into the files instead of comparing.

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use fleetform_engine::{
    compiled::Compiled,
    rule_set::RuleSet,
    state::{RuleSetRef, ShardState},
    step::{self, Run, Stepped},
    verdict::{Judgement, Standing, Verdict, Why, WhyNot},
};
use serde_json::{Map, Value, json};

use crate::support::{EXAMPLE, SHARD, START_MS, Stream};

#[test]
fn every_session_goes_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "there is a session for each kind of rule and more");
    let mut differences = String::new();
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let played = play(&written);
        if played == written {
            continue;
        }
        if std::env::var_os("UPDATE_SESSIONS").is_some() {
            fs::write(&file, played).unwrap();
        } else {
            for (line, (expected, found)) in (1..).zip(written.lines().zip(played.lines())) {
                if expected != found {
                    let name = file.file_name().unwrap().display();
                    writeln!(differences, "{name}:{line}\n  written: {expected}\n  played:  {found}").unwrap();
                }
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

/// The session with the actual results next to its samples.
fn play(session: &str) -> String {
    let bytes = RuleSet::from_bytes(EXAMPLE).unwrap().to_bytes();
    let mut rules = Arc::new(Compiled::from_bytes(&bytes).unwrap());
    let mut state = ShardState::new(RuleSetRef { version: 0, sha256: rules.sha256().into() });
    let mut stream = Stream::default();
    let (mut device, mut shown) = (String::new(), String::new());
    let mut played = String::new();
    for line in session.lines() {
        let script = line.split('|').next().unwrap().trim_end();
        let words: Vec<&str> = script.split_whitespace().collect();
        let mut outcome = None;
        match words.as_slice() {
            [] => {}
            [comment, ..] if comment.starts_with('#') => {}
            ["device", id, device_type, zone, attributes @ ..] => {
                device = (*id).to_owned();
                let attributes: Map<String, Value> = attributes.iter().map(|word| reading(word)).collect();
                let rev = stream.records.len() + 1;
                let fields = json!({ "rev": rev, "type": device_type, "zone": zone, "attributes": attributes });
                stream.registration(id, fields, START_MS);
                take(&mut rules, &mut state, &mut stream);
            }
            ["retire", id, device_type, zone] => {
                let rev = stream.records.len() + 1;
                let fields = json!({ "rev": rev, "type": device_type, "zone": zone, "retired": true });
                stream.registration(id, fields, START_MS);
                outcome = Some(told(&take(&mut rules, &mut state, &mut stream), &shown));
            }
            ["of", id] => device = (*id).to_owned(),
            ["rule", id] => shown = (*id).to_owned(),
            [at, event, rest @ ..] if event.starts_with('!') => {
                let at = START_MS + milliseconds(at);
                match (&event[1..], rest) {
                    ("tick", []) => stream.wrap("tick", &device, json!({}), at),
                    ("connected", [version]) => {
                        let fields = json!({ "e": "connected", "v": number(version) });
                        stream.wrap("lifecycle", &device, fields, at);
                    }
                    ("disconnected", [version, reason]) => {
                        let fields = json!({ "e": "disconnected", "v": number(version), "r": reason });
                        stream.wrap("lifecycle", &device, fields, at);
                    }
                    ("override", [rule, fields @ ..]) => {
                        let mut row = Map::from_iter([("rule".to_owned(), json!(rule))]);
                        for (key, value) in fields.iter().map(|word| reading(word)) {
                            let value = match value.as_str() {
                                Some(at) if key.ends_with("until") => json!(START_MS + milliseconds(at)),
                                Some(_) | None => value,
                            };
                            row.insert(key, value);
                        }
                        stream.wrap("override", "override", Value::Object(row), at);
                    }
                    ("status", [status]) => {
                        stream.wrapped(&device, json!({ "status": status }).to_string().as_bytes(), "status", at);
                    }
                    ("alarm", [code, active]) => {
                        let alarm = json!({ "code": code, "active": *active == "on" });
                        stream.wrapped(&device, alarm.to_string().as_bytes(), "alerts", at);
                    }
                    _ => panic!("no such event: {script}"),
                }
                let run = take(&mut rules, &mut state, &mut stream);
                outcome = Some(told(&run, &shown));
            }
            [at, rest @ ..] => {
                let at = milliseconds(at);
                let (arrived, readings) = match rest {
                    [arrived, readings @ ..] if arrived.starts_with('@') => (milliseconds(&arrived[1..]), readings),
                    readings => (at, readings),
                };
                let readings: Map<String, Value> = readings.iter().map(|word| reading(word)).collect();
                let time = jiff::Timestamp::from_millisecond(START_MS + at).unwrap().to_string();
                stream.message(&device, &json!({ "timestamp": time, "readings": readings }), START_MS + arrived);
                let run = take(&mut rules, &mut state, &mut stream);
                outcome = Some(told(&run, &shown));
            }
        }
        match outcome {
            Some(outcome) => writeln!(played, "{script:<32} | {outcome}").unwrap(),
            None => writeln!(played, "{script}").unwrap(),
        }
    }
    played
}

/// Takes the newest record, and then the reports of devices to fleets that follow from it.
fn take(rules: &mut Arc<Compiled>, state: &mut ShardState, stream: &mut Stream) -> Run {
    let mut run = Run::new(SHARD, 1);
    run.trace = Some(Vec::new());
    let mut next = stream.records.len() - 1;
    while next < stream.records.len() {
        for record in stream.records(next, next + 1) {
            match step::step(rules, state, &record, &mut run) {
                Stepped::Done => {}
                Stepped::Overridden(changed) => *rules = changed,
                Stepped::NeedsRuleSet { .. } => panic!("a session has one rule set"),
            }
        }
        for member in run.effects.members.drain(..) {
            stream.put(&member.partition_key(), member.record(), member.at.0);
        }
        next += 1;
    }
    run
}

fn told(run: &Run, rule: &str) -> String {
    if let Some(quarantined) = run.effects.quarantined.first() {
        return format!("quarantined {}", quarantined.reason);
    }
    let judged: Vec<&Judgement> =
        run.trace.iter().flatten().filter(|judgement| judgement.rule.as_str() == rule).collect();
    match judged.as_slice() {
        [] if run.counts.late > 0 => "late".to_owned(),
        [] => "nothing".to_owned(),
        judged => judged.iter().map(|judgement| told_of(judgement)).collect::<Vec<_>>().join(", "),
    }
}

fn told_of(judgement: &Judgement) -> String {
    let standing = match judgement.standing {
        Standing::Inactive => "inactive".to_owned(),
        Standing::Pending { since } => format!("pending {}", since_start(since.0)),
        Standing::Firing { since } => format!("firing {}", since_start(since.0)),
    };
    let verdict = match judgement.verdict {
        Verdict::Send(Why::Fired { suppressed: 0 }) => "send".to_owned(),
        Verdict::Send(Why::Fired { suppressed }) => format!("send suppressed={suppressed}"),
        Verdict::Send(Why::Resolved) => "send resolved".to_owned(),
        Verdict::Send(Why::Repeated) => "send again".to_owned(),
        Verdict::Send(Why::Flapping) => "send flapping".to_owned(),
        Verdict::Hold(WhyNot::Flapping { until }) => format!("flapping until {}", since_start(until.0)),
        Verdict::Hold(WhyNot::Muted { until }) => format!("muted until {}", since_start(until.0)),
        Verdict::Hold(WhyNot::OutsideHours) => "outside hours".to_owned(),
        Verdict::Hold(WhyNot::Forgotten) => "forgotten".to_owned(),
        Verdict::Hold(WhyNot::Inactive) => String::new(),
        Verdict::Hold(WhyNot::Pending { until }) => format!("until {}", since_start(until.0)),
        Verdict::Hold(WhyNot::TooFewSamples { seen }) => format!("too few samples ({seen})"),
        Verdict::Hold(WhyNot::Learning { samples }) => format!("learning ({samples})"),
        Verdict::Hold(WhyNot::NothingToCompare) => "nothing to compare".to_owned(),
        Verdict::Hold(WhyNot::AlreadySent) => "already sent".to_owned(),
        Verdict::Hold(WhyNot::CoolingDown { until }) => format!("cooling down until {}", since_start(until.0)),
        Verdict::Hold(WhyNot::TooLate { delay }) => format!("too late by {}s", delay.as_secs()),
        Verdict::Hold(WhyNot::Shadow) => "shadow".to_owned(),
        Verdict::Hold(WhyNot::NeverSent) => "never sent".to_owned(),
    };
    let zone = judgement.device.as_str().strip_prefix("zone/").and_then(|key| key.split_once('/'));
    let standing = zone.map_or(standing.clone(), |(zone, _)| format!("{zone} {standing}"));
    let at = if judgement.by_timer { format!(" at {}", since_start(judgement.at.0)) } else { String::new() };
    if verdict.is_empty() { standing } else { format!("{standing}, {verdict}{at}") }
}

fn since_start(ms: i64) -> String {
    format!("{}s", (ms - START_MS) / 1_000)
}

fn milliseconds(text: &str) -> i64 {
    let seconds: i64 = text.strip_suffix('s').and_then(|digits| digits.parse().ok()).expect("a time such as `90s`");
    seconds * 1_000
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn reading(word: &str) -> (String, Value) {
    let (key, value) = word.split_once('=').expect("a reading such as `pressure=65`");
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    (key.to_owned(), value)
}
