//! What the values of a reading come to in an interval, for each device: the columns of aggregates, and how a question finds
//! them.
//!
//! A row is of one reading, so the columns are the same for every platform, whatever it measures. Truths count as 1 and 0;
//! texts come to nothing. It refuses to know where aggregates lie, and who makes them.

use super::{
    columns::{Column, ColumnType, DEVICE_ID, DEVICE_TYPE, ZONE},
    sql,
};

/// What questions call the aggregates.
pub const AGGREGATES: &str = "aggregates";

/// When the interval begins: a multiple of its length since 1970.
pub const INTERVAL_START: &str = "interval_start";
/// How long it is, in seconds.
pub const INTERVAL_S: &str = "interval_s";
/// The reading, or the health value.
pub const READING: &str = "reading";
/// How many samples of the interval have a value of it.
pub const COUNT: &str = "count";
/// The least of the values.
pub const MINIMUM: &str = "minimum";
/// The greatest of them.
pub const MAXIMUM: &str = "maximum";
/// All of them added up, in the order of time; no value where no double holds it.
pub const SUM: &str = "sum";
/// The one that was sampled last.
pub const LAST: &str = "last";
/// The sum by the count. Files have no such column: of longer intervals it is no mean of means.
pub const MEAN: &str = "mean";

/// The columns of a file, in their order; behind them stands the number of its export.
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

/// The columns that name an aggregate: of rows with the same in all of them the last export's counts.
pub const KEY: [&str; 4] = [ZONE, DEVICE_ID, INTERVAL_START, READING];

/// Aggregates of files: the last export's of each, with their means. Conditions on `days` say which files are read.
pub fn aggregates(table: &str, days: &[String], conditions: &[String]) -> String {
    let newest = sql::newest(table, &COLUMNS, &KEY, days, conditions);
    let [sum, count, mean] = [SUM, COUNT, MEAN].map(sql::name);
    format!("SELECT *, {sum} / {count} AS {mean} FROM (\n  {newest}\n)")
}

/// Whether a question names the aggregates.
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
