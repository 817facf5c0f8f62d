//! Rules that look at more than the last two samples: each is derived from everything that it has seen on a device.

use serde_json::{Value, json};

use super::condition::{Found, compare, number};

/// Whether enough of the last samples meet a condition, including both ends of the window.
pub(super) fn count(condition: &Value, past: &[(i64, Value)]) -> Option<Found> {
    let (now, value) = past.last()?;
    let compared = &condition["of"]["compared"];
    let meets = |value: &Value| match condition["of"]["equal"].get("equals") {
        Some(equals) => value == equals,
        None => compare(compared, number(value), number(&compared["threshold"])).0,
    };
    let window = condition["window_ms"].as_i64()?;
    let met = past.iter().filter(|(t, value)| now - t <= window && meets(value)).count();
    let at_least = condition["at_least"].as_u64()?;
    let breach = met as u64 >= at_least;
    let evidence = json!({ "kind": "count", "samples": (met as u64).min(at_least) });
    Some(Found { value: value.clone(), evidence, ..Found::plain(breach) })
}

/// Returns how long the value has stayed the same. A line starts with its first sample, and every later one is
/// compared with that sample. A sample after too long a gap starts a new line without showing that the value moves. A
/// line is clear for as long as something has moved.
pub(super) fn flatline(rule: &Value, past: &[(i64, Value)], longest_gap: Option<i64>) -> Option<Found> {
    let tolerance = number(&rule["condition"]["tolerance"]);
    let (mut line, mut moved) = (past.first()?, past.first()?.0);
    for pair in past.windows(2) {
        let (before, sample) = (&pair[0], &pair[1]);
        if (number(&sample.1) - number(&line.1)).abs() > tolerance {
            (line, moved) = (sample, sample.0);
        } else if longest_gap.is_some_and(|longest| sample.0 - before.0 > longest) {
            line = sample;
        }
    }
    let (now, value) = past.last()?;
    let breach = line.0 < *now;
    let since = breach.then_some(line.0);
    let clear = now - moved < rule["hold"]["duration_ms"].as_i64()?;
    Some(Found { breach, clear, value: value.clone(), since, evidence: Value::Null })
}

/// Returns the first moment from this one on that lies within a rule's hours. They start at a minute of some day, and
/// each week has such a day.
pub(super) fn opens(active: &Value, timezone: &Value, t: i64) -> Option<i64> {
    let today = (t - west(timezone) * 3_600_000).div_euclid(86_400_000);
    let from = active["from_minute"].as_i64().unwrap_or(0);
    let begins = (today..today + 9).map(|day| (day * 1_440 + from) * 60_000 + west(timezone) * 3_600_000);
    [t].into_iter().chain(begins).find(|moment| *moment >= t && is_open(active, timezone, *moment))
}

/// Returns the first moment from this one on that lies outside a rule's hours; `None` if they never end.
pub(super) fn closes(active: &Value, timezone: &Value, t: i64) -> Option<i64> {
    let today = (t - west(timezone) * 3_600_000).div_euclid(86_400_000);
    let to = active["to_minute"].as_i64().unwrap_or(0);
    let ends = (today..today + 9).map(|day| (day * 1_440 + to) * 60_000 + west(timezone) * 3_600_000);
    [t].into_iter().chain(ends).find(|moment| *moment >= t && !is_open(active, timezone, *moment))
}

/// Returns how many hours a zone lies behind UTC. The sign in these names is reversed: it leads from the zone to UTC.
fn west(timezone: &Value) -> i64 {
    timezone.as_str().and_then(|name| name.strip_prefix("Etc/GMT")?.parse().ok()).unwrap_or(0)
}

/// Whether a moment lies within a rule's hours, by the clock of a zone. The zones of the workload are whole hours
/// from UTC.
pub(super) fn is_open(active: &Value, timezone: &Value, t: i64) -> bool {
    const WEEK: [&str; 7] = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    let minute = (t - west(timezone) * 3_600_000).div_euclid(60_000);
    let (day, minute) = (minute.div_euclid(1_440), minute.rem_euclid(1_440));
    let has = |day: i64| {
        let days = active["days"].as_array().filter(|days| !days.is_empty());
        days.is_none_or(|days| days.contains(&WEEK[day.rem_euclid(7) as usize].into()))
    };
    match (active["from_minute"].as_i64(), active["to_minute"].as_i64()) {
        (Some(from), Some(to)) if from < to => (from..to).contains(&minute) && has(day),
        (Some(from), Some(to)) => (minute >= from && has(day)) || (minute < to && has(day - 1)),
        _ => true,
    }
}
