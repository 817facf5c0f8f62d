//! `[mqtt]`: topics and what devices may do with them.

use smol_str::SmolStr;

/// Topics and what devices may do with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Mqtt {
    /// Telemetry topic. Its `{device_id}` is a whole level, and the same level in all three topics.
    pub telemetry: Topic,
    /// Status topic.
    pub status: Topic,
    /// Topic of the alarms that devices raise.
    pub alerts: Topic,
    /// Whether devices publish by Basic Ingest, past the message broker.
    pub basic_ingest: bool,
    /// MQTT quality of service of what devices send, 0 or 1.
    pub qos: u8,
    /// Whether a device may retain its status.
    pub retain_status: bool,
    /// Whether a device may leave a will on its status topic.
    pub last_will: bool,
}

/// A topic with one level for the device id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Levels before the device id, never empty, without `$`, `+` and `#`.
    pub before: Vec<SmolStr>,
    /// Levels after it.
    pub after: Vec<SmolStr>,
}

impl Topic {
    /// The topic with `device` as its device level: a filter for `+`, a policy's topic for a variable.
    pub fn with_device(&self, device: &str) -> String {
        let levels =
            self.before.iter().map(SmolStr::as_str).chain([device]).chain(self.after.iter().map(SmolStr::as_str));
        levels.collect::<Vec<_>>().join("/")
    }

    /// Number of the device level for the SQL function `topic(n)`, counted from 1.
    pub fn device_level(&self) -> usize {
        self.before.len() + 1
    }
}
