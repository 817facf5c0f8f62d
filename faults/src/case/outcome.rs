//! The outcome of a case, in its output form: one JSON text for each line of each file.

use std::collections::BTreeMap;

use fleetform_engine::{routing, rule_set::RuleSet};
use serde::Serialize;
use serde_json::{Value, json};

use super::numbers::Numbers;
use crate::tables::Rows;

/// The outcome of a case.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Outbox rows, in the order in which they were put.
    pub outbox: Vec<Value>,
    /// The recipients of each notice, and the channels to them.
    pub deliveries: Vec<Value>,
    /// Records set aside.
    pub quarantine: Vec<Value>,
    /// How each invocation ended, as the event source saw it.
    pub responses: Vec<Response>,
    /// The position of every shard, and the newest transition of each episode.
    pub state: Value,
    /// What was never done, as messages.
    pub undone: Vec<String>,
    /// Whether a report to a fleet found no free number in a shard, so that the log must be read with longer ones.
    pub crowded: bool,
}

/// How an invocation ended.
#[derive(Clone, Debug, Serialize)]
pub struct Response {
    /// Its number, from 1.
    pub inv: u64,
    /// The environment that ran it, from 0.
    pub env: usize,
    /// Name of the shard.
    pub shard: String,
    /// Numbers of the records that it was given.
    pub seqs: Vec<String>,
    /// Virtual time of its start, in milliseconds.
    pub began_at: i64,
    /// Virtual time of its end, in milliseconds.
    pub ended_at: i64,
    /// `ok`, `partial`, `error`, `killed` or `timed_out`.
    pub result: &'static str,
    /// The response as Lambda reads it.
    #[serde(rename = "batchItemFailures")]
    pub batch_item_failures: Vec<Value>,
    /// The failure that the driver reported, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Outcome {
    /// Adds the tables as lines.
    pub(super) fn tables(&mut self, rows: &Rows, rule_sets: &[Vec<u8>], numbers: &Numbers) {
        let sets: BTreeMap<String, RuleSet> = rule_sets
            .iter()
            .filter_map(|bytes| Some((RuleSet::sha256(bytes).to_string(), RuleSet::from_bytes(bytes).ok()?)))
            .collect();
        for (row, put) in rows.outbox.iter().zip(&rows.put) {
            let targets = sets.get(row.alert.rule_set.as_str()).map(|set| routing::notice_targets(set, row));
            for target in targets.into_iter().flatten() {
                self.deliveries.push(json!({
                    "id": row.id, "kind": row.kind, "rule": row.alert.rule, "device": row.alert.device,
                    "contact": target.contact.as_str(), "channel": target.channel.as_str(),
                    "inv": put.invocation, "put_at": put.at,
                }));
            }
            self.outbox.push(line(row, numbers));
        }
        self.quarantine.extend(rows.quarantine.iter().map(|row| line(row, numbers)));
        self.state["alerts"] = rows.alerts.iter().map(|row| line(row, numbers)).collect();
    }
}

/// Returns a row as a line, with its numbers as in the log.
fn line(row: &impl Serialize, numbers: &Numbers) -> Value {
    let mut line = serde_json::to_value(row).unwrap_or_default();
    restore(&mut line, numbers);
    line
}

fn restore(value: &mut Value, numbers: &Numbers) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(sequence) if key == "sequence" => *sequence = numbers.shown(sequence),
                    _ => restore(value, numbers),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| restore(item, numbers)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
