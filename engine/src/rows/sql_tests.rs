//! The exact text of queries. That they return what they should is shown where a database runs them.

use super::*;

fn column(name: &str, column_type: ColumnType) -> Column {
    Column { name: name.into(), column_type, required: false }
}

fn columns() -> Vec<Column> {
    let own = [column("pressure", ColumnType::Float), column("order", ColumnType::Text)];
    [column(DEVICE_ID, ColumnType::Text), column(SAMPLED_AT, ColumnType::Time)].into_iter().chain(own).collect()
}

#[test]
fn what_comes_from_a_file_is_quoted() {
    assert_eq!(name("order"), "\"order\"");
    assert_eq!(name("a\"b"), "\"a\"\"b\"");
    assert_eq!(text("o'neill"), "'o''neill'");
    let rows = table("t", &columns(), &["zone = 'a'".into()]);
    assert_eq!(rows, "SELECT \"device_id\", \"sampled_at\", \"pressure\", \"order\" FROM t WHERE zone = 'a'");
}

#[test]
fn moments_are_of_utc() {
    assert_eq!(moment(Timestamp(1_769_855_400_250)).as_deref(), Some("TIMESTAMP '2026-01-31 10:30:00.25 UTC'"));
    assert_eq!(day(Timestamp(1_769_855_400_250)).as_deref(), Some("DATE '2026-01-31'"));
    assert_eq!(moment(Timestamp(i64::MAX)), None);
}

#[test]
fn samples_stand_before_the_names_that_a_question_brings() {
    let asked = |question| ask("SELECT 1", question);
    let first = "WITH samples AS (\n  SELECT 1\n)";
    assert_eq!(asked("SELECT * FROM samples; \n"), format!("{first}\nSELECT * FROM samples"));
    assert_eq!(asked("-- mean\n with a AS (b) c"), format!("{first}, a AS (b) c"));
    assert_eq!(asked("/* x */ WITH/**/a AS (b) c"), format!("{first},/**/a AS (b) c"));
    let recursive = first.replace("WITH", "WITH RECURSIVE");
    assert_eq!(asked("WITH recursive a AS (b) c"), format!("{recursive}, a AS (b) c"));
    assert_eq!(asked("WITHOUT"), format!("{first}\nWITHOUT"));
    assert_eq!(asked("-- nothing"), format!("{first}\n-- nothing"));
}

#[test]
fn a_question_about_a_thousand_columns_is_one_that_athena_takes_where_few_are_wanted() {
    let wide: Vec<Column> =
        (0..1_000).map(|n| column(&format!("{}_{n:04}", "x".repeat(58)), ColumnType::Float)).collect();
    let rows = exported("t", &wide[..3], &[], &[]);
    assert!(ask(&merged(&wide[..3], &[rows]), &hourly(&wide[..3])).len() < 10_000);
    // No reading can have the name of the column that ranks exports.
    assert!(exported("t", &columns(), &[], &[]).contains("\"export rank\" = 1"));
    let all = table("t", &wide[..COLUMNS_MAX], &[]);
    assert!(ask(&merged(&wide[..COLUMNS_MAX], &[all]), &rolling_hour(&wide, "since")).len() < 262_144);
}

#[test]
fn only_numbers_have_a_mean() {
    let sql = hourly(&columns());
    assert!(sql.contains("avg(\"pressure\") AS \"pressure_avg\", max(\"pressure\") AS \"pressure_max\""), "{sql}");
    assert!(!sql.contains("\"order\""), "{sql}");
}
