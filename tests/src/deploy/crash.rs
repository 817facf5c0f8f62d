//! Programs that are killed, and programs that compete for a shard: whatever happens to them, the outbox must hold
//! exactly one row for each alert.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Failure, Test,
    alert::{Raised, notification, rfc3339},
};

/// The number of devices in one part; each raises one alert.
const DEVICES: usize = 100;
/// The number of samples, a minute apart, with which a device finally breaches its rule: enough to fire within the
/// alert's time.
const BREACHES: usize = 9;
/// Maximum records in one call (`PutRecords`).
const PUT_RECORDS_MAX: usize = 500;
/// One in this many invocations is killed: less often than would make the records of a batch suspects.
const KILL_EVERY: u32 = 3;
/// When it is killed, as a fraction of the duration of the previous invocation.
const KILLED_AT: [f64; 6] = [0.15, 0.3, 0.45, 0.6, 0.75, 0.9];
/// The records per batch when two programs compete: many small batches, so that they often collide.
const FOUGHT_BATCH: usize = 50;

impl Test {
    pub(super) async fn programs_are_killed_in_mid_batch(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part("kill -9 in the middle of ten thousand records");
        // Together with the registration, that makes a hundred records per device.
        self.put_fleet(&raised.stream, "killed", 99)?;
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        let count: usize = records.values().map(Vec::len).sum();
        self.transcript.equal("records on the stream", count, DEVICES * 100);
        let (mut number, mut kills, mut took) = (0_u32, 0_usize, Duration::ZERO);
        let delivery = raised
            .evaluate
            .deliver_with(&records, async |host, event| {
                number += 1;
                let began = Instant::now();
                if !number.is_multiple_of(KILL_EVERY) {
                    let outcome = host.invoke(event).await;
                    took = began.elapsed();
                    return outcome;
                }
                kills += 1;
                host.invoke_for(event, took.mul_f64(KILLED_AT[kills % KILLED_AT.len()])).await
            })
            .await?;
        self.transcript.note(format!("{number} invocations, {} of them killed", delivery.failures.len()));
        self.transcript.check("some were killed", !delivery.failures.is_empty());
        self.transcript.equal("nothing was given up", delivery.given_up, Vec::<usize>::new());
        self.assert_one_row_each(raised, "killed")
    }

    pub(super) async fn two_environments_share_a_shard(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part("two environments on the same shards at once");
        self.put_fleet(&raised.stream, "fought-over", 19)?;
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        let count: usize = records.values().map(Vec::len).sum();
        self.transcript.equal("records on the stream", count, DEVICES * 20);
        let mut one = self.renewed(raised).await?.in_batches_of(FOUGHT_BATCH);
        let mut other = self.renewed(raised).await?.in_batches_of(FOUGHT_BATCH);
        let (first, second) = tokio::join!(one.deliver(&records), other.deliver(&records));
        let (first, second) = (first?, second?);
        self.transcript.note(format!("{} and {} invocations", first.invocations, second.invocations));
        self.transcript.equal("the first gave nothing up", first.given_up, Vec::<usize>::new());
        self.transcript.equal("nor did the second", second.given_up, Vec::<usize>::new());
        raised.evaluate = self.renewed(raised).await?.continuing(&one);
        self.assert_one_row_each(raised, "fought-over")
    }

    /// Each device of a part has one notice and one alert, and none of its records is in quarantine.
    fn assert_one_row_each(&mut self, raised: &Raised, part: &str) -> Result<(), Failure> {
        let mut notices = BTreeMap::new();
        for row in self.rows(&raised.outbox)? {
            let notice = notification(Some(&row))?;
            let device = notice["alert"]["device"].as_str().unwrap_or_default().to_owned();
            if device.starts_with(part) {
                *notices.entry((device, notice["kind"].to_string())).or_insert(0_usize) += 1;
            }
        }
        let wanted: BTreeMap<_, _> =
            (0..DEVICES).map(|number| ((device(part, number), json!("firing").to_string()), 1)).collect();
        self.transcript.check("one row in the outbox for each device, and no other", notices == wanted);
        if notices != wanted {
            self.transcript.note(format!("{} devices and kinds: {notices:?}", notices.len()));
        }
        let quarantined = self.rows(&self.output("QuarantineTableName")?)?;
        self.transcript.equal("the quarantine is as it was", quarantined.len(), 4);
        Ok(())
    }

    /// Registers the devices of a part, and sends this many samples from each; the last ones breach the rule.
    fn put_fleet(&self, stream: &str, part: &str, samples: usize) -> Result<(), Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut records: Vec<Value> = (0..DEVICES).map(|number| registration(&device(part, number), now)).collect();
        for sample in 0..samples {
            records.extend((0..DEVICES).map(|number| telemetry(&device(part, number), samples - 1 - sample, now)));
        }
        let file = self.setup.work.join("records.json");
        for some in records.chunks(PUT_RECORDS_MAX) {
            fs::write(&file, json!({ "StreamName": stream, "Records": some }).to_string())?;
            let answer = self.aws.call(&["kinesis", "put-records", "--cli-input-json", &format!("file://{file}")])?;
            if answer["FailedRecordCount"].as_u64() != Some(0) {
                return Err("the stream did not take all records".into());
            }
        }
        Ok(())
    }
}

fn device(part: &str, number: usize) -> String {
    format!("{part}-{number:03}")
}

fn registration(device: &str, now: Duration) -> Value {
    let record = json!({
        "ff": 1, "k": "device", "d": device, "rev": millis(now), "type": "pressure-logger", "zone": "zone-a",
        "attributes": {}, "retired": false, "t": millis(now),
    });
    entry(device, &record)
}

/// A sample from this many minutes ago, as the topic rule wraps it.
fn telemetry(device: &str, age_min: usize, now: Duration) -> Value {
    let pressure = if age_min < BREACHES { 65.0 } else { 45.0 };
    let payload = json!({
        "deviceId": device,
        "timestamp": rfc3339(now.as_secs() - 60 * age_min as u64),
        "readings": { "pressure": pressure },
    });
    let payload = STANDARD.encode(payload.to_string());
    let record = json!({
        "ff": 1, "k": "message", "p": payload, "d": device, "ch": "telemetry", "c": device, "t": millis(now),
    });
    entry(device, &record)
}

/// Version 1 of the AWS CLI takes the data of a record unencoded.
fn entry(device: &str, record: &Value) -> Value {
    json!({ "PartitionKey": device, "Data": record.to_string() })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a time of our days")
}
