//! Rows are sent to a stand-in for Amazon Timestream with the requests that AWS would get, and are read back from what
//! it stores. The stand-in accepts everything: refusals are tested in memory.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aws_credential_types::Credentials;
use fleetform_engine::{
    drive::PortError,
    ids::DeviceId,
    position::SequenceNumber,
    rows::{
        Cell, Row,
        columns::{Column, ColumnType},
    },
    state::Registration,
    units::Timestamp,
};
use fleetform_runtime::{
    aws::{
        signed::{Client, SignedClient, http_client},
        timestream::{SERVICE, Timestream},
        timestream_rows::TimestreamTable,
    },
    store::{
        Handed, Keeping as _,
        batch::StoredRow,
        history::Registered,
        row::{Source, Whole},
        timestream::{Aside, TimestreamRows},
    },
};
use serde_json::{Value, json};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const NOW: i64 = 1_769_855_400_000;

/// The stand-in, which ends with the test.
struct StandIn {
    process: Child,
    endpoint: String,
}

impl StandIn {
    /// Starts it, if `cargo xtask tools` has installed it.
    fn start() -> Option<Self> {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/timestream/bin/python");
        if !python.exists() {
            eprintln!("left out: `cargo xtask tools` installs the stand-in for Timestream");
            return None;
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address: SocketAddr = free.local_addr().expect("its address");
        drop(free);
        let process = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let stand_in = Self { process, endpoint: format!("http://{address}") };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < START_TIMEOUT, "it does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        Some(stand_in)
    }

    fn client(&self) -> Timestream {
        let credentials = Credentials::new("id", "secret", None, None, "test");
        let client = SignedClient::new(http_client().expect("a client"), credentials, "us-east-1".to_owned(), SERVICE);
        Timestream::new(client, self.endpoint.clone(), false)
    }

    /// All records that it was sent.
    async fn records(&self, http: &Client) -> Vec<Value> {
        let answer = http.get(format!("{}/moto-api/data.json", self.endpoint)).send().await.expect("an answer");
        let kept: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
        let tables = kept["timestreamwrite"]["TimestreamTable"].as_array().expect("tables");
        let table = tables.iter().rfind(|table| table["name"] == "samples").expect("the table");
        table["records"].as_array().expect("records").clone()
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

type Rows = TimestreamRows<TimestreamTable, Nothing>;

/// A row of a device with a value of each kind.
fn row(rows: &Rows, number: u32) -> StoredRow {
    let device = format!("dev-{number}");
    let registered = Registered::before(&Registration {
        id: DeviceId::new(&device).expect("an id"),
        revision: 1,
        device_type: "meter".parse().expect("a type"),
        zone: "zone-a".parse().expect("a zone"),
        attributes: Vec::new(),
        retired: false,
    });
    let kinds = [
        ("count", ColumnType::Int),
        ("flow", ColumnType::Float),
        ("mode", ColumnType::Text),
        ("open", ColumnType::Bool),
    ];
    let columns = kinds.map(|(name, column_type)| Column { name: name.into(), column_type, required: false });
    let cells = vec![
        (0, Cell::Number(f64::from(number))),
        (1, Cell::Number(f64::from(number) / 4.0)),
        (2, Cell::Text("\"auto\" — été".into())),
        (3, Cell::Bool(number.is_multiple_of(2))),
    ];
    let (sampled_at, ingested_at) = (Timestamp(NOW + i64::from(number)), Timestamp(NOW + 5_000));
    let sequence = SequenceNumber::new(&(number + 1).to_string()).expect("a number");
    let own = Row { sampled_at, cells, other_readings: [("x".into(), json!([1, null]))].into() };
    let source = Source { device: &device, registered: &registered, ingested_at, sequence };
    let encoded = rows.encode(&Whole { source, row: &own, columns: &columns });
    let (json, whole) = (encoded.bytes, encoded.whole);
    StoredRow {
        record: number as usize,
        sequence,
        device: device.as_str().into(),
        sampled_at,
        ingested_at,
        json,
        whole,
    }
}

#[tokio::test]
async fn rows_are_found_as_they_were_sent() {
    let Some(stand_in) = StandIn::start() else { return };
    let asked = stand_in.client();
    asked.call::<Value>("CreateDatabase", &json!({ "DatabaseName": "water" })).await.expect("a database");
    let table = json!({ "DatabaseName": "water", "TableName": "samples" });
    asked.call::<Value>("CreateTable", &table).await.expect("a table");
    let rows = TimestreamRows {
        records: TimestreamTable::new(stand_in.client(), "water".to_owned(), "samples".to_owned()),
        aside: Nothing,
    };
    let all: Vec<StoredRow> = (0..250).map(|number| row(&rows, number)).collect();
    assert_eq!(rows.hand_over("shard-0", &all, &|| true).await, Handed::default());
    let records = stand_in.records(&http_client().expect("a client")).await;
    assert_eq!(records.len(), 250);
    let measure = |name: &str, value: &str, kind: &str| json!({ "Name": name, "Value": value, "Type": kind });
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record["Dimensions"][0], json!({ "Name": "device_id", "Value": format!("dev-{number}") }));
        assert_eq!(record["Time"], (NOW + number as i64).to_string());
        assert_eq!(record["Version"], NOW + 5_000);
        let sequence = SequenceNumber::new(&(number + 1).to_string()).expect("a number");
        let measures = json!([
            measure("ingested_at", &(NOW + 5_000).to_string(), "BIGINT"),
            measure("record", &sequence.digits(), "VARCHAR"),
            measure("other_readings", r#"{"x":[1,null]}"#, "VARCHAR"),
            measure("count", &number.to_string(), "BIGINT"),
            measure("flow", &(number as f64 / 4.0).to_string(), "DOUBLE"),
            measure("mode", "\"auto\" — été", "VARCHAR"),
            measure("open", &number.is_multiple_of(2).to_string(), "BOOLEAN"),
        ]);
        assert_eq!(record["MeasureValues"], measures);
    }
    // A missing table cannot be fixed by any record.
    let nowhere = TimestreamRows {
        records: TimestreamTable::new(stand_in.client(), "water".to_owned(), "elsewhere".to_owned()),
        aside: Nothing,
    };
    let left = nowhere.hand_over("shard-0", &all[..3], &|| true).await.left.expect("it is refused");
    assert_eq!(left.first, 0);
    assert!(left.why.0.contains("ResourceNotFoundException"), "{left:?}");
}
