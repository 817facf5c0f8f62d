//! `fleetform explain`.

use std::{collections::BTreeSet, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, ValueEnum};
use fleetform_engine::{
    compiled::Compiled,
    effect::AlertState,
    ids::{DeviceId, RuleId},
    rule_set::{Condition, Rule, RuleSet, TimestampFormat},
    session::{self, Answer, Place, Session},
    units::Timestamp,
    verdict::Judgement,
};
use fleetform_generator::{
    Registration,
    platform::{
        Platform,
        rule_test::{ALARM_OFF, ALARM_ON},
    },
    rule_set,
};
use serde_json::{Value, json};

use crate::{
    gap::Gaps,
    input::{self, File},
    record_log::{self, Log, Logged},
    terminal::{Stop, print, tell},
    timeline::{self, Clock, Reason, Row},
};

/// Devices of a log that an error names.
const DEVICES_SHOWN: usize = 12;

/// Explain step by step why a rule did or did not fire on a device
///
/// Runs a log of what devices sent through the engine that evaluates the stream, and prints the state of the rule after
/// each record of the device, and why. A fleet rule is shown for the device's zone, at the records of all devices that
/// change anything there. A line of the log is a message as a device sends it, a record as the stream has it, or a
/// record with its place: `{"kind":"rec","shard","seq","pk","arr","data_b64"}`.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// The rule
    #[arg(value_name = "RULE")]
    rule: String,
    #[command(flatten)]
    file: File,
    /// The device
    #[arg(long, value_name = "DEVICE")]
    device: String,
    /// The log, one JSON document per line
    #[arg(long, value_name = "FILE")]
    log: Utf8PathBuf,
    /// The device's type, if the log does not register the device
    #[arg(long = "type", value_name = "TYPE", requires = "zone")]
    device_type: Option<String>,
    /// The device's zone, if the log does not register the device
    #[arg(long, value_name = "ZONE", requires = "device_type")]
    zone: Option<String>,
    /// The device's own value for an attribute of its type; may be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = name_and_value, requires = "device_type")]
    attributes: Vec<(String, String)>,
    /// The environment; defaults to the file's default environment
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// How the steps are written
    #[arg(long, value_enum, default_value_t = FormatName::Full)]
    format: FormatName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// One line per step; of a run of equal steps only the first and the last
    Full,
    /// One JSON document with every step
    Json,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = input::project(&self.file.file)?;
        let platform = input::platform(&project, self.env.as_deref())?;
        let set = rule_set(platform);
        let (rule, _) = set.rules.get_key_value(self.rule.as_str()).ok_or_else(|| {
            let known: Vec<String> = set.rules.keys().map(|id| format!("`{id}`")).collect();
            Stop::bad_input(format_args!("there is no rule `{}`", self.rule))
                .help(format_args!("the rules are {}", known.join(", ")))
        })?;
        let device = DeviceId::new(&self.device).map_err(Stop::bad_input)?;
        let log = record_log::read(&self.log, &set.message, device.as_str())?;
        let rules = Arc::new(Compiled::new(&set, RuleSet::sha256(&set.to_bytes())));
        let mut story = Story {
            gaps: Gaps::new(&set.rules[rule], self.device_type.as_deref().and_then(|id| set.device_types.get(id))),
            set: &set,
            rule,
            device: &device,
            session: Session::new(&set, rules.clone()),
            rows: Vec::new(),
        };
        if let (Some(registered), Some(first)) = (self.registration(platform)?, log.records.first()) {
            // Any registration in the log is newer.
            story.session.take(device.as_str(), &registered.record(0, first.arrived_at), first.arrived_at);
        }
        for record in &log.records {
            story.take(record);
        }
        print(&match self.format {
            FormatName::Full => timeline::table(&story.rows, Clock::Calendar, 0),
            FormatName::Json => {
                let bad = log.bad.iter().map(|(line, problem)| json!({ "line": line, "problem": problem }));
                let document = json!({
                    "rule": rule,
                    "device": device,
                    "environment": platform.environment.id,
                    "rule_set": rules.sha256(),
                    "bad_lines": bad.collect::<Vec<_>>(),
                    "steps": timeline::json(&story.rows, Clock::Calendar),
                });
                serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
            }
        })?;
        for (line, problem) in &log.bad {
            tell(format_args!("{}:{line}: {problem}", self.log));
        }
        story.close(&log, &self.log)?;
        if log.bad.is_empty() { Ok(()) } else { Err(Stop::found()) }
    }

    fn registration(&self, platform: &Platform) -> Result<Option<Registration>, Stop> {
        let (Some(device_type), Some(zone)) = (&self.device_type, &self.zone) else { return Ok(None) };
        match Registration::new(platform, &self.device, device_type, zone, &self.attributes) {
            Ok(registration) => Ok(Some(registration)),
            Err(errors) => {
                for error in &errors {
                    tell(format_args!("error: {error}"));
                }
                Err(Stop::bad_file())
            }
        }
    }
}

/// A rule on a device, followed from record to record.
struct Story<'s> {
    set: &'s RuleSet,
    rule: &'s RuleId,
    device: &'s DeviceId,
    session: Session<'s>,
    gaps: Gaps,
    rows: Vec<Row>,
}

impl Story<'_> {
    /// Takes a record. Those of other devices only let time pass, unless they change the rule on the device.
    fn take(&mut self, record: &Logged) {
        let answer = self.session.take(&record.partition_key, &record.data, record.arrived_at);
        self.learn_type(record, &answer);
        let values = self.values(record);
        let times = self.times(record, &answer);
        let before = self.rows.len();
        for judgement in &answer.judgements {
            if judgement.rule != *self.rule || !self.is_about(judgement) {
                continue;
            }
            let own = values.iter().find(|(at, _)| *at == Some(judgement.at));
            let own = own.or_else(|| values.first().filter(|_| values.len() == 1));
            let is_own = !judgement.by_timer && judgement.zone().is_none();
            let gap = self.gaps.take(judgement).filter(|_| is_own);
            self.rows.push(Row {
                at: judgement.at,
                line: Some(record.line),
                came: if judgement.by_timer {
                    timeline::TIME_ALONE.to_owned()
                } else if judgement.zone().is_some() {
                    format!("from {}", record.partition_key)
                } else {
                    own.map(|(_, value)| value.clone()).unwrap_or_default()
                },
                standing: Some(judgement.standing),
                reason: Reason::Judged(judgement.verdict),
                notes: times.iter().filter(|_| is_own).cloned().chain(gap).collect(),
                marks: Vec::new(),
            });
        }
        let is_rule_set = answer.counts.unusable_rule_sets > 0;
        if self.rows.len() == before && (record.partition_key == self.device.as_str() || is_rule_set) {
            let (word, text) = self.unjudged(&answer, record.message.as_ref());
            let said: Vec<&str> = values.iter().map(|(_, value)| value.as_str()).collect();
            self.rows.push(Row {
                at: record.arrived_at,
                line: Some(record.line),
                came: said.join(" "),
                standing: self.place().map(|place| place.standing),
                reason: Reason::Unjudged { word, text },
                notes: times,
                marks: Vec::new(),
            });
        }
    }

    /// Whether an answer is about the device, or for a fleet rule about its zone.
    fn is_about(&self, judgement: &Judgement) -> bool {
        match judgement.zone() {
            Some(zone) => self.session.zone(self.device) == Some(&zone),
            None => judgement.device == *self.device,
        }
    }

    /// The state of the rule on the device, or in its zone.
    fn place(&self) -> Option<Place> {
        let is_fleet = |rule: &Rule| matches!(rule.condition, Condition::Fleet { .. });
        if self.set.rules.get(self.rule).is_some_and(is_fleet) {
            self.session.fleet(self.session.zone(self.device)?, self.rule)
        } else {
            self.session.place(self.device, self.rule)
        }
    }

    /// The values of the rule's metric in a message, with the times of their samples.
    fn values(&self, record: &Logged) -> Vec<(Option<Timestamp>, String)> {
        let Some(message) = &record.message else { return Vec::new() };
        let Some(metric) = self.set.rules.get(self.rule).and_then(|rule| rule.metric.as_ref()) else {
            // A rule without a metric can read the device's alarms.
            let code = message.get("code").and_then(Value::as_str);
            let alarm = code.zip(message.get("active").and_then(Value::as_bool));
            let word = |active| if active { ALARM_ON } else { ALARM_OFF };
            return alarm.map(|(code, active)| (None, format!("alarm {code} {}", word(active)))).into_iter().collect();
        };
        let format = &self.set.message;
        let keys: Vec<&str> = self
            .set
            .device_types
            .values()
            .filter_map(|device_type| device_type.readings.get(metric).map(|reading| reading.key.as_str()))
            .collect();
        let value = |sample| match format.health.get(metric) {
            Some(path) => session::at_path(sample, path),
            None => session::at_path(sample, &format.readings)
                .and_then(|readings| keys.iter().find_map(|key| readings.get(*key))),
        };
        let written = |value: &Value| match value {
            Value::String(text) => format!("{metric}={text}"),
            other => format!("{metric}={other}"),
        };
        let samples = session::samples(format, message).into_iter();
        samples.filter_map(|(at, sample)| value(sample).map(|value| (at, written(value)))).collect()
    }

    /// Notes the device type of a record that registers the device.
    fn learn_type(&mut self, record: &Logged, answer: &Answer) {
        if answer.counts.registrations == 0 || record.partition_key != self.device.as_str() {
            return;
        }
        let registered: Option<Value> = serde_json::from_slice(&record.data).ok();
        let device_type = registered.as_ref().and_then(|record| record.get("type")).and_then(Value::as_str);
        self.gaps = Gaps::new(&self.set.rules[self.rule], device_type.and_then(|id| self.set.device_types.get(id)));
    }

    /// Notes on times that the device's message states and that were replaced by the ingest time.
    fn times(&self, record: &Logged, answer: &Answer) -> Vec<String> {
        let format = &self.set.message;
        let Some(message) = record.message.as_ref().filter(|_| record.partition_key == self.device.as_str()) else {
            return Vec::new();
        };
        if answer.counts.future > 0 {
            return vec!["its time lies too far ahead, so the ingest time was taken".to_owned()];
        }
        if answer.counts.untimed == 0 {
            return Vec::new();
        }
        let samples = session::samples(format, message).into_iter().filter(|(at, _)| at.is_none());
        let mut stated = samples.filter_map(|(_, sample)| session::at_path(sample, &format.timestamp));
        let expected = match format.timestamp_format {
            TimestampFormat::Rfc3339 => "a time of RFC 3339",
            TimestampFormat::EpochS => "a number of seconds since 1970",
            TimestampFormat::EpochMs => "a number of milliseconds since 1970",
        };
        let told =
            |stated| format!("its `{}` {stated} is not {expected}, so the ingest time was taken", format.timestamp);
        stated.find(|stated| !stated.is_null()).map(told).into_iter().collect()
    }

    /// Why the rule does not count an alarm, if its code is the reason.
    fn other_alarm(&self, message: &Value) -> Option<String> {
        let Condition::DeviceAlarm { codes } = &self.set.rules[self.rule].condition else { return None };
        let code = message.get("code").and_then(Value::as_str)?;
        let listed: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        let is_other = !codes.is_empty() && !codes.contains(code);
        is_other.then(|| format!("the rule does not count alarm `{code}`: its codes are {}", listed.join(", ")))
    }

    /// Why a record of the device changed nothing, or what it did without a sample.
    fn unjudged(&self, answer: &Answer, message: Option<&Value>) -> (&'static str, String) {
        let counts = &answer.counts;
        let ended = answer.effects.alerts.iter().find_map(|alert| match &alert.state {
            AlertState::Resolved { reason } if alert.rule == *self.rule => Some(json!(reason)),
            AlertState::Resolved { .. } | AlertState::Firing => None,
        });
        let ended = ended.as_ref().and_then(Value::as_str).map(|reason| format!("; its alert ended: {reason}"));
        if let Some(row) = answer.effects.quarantined.first() {
            ("set_aside", format!("set aside as {}: {}", row.reason, row.detail))
        } else if counts.registrations > 0 {
            ("registered", format!("registered{}", ended.unwrap_or_default()))
        } else if counts.stale_registrations > 0 {
            ("stale_registration", "ignored: a registration that is not newer".to_owned())
        } else if counts.unusable_rule_sets > 0 {
            (
                "other_rule_set",
                "another rule set comes into force here; this explanation keeps to the one of the file".to_owned(),
            )
        } else if counts.late > 0 {
            ("late", "not evaluated: late, or sent twice".to_owned())
        } else if counts.too_old > 0 {
            ("too_old", "not evaluated: older than `message.max_past`".to_owned())
        } else if counts.unread > 0 {
            ("unread", "not evaluated: on a channel that no rule reads".to_owned())
        } else if let Some(why) = message.and_then(|message| self.other_alarm(message)) {
            ("other_alarm", why)
        } else {
            ("nothing_read", "it has nothing that the rule reads".to_owned())
        }
    }

    /// Explains the state at the end, if the rows do not. A device without records in the log is an error.
    fn close(&self, log: &Log, path: &Utf8Path) -> Result<(), Stop> {
        let (rule, device) = (self.rule, self.device);
        if self.rows.is_empty() && !log.records.iter().any(|record| record.partition_key == device.as_str()) {
            return Err(nothing_of(device, log, path));
        }
        if self.place().is_some() {
            return Ok(());
        }
        if self.set.rules.get(rule).is_some_and(|rule| !rule.enabled) {
            tell(format_args!("note: rule `{rule}` is disabled"));
        } else if self.session.is_registered(device) {
            tell(format_args!("note: rule `{rule}` does not cover the type and zone of `{device}`, or it is retired"));
        } else {
            tell(format_args!("note: `{device}` is not registered in the log"));
            tell("  help: give its type and zone: --type TYPE --zone ZONE");
        }
        Ok(())
    }
}

/// The error for a device without records in the log, with the devices that have some.
fn nothing_of(device: &DeviceId, log: &Log, path: &Utf8Path) -> Stop {
    let sent = log.records.iter().filter(|record| record.message.is_some());
    let known: BTreeSet<&str> = sent.map(|record| record.partition_key.as_str()).collect();
    let named: Vec<String> = known.iter().take(DEVICES_SHOWN).map(|id| format!("`{id}`")).collect();
    let stop = Stop::failed(format_args!("`{path}` has no record of device `{device}`"));
    match known.len().saturating_sub(DEVICES_SHOWN) {
        _ if known.is_empty() => stop,
        0 => stop.help(format_args!("it has records of {}", named.join(", "))),
        more => stop.help(format_args!("it has records of {} and {more} more", named.join(", "))),
    }
}
