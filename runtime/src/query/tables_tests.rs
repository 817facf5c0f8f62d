//! Questions and answers, over an Athena and a hot table in memory.

use std::{collections::VecDeque, sync::Mutex};

use fleetform_engine::{
    position::SequenceNumber,
    rows::columns::{DEVICE_ID, FIXED, SAMPLED_AT},
};
use serde_json::json;

use super::*;
use crate::{
    iceberg::Metadata,
    query::Standing,
    results::{AskError, Page},
    store::hot::{Item, Items as HotItems},
};

const NOW: Timestamp = Timestamp(1_769_855_400_000);
const DAY: Millis = Millis::from_days(1);
const DEVICE: &str = "meter-1";

struct Catalogue;

impl Catalog for Catalogue {
    async fn load(&self, _: &TableName) -> Result<Option<Metadata>, PortError> {
        let names = [("pressure", "double"), ("order", "string")];
        let all = FIXED;
        let fixed = all.iter().map(|column| (column.name.as_str(), column.column_type.as_str()));
        let fields = (1..).zip(fixed.chain(names));
        let fields: Vec<Value> = fields
            .map(|(id, (name, kind))| json!({ "id": id, "name": name, "required": false, "type": kind }))
            .collect();
        let schema = json!({ "type": "struct", "schema-id": 0, "fields": fields });
        let metadata = json!({ "format-version": 2, "location": "s3://samples", "last-updated-ms": 0, "table-uuid": "u",
            "last-column-id": 9, "current-schema-id": 0, "schemas": [schema] });
        Ok(Some(serde_json::from_value(metadata).expect("metadata")))
    }

    async fn commit(&self, _: &TableName, _: &Value) -> Result<bool, PortError> {
        unreachable!("questions change nothing")
    }
}

/// The calls that Athena has received, and its next answers.
#[derive(Debug, Default)]
struct Script {
    asked: Mutex<Vec<String>>,
    starts: Mutex<VecDeque<AskError>>,
    standings: Mutex<VecDeque<Standing>>,
    rows: Vec<Vec<Option<String>>>,
}

impl Athena for &Script {
    async fn start(&self, sql: &str, name: &str) -> Result<String, AskError> {
        assert!((32..=128).contains(&name.len()));
        if let Some(error) = self.starts.lock().unwrap().pop_front() {
            return Err(error);
        }
        self.asked.lock().unwrap().push(sql.to_owned());
        Ok("query-1".to_owned())
    }

    async fn standing(&self, id: &str) -> Result<Standing, AskError> {
        assert_eq!(id, "query-1");
        Ok(self.standings.lock().unwrap().pop_front().unwrap_or(Standing::Done { scanned_bytes: 20_000_000 }))
    }

    async fn page(&self, _: &str, page: Option<&str>, rows: usize) -> Result<Page, AskError> {
        let begin = page.map_or(0, |page| page.parse().unwrap());
        let end = (begin + rows).min(self.rows.len());
        let columns = [(DEVICE_ID, "varchar"), (SAMPLED_AT, "timestamp(6) with time zone"), ("pressure", "double")];
        Ok(Page {
            columns: columns.map(|(name, kind)| (name.to_owned(), kind.to_owned())).to_vec(),
            rows: self.rows[begin..end].to_vec(),
            next: (end < self.rows.len()).then(|| end.to_string()),
        })
    }
}

/// A hot table that returns this many items per request.
#[derive(Debug)]
struct Hot {
    items: Vec<Item>,
    page: usize,
}

impl HotTable for Hot {
    async fn items(
        &self,
        device: &str,
        (from, to): (Timestamp, Timestamp),
        after: Option<String>,
    ) -> Result<Items, PortError> {
        let moment = |item: &Item| Timestamp(item.sample.split('#').next().unwrap().parse().unwrap());
        let within = |item: &&Item| {
            item.device == device
                && (from..to).contains(&moment(item))
                && after.as_ref().is_none_or(|after| item.sample > *after)
        };
        let mut found: Vec<&Item> = self.items.iter().filter(within).collect();
        found.sort_by(|a, b| a.sample.cmp(&b.sample));
        let more = found.len() > self.page;
        found.truncate(self.page);
        Ok(Items {
            last: found.last().filter(|_| more).map(|item| item.sample.clone()),
            items: found.into_iter().map(|item| (moment(item), item.rows.clone())).collect(),
            read_units: 2.5,
        })
    }
}

/// Rows of the device at these seconds before now, each in a record of its own, with additional values.
fn items(batches: &[&[(i64, u32, Value)]]) -> Vec<Item> {
    let mut all = Vec::new();
    for batch in batches {
        let mut items = HotItems::new(DAY, NOW);
        for (place, (before_s, record, more)) in batch.iter().enumerate() {
            let at = Timestamp(NOW.0 - before_s * 1_000);
            let mut row = json!({ "device_id": DEVICE, "sampled_at": at.0 * 1_000, "ingested_at": NOW.0 * 1_000,
                "zone": "a", "device_type": "meter", "record": format!("{record:056}") });
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let sequence = SequenceNumber::new(&record.to_string()).unwrap();
            items.add(DEVICE, at, sequence, place, row.to_string().as_bytes());
        }
        all.extend(items.finish());
    }
    all
}

fn answerer(athena: &Script, hot: Option<Hot>) -> Tables<Catalogue, &Script, Hot> {
    let [bucket_arn, namespace, table] =
        ["arn:aws:s3tables:us-east-1:1:bucket/water", "telemetry", "samples"].map(str::to_owned);
    Tables {
        catalog: Catalogue,
        athena,
        hot: hot.map(|hot| (hot, DAY)),
        table: TableName { bucket_arn, namespace, table },
        files: Files {
            exported: "\"awsdatacatalog\".\"water_dev\".\"exported\"".to_owned(),
            aggregates: None,
            keep: Millis(DAY.0 * 30),
        },
    }
}

fn before(seconds: i64) -> Option<String> {
    Timestamp(NOW.0 - seconds * 1_000).to_rfc3339()
}

fn device(from_s: i64) -> Request {
    Request {
        device: Some(DEVICE.to_owned()),
        readings: vec!["pressure".into()],
        from: before(from_s),
        ..Request::default()
    }
}

fn sql(question: &str, from_s: i64) -> Request {
    Request { sql: Some(question.to_owned()), from: before(from_s), ..Request::default() }
}

/// All answers to a question, one after another.
async fn all(answerer: &Tables<Catalogue, &Script, Hot>, mut request: Request) -> Result<Vec<Answer>, QueryError> {
    let mut answers = Vec::new();
    loop {
        let answer = answerer.answer(request, NOW, || true).await?;
        let next = answer.next.clone();
        answers.push(answer);
        match next {
            Some(next) => request = Request { next: Some(next), ..Request::default() },
            None => return Ok(answers),
        }
        assert!(answers.len() < 1_000, "it never ends");
    }
}

fn rows(answers: &[Answer]) -> Vec<Vec<Value>> {
    answers.iter().flat_map(|answer| answer.rows.clone()).collect()
}

fn row(before_s: i64, pressure: Value) -> Vec<Value> {
    vec![DEVICE.into(), before(before_s).into(), pressure]
}

#[tokio::test]
async fn a_day_of_a_device_is_one_request_of_the_hot_table() {
    let day: Vec<(i64, u32, Value)> =
        (0..2_880).map(|n| (86_390 - n * 30, n as u32, json!({ "pressure": n }))).collect();
    let batches: Vec<&[_]> = day.chunks(2).collect();
    let items = items(&batches);
    // Queries of DynamoDB end at 1 MB, names and values included ("Query", Amazon DynamoDB API).
    let size: usize = items.iter().map(|item| item.device.len() + item.sample.len() + item.rows.len() + 46).sum();
    assert!(size < 1_048_576, "{size}");
    let athena = Script::default();
    let answers =
        all(&answerer(&athena, Some(Hot { items, page: usize::MAX })), device(86_395)).await.expect("answers");
    assert_eq!(rows(&answers).len(), 2_880);
    assert_eq!((answers.len(), answers[0].read.hot_requests), (1, 1));
    assert!(answers[0].read.cost_usd > 0.0 && athena.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn in_each_column_the_value_counts_that_came_last() {
    let first = [(90, 5, json!({ "pressure": 1.5, "order": "x" })), (60, 6, json!({ "pressure": 2 }))];
    let again = [(90, 5, json!({ "pressure": 1.5, "order": "x" }))];
    let corrected = [(90, 7, json!({ "pressure": 9.5 })), (30, 8, json!({}))];
    let hot = Hot { items: items(&[&first, &again, &corrected]), page: 1 };
    let athena = Script::default();
    let asked = Request { readings: Vec::new(), ..device(3_600) };
    let answers = all(&answerer(&athena, Some(hot)), asked).await.expect("answers");
    let names: Vec<&str> = answers[0].columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["device_id", "sampled_at", "pressure", "order"]);
    let expected = [(90, json!(9.5), json!("x")), (60, json!(2), Value::Null), (30, Value::Null, Value::Null)];
    assert_eq!(rows(&answers), expected.map(|(at, pressure, order)| [row(at, pressure), vec![order]].concat()));
}

#[tokio::test]
async fn every_sample_is_in_one_answer_however_much_there_is() {
    let filler = "x".repeat(40_000);
    let samples: Vec<(i64, u32, Value)> =
        (0..900).map(|n| (80_000 - n * 60, n as u32, json!({ "pressure": n, "order": filler }))).collect();
    let batches: Vec<&[_]> = samples.chunks(7).collect();
    let hot = Hot { items: items(&batches), page: 3 };
    let athena = Script::default();
    let asked = Request { readings: vec!["pressure".into(), "order".into()], ..device(86_000) };
    let answers = all(&answerer(&athena, Some(hot)), asked).await.expect("answers");
    assert!(answers.len() > 10);
    assert!(answers.iter().all(|answer| serde_json::to_vec(answer).unwrap().len() < 6_000_000));
    let pressures: Vec<i64> = rows(&answers).iter().map(|row| row[2].as_i64().unwrap()).collect();
    assert_eq!(pressures, (0..900).collect::<Vec<_>>());
}

#[tokio::test]
async fn older_samples_come_from_the_table_and_newer_ones_from_the_hot_table() {
    let old = ["2026-01-29 10:30:00.000 UTC", "2026-01-29 10:30:30.500 UTC"];
    let athena = Script {
        rows: old.map(|at| vec![Some(DEVICE.to_owned()), Some(at.to_owned()), Some("3.0".to_owned())]).to_vec(),
        ..Script::default()
    };
    let hot = Hot { items: items(&[&[(60, 1, json!({ "pressure": 4 }))]]), page: 9 };
    let answers = all(&answerer(&athena, Some(hot)), device(3 * 86_400)).await.expect("answers");
    let asked = athena.asked.lock().unwrap().clone();
    let [asked] = &asked[..] else { panic!("one query: {asked:?}") };
    assert!(asked.contains("sampled_at < TIMESTAMP '2026-01-30 10:30:00 UTC'"), "{asked}");
    assert!(asked.contains("device_id = 'meter-1'") && !asked.contains("exported"), "{asked}");
    let all_rows = rows(&answers);
    assert_eq!(all_rows[1], [json!(DEVICE), json!("2026-01-29T10:30:30.5Z"), json!(3.0)]);
    assert_eq!((all_rows.len(), &all_rows[2]), (3, &row(60, json!(4))));
    let columns = |answer: &Answer| answer.columns.clone();
    assert_eq!(columns(&answers[0]), columns(answers.last().unwrap()));
    let scanned: u64 = answers.iter().map(|answer| answer.read.scanned_bytes).sum();
    assert_eq!(scanned, 20_000_000);
}

#[tokio::test]
async fn files_are_read_where_days_may_have_left_the_table() {
    let athena = Script::default();
    let answerer = answerer(&athena, None);
    for days in [29, 40] {
        let asked = Request { zone: Some("a".into()), ..sql("SELECT 1 FROM samples", days * 86_400) };
        all(&answerer, asked).await.expect("answers");
    }
    let asked = athena.asked.lock().unwrap().clone();
    assert!(!asked[0].contains("\"exported\""), "{}", asked[0]);
    assert!(
        asked[1].contains("\"day\" BETWEEN DATE '2025-12-22' AND DATE '2025-12-31' AND zone = 'a'"),
        "{}",
        asked[1]
    );
    assert!(asked[1].contains("FROM \"s3tablescatalog/water\".\"telemetry\".\"samples\""), "{}", asked[1]);
    assert!(asked[1].ends_with(")\nSELECT 1 FROM samples"), "{}", asked[1]);
}

#[tokio::test(start_paused = true)]
async fn what_runs_longer_than_the_function_is_asked_for_again() {
    let athena = Script::default();
    athena.standings.lock().unwrap().extend([Standing::Running, Standing::Running, Standing::Running]);
    athena.starts.lock().unwrap().push_back(AskError::Busy);
    let answerer = answerer(&athena, None);
    let tries = Mutex::new(0);
    let patience = || {
        *tries.lock().unwrap() += 1;
        *tries.lock().unwrap() < 3
    };
    let first = answerer.answer(sql("SELECT 1", 60), NOW, patience).await.expect("an answer");
    assert!(first.rows.is_empty() && first.columns.is_empty());
    let next = Request { next: first.next, ..Request::default() };
    let last = answerer.answer(next, NOW, || true).await.expect("an answer");
    assert_eq!((last.next, last.columns.len()), (None, 3));
    assert_eq!(athena.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let one = |n: usize| vec![Some(n.to_string()), None, Some("1".to_owned())];
    let athena = Script { rows: (0..2_500).map(one).collect(), ..Script::default() };
    let answers = all(&answerer(&athena, None), sql("SELECT 1", 60)).await.expect("answers");
    let found: Vec<usize> = rows(&answers).iter().map(|row| row[0].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(found, (0..2_500).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_answer_is_larger_than_lambda_takes() {
    let long = |n: usize| vec![Some(format!("{n:05}") + &"x".repeat(40_000)), None, None];
    let athena = Script { rows: (0..300).map(long).collect(), ..Script::default() };
    let answers = all(&answerer(&athena, None), sql("SELECT 1", 60)).await.expect("answers");
    assert!(answers.iter().all(|answer| serde_json::to_vec(answer).unwrap().len() < 6_000_000));
    let found: Vec<usize> = rows(&answers).iter().map(|row| row[0].as_str().unwrap()[..5].parse().unwrap()).collect();
    assert_eq!(found, (0..300).collect::<Vec<_>>());
    let athena = Script { rows: vec![vec![Some("x".repeat(6_000_000)), None, None]], ..Script::default() };
    let refused = all(&answerer(&athena, None), sql("SELECT 1", 60)).await.expect_err("it is refused");
    assert_eq!(refused, QueryError::Bad("a row has more than 5000000 bytes".to_owned()));
}

#[tokio::test]
async fn files_are_read_of_all_days_where_that_is_asked_for() {
    let athena = Script::default();
    let asked = Request { files: true, ..sql("SELECT 1 FROM samples", 5 * 86_400) };
    all(&answerer(&athena, None), asked).await.expect("answers");
    let asked = athena.asked.lock().unwrap()[0].clone();
    assert!(asked.contains("\"day\" BETWEEN DATE '2026-01-26' AND DATE '2026-01-31'"), "{asked}");
}

#[tokio::test]
async fn aggregates_are_there_for_those_who_name_them() {
    let athena = Script::default();
    let table = "\"awsdatacatalog\".\"water_dev\".\"aggregates\"".to_owned();
    let mut answerer = answerer(&athena, None);
    answerer.files.aggregates = Some(table);
    let asked = Request { zone: Some("a".into()), ..sql("SELECT mean FROM aggregates", 5 * 86_400) };
    all(&answerer, asked).await.expect("answers");
    all(&answerer, sql("SELECT 1 FROM samples", 60)).await.expect("answers");
    let asked = athena.asked.lock().unwrap().clone();
    assert!(asked[0].ends_with(")\nSELECT mean FROM aggregates"), "{}", asked[0]);
    let days = "FROM \"awsdatacatalog\".\"water_dev\".\"aggregates\" WHERE \"day\" BETWEEN DATE '2026-01-26' AND DATE \
                '2026-01-31' AND zone = 'a')";
    assert!(asked[0].contains(days), "{}", asked[0]);
    let window = "interval_start >= TIMESTAMP '2026-01-26 10:30:00 UTC' AND interval_start < TIMESTAMP '2026-01-31 \
                  10:30:00 UTC'";
    assert!(asked[0].contains(window), "{}", asked[0]);
    assert!(!asked[1].contains("aggregates"), "{}", asked[1]);
}

#[tokio::test]
async fn who_asks_for_aggregates_that_nobody_makes_is_told_what_would_make_them() {
    let athena = Script::default();
    let missing = "TABLE_NOT_FOUND: line 9:8: Table 'awsdatacatalog.water_dev.aggregates' does not exist";
    athena.standings.lock().unwrap().push_back(Standing::Failed(missing.into()));
    let answered = answerer(&athena, None).answer(sql("SELECT mean FROM aggregates", 60), NOW, || true).await;
    let Err(QueryError::Bad(reason)) = answered else { panic!("it is refused: {answered:?}") };
    assert!(reason.starts_with(missing) && reason.contains("`retention.downsample`"), "{reason}");
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said() {
    let athena = Script::default();
    let answerer = answerer(&athena, None);
    let said = async |request: Request| match answerer.answer(request, NOW, || true).await {
        Err(QueryError::Bad(reason)) => reason,
        other => panic!("it is refused: {other:?}"),
    };
    assert_eq!(said(Request::default()).await, "`from` is missing");
    assert!(said(Request { from: Some("yesterday".into()), ..sql("x", 1) }).await.starts_with("`from` is `yesterday`"));
    assert_eq!(said(Request { to: before(90), ..sql("x", 60) }).await, "`to` is not later than `from`");
    assert!(said(Request { device: Some("d".into()), ..sql("x", 60) }).await.starts_with("ask by `sql`"));
    assert!(said(Request { zone: Some("a".into()), ..device(60) }).await.starts_with("ask by `sql`"));
    let unknown = Request { readings: vec!["presure".into()], ..device(60) };
    assert!(said(unknown).await.starts_with("there is no reading `presure`; the table of samples has device_id,"));
    let long = format!("SELECT '{}'", "x".repeat(262_144));
    assert!(said(sql(&long, 60)).await.starts_with("the question has 262153 bytes, and with "));
    let next = |next: &str| Request { next: Some(next.to_owned()), ..Request::default() };
    assert!(said(next("!")).await.starts_with("`next` is not what"));
    assert_eq!(said(Request { next: Some("x".into()), ..sql("x", 60) }).await, "`next` stands alone");
    athena.standings.lock().unwrap().push_back(Standing::Failed("COLUMN_NOT_FOUND: line 9:8".into()));
    assert_eq!(said(sql("SELECT presure FROM samples", 60)).await, "COLUMN_NOT_FOUND: line 9:8");
    let quoted = Request { device: Some("o'neill".into()), ..device(60) };
    answerer.answer(quoted, NOW, || true).await.expect("an answer");
    assert!(athena.asked.lock().unwrap().last().unwrap().contains("device_id = 'o''neill'"));
}
