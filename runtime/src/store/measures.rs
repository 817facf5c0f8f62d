//! A row as a multi-measure record of Timestream, in the JSON of `WriteRecords`.

use std::fmt::Write as _;

use bytes::Bytes;
use fleetform_engine::rows::{
    Cell,
    columns::{ColumnType, DEVICE_ID, DEVICE_TYPE, INGESTED_AT, OTHER_READINGS, RECORD, ZONE},
};
use serde::Serialize;

use super::{Encoded, row::Whole};

/// Maximum bytes of a string ("MeasureValue", Amazon Timestream developer guide); the minimum is one.
pub const TEXT_BYTES_MAX: usize = 2_048;

/// What follows the name of a record. The name consists of the dimensions, the measure name, and the time. No string in
/// it has an unescaped quote.
const AFTER_NAME: &[u8] = br#","Version":"#;

/// Maximum distinct measure names. A table allows 8,192 ("Quotas", Amazon Timestream developer guide), and devices may
/// send any subset of their readings.
const MEASURE_NAMES: u32 = 4_096;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    dimensions: [Dimension<'a>; 3],
    measure_name: &'a str,
    time: &'a str,
    version: i64,
    measure_value_type: &'static str,
    measure_values: &'a [Measure<'a>],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension<'a> {
    name: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Measure<'a> {
    name: &'a str,
    value: String,
    r#type: &'static str,
}

/// Encodes a row as a record. If a string is longer than a measure may be, the record omits it, and the complete row is
/// returned as well.
pub fn encode(row: &Whole<'_>) -> Encoded {
    let source = &row.source;
    let text = |name, value: &str| Measure { name, value: value.to_owned(), r#type: "VARCHAR" };
    let ingested_at = Measure { name: INGESTED_AT, value: source.ingested_at.0.to_string(), r#type: "BIGINT" };
    let mut measures = vec![ingested_at, text(RECORD, &source.sequence.digits())];
    if !row.row.other_readings.is_empty() {
        let others = serde_json::to_string(&row.row.other_readings).expect("keys are texts, and numbers finite");
        measures.push(text(OTHER_READINGS, &others));
    }
    for (index, cell) in &row.row.cells {
        let Some(column) = row.columns.get(usize::from(*index)) else { continue };
        let name = column.name.as_str();
        measures.push(match (cell, column.column_type) {
            // Readings are within ±1e15, which both number types represent exactly.
            (Cell::Number(number), ColumnType::Int) => {
                Measure { name, value: (*number as i64).to_string(), r#type: "BIGINT" }
            }
            (Cell::Number(number), _) => Measure { name, value: number.to_string(), r#type: "DOUBLE" },
            (Cell::Bool(truth), _) => Measure { name, value: truth.to_string(), r#type: "BOOLEAN" },
            (Cell::Text(value), _) => text(name, value),
        });
    }
    measures.retain(|measure| !measure.value.is_empty());
    let is_long = |measure: &Measure<'_>| measure.value.len() > TEXT_BYTES_MAX;
    let whole = measures.iter().any(is_long).then(|| write(row, &measures));
    measures.retain(|measure| !is_long(measure));
    Encoded { bytes: write(row, &measures), whole }
}

fn write(row: &Whole<'_>, measures: &[Measure<'_>]) -> Bytes {
    let source = &row.source;
    let dimension = |name, value| Dimension { name, value };
    let mut measure_name = String::with_capacity("sample-000".len());
    write!(measure_name, "sample-{:03x}", hash(measures) % MEASURE_NAMES).expect("a text takes any text");
    let record = Record {
        dimensions: [
            dimension(DEVICE_ID, source.device),
            dimension(ZONE, source.registered.zone.as_str()),
            dimension(DEVICE_TYPE, source.registered.device_type.as_str()),
        ],
        measure_name: &measure_name,
        time: &row.row.sampled_at.0.to_string(),
        version: source.ingested_at.0,
        measure_value_type: "MULTI",
        measure_values: measures,
    };
    serde_json::to_vec(&record).expect("keys are texts").into()
}

/// A number that stands for a set of measures: FNV-1a, which is stable forever.
fn hash(measures: &[Measure<'_>]) -> u32 {
    let bytes = measures.iter().flat_map(|measure| measure.name.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The part of a record that identifies it: of two records with the same name, one replaces the other.
pub fn name(record: &[u8]) -> &[u8] {
    memchr::memmem::find(record, AFTER_NAME).map_or(record, |end| &record[..end])
}
