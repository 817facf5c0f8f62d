//! The files of a snapshot: its list of manifests, and what they say ("Manifests", Apache Iceberg table spec).
//!
//! A field is found by its name, as the spec gives it. What else there is does not matter here.

use std::collections::BTreeSet;

use apache_avro::{Reader, types::Value};
use fleetform_engine::rows::columns::{SAMPLED_ON, ZONE};

use super::snapshot::{Day, Partition};

/// The status of an entry whose file is gone.
pub(super) const DELETED: i64 = 2;

/// Why a list or a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is no Avro file, or a damaged one.
    #[error("it cannot be read: {0}")]
    Avro(#[from] Box<apache_avro::Error>),
    /// It lacks something.
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

/// A manifest, as the list of a snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Where it is.
    pub path: String,
    /// Whether it has files that say which rows are gone, and no data.
    pub deletes: bool,
}

/// A file of rows of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Where it is.
    pub path: String,
    /// Whose rows they are.
    pub partition: Partition,
    /// How many.
    pub rows: u64,
    /// For columns of texts, by their ids, a text that none is before and one that none is after.
    pub(crate) bounds: Vec<(i32, Vec<u8>, Vec<u8>)>,
}

impl DataFile {
    /// A text of a column that none in the file is before and one that none is after; none if the file's manifest does not
    /// say so.
    pub fn bounds(&self, column: i32) -> Option<(&[u8], &[u8])> {
        let (_, first, last) = self.bounds.iter().find(|(id, ..)| *id == column)?;
        Some((first, last))
    }
}

/// The manifests of a list.
///
/// # Errors
/// If the bytes are no list of manifests.
pub fn manifests(list: &[u8]) -> Result<Vec<Manifest>, Unreadable> {
    Reader::new(list)?
        .map(|entry| {
            let entry = entry?;
            // Version 1 has no manifests but those of data.
            let deletes = field(&entry, "content").and_then(number).is_some_and(|content| content != 0);
            Ok(Manifest { path: text(&entry, "manifest_path")?, deletes })
        })
        .collect()
}

/// The data files that a manifest has and that are not gone.
///
/// # Errors
/// If the bytes are no manifest of data.
pub fn data_files(manifest: &[u8]) -> Result<Vec<DataFile>, Unreadable> {
    living(manifest)?.iter().map(data_file).collect()
}

/// A data file by its record in a manifest.
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

/// The least and the greatest value of each column, as far as both are said. Texts may be cut short, so that the least is
/// less and the greatest greater than any. Those of other columns than texts are of no use here, and do no harm.
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

/// The partitions of which a manifest of deletes says that rows are gone; none in place of them if that is about all.
///
/// # Errors
/// If the bytes are no manifest.
pub fn deleting(manifest: &[u8]) -> Result<Option<BTreeSet<Partition>>, Unreadable> {
    Ok(living(manifest)?.iter().map(|file| partition(file).ok()).collect())
}

/// The files of a manifest that are not gone.
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

/// A field of a record, out of the union that it may be in.
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
