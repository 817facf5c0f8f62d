//! A row of the alert configuration table, as people write and read it.

use std::{collections::HashMap, fmt::Write as _};

use aws_sdk_dynamodb::types::AttributeValue;
use fleetform_engine::{ids::ContactId, overrides::Override, units::Timestamp};

/// The attributes of a row.
pub(super) type Attributes = HashMap<String, AttributeValue>;

/// Who set a row, and why.
pub(super) struct Set<'a> {
    pub(super) author: &'a str,
    pub(super) reason: &'a str,
    pub(super) at: Timestamp,
}

/// A row, with who set it.
pub(super) fn attributes(rule: &str, row: &Override, set: &Set<'_>) -> Attributes {
    let Override { revision, enabled, threshold, muted_until, contacts, until } = row;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: String| AttributeValue::N(number);
    let mut attributes = Attributes::from([
        ("rule".to_owned(), text(rule)),
        ("revision".to_owned(), number(revision.to_string())),
        ("author".to_owned(), text(set.author)),
        ("reason".to_owned(), text(set.reason)),
        ("set_at".to_owned(), text(&moment(set.at))),
    ]);
    let contacts = contacts.as_ref().map(|contacts| contacts.iter().map(ContactId::to_string).collect());
    let fields = [
        ("enabled", enabled.map(AttributeValue::Bool)),
        ("threshold", threshold.map(|threshold| number(threshold.to_string()))),
        ("muted_until", muted_until.map(|until| text(&moment(until)))),
        ("until", until.map(|until| text(&moment(until)))),
        ("contacts", contacts.map(AttributeValue::Ss)),
    ];
    attributes.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    attributes
}

/// A row's revision; none if it has none.
pub(super) fn revision(attributes: &Attributes) -> Option<u64> {
    attributes.get("revision")?.as_n().ok()?.parse().ok()
}

/// A row on one line.
pub(super) fn line(attributes: &Attributes) -> String {
    let text = |name: &str| attributes.get(name).and_then(|value| value.as_s().ok()).map_or("-", String::as_str);
    let mut line = format!("{}:", text("rule"));
    if let Some(enabled) = attributes.get("enabled").and_then(|value| value.as_bool().ok()) {
        line.push_str(if *enabled { " on" } else { " off" });
    }
    if let Some(threshold) = attributes.get("threshold").and_then(|value| value.as_n().ok()) {
        let _ = write!(line, " threshold {threshold}");
    }
    if attributes.contains_key("muted_until") {
        let _ = write!(line, " muted until {}", text("muted_until"));
    }
    if let Some(contacts) = attributes.get("contacts").and_then(|value| value.as_ss().ok()) {
        let _ = write!(line, " notifies {}", contacts.join(", "));
    }
    if line.ends_with(':') {
        line.push_str(" as in the file");
    }
    if attributes.contains_key("until") {
        let _ = write!(line, ", ends {}", text("until"));
    }
    let _ = write!(line, " ({}, {}: {})", text("set_at"), text("author"), text("reason"));
    line
}

fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use fleetform_engine::units::Finite;

    use super::*;

    #[test]
    fn a_row_is_written_and_read() {
        let row = Override {
            revision: 7,
            enabled: Some(true),
            threshold: Finite::new(70.5),
            muted_until: Some(Timestamp(1_769_855_400_000)),
            contacts: Some([ContactId::new("crew").expect("an id")].into()),
            until: None,
        };
        let set = Set { author: "anna", reason: "the valve is under repair", at: Timestamp(1_769_855_400_000) };
        let attributes = attributes("high-pressure", &row, &set);
        assert_eq!(revision(&attributes), Some(7));
        let expected = "high-pressure: on threshold 70.5 muted until 2026-01-31T10:30:00Z notifies crew \
                        (2026-01-31T10:30:00Z, anna: the valve is under repair)";
        assert_eq!(line(&attributes), expected);
    }

    #[test]
    fn what_sets_nothing_says_so() {
        let row = Override { revision: 8, ..Override::default() };
        let set = Set { author: "anna", reason: "done", at: Timestamp(0) };
        let line = line(&attributes("high-pressure", &row, &set));
        assert_eq!(line, "high-pressure: as in the file (1970-01-01T00:00:00Z, anna: done)");
    }
}
