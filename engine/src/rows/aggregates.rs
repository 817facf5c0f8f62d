//! Aggregates of the values of a reading over an interval, for each device: their columns, and how a query finds
//! them.
//!
//! A row belongs to one reading, so the columns are the same for every platform, whatever it measures. Booleans count
//! as 1 and 0; strings have no aggregates. Does not depend on where aggregates are stored or who computes them.

use super::{
    columns::{Column, ColumnType, DEVICE_ID, DEVICE_TYPE, ZONE},
    sql,
};

/// The name of the aggregates in queries.
pub const AGGREGATES: &str = "aggregates";

/// Start of the interval: a multiple of its length since 1970.
pub const INTERVAL_START: &str = "interval_start";
/// Length of the interval, in seconds.
pub const INTERVAL_S: &str = "interval_s";
/// Id of the reading or health value.
pub const READING: &str = "reading";
/// Number of samples in the interval that have a value for it.
pub const COUNT: &str = "count";
/// The smallest value.
pub const MINIMUM: &str = "minimum";
/// The largest value.
pub const MAXIMUM: &str = "maximum";
/// Sum of the values, added in time order; null if a double cannot hold it.
pub const SUM: &str = "sum";
/// The value that was sampled last.
pub const LAST: &str = "last";
/// Sum divided by count. Files have no such column, since for longer intervals a mean of means is wrong.
pub const MEAN: &str = "mean";

/// The columns of a file, in their order; the number of its export follows them.
pub const COLUMNS: [Column; 11] = [
    Column::fixed(DEVICE_ID, ColumnType::Text, true),
    Column::fixed(INTERVAL_START, ColumnType::Time, true),
    Column::fixed(INTERVAL_S, ColumnType::Int, true),
    Column::fixed(ZONE, ColumnType::Text, true),
    Column::fixed(DEVICE_TYPE, ColumnType::Text, true),
    Column::fixed(READING, ColumnType::Text, true),
    Column::fixed(COUNT, ColumnType::Int, true),
    Column::fixed(MINIMUM, ColumnType::Float, true),
    Column::fixed(MAXIMUM, ColumnType::Float, true),
    Column::fixed(SUM, ColumnType::Float, false),
    Column::fixed(LAST, ColumnType::Float, true),
];

/// The columns that identify an aggregate. Of several rows with the same values in all of them, that of the last
/// export counts.
pub const KEY: [&str; 4] = [ZONE, DEVICE_ID, INTERVAL_START, READING];

/// Returns a query for the aggregates of files: those of the last export of each, with their means. Conditions on
/// `days` select the files to read.
pub fn aggregates(table: &str, days: &[String], conditions: &[String]) -> String {
    let newest = sql::newest(table, &COLUMNS, &KEY, days, conditions);
    let [sum, count, mean] = [SUM, COUNT, MEAN].map(sql::name);
    format!("SELECT *, {sum} / {count} AS {mean} FROM (\n  {newest}\n)")
}

/// Whether a query names the aggregates.
pub fn are_named(question: &str) -> bool {
    sql::is_named(question, AGGREGATES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_asked_for_by_their_name_alone() {
        assert!(are_named("SELECT mean FROM aggregates WHERE reading = 'flow'"));
        assert!(are_named("select * from(Aggregates)a"));
        assert!(are_named("SELECT mean FROM \"aggregates\" -- of a year"));
        assert!(!are_named("SELECT aggregates_of, my_aggregates FROM samples"));
        assert!(!are_named("SELECT 'aggregates', 'it''s' /* aggregates */ FROM samples -- aggregates"));
        assert!(are_named("SELECT '--', '/*' FROM aggregates"));
    }

    #[test]
    fn of_each_aggregate_the_last_export_counts() {
        let sql = aggregates("t", &["\"day\" = DATE '2026-01-31'".into()], &["interval_start >= x".into()]);
        assert!(
            sql.contains("PARTITION BY zone, device_id, interval_start, reading ORDER BY export_number DESC"),
            "{sql}"
        );
        assert!(
            sql.contains(
                "FROM t WHERE \"day\" = DATE '2026-01-31') WHERE \"export rank\" = 1) WHERE interval_start >= x"
            ),
            "{sql}"
        );
        assert!(sql.starts_with("SELECT *, \"sum\" / \"count\" AS \"mean\" FROM ("), "{sql}");
    }
}
