//! Rows of the alert configuration table, as the table's stream has them, and the records made of them. The engine
//! decides what a row may set for its rule; this module only checks the row's form.

use std::borrow::Cow;

use fleetform_engine::{
    ids::{ContactId, RuleId},
    units::Timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// A batch of the table's stream, in order.
#[derive(Debug, Deserialize)]
pub struct Event<'a> {
    /// The batch's records.
    #[serde(borrow, rename = "Records")]
    pub records: Vec<Changed<'a>>,
}

/// One change of one row.
#[derive(Debug, Deserialize)]
pub struct Changed<'a> {
    #[serde(borrow, rename = "dynamodb")]
    change: Change<'a>,
}

#[derive(Debug, Deserialize)]
struct Change<'a> {
    #[serde(borrow, rename = "SequenceNumber")]
    sequence: Cow<'a, str>,
    #[serde(rename = "NewImage")]
    new: Option<Value>,
    #[serde(rename = "OldImage")]
    old: Option<Value>,
}

/// Why a row is not a valid override: the attribute, and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{attribute}` is not {expected}")]
pub struct Malformed {
    /// The attribute's name.
    pub attribute: &'static str,
    /// What the attribute must be.
    pub expected: &'static str,
}

impl Changed<'_> {
    /// The change's sequence number in the stream's shard.
    pub fn sequence(&self) -> &str {
        &self.change.sequence
    }

    /// The rule, if the row names one.
    pub fn rule(&self) -> Option<&str> {
        self.change.new.as_ref().or(self.change.old.as_ref())?["rule"]["S"].as_str()
    }

    /// The record that carries the change to a shard. A deleted row sets nothing, and has the next revision.
    ///
    /// # Errors
    /// If the row is malformed.
    pub fn record(&self, now: Timestamp) -> Result<Vec<u8>, Malformed> {
        let row = self.change.new.as_ref().or(self.change.old.as_ref()).unwrap_or(&Value::Null);
        let malformed = |attribute, expected| Malformed { attribute, expected };
        let rule = row["rule"]["S"].as_str().filter(|rule| RuleId::new(rule).is_ok());
        let rule = rule.ok_or(malformed("rule", "the id of a rule"))?;
        let revision = row["revision"]["N"].as_str().and_then(|number| number.parse::<u64>().ok());
        let revision = revision.ok_or(malformed("revision", "a whole number"))?;
        let mut record = json!({ "ff": 1, "k": "override", "rule": rule, "rev": revision, "t": now });
        if self.change.new.is_none() {
            record["rev"] = json!(revision.saturating_add(1));
            record["removed"] = json!(true);
            return Ok(record.to_string().into_bytes());
        }
        if let Some(enabled) = row.get("enabled") {
            record["enabled"] = enabled
                .get("BOOL")
                .filter(|it| it.is_boolean())
                .cloned()
                .ok_or(malformed("enabled", "true or false"))?;
        }
        if let Some(threshold) = row.get("threshold") {
            let number = threshold["N"].as_str().and_then(|number| number.parse::<f64>().ok());
            record["threshold"] = json!(number.filter(|it| it.is_finite()).ok_or(malformed("threshold", "a number"))?);
        }
        for attribute in ["muted_until", "until"] {
            if let Some(moment) = row.get(attribute) {
                let moment = moment["S"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
                let moment = moment.ok_or(malformed(attribute, "a moment as in 2026-02-01T08:00:00Z"))?;
                record[attribute] = json!(moment.as_millisecond());
            }
        }
        if let Some(contacts) = row.get("contacts") {
            let contacts = names(contacts).filter(|all| all.iter().all(|id| ContactId::new(id).is_ok()));
            record["contacts"] = json!(contacts.ok_or(malformed("contacts", "a list or a set of contacts' ids"))?);
        }
        Ok(record.to_string().into_bytes())
    }
}

/// The strings of a list or a set.
fn names(attribute: &Value) -> Option<Vec<&str>> {
    match attribute["SS"].as_array() {
        Some(set) => set.iter().map(Value::as_str).collect(),
        None => attribute["L"].as_array()?.iter().map(|item| item["S"].as_str()).collect(),
    }
}

/// Parses a batch.
pub fn parse(body: &[u8]) -> Result<Event<'_>, serde_json::Error> {
    serde_json::from_slice(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_769_855_400_000);

    fn record(change: &Value) -> Result<Value, Malformed> {
        let event = json!({ "Records": [{ "eventName": "MODIFY", "dynamodb": change }] }).to_string();
        let event = parse(event.as_bytes()).expect("an event");
        event.records[0].record(NOW).map(|record| serde_json::from_slice(&record).expect("JSON"))
    }

    fn whole() -> Value {
        json!({ "SequenceNumber": "100", "NewImage": {
            "rule": { "S": "high-pressure" }, "revision": { "N": "3" }, "enabled": { "BOOL": true },
            "threshold": { "N": "70.5" }, "muted_until": { "S": "2026-01-31T10:30:00Z" },
            "until": { "S": "2026-01-31T11:30:00.500+01:00" }, "contacts": { "SS": ["crew", "chief"] },
            "author": { "S": "anna" }, "reason": { "S": "the valve is under repair" },
        } })
    }

    #[test]
    fn a_row_becomes_the_record_that_shards_understand() {
        let expected = json!({
            "ff": 1, "k": "override", "rule": "high-pressure", "rev": 3, "t": NOW, "enabled": true, "threshold": 70.5,
            "muted_until": 1_769_855_400_000_i64, "until": 1_769_855_400_500_i64, "contacts": ["crew", "chief"],
        });
        assert_eq!(record(&whole()), Ok(expected));
        let mut listed = whole();
        listed["NewImage"]["contacts"] = json!({ "L": [{ "S": "crew" }] });
        assert_eq!(record(&listed).map(|record| record["contacts"].clone()), Ok(json!(["crew"])));
    }

    #[test]
    fn a_row_that_is_gone_sets_nothing_from_the_next_revision_on() {
        let gone = json!({ "SequenceNumber": "101", "OldImage": whole()["NewImage"] });
        let expected =
            json!({ "ff": 1, "k": "override", "rule": "high-pressure", "rev": 4, "removed": true, "t": NOW });
        assert_eq!(record(&gone), Ok(expected));
    }

    #[test]
    fn what_has_not_the_right_form_is_named() {
        for (attribute, value) in [
            ("rule", json!({ "S": "High Pressure" })),
            ("revision", json!({ "S": "3" })),
            ("enabled", json!({ "S": "yes" })),
            ("threshold", json!({ "N": "NaN" })),
            ("muted_until", json!({ "S": "tomorrow" })),
            ("until", json!({ "N": "1769855400000" })),
            ("contacts", json!({ "L": [{ "N": "1" }] })),
            ("contacts", json!({ "SS": ["The Crew"] })),
        ] {
            let mut spoilt = whole();
            spoilt["NewImage"][attribute] = value;
            assert_eq!(record(&spoilt).map_err(|error| error.attribute), Err(attribute));
        }
    }
}
