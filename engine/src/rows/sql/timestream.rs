//! The parts that differ for queries to Amazon Timestream ("Query language reference", Amazon Timestream developer
//! guide). These queries have not been run against the service: they use only what that reference names, and no
//! window frame with an interval.

use std::fmt::Write as _;

use super::{SAMPLES, all, name, numbers};
use crate::{
    rows::columns::{Column, ColumnType, DEVICE_ID, DEVICE_TYPE, INGESTED_AT, RECORD, SAMPLED_AT, ZONE},
    units::{Millis, Timestamp},
};

/// Columns that samples have whatever the query.
const NAMED: [&str; 3] = [DEVICE_ID, SAMPLED_AT, INGESTED_AT];

const HOUR: Millis = Millis::from_secs(3_600);

/// Formats a moment.
pub fn moment(at: Timestamp) -> String {
    // The service supports no time before 1970.
    format!("from_milliseconds({})", at.0.max(0))
}

/// Formats the moment that lies this long before now.
pub fn ago(length: Millis) -> String {
    before("now()", length)
}

/// Formats the name of a table.
pub fn table(database: &str, table: &str) -> String {
    format!("{}.{}", name(database), name(table))
}

/// Returns a condition on rows from one moment (inclusive) to another (exclusive).
pub fn between(from: Timestamp, to: Timestamp) -> String {
    format!("time >= {} AND time < {}", moment(from), moment(to))
}

/// Returns a query for the samples of the rows that meet all conditions: of the rows with the same device and moment,
/// each column takes the latest value. Columns that are not `stored` are known to the platform, but no row has had a
/// value for them yet.
pub fn samples(table: &str, columns: &[Column], stored: &[Column], conditions: &[String]) -> String {
    let is_stored = |name: &str| stored.iter().any(|stored| stored.name == name);
    if !is_stored(INGESTED_AT) {
        // No device has sent a value yet.
        let own = columns.iter().filter(|column| !NAMED.contains(&column.name.as_str()));
        let own = own.map(|column| (column.name.as_str(), column.column_type));
        let named = [ColumnType::Text, ColumnType::Time, ColumnType::Time];
        let all = NAMED.into_iter().zip(named).chain(own);
        let none: Vec<String> = all.map(|(column, kind)| format!("{} AS {}", null(kind), name(column))).collect();
        return format!("SELECT {}\nFROM {table}\nWHERE 1 = 0", none.join(",\n  "));
    }
    // Milliseconds have the same number of digits from 2001 until 2286, and the part after them is compared as a
    // string everywhere.
    let key = format!("CAST({INGESTED_AT} AS varchar) || {RECORD}");
    let mut sql =
        format!("SELECT {DEVICE_ID}, time AS {SAMPLED_AT}, from_milliseconds(max({INGESTED_AT})) AS {INGESTED_AT}");
    for column in columns {
        let name = name(&column.name);
        let _ = match column.name.as_str() {
            named if NAMED.contains(&named) => continue,
            _ if !is_stored(&column.name) => write!(sql, ",\n  {} AS {name}", null(column.column_type)),
            ZONE | DEVICE_TYPE | RECORD => write!(sql, ",\n  max_by({name}, {key}) AS {name}"),
            // A row whose key is null is never the maximum.
            _ => write!(sql, ",\n  max_by({name}, CASE WHEN {name} IS NOT NULL THEN {key} END) AS {name}"),
        };
    }
    let _ = write!(sql, "\nFROM {table}{}\nGROUP BY {DEVICE_ID}, time", all(conditions));
    sql
}

/// Returns a query for every value since a moment with the mean of the hour that ends with it, by device, newest
/// first. The samples must go back one hour further.
pub fn rolling_hour(columns: &[Column], since: &str) -> String {
    let mut sql = format!("SELECT own.{DEVICE_ID}, own.{SAMPLED_AT}");
    for column in numbers(columns) {
        let [value, mean] = [name(&column.name), name(&format!("{}_hour_avg", column.name))];
        // All rows of a group have the same value.
        let _ = write!(sql, ",\n  max(own.{value}) AS {value}, avg(earlier.{value}) AS {mean}");
    }
    let _ = write!(
        sql,
        "\nFROM {SAMPLES} AS own\nINNER JOIN {SAMPLES} AS earlier ON earlier.{DEVICE_ID} = own.{DEVICE_ID}\n  AND \
         earlier.{SAMPLED_AT} <= own.{SAMPLED_AT} AND earlier.{SAMPLED_AT} >= {}\nWHERE own.{SAMPLED_AT} >= {since}\n\
         GROUP BY own.{DEVICE_ID}, own.{SAMPLED_AT}\nORDER BY {DEVICE_ID}, {SAMPLED_AT} DESC",
        before(&format!("own.{SAMPLED_AT}"), HOUR)
    );
    sql
}

fn before(moment: &str, length: Millis) -> String {
    format!("from_milliseconds(to_milliseconds({moment}) - {})", length.0)
}

/// Returns the null of a type.
fn null(column_type: ColumnType) -> String {
    let name = match column_type {
        ColumnType::Text => "varchar",
        ColumnType::Float => "double",
        ColumnType::Int => "bigint",
        ColumnType::Bool => "boolean",
        ColumnType::Time => "timestamp",
    };
    format!("CAST(NULL AS {name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, column_type: ColumnType) -> Column {
        Column { name: name.into(), column_type, required: false }
    }

    #[test]
    fn a_column_that_nobody_has_sent_yet_has_no_values() {
        let [zone, on, p] = [("zone", ColumnType::Text), ("on", ColumnType::Bool), ("p", ColumnType::Float)]
            .map(|(name, column_type)| column(name, column_type));
        let stored = [column(INGESTED_AT, ColumnType::Time), zone.clone(), on.clone()];
        let known = [zone, on, p];
        let sql = samples("\"d\".\"t\"", &known, &stored, &["time >= from_milliseconds(0)".to_owned()]);
        assert_eq!(
            sql,
            "SELECT device_id, time AS sampled_at, from_milliseconds(max(ingested_at)) AS ingested_at,\n  \
             max_by(\"zone\", CAST(ingested_at AS varchar) || record) AS \"zone\",\n  \
             max_by(\"on\", CASE WHEN \"on\" IS NOT NULL THEN CAST(ingested_at AS varchar) || record END) AS \"on\",\n  \
             CAST(NULL AS double) AS \"p\"\nFROM \"d\".\"t\" WHERE time >= from_milliseconds(0)\nGROUP BY device_id, time"
        );
    }

    #[test]
    fn a_table_that_nobody_has_sent_anything_to_has_no_samples() {
        let sql = samples("\"d\".\"t\"", &[column("on", ColumnType::Bool)], &[], &[]);
        assert_eq!(
            sql,
            "SELECT CAST(NULL AS varchar) AS \"device_id\",\n  CAST(NULL AS timestamp) AS \"sampled_at\",\n  \
             CAST(NULL AS timestamp) AS \"ingested_at\",\n  CAST(NULL AS boolean) AS \"on\"\nFROM \"d\".\"t\"\nWHERE 1 = 0"
        );
    }

    #[test]
    fn no_moment_is_before_1970() {
        assert_eq!(
            between(Timestamp(-5), Timestamp(7)),
            "time >= from_milliseconds(0) AND time < from_milliseconds(7)"
        );
    }
}
