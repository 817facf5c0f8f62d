//! The files of a snapshot: its manifest list, and the contents of the manifests ("Manifests", Apache Iceberg table
//! spec).
//!
//! Fields are found by their names in the spec. All others are ignored.

use std::collections::BTreeSet;

use apache_avro::{Reader, types::Value};
use fleetform_engine::rows::columns::{SAMPLED_ON, ZONE};

use super::snapshot::{Day, Partition};

/// The status of an entry whose file was deleted.
pub(super) const DELETED: i64 = 2;

/// Why a manifest list or a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not an Avro file, or is damaged.
    #[error("it cannot be read: {0}")]
    Avro(#[from] Box<apache_avro::Error>),
    /// A required field is missing.
    #[error("`{0}` is not there, or not of the kind that the spec says")]
    Lacks(&'static str),
    /// A data file is not Parquet.
    #[error("there is a data file of another format than Parquet")]
    OtherFormat,
}

impl From<apache_avro::Error> for Unreadable {
    fn from(error: apache_avro::Error) -> Self {
        Self::Avro(Box::new(error))
    }
}

/// A manifest, as in a snapshot's manifest list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The path of the manifest.
    pub path: String,
    /// Whether it lists delete files instead of data files.
    pub deletes: bool,
}

/// A data file with rows of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// The path of the file.
    pub path: String,
    /// The partition of its rows.
    pub partition: Partition,
    /// The number of rows.
    pub rows: u64,
    /// The lower and the upper bound of string columns, by column id.
    pub(crate) bounds: Vec<(i32, Vec<u8>, Vec<u8>)>,
}

impl DataFile {
    /// The lower and the upper bound of a string column in this file; `None` if the file's manifest does not have them.
    pub fn bounds(&self, column: i32) -> Option<(&[u8], &[u8])> {
        let (_, first, last) = self.bounds.iter().find(|(id, ..)| *id == column)?;
        Some((first, last))
    }
}

/// The manifests in a manifest list.
///
/// # Errors
/// If the bytes are not a manifest list.
pub fn manifests(list: &[u8]) -> Result<Vec<Manifest>, Unreadable> {
    Reader::new(list)?
        .map(|entry| {
            let entry = entry?;
            // Version 1 only has data manifests.
            let deletes = field(&entry, "content").and_then(number).is_some_and(|content| content != 0);
            Ok(Manifest { path: text(&entry, "manifest_path")?, deletes })
        })
        .collect()
}

/// The data files in a manifest, except for deleted ones.
///
/// # Errors
/// If the bytes are not a data manifest.
pub fn data_files(manifest: &[u8]) -> Result<Vec<DataFile>, Unreadable> {
    living(manifest)?.iter().map(data_file).collect()
}

/// Reads a data file's record in a manifest.
pub(super) fn data_file(file: &Value) -> Result<DataFile, Unreadable> {
    if !text(file, "file_format")?.eq_ignore_ascii_case("parquet") {
        return Err(Unreadable::OtherFormat);
    }
    let rows = field(file, "record_count").and_then(number).and_then(|rows| u64::try_from(rows).ok());
    Ok(DataFile {
        path: text(file, "file_path")?,
        partition: partition(file)?,
        rows: rows.ok_or(Unreadable::Lacks("record_count"))?,
        bounds: bounds(file),
    })
}

/// The lower and the upper bound of each column that has both. Strings may be truncated, so the lower bound can be
/// less, and the upper bound greater, than any value. Bounds of other types are not needed here, and do no harm.
fn bounds(file: &Value) -> Vec<(i32, Vec<u8>, Vec<u8>)> {
    let of = |name| -> Vec<(i32, Vec<u8>)> {
        let Some(Value::Array(entries)) = field(file, name) else { return Vec::new() };
        let entry = |entry: &Value| {
            let id = field(entry, "key").and_then(number).and_then(|id| i32::try_from(id).ok())?;
            let Some(Value::Bytes(bytes)) = field(entry, "value") else { return None };
            Some((id, bytes.clone()))
        };
        entries.iter().filter_map(entry).collect()
    };
    let upper = of("upper_bounds");
    let both = |(id, first): (i32, Vec<u8>)| {
        let (_, last) = upper.iter().find(|(other, _)| *other == id)?;
        Some((id, first, last.clone()))
    };
    of("lower_bounds").into_iter().filter_map(both).collect()
}

/// The partitions in which a delete manifest deletes rows; `None` if it applies to all of them.
///
/// # Errors
/// If the bytes are not a manifest.
pub fn deleting(manifest: &[u8]) -> Result<Option<BTreeSet<Partition>>, Unreadable> {
    Ok(living(manifest)?.iter().map(|file| partition(file).ok()).collect())
}

/// The files of a manifest, except for deleted ones.
fn living(manifest: &[u8]) -> Result<Vec<Value>, Unreadable> {
    let mut files = Vec::new();
    for entry in Reader::new(manifest)? {
        let entry = entry?;
        let status = field(&entry, "status").and_then(number).ok_or(Unreadable::Lacks("status"))?;
        if status != DELETED {
            files.push(field(&entry, "data_file").cloned().ok_or(Unreadable::Lacks("data_file"))?);
        }
    }
    Ok(files)
}

fn partition(file: &Value) -> Result<Partition, Unreadable> {
    let values = field(file, "partition").ok_or(Unreadable::Lacks("partition"))?;
    let day = field(values, SAMPLED_ON).and_then(number).and_then(|day| i32::try_from(day).ok());
    Ok(Partition { day: Day(day.ok_or(Unreadable::Lacks(SAMPLED_ON))?), zone: text(values, ZONE)?.into() })
}

/// A field of a record, unwrapped from a union.
pub(super) fn field<'a>(record: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Record(fields) = record else { return None };
    let (_, value) = fields.iter().find(|(field, _)| field == name)?;
    Some(if let Value::Union(_, value) = value { value } else { value })
}

pub(super) fn text(record: &Value, name: &'static str) -> Result<String, Unreadable> {
    match field(record, name) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(Unreadable::Lacks(name)),
    }
}

pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) | Value::Date(number) => Some(i64::from(*number)),
        Value::Long(number) => Some(*number),
        _ => None,
    }
}
