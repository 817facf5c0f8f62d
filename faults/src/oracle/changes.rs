//! What changes around devices: their registration, the set in force, and the shard that they are in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Device, Moment, Oracle,
    condition::{covers, is_at_home},
};
use crate::stream::Shard;

impl<'a> Oracle<'a> {
    /// Starts with what the shard's parents knew of the keys that it takes, once time has passed for all of them.
    pub(super) fn inherit(&mut self, shard: &Shard, parents: &[&Self]) {
        let Some(newest) = parents.iter().max_by_key(|parent| parent.version) else { return };
        let time = parents.iter().map(|parent| parent.time).max().unwrap_or(0);
        let at =
            Moment { sequence: shard.first.to_string(), sample: 0, t: time, ingest: time, known: time, shard: time };
        let mut known = BTreeSet::new();
        let mut taken = Vec::new();
        let mut rows = BTreeMap::<String, Value>::new();
        for parent in parents {
            let own = parent.devices.iter().filter(|(id, _)| shard.range.takes(id) && known.insert((*id).clone()));
            self.devices = own.map(|(id, device)| (id.clone(), device.clone())).collect();
            (self.time, self.version, self.rows) = (parent.time, parent.version, parent.rows.clone());
            (self.adopted, self.set) = (parent.adopted, parent.set);
            self.idle.clear();
            self.wait(&at);
            for (rule, row) in &self.rows {
                if rows.get(rule).is_none_or(|known| row["rev"].as_u64() > known["rev"].as_u64()) {
                    rows.insert(rule.clone(), row.clone());
                }
            }
            taken.push((std::mem::take(&mut self.devices), self.adopted, self.set, self.rows.clone()));
        }
        (self.version, self.adopted, self.rows) = (newest.version, newest.adopted, rows);
        self.idle.clear();
        let set = self.in_force(self.adopted);
        for (devices, adopted, before, rows) in taken {
            for (id, mut device) in devices {
                self.set = before;
                self.rehome(&mut device, None, &at, set, None);
                self.set = set;
                if adopted != self.adopted || rows != self.rows {
                    self.look_around(&mut device, &at);
                }
                self.devices.insert(id, device);
            }
        }
        self.set = set;
    }

    pub(super) fn adopt(&mut self, version: u64, set: &'a Value, at: &Moment) {
        (self.version, self.adopted) = (version, set);
        self.change(at, None);
    }

    /// Moves every device to the set and the rows that are now in force.
    pub(super) fn change(&mut self, at: &Moment, reason: Option<&str>) {
        let set = self.in_force(self.adopted);
        self.idle.clear();
        for (id, mut device) in std::mem::take(&mut self.devices) {
            self.rehome(&mut device, None, at, set, reason);
            self.devices.insert(id, device);
        }
        self.set = set;
        for (id, mut device) in std::mem::take(&mut self.devices) {
            self.look_around(&mut device, at);
            self.devices.insert(id, device);
        }
    }

    /// Moves a device to another registration, another set, or both. Episodes end for a reason of their own, or for
    /// this one.
    pub(super) fn rehome(
        &mut self,
        device: &mut Device,
        to: Option<&Value>,
        at: &Moment,
        set: &'a Value,
        reason: Option<&str>,
    ) {
        let to = to.unwrap_or(&device.registration).clone();
        let before = std::mem::replace(&mut device.registration, to);
        if before["retired"] == true && device.registration["retired"] != true {
            (device.heard, device.gone, device.offline, device.order) = (None, None, None, None);
        }
        let at_home = is_at_home(set, &device.registration);
        for (id, mut life) in std::mem::take(&mut device.lives) {
            let (old, new) = (&self.set["rules"][&id], &set["rules"][&id]);
            let covered = at_home && covers(&id, new, &device.registration);
            let alike = ["metric", "condition"].iter().all(|key| old[key] == new[key]);
            if !(covered && alike && old["hold"]["by"] == new["hold"]["by"]) {
                let gone = if device.registration["retired"] == true { "DeviceRetired" } else { "RuleRemoved" };
                if let Some(episode) = life.open.take() {
                    let changed = if covered { "RuleChanged" } else { gone };
                    self.close(&id, &before, at, &episode, reason.unwrap_or(changed));
                }
                (life.looks, life.past, life.scores, life.forgotten) = (Vec::new(), Vec::new(), Vec::new(), 0);
            }
            if covered {
                device.lives.insert(id, life);
            }
        }
        if !at_home {
            device.series.clear();
        }
    }
}
