//! Samples that `store` hands over to Timestream are queried by `query`, over HTTP, from a stand-in whose SQL is
//! DuckDB's; and so are the generated queries. Answers are compared with results that are computed here, without SQL.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use aws_credential_types::Credentials;
use fleetform_engine::{
    drive::PortError,
    ids::DeviceId,
    position::SequenceNumber,
    rows::{
        Cell, Row,
        columns::{Column, ColumnType, FIXED},
    },
    state::Registration,
    units::{Millis, Timestamp},
};
use fleetform_runtime::{
    aws::{
        signed::{SignedClient, http_client},
        timestream::{SERVICE, Timestream as Client},
        timestream_query::TimestreamQueries,
        timestream_rows::TimestreamTable,
    },
    data_catalog::{DataCatalog, Exported},
    event::query::{Answer, Request},
    query::{Answers as _, Athena, Files, QueryError, Standing, timestream::Timestream},
    results::{AskError, Page},
    store::{
        Handed, Keeping as _,
        batch::StoredRow,
        history::Registered,
        row::{Source, Whole},
        timestream::{Aside, TimestreamRows},
    },
};
use serde_json::{Value, json};

/// 2026-01-31T10:30:00Z, which the stand-in uses as well.
const NOW: Timestamp = Timestamp(1_769_855_400_000);
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// The stand-in, which ends with the test.
struct StandIn {
    process: Child,
    endpoint: String,
}

impl StandIn {
    /// Starts it, if `cargo xtask tools` has installed what it needs.
    fn start() -> Option<Self> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = own.join("../.tools/timestream/bin/python");
        if !python.exists() {
            eprintln!("left out: `cargo xtask tools` installs what the stand-in for Timestream needs");
            return None;
        }
        let mut command = Command::new(python);
        command.arg(own.join("tests/timestream_asked.py")).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let mut port = String::new();
        BufReader::new(process.stdout.take().expect("its output")).read_line(&mut port).expect("its port");
        Some(Self { process, endpoint: format!("http://127.0.0.1:{}", port.trim()) })
    }

    fn client(&self) -> Client {
        let credentials = Credentials::new("id", "secret", None, None, "test");
        let client = SignedClient::new(http_client().expect("a client"), credentials, "us-east-1".to_owned(), SERVICE);
        Client::new(client, self.endpoint.clone(), false)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // It may have ended already, which needs no report.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Nothing is refused here.
struct Nothing;

impl Aside for Nothing {
    async fn keep(&self, key: &str, _: Vec<u8>) -> Result<(), PortError> {
        Err(PortError(format!("{key} was to be set aside")))
    }
}

/// No file is queried here.
struct NoFiles;

impl Athena for NoFiles {
    async fn start(&self, sql: &str, _: &str) -> Result<String, AskError> {
        unreachable!("{sql}")
    }

    async fn standing(&self, id: &str) -> Result<Standing, AskError> {
        unreachable!("{id}")
    }

    async fn page(&self, id: &str, _: Option<&str>, _: usize) -> Result<Page, AskError> {
        unreachable!("{id}")
    }
}

/// The data catalog's description of exported files.
struct Catalog;

impl DataCatalog for Catalog {
    async fn find(&self, _: &str, _: &str) -> Result<Option<Value>, PortError> {
        let hive = |column: &Column| match column.column_type {
            ColumnType::Text => "string",
            ColumnType::Float => "double",
            ColumnType::Int => "bigint",
            ColumnType::Bool => "boolean",
            ColumnType::Time => "timestamp",
        };
        let columns = FIXED.into_iter().filter(|fixed| fixed.name != "zone").chain(own_columns());
        let columns: Vec<Value> = columns.map(|column| json!({ "Name": column.name, "Type": hive(&column) })).collect();
        Ok(Some(json!({ "StorageDescriptor": { "Columns": columns } })))
    }

    async fn put(&self, _: &Exported, _: Value, _: bool) -> Result<(), PortError> {
        unreachable!("questions change nothing")
    }
}

/// Columns whose names are not SQL keywords, and one whose name is; no device has ever sent `sent_by_nobody`.
fn own_columns() -> [Column; 5] {
    let kinds = [
        ("count", ColumnType::Int),
        ("order", ColumnType::Text),
        ("open", ColumnType::Bool),
        ("pressure", ColumnType::Float),
        ("sent_by_nobody", ColumnType::Float),
    ];
    kinds.map(|(name, column_type)| Column { name: name.into(), column_type, required: false })
}

/// A message: its device, the time that it is about, and when it came.
struct Message {
    device: &'static str,
    zone: &'static str,
    at: i64,
    came: i64,
    says: Vec<(u16, Cell)>,
}

/// Samples of two devices every ten minutes over nine hours, shuffled. Some are partly corrected, and some are sent
/// twice.
fn messages() -> Vec<Message> {
    let mut all = Vec::new();
    for number in 0..54_i64 {
        for (device, zone) in [("dev-1", "zone-a"), ("dev-2", "zone-b")] {
            let at = NOW.0 - number * 10 * MINUTE - 250;
            let came = at + 2_000;
            let pressure = Cell::Number(number as f64 / 4.0 + f64::from(device == "dev-2"));
            let whole = vec![
                (0, Cell::Number(number as f64)),
                (1, Cell::Text(format!("it's \"{number}\"").into())),
                (2, Cell::Bool(number % 2 == 0)),
                (3, pressure.clone()),
            ];
            all.push(Message { device, zone, at, came, says: whole.clone() });
            if number % 3 == 0 {
                all.push(Message {
                    device,
                    zone,
                    at,
                    came: came + MINUTE,
                    says: vec![(3, Cell::Number(100.0 + number as f64))],
                });
            }
            if number % 5 == 0 {
                all.push(Message { device, zone, at, came, says: whole });
            }
            if number % 7 == 0 {
                // Later than the whole sample, and before the correction.
                all.push(Message {
                    device,
                    zone,
                    at,
                    came: came + 1_000,
                    says: vec![(0, Cell::Number(-1.0)), (3, pressure)],
                });
            }
        }
    }
    // Not in the order in which they came.
    all.sort_by_key(|message| (message.at * 7_919).rem_euclid(1_009));
    all
}

type Samples = BTreeMap<(&'static str, i64), [Option<Value>; 5]>;

/// The samples that result from messages: for each column, the value that came last.
fn samples(messages: &[Message]) -> Samples {
    let mut by_arrival: Vec<&Message> = messages.iter().collect();
    by_arrival.sort_by_key(|message| message.came);
    let mut samples = Samples::new();
    for message in by_arrival {
        let sample = samples.entry((message.device, message.at)).or_default();
        for (index, cell) in &message.says {
            sample[usize::from(*index)] = Some(match cell {
                Cell::Number(number) if *index == 0 => json!(*number as i64),
                Cell::Number(number) => json!(number),
                Cell::Bool(truth) => json!(truth),
                Cell::Text(text) => json!(text),
            });
        }
    }
    samples
}

/// Messages as rows, each from a record of its own.
fn rows(table: &TimestreamRows<TimestreamTable, Nothing>, messages: &[Message]) -> Vec<StoredRow> {
    let columns = own_columns();
    let row = |(record, message): (usize, &Message)| {
        let registered = Registered::before(&Registration {
            id: DeviceId::new(message.device).expect("an id"),
            revision: 1,
            device_type: "pressure-logger".parse().expect("a type"),
            zone: message.zone.parse().expect("a zone"),
            attributes: Vec::new(),
            retired: false,
        });
        let (sampled_at, ingested_at) = (Timestamp(message.at), Timestamp(message.came));
        let sequence = SequenceNumber::new(&(record + 1).to_string()).expect("a number");
        let own = Row { sampled_at, cells: message.says.clone(), other_readings: Default::default() };
        let source = Source { device: message.device, registered: &registered, ingested_at, sequence };
        let encoded = table.encode(&Whole { source, row: &own, columns: &columns });
        let (json, whole) = (encoded.bytes, encoded.whole);
        StoredRow { record, sequence, device: message.device.into(), sampled_at, ingested_at, json, whole }
    };
    messages.iter().enumerate().map(row).collect()
}

type Answerer = Timestream<Catalog, TimestreamQueries, NoFiles>;

async fn ask(answerer: &Answerer, mut request: Request) -> Result<Vec<Vec<Value>>, QueryError> {
    let mut rows = Vec::new();
    loop {
        let Answer { rows: more, next, .. } = answerer.answer(request, NOW, || true).await?;
        rows.extend(more);
        match next {
            Some(next) => request = Request { next: Some(next), ..Request::default() },
            None => return Ok(rows),
        }
    }
}

fn sql(question: &str, hours: i64, zone: Option<&str>) -> Request {
    let from = Timestamp(NOW.0 - hours * HOUR).to_rfc3339();
    Request { sql: Some(question.to_owned()), from, zone: zone.map(str::to_owned), ..Request::default() }
}

fn moment(at: i64) -> Value {
    Timestamp(at).to_rfc3339().into()
}

/// A generated query, with the mean rounded if both sides add up in different orders.
fn generated(name: &str) -> String {
    let path = "../tests/fixtures/golden/timestream/out/dev/queries";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pressure(sample: &[Option<Value>; 5]) -> f64 {
    sample[3].as_ref().and_then(Value::as_f64).expect("every sample has one")
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Rows with rounded numbers: both sides add up in different orders.
fn rounded(rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    let round = |value: Value| value.as_f64().map_or(value, |number| json!((number * 1e9).round() / 1e9));
    rows.into_iter().map(|row| row.into_iter().map(round).collect()).collect()
}

#[tokio::test]
async fn samples_are_found_as_they_were_stored() {
    let Some(stand_in) = StandIn::start() else { return };
    let table = TimestreamRows {
        records: TimestreamTable::new(stand_in.client(), "water".to_owned(), "samples".to_owned()),
        aside: Nothing,
    };
    let answerer = Timestream {
        data_catalog: Catalog,
        queries: TimestreamQueries::new(stand_in.client()),
        athena: NoFiles,
        table: ("water".to_owned(), "samples".to_owned()),
        exported: ("water_dev".to_owned(), "exported".to_owned()),
        files: Files { exported: "exported".to_owned(), aggregates: None, keep: Millis::from_days(90) },
    };
    let device = |name: &str| {
        let from = Timestamp(NOW.0 - 24 * HOUR).to_rfc3339();
        Request { device: Some(name.to_owned()), from, ..Request::default() }
    };
    assert_eq!(ask(&answerer, device("dev-1")).await.expect("an answer"), Vec::<Vec<Value>>::new());
    let messages = messages();
    for batch in rows(&table, &messages).chunks(17) {
        assert_eq!(table.hand_over("shard-0", batch, &|| true).await, Handed::default());
    }
    let samples = samples(&messages);
    assert_eq!(samples.len(), 108);

    let said = |sample: &[Option<Value>; 5]| sample.clone().map(|value| value.unwrap_or(Value::Null));
    for name in ["dev-1", "dev-2"] {
        let of_device = samples.iter().filter(|((device, _), _)| *device == name);
        let wanted: Vec<Vec<Value>> = of_device
            .map(|((_, at), sample)| [vec![name.into(), moment(*at)], said(sample).to_vec()].concat())
            .collect();
        assert_eq!(ask(&answerer, device(name)).await.expect("an answer"), wanted);
    }

    let found =
        ask(&answerer, sql("SELECT count(*) AS n, sum(\"count\") AS c FROM samples WHERE zone = 'zone-b'", 5, None));
    let newest = samples.iter().filter(|((device, at), _)| *device == "dev-2" && *at >= NOW.0 - 5 * HOUR);
    let counts: Vec<i64> = newest.map(|(_, sample)| sample[0].as_ref().and_then(Value::as_i64).expect("one")).collect();
    assert_eq!(found.await.expect("an answer"), [[json!(counts.len()), json!(counts.iter().sum::<i64>())]]);
    let refused =
        ask(&answerer, sql("SELECT presure FROM samples", 5, None)).await.expect_err("there is no such column");
    assert!(matches!(&refused, QueryError::Bad(reason) if reason.contains("presure")), "{refused:?}");

    let mut hours: BTreeMap<(i64, &str), Vec<f64>> = BTreeMap::new();
    let newest = samples.iter().filter(|((_, at), _)| *at >= NOW.0 - 24 * HOUR);
    newest.for_each(|((device, at), sample)| {
        hours.entry((-at.div_euclid(HOUR), device)).or_default().push(pressure(sample))
    });
    let wanted = hours.iter().map(|((hour, device), values)| {
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        vec![(*device).into(), moment(-hour * HOUR), json!(mean(values)), json!(most)]
    });
    let found = ask(&answerer, sql(&generated("hourly.sql"), 24, None)).await.expect("an answer");
    assert_eq!(rounded(found), rounded(wanted.collect()));

    let of_zone: Vec<(i64, f64)> = samples
        .iter()
        .filter(|((device, at), _)| *device == "dev-1" && *at >= NOW.0 - 7 * HOUR)
        .map(|((_, at), sample)| (*at, pressure(sample)))
        .collect();
    let wanted = of_zone.iter().rev().filter(|(at, _)| *at >= NOW.0 - 6 * HOUR).map(|(at, value)| {
        let hour = of_zone.iter().filter(|(earlier, _)| (at - HOUR..=*at).contains(earlier));
        let values: Vec<f64> = hour.map(|(_, value)| *value).collect();
        vec!["dev-1".into(), moment(*at), json!(value), json!(mean(&values))]
    });
    let found = ask(&answerer, sql(&generated("rolling-hour.sql"), 7, Some("zone-a"))).await.expect("an answer");
    assert_eq!(rounded(found), rounded(wanted.collect()));
}
