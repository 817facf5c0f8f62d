//! A parsed question or continuation, and the SQL for both.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fleetform_engine::{
    rows::{
        aggregates::{self, AGGREGATES, INTERVAL_START},
        columns::{Column, DAY, DEVICE_ID, INGESTED_AT, RECORD, SAMPLED_AT, ZONE},
        sql,
    },
    units::Timestamp,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Files, QueryError, device::Device};
use crate::event::query::Request;

/// Maximum bytes of a query, including what is prepended ("StartQueryExecution", Amazon Athena API; "Quotas", Amazon
/// Timestream developer guide).
const SQL_BYTES_MAX: usize = 262_144;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// A SQL query of samples from one time, inclusive, to another, exclusive.
    Sql { sql: String, zone: Option<String>, from: Timestamp, to: Timestamp },
    /// A question about one device.
    Device(Device),
}

/// What follows an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Left {
    /// The result of a running Athena query, and then newer samples of the device.
    Running { id: String, then: Option<Device> },
    /// A page of an available result with this many columns.
    Rows { id: String, page: String, columns: usize, then: Option<Device> },
    /// The newest samples of a device, from whichever table has them.
    Newest(Device),
    /// A page from Timestream, or the first one, with the number of bytes charged so far.
    Timestream { sql: String, token: Option<String>, metered: u64 },
}

/// Where samples are found.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The name of the table in a query; `None` if samples are only in files.
    pub(super) table: Option<&'a str>,
    /// The exported files.
    pub(super) files: &'a Files,
    /// Whether files are also read for days that should still be in the table.
    pub(super) all_days: bool,
    /// The current time.
    pub(super) now: Timestamp,
}

impl Question {
    /// Parses a request at `now`.
    pub(super) fn read(request: Request, now: Timestamp) -> Result<Self, QueryError> {
        let moment = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match Timestamp::parse_rfc3339(text) {
                Some(at) => Ok(Some(at)),
                None => Err(QueryError::Bad(format!("`{name}` is `{text}`: say it like 2026-01-31T10:00:00Z"))),
            },
        };
        let from = moment("from", &request.from)?.ok_or_else(|| QueryError::Bad("`from` is missing".to_owned()))?;
        let to = moment("to", &request.to)?.unwrap_or(now);
        if to <= from {
            return Err(QueryError::Bad("`to` is not later than `from`".to_owned()));
        }
        let Request { sql, device, readings, zone, .. } = request;
        match (sql, device) {
            (Some(sql), None) if readings.is_empty() => Ok(Self::Sql { sql, zone, from, to }),
            (None, Some(id)) if zone.is_none() => Ok(Self::Device(Device { id, readings, from, to })),
            _ => {
                Err(QueryError::Bad("ask by `sql`, with a `zone` or none, or for a `device` and `readings`".to_owned()))
            }
        }
    }
}

impl Left {
    /// Parses the continuation of an earlier answer.
    pub(super) fn read(request: &Request, next: &str) -> Result<Self, QueryError> {
        let alone = Request { next: Some(next.to_owned()), ..Request::default() };
        if *request != alone {
            return Err(QueryError::Bad("`next` stands alone".to_owned()));
        }
        let left = URL_SAFE_NO_PAD.decode(next).ok().and_then(|text| serde_json::from_slice(&text).ok());
        left.ok_or_else(Self::unknown)
    }

    /// The error for a token that was never issued.
    pub(super) fn unknown() -> QueryError {
        QueryError::Bad("`next` is not what an answer of this function says".to_owned())
    }

    /// The token for this continuation.
    pub(super) fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("keys are texts"))
    }
}

impl Place<'_> {
    /// A SQL query, with the samples that it selects from.
    pub(super) fn sql(
        &self,
        columns: &[Column],
        question: &str,
        zone: Option<&str>,
        window: (Timestamp, Timestamp),
    ) -> Result<String, QueryError> {
        let zone = zone.map(|zone| format!("{ZONE} = {}", sql::text(zone)));
        let samples = || self.samples(columns, zone.clone(), window);
        let Some(table) = self.files.aggregates.as_deref().filter(|_| aggregates::are_named(question)) else {
            return about(&[(sql::SAMPLES, &samples()?)], question, columns);
        };
        let aggregates = aggregates_of(table, zone.clone(), window)?;
        // The definition of samples with a thousand columns leaves little room for anything else.
        if sql::is_named(question, sql::SAMPLES) {
            about(&[(sql::SAMPLES, &samples()?), (AGGREGATES, &aggregates)], question, columns)
        } else {
            about(&[(AGGREGATES, &aggregates)], question, columns)
        }
    }

    /// The query for a question about a device.
    pub(super) fn device(&self, columns: &[Column], device: &Device) -> Result<String, QueryError> {
        let condition = format!("{DEVICE_ID} = {}", sql::text(&device.id));
        let wanted = device.wanted(columns);
        let is_key = |column: &&Column| [DEVICE_ID, SAMPLED_AT, INGESTED_AT, RECORD].contains(&column.name.as_str());
        let others = wanted.iter().filter(|column| !is_key(column));
        let read: Vec<Column> = columns.iter().filter(is_key).chain(others).cloned().collect();
        let samples = self.samples(&read, Some(condition), (device.from, device.to))?;
        Ok(sql::ask(&samples, &all_of(&wanted)))
    }

    /// The samples of a time range. Days that have left the table are in files; all others are only in the table.
    fn samples(
        &self,
        columns: &[Column],
        condition: Option<String>,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<String, QueryError> {
        let [first, end] = [sql::moment(from), sql::moment(to)];
        let window = [
            format!("{SAMPLED_AT} >= {}", first.ok_or_else(no_day)?),
            format!("{SAMPLED_AT} < {}", end.ok_or_else(no_day)?),
        ];
        let conditions: Vec<String> = window.into_iter().chain(condition.clone()).collect();
        let mut rows: Vec<String> = self.table.iter().map(|table| sql::table(table, columns, &conditions)).collect();
        // The end of the last day that may have left the table.
        let left_until = match self.table {
            Some(_) if !self.all_days => self.now.before(self.files.keep).day_begin().0 - 1,
            _ => self.now.0,
        };
        // A query needs something to select from, even if there can be no rows yet.
        if from.0 <= left_until || rows.is_empty() {
            let last = Timestamp((to.0 - 1).min(left_until.max(from.0)));
            let [first, last] = [sql::day(from).ok_or_else(no_day)?, sql::day(last).ok_or_else(no_day)?];
            let days: Vec<String> =
                [format!("\"{DAY}\" BETWEEN {first} AND {last}")].into_iter().chain(condition).collect();
            rows.push(sql::exported(&self.files.exported, columns, &days, &conditions));
        }
        Ok(sql::merged(columns, &rows))
    }
}

/// The aggregates of intervals that start in a time range.
fn aggregates_of(table: &str, zone: Option<String>, (from, to): (Timestamp, Timestamp)) -> Result<String, QueryError> {
    let last = Timestamp(to.0 - 1);
    let [Some(first), Some(end)] = [sql::moment(from), sql::moment(to)] else { return Err(no_day()) };
    let [Some(first_day), Some(last_day)] = [sql::day(from), sql::day(last)] else { return Err(no_day()) };
    let days = format!("\"{DAY}\" BETWEEN {first_day} AND {last_day}");
    let window = [format!("{INTERVAL_START} >= {first}"), format!("{INTERVAL_START} < {end}")];
    let days: Vec<String> = [days].into_iter().chain(zone).collect();
    Ok(aggregates::aggregates(table, &days, &window))
}

fn no_day() -> QueryError {
    QueryError::Bad("no calendar has these days".to_owned())
}

/// A SQL query, preceded by definitions of the names that it uses.
pub(super) fn about(named: &[(&str, &str)], question: &str, columns: &[Column]) -> Result<String, QueryError> {
    let sql = sql::ask_of(named, question);
    if sql.len() > SQL_BYTES_MAX {
        let own = sql.len() - question.len();
        return Err(QueryError::Bad(format!(
            "the question has {} bytes, and with {own} for the {} columns of samples it may have {SQL_BYTES_MAX}",
            question.len(),
            columns.len()
        )));
    }
    Ok(sql)
}

/// The query that selects these columns from all samples, which are those of one device.
pub(super) fn all_of(wanted: &[Column]) -> String {
    let names: String = wanted.iter().map(|column| format!(", {}", sql::name(&column.name))).collect();
    format!("SELECT {DEVICE_ID}, {SAMPLED_AT}{names} FROM {} ORDER BY {SAMPLED_AT}", sql::SAMPLES)
}

/// The client request token of a query, so that a query that is started twice runs once: 32 to 128 characters
/// ("StartQueryExecution", Amazon Athena API).
pub(super) fn start_name(sql: &str, now: Timestamp) -> String {
    let digest = Sha256::new().chain_update(now.0.to_be_bytes()).chain_update(sql).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
