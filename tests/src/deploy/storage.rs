//! Storing samples: the deployed binary of `store` reads the stream that `evaluate` has read, and its output in the
//! tables is asserted. What Firehose makes of the rows is not: no emulator delivers to Iceberg tables offline.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
};

use serde_json::{Value, json};

use super::{
    ACCOUNT, EMULATOR_PORT, Failure, REGION, Test,
    alert::{DEVICE, Raised},
};

impl Test {
    /// The columns of the table of samples, which the custom resource added when the emulator deployed it.
    pub(super) fn sample_columns(&mut self, wanted: &[&str]) -> Result<(), Failure> {
        let bucket = self.output("TableBucketArn")?.replace(':', "%3A").replace('/', "%2F");
        let path = format!("/iceberg/v1/{bucket}/namespaces/telemetry/tables/samples");
        let metadata = get(&path)?["metadata"].take();
        let schemas = metadata["schemas"].as_array().cloned().unwrap_or_default();
        let current = schemas.iter().find(|schema| schema["schema-id"] == metadata["current-schema-id"]);
        let fields = current.and_then(|schema| schema["fields"].as_array()).cloned().unwrap_or_default();
        let names: Vec<&str> = fields.iter().filter_map(|field| field["name"].as_str()).collect();
        let fixed = ["device_id", "sampled_at", "ingested_at", "zone", "device_type", "record", "other_readings"];
        self.transcript.equal("the table of samples has its columns", names, [&fixed, wanted].concat());
        Ok(())
    }

    pub(super) async fn samples_are_stored(&mut self, raised: &Raised) -> Result<(), Failure> {
        self.transcript.part("the same records stored: rows by device and time");
        let mut store = self.consumer("StoreFunctionName", "StoreCodeKey").await?;
        let records = self.stream_records(&store, &raised.stream)?;
        let delivery = store.deliver(&records).await?;
        self.transcript.equal("store took all of them", delivery.failures, Vec::<String>::new());
        let first = self.hot_rows()?;
        let of_device: Vec<&Value> = first.values().filter(|row| row["device_id"] == DEVICE).collect();
        let pressures: Vec<Value> = of_device.iter().map(|row| row["pressure"].clone()).take(7).collect();
        let sent = [45.2, 65.0, 65.0, 65.0, 65.0, 65.0, 65.0].map(|pressure| json!(pressure)).to_vec();
        self.transcript.equal("every sample of the device is a row", pressures, sent);
        let is_there = |row: &&Value| row["zone"] == "zone-a" && row["device_type"] == "pressure-logger";
        self.transcript.check("with its zone and its type", of_device.iter().all(is_there));
        if let Some(row) = of_device.first() {
            self.transcript.note(format!("| {row}"));
        }

        self.transcript.part("the same batch again, by a cold start after kill -9");
        store.kill().await?;
        self.empty_hot_table()?;
        let delivery = store.deliver(&records).await?;
        self.transcript.equal("store took all of them", delivery.failures, Vec::<String>::new());
        let again = self.hot_rows()?;
        self.transcript.check("every row is what it was", again == first);
        Ok(())
    }

    fn empty_hot_table(&mut self) -> Result<(), Failure> {
        let table = self.output("HotTableName")?;
        for item in self.rows(&table)? {
            let key = json!({ "device_id": item["device_id"], "sample": item["sample"] }).to_string();
            self.aws.call(&["dynamodb", "delete-item", "--table-name", &table, "--key", &key])?;
        }
        self.transcript.equal("the table was emptied before", self.rows(&table)?.len(), 0);
        Ok(())
    }

    /// The rows of the hot table, as readers see them: one for each device and time.
    pub(super) fn hot_rows(&self) -> Result<BTreeMap<(String, i64), Value>, Failure> {
        let items = self.rows(&self.output("HotTableName")?)?;
        let mut found = BTreeMap::new();
        for item in &items {
            let rows: Vec<Value> = serde_json::from_str(item["rows"]["S"].as_str().ok_or("an item without rows")?)?;
            for row in rows {
                let device = row["device_id"].as_str().ok_or("a row without a device")?.to_owned();
                found.insert((device, row["sampled_at"].as_i64().ok_or("a row without a time")?), row);
            }
        }
        Ok(found)
    }
}

/// Requests JSON from the emulator.
fn get(path: &str) -> Result<Value, Failure> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, EMULATOR_PORT))?;
    // The emulator reads account and region from here, and does not check signatures.
    let credential = format!("AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/s3tables/aws4_request");
    write!(connection, "GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: {credential}\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a body")?;
    Ok(serde_json::from_str(body)?)
}
