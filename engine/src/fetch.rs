//! What the next records read of a shard's devices, read for all of them at once.
//!
//! Where the devices of a shard fit into no cache of the processor, a record waits for one line of memory after another,
//! since each says where the next one is: its place, the device, its metrics. Read for many records beside each other, these
//! lines are waited for together. Nothing is changed, and nothing is looked at but by the processor.

use std::hint::black_box;

use crate::{
    drive::StreamRecord,
    state::{Device, ShardState},
};

/// Records that are read for together: lines that a processor waits for at once.
pub const AHEAD: usize = 16;

/// Devices from which on a shard's fit into no cache, about. Below it, reading ahead costs more than waiting.
const DEVICES_MIN: usize = 512;

impl ShardState {
    /// Reads what records of at most [`AHEAD`] devices are about to read.
    pub fn fetch(&self, records: &[StreamRecord<'_>]) {
        if self.devices.len() < DEVICES_MIN {
            return;
        }
        let mut hashes = [None; AHEAD];
        for (hash, record) in hashes.iter_mut().zip(records) {
            *hash = Some(self.index.hash(record.partition_key));
        }
        // Each round is of loads that do not wait for each other.
        read(&hashes.map(|hash| self.index.guess(hash?).and_then(|index| self.devices.get(index as usize))));
    }

    /// Reads what writing the next [`AHEAD`] of the touched devices is about to read.
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

/// Looks at what lies in these devices, and then at what they refer to.
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
