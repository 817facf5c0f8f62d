//! The columns of the sample table: some that every row has, and one for each reading of any device type, named by
//! the reading's id. Device types that share a reading share its column.

use std::collections::BTreeMap;

use serde::Serialize;
use smol_str::SmolStr;

use crate::rule_set::{RuleSet, ValueType};

/// Id of the device that sent the sample.
pub const DEVICE_ID: &str = "device_id";
/// When the sample was taken. Together with the device it identifies the row.
pub const SAMPLED_AT: &str = "sampled_at";
/// When it reached the platform. Of two rows with the same identity, the later one counts.
pub const INGESTED_AT: &str = "ingested_at";
/// Id of the device's zone at that time.
pub const ZONE: &str = "zone";
/// Id of the device's type at that time.
pub const DEVICE_TYPE: &str = "device_type";
/// Sequence number of the stream record that carried the sample.
pub const RECORD: &str = "record";
/// Readings that the device type does not declare, as a JSON object.
pub const OTHER_READINGS: &str = "other_readings";

/// The name of the day of [`SAMPLED_AT`] where the table is partitioned by it. No column may have this name.
pub const SAMPLED_ON: &str = "sampled_on";

/// The name of the day of [`SAMPLED_AT`] in the folders of exported files, so that their readers see a column of that
/// name.
pub const DAY: &str = "day";

/// The number of the export of its day that wrote a sample. Only exported files have this column.
pub const EXPORT_NUMBER: &str = "export_number";

/// Number of columns that every row has, and the index of the first reading's column.
pub const FIRST_READING: usize = 7;

/// The columns that every row has, in the order of the table. The table is created with these, whatever the readings.
pub const FIXED: [Column; FIRST_READING] = [
    Column::fixed(DEVICE_ID, ColumnType::Text, true),
    Column::fixed(SAMPLED_AT, ColumnType::Time, true),
    Column::fixed(INGESTED_AT, ColumnType::Time, true),
    Column::fixed(ZONE, ColumnType::Text, true),
    Column::fixed(DEVICE_TYPE, ColumnType::Text, true),
    Column::fixed(RECORD, ColumnType::Text, true),
    Column::fixed(OTHER_READINGS, ColumnType::Text, false),
];

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Name of the column.
    pub name: SmolStr,
    /// Type of its values.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether every row has a value.
    pub required: bool,
}

impl Column {
    pub(super) const fn fixed(name: &'static str, column_type: ColumnType, required: bool) -> Self {
        Self { name: SmolStr::new_static(name), column_type, required }
    }
}

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ColumnType {
    /// Text: strings, and the words of an enum.
    #[serde(rename = "string")]
    Text,
    /// A double-precision number.
    #[serde(rename = "double")]
    Float,
    /// A 64-bit integer.
    #[serde(rename = "long")]
    Int,
    /// A boolean.
    #[serde(rename = "boolean")]
    Bool,
    /// A moment, in microseconds.
    #[serde(rename = "timestamptz")]
    Time,
}

impl ColumnType {
    /// Returns the type of the column for a reading.
    pub const fn of(value: &ValueType) -> Self {
        match value {
            ValueType::Float { .. } => Self::Float,
            ValueType::Int { .. } => Self::Int,
            ValueType::Bool => Self::Bool,
            ValueType::Enum { .. } | ValueType::String => Self::Text,
        }
    }

    /// Returns the narrowest type that holds values of both; `None` if there is no such type.
    pub fn join(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Float, Self::Int) | (Self::Int, Self::Float) => Some(Self::Float),
            (Self::Text | Self::Float | Self::Int | Self::Bool | Self::Time, _) => (self == other).then_some(self),
        }
    }

    /// Returns the type with this name in an Iceberg schema; `None` if no column of samples has it.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Text, Self::Float, Self::Int, Self::Bool, Self::Time].into_iter().find(|known| known.as_str() == name)
    }

    /// Returns the type's name in an Iceberg schema ("Schemas and Data Types", Apache Iceberg table spec).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Float => "double",
            Self::Int => "long",
            Self::Bool => "boolean",
            Self::Time => "timestamptz",
        }
    }
}

/// Why a rule set has no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTable {
    /// A reading or a health value has a name that is reserved for the table.
    #[error("`{0}` is a name that the table needs for itself")]
    Reserved(SmolStr),
    /// Device types use one name for readings that do not fit into one column.
    #[error("`{0}` has values that no column holds together")]
    Mixed(SmolStr),
}

/// Whether a name is reserved for the table.
pub fn is_reserved(name: &str) -> bool {
    [SAMPLED_ON, DAY, EXPORT_NUMBER].contains(&name) || FIXED.iter().any(|column| column.name == name)
}

/// Returns the columns of a platform's table: [`FIXED`], then those of readings and health values, by name.
///
/// # Errors
/// If two of them cannot be in one table. The generator refuses such a platform.
pub fn columns(rules: &RuleSet) -> Result<Vec<Column>, NoTable> {
    let health = rules.message.health.keys().map(|id| (id, ColumnType::Float));
    let readings = rules.device_types.values().flat_map(|device_type| &device_type.readings);
    let readings = readings.map(|(id, reading)| (id, ColumnType::of(&reading.value)));
    let mut types: BTreeMap<&str, ColumnType> = BTreeMap::new();
    for (id, column_type) in health.chain(readings) {
        let id = id.as_str();
        if is_reserved(id) {
            return Err(NoTable::Reserved(id.into()));
        }
        let joined = types.get(id).map_or(Some(column_type), |known| known.join(column_type));
        types.insert(id, joined.ok_or_else(|| NoTable::Mixed(id.into()))?);
    }
    let readings =
        types.into_iter().map(|(name, column_type)| Column { name: name.into(), column_type, required: false });
    Ok(FIXED.into_iter().chain(readings).collect())
}
