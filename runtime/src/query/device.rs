//! What is asked of one device, and the columns of the answer.

use fleetform_engine::{
    rows::columns::{Column as TableColumn, ColumnType, DEVICE_ID, FIXED, SAMPLED_AT},
    units::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::QueryError;
use crate::event::query::Column;

/// What is asked of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Device {
    /// Its id.
    pub(super) id: String,
    /// Columns that are wanted; all that a sample says where none is named.
    pub(super) readings: Vec<String>,
    /// The first moment.
    pub(super) from: Timestamp,
    /// The moment after the last one.
    pub(super) to: Timestamp,
}

impl Device {
    /// The columns that every answer about a device begins with.
    pub(super) fn head(&self) -> [Column; 2] {
        [(DEVICE_ID, ColumnType::Text), (SAMPLED_AT, ColumnType::Time)]
            .map(|(name, column_type)| Column { name: name.to_owned(), column_type: column_type.as_str().to_owned() })
    }

    /// Those that follow: what is asked for, or everything that a sample says.
    pub(super) fn wanted(&self, known: &[TableColumn]) -> Vec<TableColumn> {
        let find = |name: &String| known.iter().find(|column| column.name == name.as_str()).cloned();
        if self.readings.is_empty() {
            let own = |column: &&TableColumn| FIXED.iter().all(|fixed| fixed.name != column.name);
            return known.iter().filter(own).cloned().collect();
        }
        self.readings.iter().filter_map(find).collect()
    }

    /// Makes sure that there is what is asked for.
    pub(super) fn check(&mut self, known: &[TableColumn]) -> Result<(), QueryError> {
        let mut seen = std::collections::BTreeSet::new();
        self.readings.retain(|name| name != DEVICE_ID && name != SAMPLED_AT && seen.insert(name.clone()));
        let missing = self.readings.iter().find(|name| known.iter().all(|column| column.name != name.as_str()));
        let Some(missing) = missing else { return Ok(()) };
        let names: Vec<&str> = known.iter().map(|column| column.name.as_str()).collect();
        Err(QueryError::Bad(format!("there is no reading `{missing}`; the table of samples has {}", names.join(", "))))
    }
}
