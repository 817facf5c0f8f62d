//! Questions about one device, and the columns of their answers.

use fleetform_engine::{
    rows::columns::{Column as TableColumn, ColumnType, DEVICE_ID, FIXED, SAMPLED_AT},
    units::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::QueryError;
use crate::event::query::Column;

/// A question about one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Device {
    /// The device's id.
    pub(super) id: String,
    /// The names of the requested columns; empty for all.
    pub(super) readings: Vec<String>,
    /// The start of the time range, inclusive.
    pub(super) from: Timestamp,
    /// The end of the time range, exclusive.
    pub(super) to: Timestamp,
}

impl Device {
    /// The first columns of every answer about a device.
    pub(super) fn head(&self) -> [Column; 2] {
        [(DEVICE_ID, ColumnType::Text), (SAMPLED_AT, ColumnType::Time)]
            .map(|(name, column_type)| Column { name: name.to_owned(), column_type: column_type.as_str().to_owned() })
    }

    /// The other columns: the requested ones, or everything that a sample holds.
    pub(super) fn wanted(&self, known: &[TableColumn]) -> Vec<TableColumn> {
        let find = |name: &String| known.iter().find(|column| column.name == name.as_str()).cloned();
        if self.readings.is_empty() {
            let own = |column: &&TableColumn| FIXED.iter().all(|fixed| fixed.name != column.name);
            return known.iter().filter(own).cloned().collect();
        }
        self.readings.iter().filter_map(find).collect()
    }

    /// Checks that the requested columns exist.
    pub(super) fn check(&mut self, known: &[TableColumn]) -> Result<(), QueryError> {
        let mut seen = std::collections::BTreeSet::new();
        self.readings.retain(|name| name != DEVICE_ID && name != SAMPLED_AT && seen.insert(name.clone()));
        let missing = self.readings.iter().find(|name| known.iter().all(|column| column.name != name.as_str()));
        let Some(missing) = missing else { return Ok(()) };
        let names: Vec<&str> = known.iter().map(|column| column.name.as_str()).collect();
        Err(QueryError::Bad(format!("there is no reading `{missing}`; the table of samples has {}", names.join(", "))))
    }
}
