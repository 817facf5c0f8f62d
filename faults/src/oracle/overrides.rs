//! Overrides of rules: the set in force is the adopted one with the newest rows applied to its rules.

use std::cell::OnceCell;

use serde_json::Value;

use super::{Moment, Oracle};

/// Sets with rows applied, cached while a log is evaluated.
#[derive(Default)]
pub(super) struct Kept(OnceCell<Box<(Value, Self)>>);

impl Kept {
    fn keep(&self, set: Value) -> &Value {
        let mut place = self;
        while let Some(taken) = place.0.get() {
            place = &taken.1;
        }
        &place.0.get_or_init(|| Box::new((set, Self::default()))).0
    }
}

impl<'a> Oracle<'a> {
    /// Takes a row, unless a newer one is known or the row cannot apply to its rule.
    pub(super) fn override_rule(&mut self, row: &Value, at: &Moment) {
        let id = row["rule"].as_str().unwrap_or_default();
        let known = self.rows.get(id).is_some_and(|known| row["rev"].as_u64() <= known["rev"].as_u64());
        let makes_sense = self.adopted["rules"].get(id).is_none_or(|rule| with(rule, row).is_some());
        if known || !makes_sense {
            return;
        }
        let mut row = row.clone();
        if row["removed"] == true || row["until"].as_i64().is_some_and(|until| until <= self.time) {
            row = nothing(&row);
        }
        self.rows.insert(id.to_owned(), row);
        self.change(at, Some("Overridden"));
    }

    /// Returns when the first row ends.
    pub(super) fn first_end(&self) -> Option<i64> {
        self.rows.values().filter_map(|row| row["until"].as_i64()).min()
    }

    /// Removes the rows that have ended.
    pub(super) fn end_rows(&mut self, at: &Moment) {
        let ended = |row: &Value| row["until"].as_i64().is_some_and(|until| until <= at.ingest);
        self.rows.values_mut().filter(|row| ended(row)).for_each(|row| *row = nothing(row));
        self.change(at, Some("Overridden"));
    }

    /// Returns a set with the rows applied to its rules.
    pub(super) fn in_force(&self, adopted: &'a Value) -> &'a Value {
        if self.rows.is_empty() {
            return adopted;
        }
        let mut set = adopted.clone();
        for (id, row) in &self.rows {
            if let Some(rule) = adopted["rules"].get(id).and_then(|rule| with(rule, row)) {
                set["rules"][id] = rule;
            }
        }
        self.kept.keep(set)
    }
}

/// Returns a row that sets nothing and is kept for its revision.
fn nothing(row: &Value) -> Value {
    serde_json::json!({ "rule": row["rule"], "rev": row["rev"] })
}

/// Returns a rule with a row applied, if that is possible.
fn with(rule: &Value, row: &Value) -> Option<Value> {
    let mut changed = rule.clone();
    if row["removed"] == true {
        return Some(changed);
    }
    if let Some(threshold) = row["threshold"].as_f64() {
        let condition = &mut changed["condition"];
        let sign = if condition["operator"].as_str()?.starts_with('>') { 1.0 } else { -1.0 };
        let clear = condition["clear"].as_f64();
        let kind = condition["type"].as_str()?;
        if !["threshold", "rate_of_change"].contains(&kind)
            || clear.is_some_and(|clear| sign * clear > sign * threshold)
        {
            return None;
        }
        condition["threshold"] = threshold.into();
    }
    for key in ["enabled", "muted_until"] {
        if !row[key].is_null() {
            changed[key] = row[key].clone();
        }
    }
    if let Some(contacts) = row["contacts"].as_array() {
        if contacts.is_empty() || contacts.iter().any(|contact| contact != "oncall") {
            return None;
        }
        changed["contacts"] = row["contacts"].clone();
    }
    Some(changed)
}

/// Whether a rule's firings are muted now.
pub(super) fn muted(rule: &Value, at: &Moment) -> bool {
    rule["muted_until"].as_i64().is_some_and(|until| at.shard < until)
}

/// Returns the contacts that are notified instead of those that the routes name, as in a notice.
pub(super) fn contacts(rule: &Value) -> String {
    rule["contacts"].as_array().map_or_else(String::new, |contacts| format!(" to={}", Value::from(contacts.clone())))
}
