//! Whether a device is there: see Presence in `docs/semantics.md`.

use serde_json::Value;

use super::{
    Device, Moment, Oracle,
    condition::{Found, is_at_home},
};
use crate::workload::Connection;

impl Oracle<'_> {
    /// Something has come from a device: it is there.
    pub(super) fn alive(&mut self, device: &mut Device, at: &Moment) {
        device.heard = device.heard.max(Some(at.ingest));
        if device.counts_anew(at) {
            device.order = None;
        }
        device.gone = None;
        self.back(device, at, |_| true);
    }

    /// A device that was offline is so no longer. Rules about silence end: all of them, or those that go by presence.
    fn back(&mut self, device: &mut Device, at: &Moment, ends: fn(&Value) -> bool) {
        device.offline = None;
        let waits = |rule: &Value| rule["condition"]["type"] == "no_data" && ends(&rule["condition"]);
        for (id, rule) in self.rules(&device.registration).filter(|(_, rule)| waits(rule)).collect::<Vec<_>>() {
            if let Some(mut life) = device.lives.remove(id) {
                if life.open.is_some() {
                    self.look(&mut life, (id, rule), &device.registration, Found::plain(false), false, at);
                }
                device.lives.insert(id.clone(), life);
            }
        }
    }

    /// What a broker says of a connection. Of all that it has said, the newest connection counts, and its end is last.
    pub(super) fn connection(&mut self, device: &mut Device, connection: Connection, at: &Moment) {
        let Connection { version, connected, duplicate } = connection;
        let order = (version, !connected);
        if duplicate || device.order.is_some_and(|known| order <= known && !device.counts_anew(at)) {
            return;
        }
        device.order = Some(order);
        if !connected {
            return device.gone(at);
        }
        device.gone = None;
        // A connection is no message: who has been silent for too long still is.
        if self.silent_at(device).is_none_or(|silent| at.ingest < silent) {
            self.back(device, at, |condition| condition.get("after_ms").is_none());
        }
    }

    /// When a device counts as offline, unless it does: after its silence, or some time after it was said to have gone.
    pub(super) fn offline_at(&self, device: &Device) -> Option<i64> {
        if device.offline.is_some() || !is_at_home(self.set, &device.registration) {
            return None;
        }
        device.gone.map(|gone| gone + 120_000).into_iter().chain(self.silent_at(device)).min()
    }

    fn silent_at(&self, device: &Device) -> Option<i64> {
        let of = &self.set["device_types"][device.registration["type"].as_str().unwrap_or_default()];
        device.heard.zip(of["offline_after_ms"].as_i64()).map(|(heard, after)| heard + after + 1)
    }
}

impl Device {
    /// It is said to have gone, and was not before.
    pub(super) fn gone(&mut self, at: &Moment) {
        self.gone = self.gone.or(Some(at.ingest));
    }

    /// Whether it has been away for so long that the broker counts its connections from nought again.
    fn counts_anew(&self, at: &Moment) -> bool {
        self.gone.is_some_and(|gone| at.ingest - gone >= 1_800_000)
    }
}
