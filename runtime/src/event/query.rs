//! What the function `query` is asked, and what it answers, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A question, or what is to follow of one. Which parts belong together is checked by whoever answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A question in SQL about `samples`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// A device whose samples are wanted, in place of SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Readings that are wanted of the device; all of them where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<String>,
    /// The zone whose samples are asked for in SQL; all zones where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// When the first sample was taken, at the earliest, as RFC 3339 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Before when the last sample was taken; now, where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether exported files are read of all days, and not only of those that have left the table by now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub files: bool,
    /// What the last answer said is to follow, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Rows, and what is to follow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The columns of the rows; none while there are no rows yet.
    pub columns: Vec<Column>,
    /// Rows, each with a value for every column: a number, a truth or a text, and null where there is none. Moments are
    /// texts as RFC 3339 writes them.
    pub rows: Vec<Vec<Value>>,
    /// What was read for this answer.
    pub read: Read,
    /// What to ask for the rows that follow; none after the last ones. An answer without rows may have it: then the rows
    /// are being looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What is wrong with the question, where it cannot be answered: then there is nothing else. It is no failure of the
    /// function, so that nobody is woken by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds: `string`, `double`, `long`, `boolean` or `timestamptz`; or what the service calls it, as texts.
    #[serde(rename = "type")]
    pub column_type: String,
}

/// What was read, and its list price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Read {
    /// Bytes that Athena scanned, and those that Timestream says are paid for.
    pub scanned_bytes: u64,
    /// Requests of the hot table.
    pub hot_requests: u64,
    /// Read request units of the hot table.
    pub hot_read_units: f64,
    /// What both cost, in US dollars.
    pub cost_usd: f64,
}

impl std::ops::AddAssign for Read {
    fn add_assign(&mut self, other: Self) {
        self.scanned_bytes += other.scanned_bytes;
        self.hot_requests += other.hot_requests;
        self.hot_read_units += other.hot_read_units;
        self.cost_usd += other.cost_usd;
    }
}
