//! The input and the output of the function `query`, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A question, or a request for the next page. The handler checks which fields belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A SQL query of `samples`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// The device whose samples are requested, in place of SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The requested readings of the device; empty for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<String>,
    /// The zone whose samples the SQL query covers; `None` for all zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The time of the earliest sample, inclusive, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The end of the time range, exclusive, in RFC 3339; `None` for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether exported files are read for all days, and not only for those that have already left the table.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub files: bool,
    /// The token from the last answer; no other field is set with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Rows, and a token for the next page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The columns of the rows; empty while there are no rows yet.
    pub columns: Vec<Column>,
    /// Rows, each with a value for every column: a number, a boolean, a string, or null for none. Times are strings in
    /// RFC 3339.
    pub rows: Vec<Vec<Value>>,
    /// The amount of data read for this answer.
    pub read: Read,
    /// The token for the next page; `None` after the last one. A page without rows can have one, while the results are
    /// not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Why the question cannot be answered; no other field is set with it. This does not count as a failure of the
    /// function, so it raises no alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// The column's type: `string`, `double`, `long`, `boolean` or `timestamptz`, or the service's own name for a type
    /// whose values are strings.
    #[serde(rename = "type")]
    pub column_type: String,
}

/// The amount of data read, and its list price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Read {
    /// Bytes that Athena scanned, or that Timestream metered.
    pub scanned_bytes: u64,
    /// The number of requests to the hot table.
    pub hot_requests: u64,
    /// Read request units of the hot table.
    pub hot_read_units: f64,
    /// The cost of both, in US dollars.
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
