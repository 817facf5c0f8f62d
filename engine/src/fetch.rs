//! Reads ahead what the next records need of a shard's devices, for many records at once.
//!
//! If the devices of a shard fit into none of the processor's caches, a record waits for one cache line after
//! another, since each says where the next one is: the device's index, the device, its metrics. When many records are
//! read ahead together, the processor waits for these lines in parallel. Nothing is changed, and the values read are
//! not used.

use std::hint::black_box;

use crate::{
    drive::StreamRecord,
    state::{Device, ShardState},
};

/// Number of records that are read ahead together: lines that a processor waits for at once.
pub const AHEAD: usize = 16;

/// Approximate number of devices above which a shard fits into no cache. Below it, reading ahead costs more than
/// waiting.
const DEVICES_MIN: usize = 512;

impl ShardState {
    /// Reads ahead for records of at most [`AHEAD`] devices.
    pub fn fetch(&self, records: &[StreamRecord<'_>]) {
        if self.devices.len() < DEVICES_MIN {
            return;
        }
        let mut hashes = [None; AHEAD];
        for (hash, record) in hashes.iter_mut().zip(records) {
            *hash = Some(self.index.hash(record.partition_key));
        }
        // Each round consists of loads that do not wait for each other.
        read(&hashes.map(|hash| self.index.guess(hash?).and_then(|index| self.devices.get(index as usize))));
    }

    /// Reads ahead for encoding the next [`AHEAD`] of the touched devices.
    pub(crate) fn fetch_changed(&self, from: usize) {
        if self.devices.len() < DEVICES_MIN {
            return;
        }
        let mut devices = [None; AHEAD];
        for (next, device) in devices.iter_mut().zip(self.changed_from(from)) {
            *next = Some(device);
        }
        read(&devices);
    }
}

/// Touches these devices, and then what they refer to.
fn read(devices: &[Option<&Device>; AHEAD]) {
    let mut seen = 0;
    for device in devices.iter().flatten() {
        seen ^= device.last_ingest.map_or(0, |at| at.0) ^ i64::from(device.queued.is_some());
        seen ^= device.metrics.as_ptr().addr() as i64 ^ device.instances.len() as i64;
    }
    for device in devices.iter().flatten() {
        seen ^= device.registration.revision as i64 ^ device.registration.id.as_str().len() as i64;
        seen ^= device.metrics.iter().fold(0, |seen, metric| seen ^ i64::from(metric.seen()));
        seen ^= device.instances.iter().next().map_or(0, |(slot, _)| slot as i64);
    }
    black_box(seen);
}
