//! What is reported of a device apart from its readings: alarms, its presence, and records that make no sense.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Connection, Fact, STRANGER, Writer, rfc3339};

/// Codes of alarms; rules name some of them.
const CODES: [&str; 4] = ["fire", "leak", "tamper", "worn"];

impl Writer<'_> {
    /// A device raises or ends an alarm, possibly one that it has not raised.
    pub(super) fn alarm(&mut self, device: usize, at: i64) {
        let id = self.devices[device].id.clone();
        let code = *self.random.pick(&CODES);
        let active = self.random.per_mille(400);
        let payload = json!({ "code": code, "active": active, "timestamp": rfc3339(at) });
        self.say(&id, "alerts", &payload, at, Fact::Alarm(id.clone(), code, active));
    }

    /// A device reports that it is online, or its last will reports that it is gone.
    pub(super) fn status(&mut self, device: usize, at: i64) {
        let id = self.devices[device].id.clone();
        let online = self.random.per_mille(400);
        let payload = json!({ "status": if online { "online" } else { "offline" }, "timestamp": rfc3339(at) });
        self.say(&id, "status", &payload, at, Fact::Status(id.clone(), online));
        self.stays_away(device, at, online);
    }

    /// A device that is gone is often not heard from for some time.
    fn stays_away(&mut self, device: usize, at: i64, online: bool) {
        if !online && self.random.per_mille(500) {
            let away = *self.random.pick(&[150_000, 600_000, 2_400_000]);
            self.devices[device].silent_until = at + self.random.between(0, away);
        }
    }

    fn say(&mut self, id: &str, channel: &str, payload: &Value, at: i64, fact: Fact) {
        let t = at + self.random.between(-300, 50);
        let data = json!({
            "ff": 1, "k": "message", "p": STANDARD.encode(payload.to_string()), "d": id, "ch": channel, "c": id, "t": t,
        });
        self.put(id, &data.to_string(), at, Some(t), fact);
    }

    /// The broker reports that a client has connected or disconnected: late, twice, and in any order.
    pub(super) fn connection(&mut self, device: usize, at: i64) {
        let id = match self.random.per_mille(20) {
            true => STRANGER.to_owned(),
            false => self.devices[device].id.clone(),
        };
        let connected = self.random.per_mille(400);
        let connections = &mut self.devices[device].connections;
        *connections = match self.random.below(10) {
            // After about an hour the broker counts from zero again.
            0 => 0,
            1..4 => connections.saturating_sub(1),
            4..6 => *connections,
            _ => *connections + 1,
        };
        let version = *connections;
        let duplicate = !connected && self.random.per_mille(150);
        let t = at + self.random.between(-2_000, 50);
        let mut record = json!({
            "ff": 1, "k": "lifecycle", "d": id, "e": if connected { "connected" } else { "disconnected" }, "v": version,
            "t": t,
        });
        if !connected {
            record["r"] = json!(if duplicate { "DUPLICATE_CLIENTID" } else { "MQTT_KEEP_ALIVE_TIMEOUT" });
        }
        let fact = Fact::Connection(id.clone(), Connection { version, connected, duplicate });
        self.put(&id, &record.to_string(), at, Some(t), fact);
        self.stays_away(device, at, connected || duplicate);
    }

    /// Writes a record that must be refused.
    pub(super) fn bad(&mut self, device: usize, at: i64) {
        let (id, meter) = (self.devices[device].id.clone(), self.devices[device].meter);
        let first = if meter { "pressure" } else { "vibration" };
        let whole = json!({
            "ff": 1, "k": "message", "p": STANDARD.encode("{\"readings\":{}}"), "d": id, "ch": "telemetry", "c": id, "t": at,
        });
        let with = |key: &str, value: Value| {
            let mut record = whole.clone();
            record[key] = value;
            record
        };
        let on = |channel: &str, payload: Value| {
            let mut record = with("ch", json!(channel));
            record["p"] = json!(STANDARD.encode(payload.to_string()));
            record
        };
        // A faulty envelope is refused whoever sent it.
        let (record, whose, reason) = match self.random.below(15) {
            0 => (Value::Null, Some(&id), "bad_json"),
            1 => (json!({ "readings": { first: "61" } }), Some(&id), "wrong_type"),
            2 => (json!({ "readings": { first: 1e6 } }), Some(&id), "out_of_range"),
            3 => (json!({ "timestamp": rfc3339(at) }), Some(&id), "missing_readings"),
            4 => (json!({ "readings": { "temp": 5, "state": "running" } }), Some(&id), "missing_reading"),
            5 => (with("c", json!("somebody-else")), None, "identity_mismatch"),
            6 => (json!({ "deviceId": "device-0-0x", "readings": { first: 5 } }), Some(&id), "spoofed_device_id"),
            7 => (with("k", json!("later")), None, "unknown_kind"),
            8 => (with("p", json!("e30")), None, "bad_base64"),
            9 => (json!({ "readings": {} }), None, "unknown_device"),
            10 => (with("c", Value::Null), None, "bad_envelope"),
            11 => (with("ch", json!("later")), None, "unknown_channel"),
            12 => (on("alerts", json!({ "code": "", "active": true })), Some(&id), "bad_alarm"),
            13 => (on("status", json!({ "status": "asleep" })), Some(&id), "bad_status"),
            _ => (with("p", json!(STANDARD.encode("7"))), Some(&id), "bad_json"),
        };
        let key = if reason == "unknown_device" { STRANGER } else { &id };
        let data = if record.is_null() { "{\"readings\":{".to_owned() } else { record.to_string() };
        let claimed = record.get("t").map(|_| at);
        self.put(key, &data, at, claimed, Fact::Bad(whose.cloned(), reason));
    }
}
