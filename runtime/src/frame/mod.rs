//! Rows of the table of samples in columns, as in Parquet files.
//!
//! Does not know where the files come from or which rows are wanted.

pub mod aggregates;
#[cfg(any(test, feature = "memory"))]
pub mod fixture;
pub mod growing;
pub mod merge;
pub mod parquet;

use ::parquet::data_type::ByteArray;
use fleetform_engine::rows::columns::{Column, ColumnType, DEVICE_ID, INGESTED_AT, RECORD, SAMPLED_AT};

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The column's id in the table's schema, by which it is found whatever its name in the file.
    pub id: i32,
    /// The column's name, its type, and whether every row has a value.
    pub column: Column,
}

/// The values of a column, one for each row.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Strings.
    Text(Vec<Option<ByteArray>>),
    /// Doubles.
    Float(Vec<Option<f64>>),
    /// Integers, and times in microseconds.
    Int(Vec<Option<i64>>),
    /// Booleans.
    Bool(Vec<Option<bool>>),
}

/// Rows in columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    fields: Vec<Field>,
    values: Vec<Values>,
    rows: usize,
    /// The positions of the columns that name a row and that rank rows of the same name.
    places: Places,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places {
    device: usize,
    sampled_at: usize,
    ingested_at: usize,
    record: usize,
}

/// A column is missing that every table of samples has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the table has no column `{0}` of the type that samples have")]
pub struct NoColumn(pub &'static str);

impl Frame {
    /// An empty frame with these columns.
    ///
    /// # Errors
    /// If they are not the columns of a table of samples.
    pub fn new(fields: Vec<Field>) -> Result<Self, NoColumn> {
        let place = |name: &'static str, column_type| {
            let is_it = |field: &Field| field.column.name == name && field.column.column_type == column_type;
            fields.iter().position(is_it).ok_or(NoColumn(name))
        };
        let places = Places {
            device: place(DEVICE_ID, ColumnType::Text)?,
            sampled_at: place(SAMPLED_AT, ColumnType::Time)?,
            ingested_at: place(INGESTED_AT, ColumnType::Time)?,
            record: place(RECORD, ColumnType::Text)?,
        };
        let values = fields.iter().map(|field| Values::none(field.column.column_type)).collect();
        Ok(Self { fields, values, rows: 0, places })
    }

    /// The frame's columns.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The device column.
    pub fn device(&self) -> &Field {
        &self.fields[self.places.device]
    }

    /// The values, column by column.
    pub fn values(&self) -> &[Values] {
        &self.values
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The device of a row.
    pub fn device_of(&self, row: usize) -> &[u8] {
        self.text(self.places.device, row)
    }

    /// When a row was sampled and when it reached the platform, both in microseconds.
    pub fn times_of(&self, row: usize) -> (i64, i64) {
        (self.time(self.places.sampled_at, row), self.time(self.places.ingested_at, row))
    }

    /// The sequence number of the record that a row came in.
    pub fn record_of(&self, row: usize) -> &[u8] {
        self.text(self.places.record, row)
    }

    fn text(&self, place: usize, row: usize) -> &[u8] {
        match &self.values[place] {
            Values::Text(values) => values[row].as_ref().map_or(&[], ByteArray::data),
            Values::Float(_) | Values::Int(_) | Values::Bool(_) => &[],
        }
    }

    fn time(&self, place: usize, row: usize) -> i64 {
        match &self.values[place] {
            Values::Int(values) => values[row].unwrap_or(i64::MIN),
            Values::Text(_) | Values::Float(_) | Values::Bool(_) => i64::MIN,
        }
    }
}

impl Values {
    const fn none(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Text => Self::Text(Vec::new()),
            ColumnType::Float => Self::Float(Vec::new()),
            ColumnType::Int | ColumnType::Time => Self::Int(Vec::new()),
            ColumnType::Bool => Self::Bool(Vec::new()),
        }
    }

    fn has(&self, row: u32) -> bool {
        let row = row as usize;
        match self {
            Self::Text(values) => values[row].is_some(),
            Self::Float(values) => values[row].is_some(),
            Self::Int(values) => values[row].is_some(),
            Self::Bool(values) => values[row].is_some(),
        }
    }

    fn same(&self, one: u32, other: u32) -> bool {
        let (one, other) = (one as usize, other as usize);
        match self {
            Self::Text(values) => values[one] == values[other],
            // Compared as bits, so that every value equals itself.
            Self::Float(values) => values[one].map(f64::to_bits) == values[other].map(f64::to_bits),
            Self::Int(values) => values[one] == values[other],
            Self::Bool(values) => values[one] == values[other],
        }
    }
}
