//! Silence: the deployed binary of `sweep` sends the shards the time, and puts a lost notice into the stream again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Failure, Test,
    alert::{Raised, notification},
    delivery::Shards,
};
use crate::lambda_host::Outcome;

/// A device that has sent a single message.
const SILENT_DEVICE: &str = "sensor-002";

impl Test {
    pub(super) async fn sweep(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part("a sweep: the time for every shard, and a notice that its event source has lost");
        let lost = self.lose_a_notice(raised)?;
        self.register_device(SILENT_DEVICE)?;
        self.put_record_of(SILENT_DEVICE, &raised.stream, &twenty_minutes_ago())?;
        let mut sweep = self.function("SweepFunctionName", "JobsCodeKey").await?;
        let swept = sweep.invoke(&json!({})).await?;
        self.transcript.equal("sweep did all of it", swept, Outcome::Returned(json!({ "batchItemFailures": [] })));

        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        self.transcript.equal("each shard has one tick", ticks(&records), vec![1, 1]);
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("evaluate took them", delivery.failures, Vec::<String>::new());
        let rows = self.rows(&raised.outbox)?;
        let notices = rows.iter().map(|row| notification(Some(row))).collect::<Result<Vec<_>, _>>()?;
        let silent: Vec<_> = notices.iter().filter(|notice| notice["alert"]["rule"] == "silent").collect();
        self.transcript.equal("the silent device is missed, once", silent.len(), 1);
        let device = silent.first().map(|notice| notice["alert"]["device"].clone());
        self.transcript.equal("by its name", device, Some(json!(SILENT_DEVICE)));
        let quarantined = self.rows(&self.output("QuarantineTableName")?)?.len();
        self.transcript.equal("none of them is in quarantine", quarantined, 4);

        let records = self.table_records(&raised.notify, &raised.outbox)?;
        let delivery = raised.notify.deliver(&records).await?;
        self.transcript.equal("notify took what was put in again", delivery.failures, Vec::<String>::new());
        let rows = self.rows(&raised.outbox)?;
        let row = rows.iter().find(|row| row["id"]["S"] == lost.as_str());
        let status = row.map(|row| row["status"]["S"].clone());
        self.transcript.equal("the lost notice is sent", status, Some(json!("sent")));
        self.transcript.check("no notice is open any more", rows.iter().all(|row| row["open"].is_null()));
        Ok(())
    }

    /// Makes the only open notice look untouched for minutes, with all records of its table's stream given up; returns
    /// its id.
    fn lose_a_notice(&mut self, raised: &mut Raised) -> Result<String, Failure> {
        let rows = self.rows(&raised.outbox)?;
        let open: Vec<&str> =
            rows.iter().filter(|row| row["status"]["S"] == "new").filter_map(|row| row["id"]["S"].as_str()).collect();
        self.transcript.equal("one notice is open", open.len(), 1);
        let id = (*open.first().ok_or("no notice is open")?).to_owned();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let long_ago = (now - Duration::from_secs(300)).as_millis().to_string();
        self.aws.call(&[
            "dynamodb",
            "update-item",
            "--table-name",
            &raised.outbox,
            "--key",
            &json!({ "id": { "S": id } }).to_string(),
            "--update-expression",
            "SET touched_at = :long_ago",
            "--expression-attribute-values",
            &json!({ ":long_ago": { "N": long_ago } }).to_string(),
        ])?;
        let records = self.table_records(&raised.notify, &raised.outbox)?;
        raised.notify.lose(&records);
        Ok(id)
    }
}

/// A message from the silent device, as the topic rule wrapped it twenty minutes ago.
fn twenty_minutes_ago() -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let at = u64::try_from((now - Duration::from_secs(1_200)).as_millis()).expect("a time of our days");
    let message = json!({ "deviceId": SILENT_DEVICE, "readings": { "pressure": 50.0 } });
    let (d, p) = (SILENT_DEVICE, STANDARD.encode(message.to_string()));
    json!({ "ff": 1, "k": "message", "p": p, "d": d, "ch": "telemetry", "c": d, "t": at }).to_string().into_bytes()
}

/// The number of records in each shard that hold only the time.
fn ticks(shards: &Shards) -> Vec<usize> {
    let is_tick = |record: &&Value| {
        let data = STANDARD.decode(record["kinesis"]["data"].as_str().unwrap_or_default()).unwrap_or_default();
        serde_json::from_slice::<Value>(&data).is_ok_and(|record| record["k"] == "tick")
    };
    shards.values().map(|records| records.iter().filter(is_tick).count()).collect()
}
