//! Queries for samples in SQL, as engine 3 of Amazon Athena accepts it ("DML queries, functions, and operators",
//! Amazon Athena user guide).
//!
//! Tables hold rows, including duplicates; a query is about samples. So every query starts with the part that turns
//! rows into samples, under the name [`SAMPLES`]. Does not depend on which tables there are or who sends the queries.

pub mod timestream;

use std::fmt::Write as _;

use super::columns::{
    Column, ColumnType, DEVICE_ID, DEVICE_TYPE, EXPORT_NUMBER, INGESTED_AT, RECORD, SAMPLED_AT, ZONE,
};
use crate::units::Timestamp;

/// The name of the samples in queries.
pub const SAMPLES: &str = "samples";

/// Maximum number of columns in a query built here: Athena accepts queries of up to 262,144 bytes
/// ("StartQueryExecution", Amazon Athena API).
const COLUMNS_MAX: usize = 100;

/// Quotes a name from the platform file.
pub fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string.
pub fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Formats a moment. `None` if it lies outside the calendar.
pub fn moment(at: Timestamp) -> Option<String> {
    let at = at.to_rfc3339()?;
    let (day, time) = at.trim_end_matches('Z').split_once('T')?;
    Some(format!("TIMESTAMP '{day} {time} UTC'"))
}

/// Formats the UTC day of a moment. `None` if it lies outside the calendar.
pub fn day(at: Timestamp) -> Option<String> {
    let at = at.to_rfc3339()?;
    Some(format!("DATE '{}'", at.split_once('T')?.0))
}

/// Formats the name of a table in a table bucket ("Querying Amazon S3 tables with Athena", Amazon S3 user guide).
pub fn table_bucket(bucket: &str, namespace: &str, table: &str) -> String {
    format!("\"s3tablescatalog/{bucket}\".\"{namespace}\".\"{table}\"")
}

/// Returns a query for the rows of the sample table that meet all conditions.
pub fn table(table: &str, columns: &[Column], conditions: &[String]) -> String {
    let names: Vec<String> = columns.iter().map(|column| name(&column.name)).collect();
    format!("SELECT {} FROM {table}{}", names.join(", "), all(conditions))
}

/// Returns a query for the samples in exported files, of which the last export of each counts. Conditions on `days`
/// select the files to read.
pub fn exported(table: &str, columns: &[Column], days: &[String], conditions: &[String]) -> String {
    newest(table, columns, &[ZONE, DEVICE_ID, SAMPLED_AT], days, conditions)
}

/// Returns a query for rows of exported files: of those with the same `key`, the one of the last export.
pub(super) fn newest(table: &str, columns: &[Column], key: &[&str], days: &[String], conditions: &[String]) -> String {
    // Files store moments without a time zone; they are UTC.
    let names = columns.iter().map(|column| match column.column_type {
        ColumnType::Time => format!("with_timezone({0}, 'UTC') AS {0}", name(&column.name)),
        ColumnType::Text | ColumnType::Float | ColumnType::Int | ColumnType::Bool => name(&column.name),
    });
    let names: Vec<String> = names.collect();
    format!(
        "SELECT * FROM (SELECT {} FROM (SELECT *, row_number() OVER (PARTITION BY {} ORDER BY \
         {EXPORT_NUMBER} DESC) AS \"export rank\" FROM {table}{}) WHERE \"export rank\" = 1){}",
        names.join(", "),
        key.join(", "),
        all(days),
        all(conditions)
    )
}

/// Returns a query for samples made from rows: of the rows with the same device and moment, each column takes the
/// latest value.
pub fn merged(columns: &[Column], rows: &[String]) -> String {
    let mut sql = format!("SELECT {DEVICE_ID}, {SAMPLED_AT}, max({INGESTED_AT}) AS {INGESTED_AT}");
    for column in columns {
        let name = name(&column.name);
        match column.name.as_str() {
            DEVICE_ID | SAMPLED_AT | INGESTED_AT => continue,
            ZONE | DEVICE_TYPE | RECORD => {
                let _ = write!(sql, ",\n  max_by({name}, ROW({INGESTED_AT}, {RECORD})) AS {name}");
            }
            _ => {
                let _ = write!(
                    sql,
                    ",\n  max_by({name}, ROW({INGESTED_AT}, {RECORD})) FILTER (WHERE {name} IS NOT NULL) AS {name}"
                );
            }
        }
    }
    let _ = write!(sql, "\nFROM (\n  {}\n)\nGROUP BY {DEVICE_ID}, {SAMPLED_AT}", rows.join("\n  UNION ALL\n  "));
    sql
}

/// Returns a query that can refer to these samples.
pub fn ask(samples: &str, question: &str) -> String {
    ask_of(&[(SAMPLES, samples)], question)
}

/// Returns a query that can refer to all of these by their names.
pub fn ask_of(named: &[(&str, &str)], question: &str) -> String {
    let question = question.trim().trim_end_matches(|end: char| end == ';' || end.is_whitespace());
    let (recursive, rest) = match after(opening(question), "WITH") {
        Some(names) => match after(opening(names), "RECURSIVE") {
            Some(names) => ("RECURSIVE ", Some(names)),
            None => ("", Some(names)),
        },
        None => ("", None),
    };
    let known = named.iter().map(|(name, rows)| format!("{name} AS (\n  {}\n)", rows.replace('\n', "\n  ")));
    let known = known.collect::<Vec<_>>().join(", ");
    match rest {
        Some(names) => format!("WITH {recursive}{known},{names}"),
        None => format!("WITH {known}\n{question}"),
    }
}

/// Returns a query for mean and maximum of all numeric columns, by device and hour, newest hour first.
pub fn hourly(columns: &[Column]) -> String {
    let mut sql = format!("SELECT {DEVICE_ID}, date_trunc('hour', {SAMPLED_AT}) AS hour");
    for column in numbers(columns) {
        let name = &column.name;
        let [value, mean, most] =
            [self::name(name), self::name(&format!("{name}_avg")), self::name(&format!("{name}_max"))];
        let _ = write!(sql, ",\n  avg({value}) AS {mean}, max({value}) AS {most}");
    }
    let _ = write!(
        sql,
        "\nFROM {SAMPLES}\nGROUP BY {DEVICE_ID}, date_trunc('hour', {SAMPLED_AT})\nORDER BY hour DESC, {DEVICE_ID}"
    );
    sql
}

/// Returns a query for every value since a moment with the mean of the hour that ends with it, by device, newest
/// first. The samples must go back one hour further.
pub fn rolling_hour(columns: &[Column], since: &str) -> String {
    let mut sql = format!("SELECT * FROM (\n  SELECT {DEVICE_ID}, {SAMPLED_AT}");
    for column in numbers(columns) {
        let [value, mean] = [name(&column.name), name(&format!("{}_hour_avg", column.name))];
        let _ = write!(sql, ",\n    {value}, avg({value}) OVER last_hour AS {mean}");
    }
    let _ = write!(
        sql,
        "\n  FROM {SAMPLES}\n  WINDOW last_hour AS (PARTITION BY {DEVICE_ID} ORDER BY {SAMPLED_AT} RANGE BETWEEN INTERVAL '1' \
         HOUR PRECEDING AND CURRENT ROW)\n)\nWHERE {SAMPLED_AT} >= {since}\nORDER BY {DEVICE_ID}, {SAMPLED_AT} DESC"
    );
    sql
}

/// Returns the columns for the queries built here: the numeric ones, up to the number that fits into one query.
pub fn numbers(columns: &[Column]) -> impl Iterator<Item = &Column> {
    columns.iter().filter(|column| matches!(column.column_type, ColumnType::Float | ColumnType::Int)).take(COLUMNS_MAX)
}

/// Whether a query contains a word outside of its string literals and comments.
pub fn is_named(question: &str, wanted: &str) -> bool {
    let is_part = |part: char| part.is_alphanumeric() || part == '_';
    let mut rest = question;
    while let Some(first) = rest.chars().next() {
        let (word, after) = rest.split_at(rest.find(|part| !is_part(part)).unwrap_or(rest.len()));
        if word.eq_ignore_ascii_case(wanted) {
            return true;
        }
        rest = match first {
            _ if !word.is_empty() => after,
            '\'' => rest[1..].split_once('\'').map_or("", |(_, rest)| rest),
            _ if rest.starts_with("--") => rest.split_once('\n').map_or("", |(_, rest)| rest),
            _ if rest.starts_with("/*") => rest.split_once("*/").map_or("", |(_, rest)| rest),
            other => &rest[other.len_utf8()..],
        };
    }
    false
}

fn all(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

/// Returns a query without leading white space and comments.
fn opening(question: &str) -> &str {
    let question = question.trim_start();
    let rest = if let Some(comment) = question.strip_prefix("--") {
        comment.split_once('\n').map_or("", |(_, rest)| rest)
    } else if let Some(comment) = question.strip_prefix("/*") {
        comment.split_once("*/").map_or("", |(_, rest)| rest)
    } else {
        return question;
    };
    opening(rest)
}

/// Returns what follows a word at the start of a query.
fn after<'a>(question: &'a str, word: &str) -> Option<&'a str> {
    let (begin, rest) = question.split_at_checked(word.len())?;
    let ends = !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    (begin.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

#[cfg(test)]
#[path = "sql_tests.rs"]
mod tests;
