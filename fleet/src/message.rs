//! Messages as devices write them: samples in the form that the platform file describes, and messages that are
//! invalid.

use fleetform_engine::{
    ids::DeviceId,
    rule_set::MessageFormat,
    session::{put_at_path, write_time},
    units::Timestamp,
};
use serde_json::{Map, Value, json};

/// Maximum size of a message in bytes, below the limit of the platform.
const BYTES_MAX: usize = 100_000;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Measurements of the device.
    Telemetry,
    /// A report that the device is online.
    Online,
    /// The device is gone. The broker publishes it, as the will of the device.
    Will,
}

impl Kind {
    /// Returns the channel that the message is sent on.
    pub const fn channel(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Online | Self::Will => "status",
        }
    }
}

/// A message on the channel `status`: that a device is online or offline.
pub fn status(is_online: bool) -> Vec<u8> {
    let status = if is_online { "online" } else { "offline" };
    json!({ "status": status }).to_string().into_bytes()
}

/// A message of a device.
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
    pub(crate) samples: usize,
    pub(crate) is_malformed: bool,
}

impl Message {
    /// Published by the device itself.
    pub(crate) fn online() -> Self {
        Self { kind: Kind::Online, payload: status(true), samples: 0, is_malformed: false }
    }

    /// Published by the broker once the device is gone.
    pub(crate) fn will() -> Self {
        Self { kind: Kind::Will, payload: status(false), samples: 0, is_malformed: false }
    }

    fn telemetry(payload: &Value, samples: usize) -> Self {
        let payload = payload.to_string().into_bytes();
        Self { kind: Kind::Telemetry, payload, samples, is_malformed: false }
    }
}

/// One sample.
pub(crate) struct Sample {
    /// Time of the sample, by the device's clock.
    pub(crate) at: Timestamp,
    /// Values by the key of the reading.
    pub(crate) readings: Map<String, Value>,
    /// Health values by path.
    pub(crate) health: Vec<(String, Value)>,
}

/// Packs samples into as few messages as possible.
pub(crate) fn telemetry(format: &MessageFormat, device: &DeviceId, samples: Vec<Sample>) -> Vec<Message> {
    let Some(batch) = format.batch.as_deref().filter(|_| samples.len() > 1) else {
        return samples
            .into_iter()
            .map(|sample| {
                let mut message = written(format, sample);
                put_at_path(&mut message, &format.device_id, json!(device));
                Message::telemetry(&Value::Object(message), 1)
            })
            .collect();
    };
    let mut messages = Vec::new();
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    let close = |waiting: &mut Vec<Value>| {
        let samples = waiting.len();
        let mut message = Map::new();
        put_at_path(&mut message, &format.device_id, json!(device));
        put_at_path(&mut message, batch, Value::Array(std::mem::take(waiting)));
        Message::telemetry(&Value::Object(message), samples)
    };
    for sample in samples {
        let sample = Value::Object(written(format, sample));
        let size = sample.to_string().len();
        if bytes + size > BYTES_MAX && !waiting.is_empty() {
            messages.push(close(&mut waiting));
            bytes = 0;
        }
        bytes += size;
        waiting.push(sample);
    }
    messages.push(close(&mut waiting));
    messages
}

fn written(format: &MessageFormat, sample: Sample) -> Map<String, Value> {
    let mut message = Map::new();
    put_at_path(&mut message, &format.timestamp, write_time(sample.at, format.timestamp_format));
    for (path, value) in sample.health {
        put_at_path(&mut message, &path, value);
    }
    put_at_path(&mut message, &format.readings, Value::Object(sample.readings));
    message
}

/// Creates a message that replaces a valid one and that the platform must set aside. `key` is the key of a known
/// reading.
pub(crate) fn malformed(format: &MessageFormat, sound: &Message, key: &str, chance: &mut fastrand::Rng) -> Message {
    let payload = match chance.u8(0..5) {
        // It was cut off in transit.
        0 => sound.payload[..sound.payload.len() / 2].to_vec(),
        // It is not UTF-8.
        1 => [b"\xff", sound.payload.as_slice()].concat(),
        // A value has a type that no reading can have.
        2 => {
            let mut message = Map::new();
            put_at_path(&mut message, &format.readings, json!({ key: [] }));
            Value::Object(message).to_string().into_bytes()
        }
        // There are no readings.
        3 => b"{}".to_vec(),
        // It is not a message at all.
        _ => b"[7]".to_vec(),
    };
    Message { kind: Kind::Telemetry, payload, samples: 0, is_malformed: true }
}
