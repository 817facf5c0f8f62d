//! A table of Amazon Timestream, as seen by its readers.

use fleetform_engine::rows::{
    columns::{Column, ColumnType, FIXED},
    sql::timestream,
};

use crate::results::{AskError, Page};

/// Queries of Timestream.
pub trait Queries: Sync {
    /// Runs a statement and returns a page of its result: the first, or the one that a token stands for. A page may be
    /// empty even if others follow.
    fn page(&self, statement: &str, token: Option<&str>) -> impl Future<Output = Result<Metered, AskError>> + Send;
}

/// A page, and the bytes metered for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// The page itself.
    pub page: Page,
    /// Bytes that are charged, for this page and all before it.
    pub bytes: u64,
}

/// The statement that lists a table's columns.
pub fn describe(database: &str, table: &str) -> String {
    format!("DESCRIBE {}", timestream::table(database, table))
}

/// The columns of samples in an answer to [`describe`]. The table has a column once a record has had a value for it.
pub fn columns(rows: Vec<Vec<Option<String>>>) -> Vec<Column> {
    let column = |row: Vec<Option<String>>| {
        let mut texts = row.into_iter();
        let (name, kind) = (texts.next()??, texts.next()??);
        if let Some(fixed) = FIXED.into_iter().find(|fixed| fixed.name == name) {
            return Some(fixed);
        }
        let column_type = match kind.as_str() {
            "double" => ColumnType::Float,
            "bigint" => ColumnType::Int,
            "boolean" => ColumnType::Bool,
            "varchar" if name != "measure_name" => ColumnType::Text,
            // The service's own columns.
            _ => return None,
        };
        (!name.contains("::")).then(|| Column { name: name.into(), column_type, required: false })
    };
    rows.into_iter().filter_map(column).collect()
}
