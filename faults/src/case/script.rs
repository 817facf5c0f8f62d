//! Reads the script of faults: JSON, a list of the requests that go wrong, and how.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::Value;

use super::{Script, Wrong};
use crate::{
    case::read::line_of,
    fate::{Fate, Operation, Scripted},
};

/// Default duration of a brown-out.
const BROWNOUT_MS: i64 = 600_000;
/// Maximum duration of a brown-out.
const LASTS_MAX_MS: i64 = 366 * 86_400_000;
/// Range of the invocation and request numbers in a line.
const COUNTS: RangeInclusive<i64> = 0..=1_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    inv: Value,
    #[serde(default)]
    op: Option<String>,
    #[serde(default)]
    nth: Value,
    #[serde(rename = "do")]
    does: String,
    #[serde(default)]
    for_ms: Option<i64>,
}

/// Reads a script: a list, or an object that holds it under `faults`, or one fault per line.
pub fn read_script(file: &str, text: &str) -> Result<Script, Wrong> {
    let wrong = |line: Option<usize>, problem: String| Wrong { file: file.to_owned(), line, problem };
    let faults: Vec<(usize, Value)> = match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(faults)) => faults.into_iter().map(|fault| (0, fault)).collect(),
        Ok(Value::Object(mut object)) if object.contains_key("faults") => match object.remove("faults") {
            _ if !object.is_empty() => {
                let more: Vec<&str> = object.keys().map(String::as_str).collect();
                return Err(wrong(None, format!("`{}` beside `faults` says nothing", more.join("`, `"))));
            }
            Some(Value::Array(faults)) => faults.into_iter().map(|fault| (0, fault)).collect(),
            _ => return Err(wrong(None, "`faults` is no list".into())),
        },
        whole => {
            let mut faults = Vec::new();
            for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
                match serde_json::from_str::<Value>(line) {
                    Ok(fault @ Value::Object(_)) => faults.push((number, fault)),
                    Ok(_) => return Err(wrong(Some(number), "a fault is an object".into())),
                    // A list spread over several lines is not one fault per line: its own error is more useful.
                    Err(error) => {
                        let (line, error) = match &whole {
                            Err(whole) if text.trim_start().starts_with(['[', '{']) => (whole.line(), whole),
                            Ok(_) | Err(_) => (number, &error),
                        };
                        return Err(wrong(Some(line), format!("this is not JSON: {error}")));
                    }
                }
            }
            faults
        }
    };
    let mut raw = Vec::new();
    for (index, (line, fault)) in faults.into_iter().enumerate() {
        let at = if line == 0 { line_of(text, index) } else { Some(line) };
        let fault: Raw = serde_json::from_value(fault)
            .map_err(|error| wrong(at, format!("fault {} of the list: {error}", index + 1)))?;
        raw.push((at, index + 1, fault));
    }
    // If any fault counts from zero, all of them do.
    let from_nought = |of: fn(&Raw) -> &Value| i64::from(raw.iter().any(|(_, _, fault)| *of(fault) == 0));
    let (first_inv, first_nth) = (from_nought(|fault| &fault.inv), from_nought(|fault| &fault.nth));
    let lines = raw.iter().map(|(at, number, fault)| {
        fault
            .scripted(first_inv, first_nth)
            .map_err(|problem| wrong(*at, format!("fault {number} of the list: {problem}")))
    });
    Ok(Script(lines.collect::<Result<_, _>>()?))
}

impl Raw {
    fn scripted(&self, first_inv: i64, first_nth: i64) -> Result<Scripted, String> {
        let brownout = self.does.strip_prefix("brownout");
        let operation =
            match self.op.as_deref() {
                None | Some("*" | "any") => None,
                Some(name) => Some(operation(name).ok_or_else(|| {
                    format!("`op` is `{name}`; it is one of `list`, `get`, `create`, `publish`, `load`")
                })?),
            };
        let stall = self.does.strip_prefix("stall_until").map(|rest| rest.trim_start_matches([':', ' ']));
        let does = match self.does.as_str() {
            "throttle" | "throttled" | "refuse" => Fate::Throttle,
            "conflict" => Fate::Conflict,
            "timeout_applied" => Fate::TimeoutApplied,
            "timeout_dropped" | "timeout" => Fate::TimeoutDropped,
            "kill" => Fate::Kill,
            "kill_after" => Fate::KillAfter,
            "corrupt" => Fate::Corrupt,
            "newer" => Fate::Newer,
            _ if brownout.is_some() => Fate::Throttle,
            _ => match stall.map(|rest| rest.parse().ok().filter(|invocation| COUNTS.contains(invocation))) {
                Some(Some(invocation)) if self.inv == invocation => {
                    return Err(format!("`{}` waits for itself", self.does));
                }
                Some(Some(invocation)) => Fate::StallUntil((invocation + first_inv) as u64),
                Some(None) => return Err(format!("`{}` names no invocation, as `stall_until:2` does", self.does)),
                None => {
                    return Err(format!(
                        "`do` is `{}`; it is one of `throttle`, `conflict`, `timeout_applied`, `timeout_dropped`, \
                         `stall_until:<inv>`, `kill`, `kill_after`, `corrupt`, `newer`, `brownout`",
                        self.does
                    ));
                }
            },
        };
        let lasts = match brownout.map(|rest| rest.trim_start_matches([':', ' '])) {
            None => None,
            Some("") => Some(self.for_ms.unwrap_or(BROWNOUT_MS)),
            Some(ms) => Some(ms.parse().map_err(|_| format!("`{}` names no milliseconds", self.does))?),
        };
        if let Some(lasts) = lasts.filter(|lasts| !(1..=LASTS_MAX_MS).contains(lasts)) {
            return Err(format!("a brown-out of {lasts} ms is none; it lasts 1 ms to a year"));
        }
        Ok(Scripted {
            invocation: number("inv", &self.inv, first_inv)?,
            operation,
            nth: number("nth", &self.nth, first_nth)?.or(lasts.is_none().then_some(1)),
            does,
            lasts,
            began: None,
            once: self.inv != "*" && self.nth != "*",
        })
    }
}

/// Reads a number from 1; `None` for any.
fn number(name: &str, value: &Value, offset: i64) -> Result<Option<u64>, String> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::String(text) if text == "*" || text == "any" => return Ok(None),
        Value::String(text) => text.parse::<i64>().ok(),
        Value::Number(number) => number.as_i64(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match number.filter(|number| COUNTS.contains(number)) {
        Some(number) => Ok(Some((number + offset) as u64)),
        None => Err(format!("`{name}` is {value}, which is no count")),
    }
}

fn operation(name: &str) -> Option<Operation> {
    Some(match name.to_ascii_lowercase().as_str() {
        "list" | "list_objects" => Operation::List,
        "get" | "read" | "get_object" => Operation::Get,
        "create" | "put" | "commit" | "write" | "put_object" => Operation::Create,
        "publish" | "emit" | "outbox" | "row" | "put_item" => Operation::Publish,
        "load" | "rules" | "rule_set" | "load_rules" => Operation::Load,
        _ => return None,
    })
}
