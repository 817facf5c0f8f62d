//! What happened to a rule on a device, step by step, as a table for people and as JSON for tools. Knows the engine's
//! states and reasons, and nothing of files or commands.

use std::fmt::Write as _;

use fleetform_engine::{
    effect::Observed,
    units::{Millis, Timestamp},
    verdict::{Standing, Verdict, Why, WhyNot},
};
use fleetform_generator::printable;
use serde_json::{Value, json};

/// Rows around a mark, and at both ends of a run of similar rows, that are always shown.
const SHOWN_AROUND: usize = 1;

/// What came, for a timer that was due without a sample.
pub(crate) const TIME_ALONE: &str = "time alone";

/// How times are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// From this moment on: `6m30s`.
    From(Timestamp),
    /// As RFC 3339 writes them.
    Calendar,
}

/// One step of a rule on a device.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// When.
    pub(crate) at: Timestamp,
    /// The line of a log that it came from.
    pub(crate) line: Option<usize>,
    /// What came, as in `pressure=65`.
    pub(crate) came: String,
    /// The state of the rule afterwards; none if the rule does not cover the device.
    pub(crate) standing: Option<Standing>,
    /// Why.
    pub(crate) reason: Reason,
    /// What the reason does not cover, such as a gap before the sample.
    pub(crate) notes: Vec<String>,
    /// Remarks on this row, such as a failed expectation.
    pub(crate) marks: Vec<String>,
}

/// Why a rule is in its state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reason {
    /// It was evaluated.
    Judged(Verdict),
    /// It was not, and this is why: a stable word, and a sentence for people.
    Unjudged { word: &'static str, text: String },
}

impl Clock {
    /// A moment.
    pub(crate) fn time(self, at: Timestamp) -> String {
        match self {
            Self::From(start) if at >= start => length(at.since(start)),
            Self::From(start) => format!("-{}", length(start.since(at))),
            Self::Calendar => calendar(at),
        }
    }
}

/// A moment as RFC 3339 writes it, in UTC.
pub(crate) fn calendar(at: Timestamp) -> String {
    at.to_rfc3339().unwrap_or_else(|| format!("{} ms", at.0))
}

/// A length of time, as in `1h30m`.
pub(crate) fn length(length: Millis) -> String {
    let mut rest = length.0;
    let mut text = String::new();
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
        if rest >= unit {
            let _ = write!(text, "{}{name}", rest / unit);
            rest %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A value as messages have it.
pub(crate) fn value(value: &Observed) -> String {
    match value {
        Observed::Number(number) => number.to_string(),
        Observed::Bool(truth) => truth.to_string(),
        Observed::Word(word) => word.to_string(),
    }
}

/// The word for a state.
pub(crate) fn state(standing: &Standing) -> &'static str {
    match standing {
        Standing::Inactive => "inactive",
        Standing::Pending { .. } => "pending",
        Standing::Firing { .. } => "firing",
    }
}

/// The start of a state, for states that have one.
pub(crate) fn since(standing: &Standing) -> Option<Timestamp> {
    match standing {
        Standing::Inactive => None,
        Standing::Pending { since } | Standing::Firing { since } => Some(*since),
    }
}

impl Reason {
    /// Whether a notice is sent, and the stable word for why or why not.
    fn words(&self) -> (bool, &'static str) {
        match self {
            Self::Unjudged { word, .. } => (false, word),
            Self::Judged(Verdict::Send(why)) => match why {
                Why::Fired { .. } => (true, "fired"),
                Why::Resolved => (true, "resolved"),
                Why::Repeated => (true, "repeated"),
                Why::Flapping => (true, "flapping"),
            },
            Self::Judged(Verdict::Hold(why_not)) => match why_not {
                WhyNot::Inactive => (false, "inactive"),
                WhyNot::Pending { .. } => (false, "pending"),
                WhyNot::TooFewSamples { .. } => (false, "too_few_samples"),
                WhyNot::NothingToCompare => (false, "nothing_to_compare"),
                WhyNot::Learning { .. } => (false, "learning"),
                WhyNot::AlreadySent => (false, "already_sent"),
                WhyNot::CoolingDown { .. } => (false, "cooling_down"),
                WhyNot::TooLate { .. } => (false, "too_late"),
                WhyNot::Flapping { .. } => (false, "flapping"),
                WhyNot::Muted { .. } => (false, "muted"),
                WhyNot::OutsideHours => (false, "outside_hours"),
                WhyNot::Forgotten => (false, "forgotten"),
                WhyNot::Shadow => (false, "shadow"),
                WhyNot::NeverSent => (false, "never_sent"),
            },
        }
    }

    /// The same as a sentence.
    fn text(&self, clock: Clock) -> String {
        match self {
            Self::Unjudged { text, .. } => text.clone(),
            Self::Judged(Verdict::Send(why)) => match why {
                Why::Fired { suppressed: 0 } => "a notice is sent".to_owned(),
                Why::Fired { suppressed } => {
                    format!("a notice is sent, for {suppressed} firings held back since the last one")
                }
                Why::Resolved => "over: a notice is sent".to_owned(),
                Why::Repeated => "a notice is sent again".to_owned(),
                Why::Flapping => "a notice is sent that the rule flaps".to_owned(),
            },
            Self::Judged(Verdict::Hold(why_not)) => match why_not {
                WhyNot::Inactive => "the condition does not hold".to_owned(),
                WhyNot::Pending { until } => {
                    format!("the condition holds; fires at {} if it still does", clock.time(*until))
                }
                WhyNot::TooFewSamples { seen: 1 } => "only 1 sample so far".to_owned(),
                WhyNot::TooFewSamples { seen } => format!("only {seen} samples so far"),
                WhyNot::NothingToCompare => "no earlier sample to compare with".to_owned(),
                WhyNot::Learning { samples } => {
                    format!("still learning what is normal ({samples} samples so far)")
                }
                WhyNot::AlreadySent => "a notice was sent before".to_owned(),
                WhyNot::CoolingDown { until } => format!("no notice before {}: cooldown", clock.time(*until)),
                WhyNot::TooLate { delay } => format!("no notice: the sample came {} late", length(*delay)),
                WhyNot::Flapping { until } => format!("no notice: the rule flaps until {}", clock.time(*until)),
                WhyNot::Muted { until } => format!("no notice before {}: muted", clock.time(*until)),
                WhyNot::OutsideHours => "outside the rule's hours".to_owned(),
                WhyNot::Forgotten => "the samples stopped before the condition had held for long enough".to_owned(),
                WhyNot::Shadow => "no notice: a shadow rule".to_owned(),
                WhyNot::NeverSent => "over; no notice had been sent".to_owned(),
            },
        }
    }
}

impl Row {
    /// The notes and the reason as one sentence.
    fn text(&self, clock: Clock) -> String {
        let reason = Some(self.reason.text(clock)).filter(|reason| !reason.is_empty());
        self.notes.iter().cloned().chain(reason).collect::<Vec<_>>().join("; ")
    }
}

/// The rows as a table. Of a run of similar rows, only the first and the last are shown.
pub(crate) fn table(rows: &[Row], clock: Clock, indent: usize) -> String {
    let shown = shown(rows);
    let cells: Vec<[String; 4]> = rows
        .iter()
        .map(|row| {
            let standing = match &row.standing {
                None => "-".to_owned(),
                Some(standing) => match since(standing) {
                    None => state(standing).to_owned(),
                    Some(since) => format!("{} since {}", state(standing), clock.time(since)),
                },
            };
            let came = match row.line {
                Some(line) => format!("{line}: {}", row.came),
                None => row.came.clone(),
            };
            [clock.time(row.at), came, standing, row.text(clock)].map(|cell| printable(&cell).into_owned())
        })
        .collect();
    let width = |column: usize| {
        let cells = cells.iter().zip(&shown).filter(|(_, shown)| **shown);
        cells.map(|(row, _)| row[column].chars().count()).max().unwrap_or(0)
    };
    let (time, came, standing) = (width(0), width(1), width(2));
    let mut text = String::new();
    let mut left_out = 0;
    for ((row, [at, what, stands, why]), shown) in rows.iter().zip(&cells).zip(&shown) {
        if !shown {
            left_out += 1;
            continue;
        }
        close_gap(&mut text, indent + time, &mut left_out);
        let line = format!("{:indent$}{at:>time$}  {what:<came$}  {stands:<standing$}  {why}", "");
        let _ = writeln!(text, "{}", line.trim_end());
        for mark in &row.marks {
            let _ = writeln!(text, "{:>indent$}{mark}", "> ");
        }
    }
    close_gap(&mut text, indent + time, &mut left_out);
    text
}

fn close_gap(text: &mut String, width: usize, left_out: &mut usize) {
    if *left_out > 0 {
        let _ = writeln!(text, "{:>width$}  {left_out} similar rows", "…");
        *left_out = 0;
    }
}

/// Which rows are shown: those at which something changes, those with marks, and their neighbours.
fn shown(rows: &[Row]) -> Vec<bool> {
    let kind = |row: &Row| (row.standing.as_ref().map(state), row.reason.words(), row.notes.is_empty());
    let mut shown = vec![false; rows.len()];
    for index in 0..rows.len() {
        let changes = index == 0 || kind(&rows[index]) != kind(&rows[index - 1]);
        if changes || !rows[index].marks.is_empty() || index + 1 == rows.len() {
            let last = (index + SHOWN_AROUND).min(rows.len() - 1);
            shown[index.saturating_sub(SHOWN_AROUND)..=last].fill(true);
        }
    }
    // Leaving out one row takes as much space as showing it.
    for index in 1..rows.len().saturating_sub(1) {
        if shown[index - 1] && shown[index + 1] {
            shown[index] = true;
        }
    }
    shown
}

/// The rows as JSON, none left out. Times are RFC 3339 and, from a start, milliseconds as well.
pub(crate) fn json(rows: &[Row], clock: Clock) -> Value {
    let rows = rows.iter().map(|row| {
        let (told, reason) = row.reason.words();
        let mut json = json!({
            "at": calendar(row.at),
            "came": row.came,
            "state": row.standing.as_ref().map(state),
            "since": row.standing.as_ref().and_then(since).map(calendar),
            "told": told,
            "reason": reason,
            "text": row.text(clock),
        });
        if let Some(line) = row.line {
            json["line"] = json!(line);
        }
        if let Clock::From(start) = clock {
            json["after_ms"] = json!(row.at.0 - start.0);
        }
        json
    });
    Value::Array(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(minute: i64, standing: Standing, verdict: Verdict) -> Row {
        Row {
            at: Timestamp(minute * 60_000),
            line: None,
            came: format!("pressure={}", 60 + minute),
            standing: Some(standing),
            reason: Reason::Judged(verdict),
            notes: Vec::new(),
            marks: Vec::new(),
        }
    }

    #[test]
    fn lengths_of_time_have_all_their_units() {
        for (ms, text) in [(0, "0s"), (90_000, "1m30s"), (86_400_000, "1d"), (3_600_250, "1h250ms")] {
            assert_eq!(length(Millis(ms)), text);
        }
        assert_eq!(Clock::From(Timestamp(60_000)).time(Timestamp(0)), "-1m");
        assert_eq!(Clock::Calendar.time(Timestamp(1_769_855_400_000)), "2026-01-31T10:30:00Z");
    }

    #[test]
    fn what_goes_on_without_a_change_is_counted_and_what_is_marked_is_shown() {
        let mut rows: Vec<Row> =
            (0..20).map(|minute| row(minute, Standing::Inactive, Verdict::Hold(WhyNot::Inactive))).collect();
        let since = Timestamp(20 * 60_000);
        let until = Timestamp(25 * 60_000);
        rows.push(row(20, Standing::Pending { since }, Verdict::Hold(WhyNot::Pending { until })));
        rows[10].marks.push("expected firing".to_owned());
        let table = table(&rows, Clock::From(Timestamp(0)), 2);
        let expected = "
   0s  pressure=60  inactive           the condition does not hold
   1m  pressure=61  inactive           the condition does not hold
    …  7 similar rows
   9m  pressure=69  inactive           the condition does not hold
  10m  pressure=70  inactive           the condition does not hold
> expected firing
  11m  pressure=71  inactive           the condition does not hold
    …  7 similar rows
  19m  pressure=79  inactive           the condition does not hold
  20m  pressure=80  pending since 20m  the condition holds; fires at 25m if it still does
";
        assert_eq!(format!("\n{table}"), expected, "\n{table}");
    }
}
