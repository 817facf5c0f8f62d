//! The contents of aggregate files, read row by row by a different reader than the exporter's; and the expected
//! contents, computed from samples one by one.

use std::collections::BTreeMap;

use bytes::Bytes;
use parquet::{
    file::{reader::FileReader as _, serialized_reader::SerializedFileReader},
    record::{Field, RowAccessor as _},
};

use crate::frame::fixture::Row;

/// Zone, device, start of the interval in microseconds, and reading.
pub(super) type Name = (String, String, i64, String);

/// An aggregate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Aggregate {
    pub(super) every_s: i64,
    pub(super) device_type: String,
    pub(super) count: i64,
    pub(super) minimum: f64,
    pub(super) maximum: f64,
    /// `None` if no double can represent it.
    pub(super) sum: Option<f64>,
    pub(super) last: f64,
}

/// The rows of a file, with the number of their export.
pub(super) fn rows(file: &Bytes) -> Vec<(Name, i64, Aggregate)> {
    let reader = SerializedFileReader::new(file.clone()).expect("a file");
    let names =
        "device_id interval_start interval_s zone device_type reading count minimum maximum sum last export_number";
    let schema = reader.metadata().file_metadata().schema_descr();
    let found: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
    assert_eq!(found.join(" "), names);
    let rows = reader.get_row_iter(None).expect("rows").map(|row| {
        let row = row.expect("a row");
        let text = |place| row.get_string(place).expect("a text").clone();
        let number = |place| row.get_long(place).expect("a number");
        let double = |place| row.get_double(place).expect("a double");
        let start = row.get_timestamp_micros(1).expect("a moment");
        let sum = match row.get_column_iter().nth(9).expect("a sum").1 {
            Field::Null => None,
            _ => Some(double(9)),
        };
        let aggregate = Aggregate {
            every_s: number(2),
            device_type: text(4),
            count: number(6),
            minimum: double(7),
            maximum: double(8),
            sum,
            last: double(10),
        };
        ((text(3), text(0), start, text(5)), number(11), aggregate)
    });
    rows.collect()
}

/// The combined contents of all files. Of rows with the same name, the one of the greatest export counts; no export has
/// a name twice.
pub(super) fn newest<'f>(files: impl Iterator<Item = &'f Bytes>) -> BTreeMap<Name, Aggregate> {
    let mut newest: BTreeMap<Name, (i64, Aggregate)> = BTreeMap::new();
    for (name, number, aggregate) in files.flat_map(rows) {
        let known = newest.get(&name).map(|known| known.0);
        assert_ne!(known, Some(number), "{name:?} is there twice");
        if known.is_none_or(|known| known < number) {
            newest.insert(name, (number, aggregate));
        }
    }
    newest.into_iter().map(|(name, (_, aggregate))| (name, aggregate)).collect()
}

/// The aggregates expected from whole samples of a zone.
pub(super) fn meant<'r>(zone: &str, samples: impl Iterator<Item = &'r Row>, every_s: i64) -> BTreeMap<Name, Aggregate> {
    let mut values: BTreeMap<Name, BTreeMap<i64, f64>> = BTreeMap::new();
    for row in samples {
        let start = row.sampled_at - row.sampled_at.rem_euclid(every_s * 1_000_000);
        let each = [
            ("flow", row.flow),
            ("count", row.count.map(|count| count as f64)),
            ("open", row.open.map(|open| if open { 1.0 } else { 0.0 })),
        ];
        for (reading, value) in each.into_iter().filter_map(|(reading, value)| Some((reading, value?))) {
            let name = (zone.to_owned(), row.device.clone(), start, reading.to_owned());
            values.entry(name).or_default().insert(row.sampled_at, value);
        }
    }
    let aggregate = |values: BTreeMap<i64, f64>| {
        let values: Vec<f64> = values.into_values().collect();
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        Aggregate {
            every_s,
            device_type: "meter".to_owned(),
            count: values.len() as i64,
            minimum: sorted[0],
            maximum: sorted[sorted.len() - 1],
            sum: Some(values.iter().fold(0.0, |sum, value| sum + value)).filter(|sum| sum.is_finite()),
            last: values[values.len() - 1],
        }
    };
    values.into_iter().map(|(name, values)| (name, aggregate(values))).collect()
}
