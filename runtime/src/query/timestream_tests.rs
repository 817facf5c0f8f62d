//! Questions and answers, over a Timestream, an Athena and a data catalog in memory. What their SQL means is tested
//! elsewhere, with an engine that understands it.

use std::{collections::VecDeque, sync::Mutex};

use fleetform_engine::{
    drive::PortError,
    rows::columns::{ColumnType, SAMPLED_AT},
};
use serde_json::json;

use super::*;
use crate::{
    data_catalog::{Exported, memory::Table},
    query::athena::Standing,
    results::Page,
};

/// 2026-01-31T10:30:00Z.
const NOW: Timestamp = Timestamp(1_769_855_400_000);
const DAY: u64 = 86_400_000;
const DEVICE: &str = "meter-1";

/// Both services, and the calls that they have received.
#[derive(Debug, Default)]
struct Services {
    in_timestream: Mutex<Vec<(String, Option<String>)>>,
    in_athena: Mutex<Vec<String>>,
    /// The errors that Timestream returns before it answers.
    troubles: Mutex<VecDeque<AskError>>,
    /// The pages of the answer with samples: the number of rows of each.
    pages: Vec<usize>,
    /// The columns of Timestream in addition to those that every row has.
    stored: Vec<(&'static str, &'static str)>,
}

fn row(at: &str) -> Vec<Option<String>> {
    [DEVICE, at, "1.5"].map(|text| Some(text.to_owned())).to_vec()
}

fn page_columns(moment: &str) -> Vec<(String, String)> {
    [(DEVICE_ID, "varchar"), (SAMPLED_AT, moment), ("flow", "double")]
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .to_vec()
}

impl Queries for &Services {
    async fn page(&self, statement: &str, token: Option<&str>) -> Result<Metered, AskError> {
        if let Some(trouble) = self.troubles.lock().unwrap().pop_front() {
            return Err(trouble);
        }
        if statement.starts_with("DESCRIBE") {
            assert_eq!(statement, "DESCRIBE \"water\".\"samples\"");
            let fixed =
                [(DEVICE_ID, "varchar"), ("zone", "varchar"), ("time", "timestamp"), ("measure_name", "varchar")];
            let own = self.stored.iter().copied();
            let rows =
                fixed.into_iter().chain(own).map(|(name, kind)| vec![Some(name.to_owned()), Some(kind.to_owned())]);
            return Ok(Metered { page: Page { rows: rows.collect(), ..Page::default() }, bytes: 0 });
        }
        self.in_timestream.lock().unwrap().push((statement.to_owned(), token.map(str::to_owned)));
        let number: usize = token.map_or(0, |token| token.parse().unwrap());
        let rows = self.pages.get(number).copied().unwrap_or(1);
        let next = (number + 1 < self.pages.len()).then(|| (number + 1).to_string());
        let rows = (0..rows).map(|_| row("2026-01-31 10:00:00.250000000")).collect();
        let page = Page { columns: page_columns("timestamp"), rows, next };
        Ok(Metered { page, bytes: 10_000_000 * (number as u64 + 1) })
    }
}

impl Athena for &Services {
    async fn start(&self, sql: &str, _: &str) -> Result<String, AskError> {
        self.in_athena.lock().unwrap().push(sql.to_owned());
        Ok("query-1".to_owned())
    }

    async fn standing(&self, _: &str) -> Result<Standing, AskError> {
        Ok(Standing::Done { scanned_bytes: 20_000_000 })
    }

    async fn page(&self, _: &str, _: Option<&str>, _: usize) -> Result<Page, AskError> {
        Ok(Page {
            columns: page_columns("timestamp(3) with time zone"),
            rows: vec![row("2025-10-01 00:00:00.000 UTC")],
            next: None,
        })
    }
}

type Answerer<'a> = Timestream<&'a Table, &'a Services, &'a Services>;

/// A handler for a platform that keeps samples for ninety days and whose readings are `flow` and `mode`.
async fn answerer<'a>(services: &'a Services, catalog: &'a Table) -> Answerer<'a> {
    let [database, table, bucket, partition_by] = ["water_dev", "exported", "cold", "zone,day"].map(str::to_owned);
    let exported = Exported { database, table, bucket, partition_by, zones: vec!["a".into()], aggregates: None };
    let own = [("flow", ColumnType::Float), ("mode", ColumnType::Text)];
    let own = own.map(|(name, column_type)| TableColumn { name: name.into(), column_type, required: false });
    exported.grow(&catalog, &own).await.expect("it grows");
    Timestream {
        data_catalog: catalog,
        queries: services,
        athena: services,
        table: ("water".to_owned(), "samples".to_owned()),
        exported: (exported.database, exported.table),
        files: Files { exported: "\"exported files\"".to_owned(), aggregates: None, keep: Millis(90 * DAY) },
    }
}

fn before(days: f64) -> Option<String> {
    Timestamp(NOW.0 - (days * DAY as f64) as i64).to_rfc3339()
}

fn device(days: f64) -> Request {
    let readings = vec!["flow".into()];
    Request { device: Some(DEVICE.to_owned()), readings, from: before(days), ..Request::default() }
}

fn sql(from: f64, to: f64) -> Request {
    let sql = Some("SELECT 1 FROM samples".to_owned());
    Request { sql, from: before(from), to: before(to), ..Request::default() }
}

async fn all(answerer: &Answerer<'_>, mut request: Request) -> Result<Vec<Answer>, QueryError> {
    let mut answers = Vec::new();
    loop {
        let answer = answerer.answer(request, NOW, || true).await?;
        let next = answer.next.clone();
        answers.push(answer);
        match next {
            Some(next) => request = Request { next: Some(next), ..Request::default() },
            None => return Ok(answers),
        }
        assert!(answers.len() < 100, "it never ends");
    }
}

fn stored() -> Vec<(&'static str, &'static str)> {
    vec![("ingested_at", "bigint"), ("record", "varchar"), ("flow", "double")]
}

#[tokio::test(start_paused = true)]
async fn what_timestream_has_is_asked_there_page_by_page() {
    let services = Services { pages: vec![0, 2, 1], stored: stored(), ..Services::default() };
    services.troubles.lock().unwrap().push_back(AskError::Busy);
    let catalog = Table::default();
    let answers = all(&answerer(&services, &catalog).await, device(80.0)).await.expect("answers");
    let rows: Vec<usize> = answers.iter().map(|answer| answer.rows.len()).collect();
    // A page without rows is waited for.
    assert_eq!(rows, [2, 1]);
    assert_eq!(answers[0].rows[0], [json!(DEVICE), json!("2026-01-31T10:00:00.25Z"), json!(1.5)]);
    let mut read = Read::default();
    answers.iter().for_each(|answer| read += answer.read);
    assert_eq!((read.scanned_bytes, (read.cost_usd * 1e6).round()), (30_000_000, 300.0));
    let asked = services.in_timestream.lock().unwrap().clone();
    let tokens: Vec<Option<&str>> = asked.iter().map(|(_, token)| token.as_deref()).collect();
    assert_eq!(tokens, [None, Some("1"), Some("2")]);
    assert!(asked.iter().all(|(statement, _)| *statement == asked[0].0));
    assert!(asked[0].0.contains("device_id = 'meter-1'") && asked[0].0.contains("FROM \"water\".\"samples\""));
    assert!(services.in_athena.lock().unwrap().is_empty());
}

#[tokio::test]
async fn older_samples_of_a_device_are_asked_of_files_and_no_moment_of_both() {
    let services = Services { stored: stored(), ..Services::default() };
    let catalog = Table::default();
    let answers = all(&answerer(&services, &catalog).await, device(120.0)).await.expect("answers");
    // Ninety days before now is 2025-11-02T10:30:00Z: the first day from which nothing has expired is the next one.
    let border = Timestamp::parse_rfc3339("2025-11-03T00:00:00Z").unwrap();
    let in_athena = services.in_athena.lock().unwrap().clone();
    assert_eq!(in_athena.len(), 1);
    assert!(in_athena[0].contains("sampled_at < TIMESTAMP '2025-11-03 00:00:00 UTC'"), "{}", in_athena[0]);
    assert!(
        in_athena[0].contains("AND DATE '2025-11-02'") && !in_athena[0].contains("s3tablescatalog"),
        "{}",
        in_athena[0]
    );
    let in_timestream = services.in_timestream.lock().unwrap().clone();
    assert!(in_timestream[0].0.contains(&format!("time >= from_milliseconds({})", border.0)), "{in_timestream:?}");
    assert_eq!(answers[0].columns, answers[1].columns);
    let at: Vec<&Value> = answers.iter().flat_map(|answer| &answer.rows).map(|row| &row[1]).collect();
    assert_eq!(at, [&json!("2025-10-01T00:00:00Z"), &json!("2026-01-31T10:00:00.25Z")]);
}

#[tokio::test]
async fn a_day_is_not_asked_of_timestream_in_the_hour_in_which_it_begins_to_leave() {
    let (services, catalog) = (Services::default(), Table::default());
    let answerer = answerer(&services, &catalog).await;
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let since = |now: &str| answerer.whole_since(at(now)).to_rfc3339().unwrap();
    assert_eq!(since("2026-01-31T22:59:59Z"), "2025-11-03T00:00:00Z");
    assert_eq!(since("2026-01-31T23:00:00Z"), "2025-11-04T00:00:00Z");
    assert_eq!(since("2026-02-01T00:00:00Z"), "2025-11-04T00:00:00Z");
}

#[tokio::test]
async fn sql_is_about_one_of_both() {
    let services = Services { stored: stored(), ..Services::default() };
    let catalog = Table::default();
    let answerer = answerer(&services, &catalog).await;
    all(&answerer, Request { zone: Some("a'b".into()), ..sql(80.0, 0.0) }).await.expect("answers");
    assert!(services.in_timestream.lock().unwrap()[0].0.contains("AND zone = 'a''b'"));
    all(&answerer, sql(120.0, 100.0)).await.expect("answers");
    assert_eq!(services.in_athena.lock().unwrap().len(), 1);
    let refused = all(&answerer, sql(120.0, 0.0)).await.expect_err("it is refused");
    assert!(refused.to_string().starts_with("samples since 2025-11-03T00:00:00Z are in Timestream"), "{refused}");
    all(&answerer, Request { files: true, ..sql(120.0, 0.0) }).await.expect("answers");
    let asked = services.in_athena.lock().unwrap()[1].clone();
    assert!(asked.contains("\"day\" BETWEEN DATE '2025-10-03' AND DATE '2026-01-31'"), "{asked}");
    assert_eq!(services.in_timestream.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn aggregates_are_asked_of_files_whatever_their_age() {
    let (services, catalog) = (Services::default(), Table::default());
    let mut answerer = answerer(&services, &catalog).await;
    let asked = Request { sql: Some("SELECT mean FROM aggregates".into()), ..sql(120.0, 0.0) };
    answerer.files.aggregates = Some("\"sums\"".to_owned());
    all(&answerer, asked).await.expect("answers");
    let in_athena = services.in_athena.lock().unwrap().clone();
    assert!(in_athena[0].contains("FROM \"sums\" WHERE \"day\" BETWEEN DATE '2025-10-03'"), "{}", in_athena[0]);
}

#[tokio::test]
async fn a_table_that_has_nothing_yet_is_asked_all_the_same() {
    let services = Services::default();
    let catalog = Table::default();
    all(&answerer(&services, &catalog).await, device(1.0)).await.expect("answers");
    let asked = services.in_timestream.lock().unwrap()[0].0.clone();
    assert!(asked.contains("WHERE 1 = 0") && asked.contains("CAST(NULL AS double) AS \"flow\""), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_is_asked_again_or_told() {
    let services = Services { pages: vec![0, 1], stored: stored(), ..Services::default() };
    let catalog = Table::default();
    let answerer = answerer(&services, &catalog).await;
    let first = answerer.answer(sql(1.0, 0.0), NOW, || false).await.expect("an answer");
    assert!(first.columns.is_empty() && first.rows.is_empty());
    let next = || Request { next: first.next.clone(), ..Request::default() };
    services.troubles.lock().unwrap().push_back(AskError::Busy);
    let busy = answerer.answer(next(), NOW, || false).await.expect("an answer");
    assert_eq!((busy.next.as_ref(), busy.read), (first.next.as_ref(), Read::default()));
    assert_eq!(answerer.answer(next(), NOW, || true).await.expect("an answer").rows.len(), 1);
    let said = [
        (AskError::Refused("line 1: no".into()), QueryError::Bad("line 1: no".into())),
        (AskError::Port(PortError("Query: no".into())), QueryError::Port(PortError("Query: no".into()))),
    ];
    for (trouble, error) in said {
        services.troubles.lock().unwrap().push_back(trouble);
        assert_eq!(answerer.answer(next(), NOW, || true).await, Err(error));
    }
    let nothing = Table::default();
    let answerer = Timestream { data_catalog: &nothing, ..answerer };
    let missing = answerer.answer(sql(1.0, 0.0), NOW, || true).await.expect_err("there is no table");
    assert_eq!(missing.to_string(), "there is no table `exported` in `water_dev`");
}
