//! The peer in Rust, as one would write it in an afternoon: `aws_lambda_events`, `serde_json::Value`, and a loop over
//! the rules.

use std::collections::{BTreeMap, HashMap, HashSet};

use aws_lambda_events::event::kinesis::KinesisEvent;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_consumers::{
    Failure, Pass,
    folder::Folder,
    rules::{COOLDOWN_MS, Rule},
    tally::Tally,
};
use serde_json::Value;

pub(crate) struct Straightforward<'a> {
    rules: &'a [Rule],
    devices: &'a BTreeMap<String, String>,
    firing: HashMap<String, HashSet<usize>>,
    noticed: HashMap<(usize, String), i64>,
    alerts: Vec<Value>,
    tally: Tally,
}

impl<'a> Straightforward<'a> {
    pub(crate) fn new(folder: &'a Folder) -> Self {
        Self {
            rules: &folder.rules,
            devices: &folder.devices,
            firing: HashMap::new(),
            noticed: HashMap::new(),
            alerts: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn sample(&mut self, device: &str, zone: &str, sample: &Value, ingested_at: i64) {
        let firing = self.firing.entry(device.to_owned()).or_default();
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.zone.as_deref().is_some_and(|of| of != zone) {
                continue;
            }
            let Some(value) = sample["readings"][&rule.metric].as_f64() else { continue };
            if value > rule.threshold {
                if firing.insert(index) {
                    self.tally.alerts += 1;
                    let key = (index, device.to_owned());
                    if self.noticed.get(&key).is_some_and(|last| ingested_at - last < COOLDOWN_MS) {
                        self.tally.suppressed += 1;
                    } else {
                        self.noticed.insert(key, ingested_at);
                        self.alerts.push(serde_json::json!({
                            "type": rule.id, "device": device, "value": value, "threshold": rule.threshold,
                            "timestamp": sample["timestamp"],
                        }));
                    }
                }
            } else if firing.remove(&index) {
                self.tally.resolved += 1;
            }
        }
    }
}

/// The samples of a message, if it is valid.
fn samples(message: &Value) -> Option<Vec<&Value>> {
    let samples: Vec<&Value> = match message.get("records") {
        Some(records) => records.as_array()?.iter().collect(),
        None => vec![message],
    };
    let good = |sample: &&Value| sample["readings"].as_object().is_some_and(|all| all.values().all(Value::is_number));
    samples.iter().all(good).then_some(samples)
}

impl Pass for Straightforward<'_> {
    fn event(&mut self, body: &[u8]) -> Result<(), Failure> {
        let event: KinesisEvent = serde_json::from_slice(body)?;
        self.alerts.clear();
        for record in event.records {
            self.tally.records += 1;
            let wrapped: Value = serde_json::from_slice(&record.kinesis.data.0)?;
            let device = wrapped["d"].as_str().ok_or("no device")?;
            let payload = STANDARD.decode(wrapped["p"].as_str().ok_or("no payload")?)?;
            let message = serde_json::from_slice::<Value>(&payload).ok();
            let Some(samples) = message.as_ref().and_then(samples) else {
                self.tally.malformed += 1;
                continue;
            };
            let zone = self.devices.get(device).ok_or("a device that nobody knows")?;
            let ingested_at = wrapped["t"].as_i64().ok_or("no time")?;
            for sample in samples {
                self.sample(device, zone, sample, ingested_at);
            }
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
