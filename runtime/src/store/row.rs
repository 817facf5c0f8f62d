//! A row as JSON, one object by column. Times are in whole microseconds, as Firehose requires ("Understand supported
//! data types", Amazon Data Firehose developer guide).

use fleetform_engine::{
    position::SequenceNumber,
    rows::{
        Cell, Row,
        columns::{Column, ColumnType, DEVICE_ID, DEVICE_TYPE, INGESTED_AT, OTHER_READINGS, RECORD, SAMPLED_AT, ZONE},
    },
    units::Timestamp,
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::history::Registered;

/// Milliseconds to microseconds.
const MICROS: i64 = 1_000;

/// What all rows of one message have in common.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The id of the device that sent it.
    pub device: &'a str,
    /// What the device was at that time.
    pub registered: &'a Registered,
    /// When it reached the platform.
    pub ingested_at: Timestamp,
    /// The sequence number of its record.
    pub sequence: SequenceNumber,
}

/// A row with the values of all its columns.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// What it shares with the other rows of its message.
    pub source: Source<'a>,
    /// The row's own values.
    pub row: &'a Row,
    /// The table's columns.
    pub columns: &'a [Column],
}

impl Whole<'_> {
    /// The row as bytes of JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("keys are texts, and numbers finite")
    }
}

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { source, row, columns } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(DEVICE_ID, source.device)?;
        map.serialize_entry(SAMPLED_AT, &micros(row.sampled_at))?;
        map.serialize_entry(INGESTED_AT, &micros(source.ingested_at))?;
        map.serialize_entry(ZONE, &source.registered.zone)?;
        map.serialize_entry(DEVICE_TYPE, &source.registered.device_type)?;
        map.serialize_entry(RECORD, &*source.sequence.digits())?;
        if !row.other_readings.is_empty() {
            let others = serde_json::to_string(&row.other_readings).map_err(serde::ser::Error::custom)?;
            map.serialize_entry(OTHER_READINGS, &others)?;
        }
        for (index, cell) in &row.cells {
            let Some(column) = columns.get(usize::from(*index)) else { continue };
            match (cell, column.column_type) {
                // Readings are within ±1e15, which both number types represent exactly.
                (Cell::Number(number), ColumnType::Int) => map.serialize_entry(&column.name, &(*number as i64))?,
                (Cell::Number(number), _) => map.serialize_entry(&column.name, number)?,
                (Cell::Bool(truth), _) => map.serialize_entry(&column.name, truth)?,
                (Cell::Text(text), _) => map.serialize_entry(&column.name, text)?,
            }
        }
        map.end()
    }
}

fn micros(at: Timestamp) -> i64 {
    at.0.saturating_mul(MICROS)
}
