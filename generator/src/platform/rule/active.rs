//! `active`: the hours and days in which a rule is active, in the time zone of the device's zone.

use std::{borrow::Cow, collections::BTreeSet};

use fleetform_engine::rule_set::{Active, Weekday};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// The format of a time of day. Midnight at the end of a day is `24:00`.
pub(crate) const CLOCK_PATTERN: &str = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";

const DAYS: [(Weekday, &str); 7] = [
    (Weekday::Mon, "mon"),
    (Weekday::Tue, "tue"),
    (Weekday::Wed, "wed"),
    (Weekday::Thu, "thu"),
    (Weekday::Fri, "fri"),
    (Weekday::Sat, "sat"),
    (Weekday::Sun, "sun"),
];

/// `active` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawActive {
    /// Days, or ranges of days such as `mon-fri`. Default: every day.
    #[schemars(length(min = 1, max = 7))]
    pub(crate) days: Option<Vec<DayWord>>,
    /// When the rule becomes active, such as `06:00`. If later than `to`, the rule is active across midnight.
    #[schemars(required)]
    pub(crate) from: Option<Clock>,
    /// When the rule stops being active, such as `22:00`.
    #[schemars(required)]
    pub(crate) to: Option<Clock>,
}

/// A time of day, in minutes from midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock(u16);

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let parts = text
            .split_once(':')
            .and_then(|(hour, minute)| Some((hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?)));
        match parts {
            Some((hour, minute)) if hour <= 24 && minute < 60 && text.len() == 5 => Ok(Self(hour * 60 + minute)),
            Some(_) | None => Err(de::Error::custom("no time of day")),
        }
    }
}

impl JsonSchema for Clock {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Clock".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": CLOCK_PATTERN, "examples": ["06:00", "22:00"] })
    }
}

/// A day, or a range of days. Both ends are included, and it may span the weekend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DayWord {
    first: usize,
    last: usize,
}

impl DayWord {
    fn days(self) -> impl Iterator<Item = Weekday> {
        let count = (self.last + DAYS.len() - self.first) % DAYS.len() + 1;
        (0..count).map(move |step| DAYS[(self.first + step) % DAYS.len()].0)
    }

    /// All valid words, single days first.
    fn words() -> Vec<String> {
        let names = || DAYS.iter().map(|(_, name)| *name);
        let runs = names().flat_map(|first| names().filter(move |last| *last != first).map(move |last| (first, last)));
        names().map(str::to_owned).chain(runs.map(|(first, last)| format!("{first}-{last}"))).collect()
    }
}

impl<'de> Deserialize<'de> for DayWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let day = |word: &str| DAYS.iter().position(|(_, name)| *name == word);
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match (day(first), day(last)) {
            (Some(first), Some(last)) => Ok(Self { first, last }),
            (None, _) | (_, None) => Err(de::Error::custom("no such day")),
        }
    }
}

impl JsonSchema for DayWord {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::words() })
    }
}

/// Checks the active hours of a rule.
pub(super) fn check(raw: &RawActive, at: &At<'_>, context: &Context<'_>) -> Option<Active> {
    let (from, to) = (raw.from?, raw.to?);
    let from_at = at.key("from");
    if from.0 == 24 * 60 {
        context.report(
            Diagnostic::new(Code::OutOfBounds, context.value(&from_at), "a day begins at 00:00")
                .replace("write the beginning of the day", "\"00:00\""),
        );
        return None;
    }
    if from == to {
        context.report(
            Diagnostic::new(Code::TimesOutOfOrder, context.value(&from_at), "these hours end when they begin")
                .related(context.value(&at.key("to")), "`to` stands here")
                .help("let them end at another time; a whole day begins at \"00:00\" and ends at \"24:00\""),
        );
        return None;
    }
    let days: BTreeSet<Weekday> = raw.days.iter().flatten().flat_map(|word| word.days()).collect();
    let every_day = days.len() == DAYS.len();
    Some(Active { days: if every_day { BTreeSet::new() } else { days }, from_minute: from.0, to_minute: to.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(word: &str) -> Vec<Weekday> {
        serde_json::from_value::<DayWord>(word.into()).expect("a day").days().collect()
    }

    #[test]
    fn runs_of_days_hold_both_ends_and_may_go_over_the_weekend() {
        use Weekday::{Fri, Mon, Sat, Sun};
        assert_eq!(days("mon"), [Mon]);
        assert_eq!(days("fri-mon"), [Fri, Sat, Sun, Mon]);
        assert_eq!(days("mon-sun").len(), 7);
        assert_eq!(DayWord::words().len(), 49);
        for word in DayWord::words() {
            assert!(!days(&word).is_empty());
        }
        assert!(serde_json::from_value::<DayWord>("mo".into()).is_err());
    }

    #[test]
    fn times_of_day_have_two_digits_each() {
        let clock = |text: &str| serde_json::from_value::<Clock>(text.into()).ok();
        assert_eq!(clock("06:30"), Some(Clock(390)));
        assert_eq!(clock("24:00"), Some(Clock(1_440)));
        for text in ["6:30", "06:60", "25:00", "0630", "06:3", ""] {
            assert_eq!(clock(text), None, "{text}");
        }
    }
}
