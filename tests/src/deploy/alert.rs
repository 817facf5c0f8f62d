//! From a record to an alert: telemetry is put on the deployed stream, the deployed programs are run on it as Lambda
//! would run them, and their output in the services is asserted.

use std::{
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{ACCOUNT, Failure, REGION, Test, delivery::Consumer, platform::SECRET_KEY};
use crate::webhook;

pub(super) const DEVICE: &str = "sensor-001";

/// What one part of the test passes on to the next.
pub(super) struct Raised {
    pub(super) evaluate: Consumer,
    pub(super) notify: Consumer,
    pub(super) stream: String,
    pub(super) outbox: String,
    /// A queue that is subscribed to the contact's e-mail topic, since no one reads e-mail here.
    queue: String,
}

impl Test {
    pub(super) async fn raise_alert(&mut self) -> Result<Raised, Failure> {
        self.transcript.part("a record in: telemetry of a registered device");
        let mut raised = Raised {
            evaluate: self.consumer("EvaluateFunctionName", "EvaluateCodeKey").await?,
            notify: self.consumer("NotifyFunctionName", "DeliverCodeKey").await?,
            stream: self.output("TelemetryStreamName")?,
            outbox: self.output("OutboxTableName")?,
            queue: self.subscribe_queue()?,
        };
        self.register_device(DEVICE)?;
        // One plain record, as from a producer without MQTT; the others as the topic rule wraps a device's messages.
        self.put_record(&raised.stream, &message(360, json!(45.2)))?;
        for age_s in [300, 240, 180, 120, 60, 0] {
            self.put_record(&raised.stream, &wrapped(&message(age_s, json!(65.0))))?;
        }
        // Through the deployed topic rule, but over HTTPS: without a client id, the device is not authenticated.
        self.publish(&message(0, json!(99.0)))?;
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        let count: usize = records.values().map(Vec::len).sum();
        // One for each shard with the rule set, and one that registers the device.
        self.transcript.equal("records on the stream", count, 2 + 1 + 7 + 1);
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("evaluate took all of them", delivery.failures, Vec::<String>::new());
        self.assert_raised(&raised)?;

        self.transcript.part("the same batch again, by a cold start after kill -9");
        raised.evaluate.kill().await?;
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("case_24: evaluate took all of them", delivery.failures, Vec::<String>::new());
        self.transcript.equal("case_24: one row in the outbox", self.rows(&raised.outbox)?.len(), 1);
        Ok(raised)
    }

    fn assert_raised(&mut self, raised: &Raised) -> Result<(), Failure> {
        let outbox = self.rows(&raised.outbox)?;
        self.transcript.equal("one row in the outbox", outbox.len(), 1);
        let notification = notification(outbox.first())?;
        self.transcript.equal("it says that the alert is firing", &notification["kind"], "firing");
        self.transcript.equal("of the rule", &notification["alert"]["rule"], "high-pressure");
        self.transcript.equal("on the device", &notification["alert"]["device"], DEVICE);
        self.transcript.equal("with the value", &notification["alert"]["value"], &json!(65.0));
        let alerts = self.rows(&self.output("AlertsTableName")?)?;
        self.transcript.equal("one row in the alert history", alerts.len(), 1);
        let quarantined = self.rows(&self.output("QuarantineTableName")?)?;
        let reasons: Vec<_> = quarantined.iter().filter_map(|row| row["reason"]["S"].as_str()).collect();
        self.transcript.equal("what came by HTTPS is in quarantine", reasons, vec!["identity_mismatch"]);
        let bucket = self.output("StateBucketName")?;
        let objects =
            self.aws.list(&["s3api", "list-objects-v2", "--bucket", &bucket, "--prefix", "log/"], "Contents")?;
        self.transcript.check("the state log holds a delta", !objects.is_empty());
        Ok(())
    }

    pub(super) async fn deliver_alert(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part("an alert out: SNS and a signed webhook");
        let records = self.table_records(&raised.notify, &raised.outbox)?;
        let delivery = raised.notify.deliver(&records).await?;
        self.transcript.equal("notify took the outbox row", delivery.failures, Vec::<String>::new());
        let mails = self.received_by_queue(&raised.queue)?;
        self.transcript.equal("SNS delivered one message", mails.len(), 1);
        let text = mails.first().map(String::as_str).unwrap_or_default();
        self.transcript.note(format!("| {text}"));
        self.transcript.check("it names device and zone", text.contains(DEVICE) && text.contains("North reservoir"));
        self.assert_webhook().await;

        self.transcript.part("the same outbox row again");
        raised.notify.kill().await?;
        let delivery = raised.notify.deliver(&records).await?;
        self.transcript.equal("notify took it", delivery.failures, Vec::<String>::new());
        self.transcript.equal("SNS delivered nothing more", self.received_by_queue(&raised.queue)?.len(), 0);
        self.transcript.equal("nor did the webhook", self.webhook.received().await.len(), 1);
        let deliveries = self.rows(&self.output("DeliveriesTableName")?)?;
        let sent: Vec<_> = deliveries.iter().filter_map(|row| row["status"]["S"].as_str()).collect();
        self.transcript.equal("one delivery for each channel, all sent", sent, vec!["sent"; 3]);
        Ok(())
    }

    async fn assert_webhook(&mut self) {
        let received = self.webhook.received().await;
        self.transcript.equal("the webhook was called once", received.len(), 1);
        let Some(request) = received.first() else { return };
        self.transcript.equal("at its path", request.target.as_str(), "/hooks/alerts");
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        let mut signed = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).into_bytes();
        signed.extend(&request.body);
        let wanted = format!("v1,{}", STANDARD.encode(webhook::signature(SECRET_KEY, &signed)));
        self.transcript.equal("with a valid signature", header("webhook-signature"), wanted);
        let text = String::from_utf8_lossy(&request.body).into_owned();
        self.transcript.note(format!("| {text}"));
        self.transcript.check("it names the device", text.contains(DEVICE));
    }

    pub(super) async fn bad_records_are_set_aside(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part("records that cannot be read");
        let stream = raised.stream.clone();
        self.put_record(&stream, b"not JSON")?;
        self.put_record(&stream, &message(0, json!("61")))?;
        self.put_record(&stream, json!({ "deviceId": DEVICE, "readings": [] }).to_string().as_bytes())?;
        let records = self.stream_records(&raised.evaluate, &stream)?;
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("evaluate took the batch", delivery.failures, Vec::<String>::new());
        let rows = self.rows(&self.output("QuarantineTableName")?)?;
        let mut reasons: Vec<_> = rows.iter().filter_map(|row| row["reason"]["S"].as_str()).collect();
        reasons.sort_unstable();
        self.transcript.equal("each is in quarantine with its reason, beside the one from before", reasons.len(), 4);
        self.transcript.note(format!("| {}", reasons.join(", ")));
        self.transcript.check("case_27: a number in quotes has the wrong type", reasons.contains(&"wrong_type"));
        self.transcript.equal("the outbox is as it was", self.rows(&raised.outbox)?.len(), 1);
        Ok(())
    }

    pub(super) async fn adopt_rules(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part("the changed rule, told to the running shards by a record");
        // A new sample makes the device's shard evaluate its alerts with the new rules.
        self.put_record(&raised.stream, &wrapped(&message(0, json!(57.0))))?;
        raised.evaluate = self.renewed(raised).await?;
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("evaluate took them", delivery.failures, Vec::<String>::new());
        let kinds =
            self.rows(&raised.outbox)?.iter().map(|row| notification(Some(row))).collect::<Result<Vec<_>, _>>()?;
        let resolved: Vec<_> = kinds.iter().filter(|notification| notification["kind"] == "resolved").collect();
        self.transcript.equal("the alert of the old rule is resolved, once", resolved.len(), 1);
        let reason = resolved.first().map(|notification| notification["alert"]["state"]["reason"].clone());
        self.transcript.equal("because the rule changed", reason, Some(json!("rule_changed")));
        Ok(())
    }

    /// The function after the update, at the position in the stream where the previous one stopped.
    pub(super) async fn renewed(&self, raised: &Raised) -> Result<Consumer, Failure> {
        let consumer = self.consumer("EvaluateFunctionName", "EvaluateCodeKey").await?;
        Ok(consumer.continuing(&raised.evaluate))
    }

    /// Uses the stream's name: the emulator converts generated names to lower case, so the command cannot find it.
    pub(super) fn register_device(&mut self, device: &str) -> Result<(), Failure> {
        let stream = self.output("TelemetryStreamName")?;
        let output = Command::new(&self.setup.fleetform)
            .args(["devices", "add", device, "--type", "pressure-logger", "--zone", "zone-a", "--record-only"])
            .args(["--file", self.platform_file().as_str(), "--env", "test", "--stream", &stream])
            .env_clear()
            .envs(self.aws.environment())
            .output()?;
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        self.transcript.check(&format!("fleetform devices add {device} --record-only"), output.status.success());
        if output.status.success() { Ok(()) } else { Err(printed.into()) }
    }

    /// Publishes as the device would; the deployed topic rule does the rest.
    fn publish(&self, payload: &[u8]) -> Result<(), Failure> {
        let file = self.setup.work.join("payload.json");
        std::fs::write(&file, payload)?;
        let topic = format!("sensors/{DEVICE}/telemetry");
        self.aws.call(&["iot-data", "publish", "--topic", &topic, "--payload", &format!("fileb://{file}")])?;
        Ok(())
    }

    fn put_record(&self, stream: &str, data: &[u8]) -> Result<(), Failure> {
        self.put_record_of(DEVICE, stream, data)
    }

    pub(super) fn put_record_of(&self, device: &str, stream: &str, data: &[u8]) -> Result<(), Failure> {
        let file = self.setup.work.join("record.json");
        std::fs::write(&file, data)?;
        let data = format!("fileb://{file}");
        self.aws.call(&[
            "kinesis",
            "put-record",
            "--stream-name",
            stream,
            "--partition-key",
            device,
            "--data",
            &data,
        ])?;
        Ok(())
    }

    pub(super) fn rows(&self, table: &str) -> Result<Vec<Value>, Failure> {
        Ok(self.aws.list(&["dynamodb", "scan", "--table-name", table], "Items")?)
    }

    fn subscribe_queue(&self) -> Result<String, Failure> {
        let queue = self.aws.call(&["sqs", "create-queue", "--queue-name", "mailbox"])?;
        let queue = queue["QueueUrl"].as_str().ok_or("no queue URL")?.to_owned();
        let topic = format!("arn:aws:sns:{REGION}:{ACCOUNT}:deploy-test-test-oncall-email");
        let endpoint = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:mailbox");
        self.aws.call(&[
            "sns",
            "subscribe",
            "--topic-arn",
            &topic,
            "--protocol",
            "sqs",
            "--notification-endpoint",
            &endpoint,
        ])?;
        Ok(queue)
    }

    /// The texts that SNS has put on the queue since the last call.
    fn received_by_queue(&self, queue: &str) -> Result<Vec<String>, Failure> {
        let mut texts = Vec::new();
        loop {
            let words = ["sqs", "receive-message", "--queue-url", queue, "--max-number-of-messages", "10"];
            let messages = self.aws.list(&words, "Messages")?;
            if messages.is_empty() {
                return Ok(texts);
            }
            for message in messages {
                let envelope: Value = serde_json::from_str(message["Body"].as_str().unwrap_or_default())?;
                texts.push(envelope["Message"].as_str().unwrap_or_default().to_owned());
                let handle = message["ReceiptHandle"].as_str().unwrap_or_default();
                self.aws.call(&["sqs", "delete-message", "--queue-url", queue, "--receipt-handle", handle])?;
            }
        }
    }
}

pub(super) fn notification(row: Option<&Value>) -> Result<Value, Failure> {
    let text = row.and_then(|row| row["notification"]["S"].as_str()).ok_or("no notification in the row")?;
    Ok(serde_json::from_str(text)?)
}

/// A message from a device with a correct clock, sent this many seconds ago.
pub(super) fn message(age_s: u64, pressure: Value) -> Vec<u8> {
    json!({
        "deviceId": DEVICE,
        "timestamp": rfc3339_ago(age_s),
        "readings": { "flowRate": 125.5, "pressure": pressure, "temperature": 18.3 },
        "batteryLevel": 85,
        "signalStrength": -65,
    })
    .to_string()
    .into_bytes()
}

/// A record as the topic rule makes it from a message that a device published over MQTT.
fn wrapped(payload: &[u8]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
    let now = u64::try_from(now).expect("a time of our days");
    let payload = STANDARD.encode(payload);
    json!({ "ff": 1, "k": "message", "p": payload, "d": DEVICE, "ch": "telemetry", "c": DEVICE, "t": now })
        .to_string()
        .into_bytes()
}

/// The time this many seconds ago.
pub(super) fn rfc3339_ago(age_s: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    rfc3339(now - age_s)
}

pub(super) fn rfc3339(epoch_s: u64) -> String {
    let second = jiff::Timestamp::from_second(i64::try_from(epoch_s).expect("a time of our days"));
    second.expect("a time of our days").to_string()
}
