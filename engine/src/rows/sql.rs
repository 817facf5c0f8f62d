//! Questions about samples in SQL, as engine 3 of Amazon Athena takes it ("DML queries, functions, and operators", Amazon
//! Athena user guide).
//!
//! Tables hold rows, and doubles of them; a question is about samples. So every question begins with what makes samples of
//! rows, under the name [`SAMPLES`]. It refuses to know which tables there are, and who asks.

pub mod timestream;

use std::fmt::Write as _;

use super::columns::{
    Column, ColumnType, DEVICE_ID, DEVICE_TYPE, EXPORT_NUMBER, INGESTED_AT, RECORD, SAMPLED_AT, ZONE,
};
use crate::units::Timestamp;

/// What questions call the samples.
pub const SAMPLES: &str = "samples";

/// Columns that a question made here is about, at most: a question of Athena has 262,144 bytes ("StartQueryExecution",
/// Amazon Athena API).
const COLUMNS_MAX: usize = 100;

/// A name from the platform file.
pub fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text.
pub fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A moment. None where no calendar has it.
pub fn moment(at: Timestamp) -> Option<String> {
    let at = at.to_rfc3339()?;
    let (day, time) = at.trim_end_matches('Z').split_once('T')?;
    Some(format!("TIMESTAMP '{day} {time} UTC'"))
}

/// The day of UTC that a moment lies in. None where no calendar has it.
pub fn day(at: Timestamp) -> Option<String> {
    let at = at.to_rfc3339()?;
    Some(format!("DATE '{}'", at.split_once('T')?.0))
}

/// A table of a table bucket, as a question spells it ("Querying Amazon S3 tables with Athena", Amazon S3 user guide).
pub fn table_bucket(bucket: &str, namespace: &str, table: &str) -> String {
    format!("\"s3tablescatalog/{bucket}\".\"{namespace}\".\"{table}\"")
}

/// Rows of the table of samples that meet all conditions.
pub fn table(table: &str, columns: &[Column], conditions: &[String]) -> String {
    let names: Vec<String> = columns.iter().map(|column| name(&column.name)).collect();
    format!("SELECT {} FROM {table}{}", names.join(", "), all(conditions))
}

/// The samples of exported files, of which the last export of each counts. Conditions on `days` say which files are read.
pub fn exported(table: &str, columns: &[Column], days: &[String], conditions: &[String]) -> String {
    newest(table, columns, &[ZONE, DEVICE_ID, SAMPLED_AT], days, conditions)
}

/// Rows of exported files: of those with one `key` the last export's.
pub(super) fn newest(table: &str, columns: &[Column], key: &[&str], days: &[String], conditions: &[String]) -> String {
    // Files say moments without a zone, which are of UTC.
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

/// Samples made of rows: of those with one device and moment each column has the value that came last.
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

/// A question that knows these samples.
pub fn ask(samples: &str, question: &str) -> String {
    ask_of(&[(SAMPLES, samples)], question)
}

/// A question that knows all of these by their names.
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

/// Mean and maximum of all that is a number, by device and hour, the newest hour first.
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

/// Every value since a moment with the mean of the hour that ends with it, by device, the newest first. The samples must
/// go back for an hour more.
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

/// The columns that questions made here are about: those that are numbers, and so many of them as one question takes.
pub fn numbers(columns: &[Column]) -> impl Iterator<Item = &Column> {
    columns.iter().filter(|column| matches!(column.column_type, ColumnType::Float | ColumnType::Int)).take(COLUMNS_MAX)
}

/// Whether a question has a word outside of its texts and comments.
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

/// A question without the white space and the comments that it begins with.
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

/// What follows a word that a question begins with.
fn after<'a>(question: &'a str, word: &str) -> Option<&'a str> {
    let (begin, rest) = question.split_at_checked(word.len())?;
    let ends = !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    (begin.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

#[cfg(test)]
#[path = "sql_tests.rs"]
mod tests;
