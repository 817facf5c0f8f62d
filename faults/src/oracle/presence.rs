//! Whether a device is online: see Presence in `docs/semantics.md`.

use serde_json::Value;

use super::{
    Device, Moment, Oracle,
    condition::{Found, is_at_home},
};
use crate::workload::Connection;

impl Oracle<'_> {
    /// Handles a sign of life: something has arrived from a device.
    pub(super) fn alive(&mut self, device: &mut Device, at: &Moment) {
        device.heard = device.heard.max(Some(at.ingest));
        if device.counts_anew(at) {
            device.order = None;
        }
        device.gone = device.gone.filter(|gone| *gone > at.ingest);
        self.back(device, at, |_| true);
    }

    /// Marks an offline device as back online, unless it has been silent since. Rules about silence end: all of them,
    /// or those that go by presence.
    fn back(&mut self, device: &mut Device, at: &Moment, ends: fn(&Value) -> bool) {
        let goes_on = |due: Option<i64>| due.is_some_and(|due| due <= at.shard);
        let is_offline = goes_on(self.absent_at(device));
        if !is_offline {
            device.offline = None;
        }
        let silent = |condition: &Value| match condition["after_ms"].as_i64() {
            Some(after) => goes_on(device.heard.map(|heard| heard + after + 1)),
            None => is_offline,
        };
        let waits = |rule: &Value| {
            let condition = &rule["condition"];
            condition["type"] == "no_data" && ends(condition) && !silent(condition)
        };
        for (id, rule) in self.rules(&device.registration).filter(|(_, rule)| waits(rule)).collect::<Vec<_>>() {
            if let Some(mut life) = device.lives.remove(id) {
                if life.open.is_some() {
                    self.look(&mut life, (id, rule), &device.registration, Found::plain(false), false, at);
                }
                device.lives.insert(id.clone(), life);
            }
        }
    }

    /// Handles a connection event from the broker. Of all such events, those of the newest connection count, and its
    /// end is last.
    pub(super) fn connection(&mut self, device: &mut Device, connection: Connection, at: &Moment) {
        let Connection { version, connected, duplicate } = connection;
        let order = (version, !connected);
        if duplicate || device.order.is_some_and(|known| order <= known && !device.counts_anew(at)) {
            return;
        }
        if device.is_known_since(at) {
            return;
        }
        device.order = Some(order);
        if !connected {
            return device.gone(at);
        }
        device.gone = None;
        // A connection is not a message.
        self.back(device, at, |condition| condition.get("after_ms").is_none());
    }

    /// Returns when a device counts as offline, unless it already does: after its silence, or some time after it was
    /// reported gone.
    pub(super) fn offline_at(&self, device: &Device) -> Option<i64> {
        if device.offline.is_some() || !is_at_home(self.set, &device.registration) {
            return None;
        }
        self.absent_at(device)
    }

    fn absent_at(&self, device: &Device) -> Option<i64> {
        let of = &self.set["device_types"][device.registration["type"].as_str().unwrap_or_default()];
        let silent = device.heard.zip(of["offline_after_ms"].as_i64()).map(|(heard, after)| heard + after + 1);
        device.gone.map(|gone| gone + 120_000).into_iter().chain(silent).min()
    }
}

impl Device {
    /// Handles a report that the device is gone, if it was not gone before.
    pub(super) fn gone(&mut self, at: &Moment) {
        self.gone = self.gone.or(Some(at.ingest));
    }

    /// Whether a redriven record refers to a time after which the device has been heard from.
    pub(super) fn is_known_since(&self, at: &Moment) -> bool {
        at.known > at.ingest && self.heard.max(self.gone) >= Some(at.ingest)
    }

    /// Whether it has been away for so long that the broker counts its connections from zero again.
    fn counts_anew(&self, at: &Moment) -> bool {
        self.gone.is_some_and(|gone| at.ingest - gone >= 1_800_000)
    }
}
