//! Samples merged from the rows of the hot table, which may contain duplicates.

use std::collections::BTreeMap;

use fleetform_engine::{
    rows::columns::{Column, ColumnType, INGESTED_AT, RECORD, SAMPLED_AT},
    units::Timestamp,
};
use serde_json::{Map, Value};

/// Microseconds to milliseconds.
const MICROS: i64 = 1_000;

/// The rows of one device that have been read so far.
#[derive(Debug, Default)]
pub(super) struct Newest {
    rows: BTreeMap<Timestamp, Vec<Row>>,
}

#[derive(Debug)]
struct Row {
    ingested_at: i64,
    record: String,
    values: Map<String, Value>,
}

/// An item does not hold rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an item of the hot table holds no rows")]
pub(super) struct NoRows;

impl Newest {
    /// Adds the rows of an item that were sampled from one time, inclusive, to another, exclusive.
    pub(super) fn add(&mut self, item: &str, from: Timestamp, to: Timestamp) -> Result<(), NoRows> {
        let rows: Vec<Map<String, Value>> = serde_json::from_str(item).map_err(|_| NoRows)?;
        for values in rows {
            let number = |name| values.get(name).and_then(Value::as_i64).ok_or(NoRows);
            let sampled_at = Timestamp(number(SAMPLED_AT)?.div_euclid(MICROS));
            let ingested_at = number(INGESTED_AT)?;
            let record = values.get(RECORD).and_then(Value::as_str).ok_or(NoRows)?.to_owned();
            if (from..to).contains(&sampled_at) {
                self.rows.entry(sampled_at).or_default().push(Row { ingested_at, record, values });
            }
        }
        Ok(())
    }

    /// The samples before a point in time, in order of time. Each column has the value that came last.
    pub(super) fn samples(
        self,
        before: Timestamp,
        columns: &[Column],
    ) -> impl Iterator<Item = (Timestamp, Vec<Value>)> {
        let rows = self.rows.into_iter().take_while(move |(at, _)| *at < before);
        rows.map(move |(at, mut rows)| {
            rows.sort_by(|a, b| (a.ingested_at, &a.record).cmp(&(b.ingested_at, &b.record)));
            let last = |column: &Column| rows.iter().rev().find_map(|row| row.values.get(column.name.as_str()));
            (at, columns.iter().map(|column| said(column, last(column))).collect())
        })
    }
}

/// A value in the form of answers.
fn said(column: &Column, value: Option<&Value>) -> Value {
    match (column.column_type, value) {
        (ColumnType::Time, Some(value)) => {
            let at = value.as_i64().map(|micros| Timestamp(micros.div_euclid(MICROS)));
            at.and_then(Timestamp::to_rfc3339).map_or(Value::Null, Value::String)
        }
        (_, value) => value.cloned().unwrap_or(Value::Null),
    }
}
