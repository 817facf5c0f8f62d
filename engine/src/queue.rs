//! The queue of timers: which device to look at when the shard's time comes to a moment.
//!
//! What is due on a device follows from its state; the queue only remembers when to look. A device is looked at too
//! early rather than too late: a moment that has moved on is found out then, so that the many records that only move
//! it on cost nothing here.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{ids::DeviceId, state::Device, units::Timestamp};

/// The queue. It is no part of a state: it is made anew from what the state says.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Earliest first, then by device. Entries whose device has another moment by now mean nothing.
    heap: BinaryHeap<Reverse<(Timestamp, DeviceId, u32)>>,
    /// Devices whose moment is not known.
    unknown: Vec<u32>,
    /// No device's is.
    everything: bool,
}

impl Queue {
    /// A queue that knows nothing yet.
    pub(crate) fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Whatever was known of a device does not hold any more.
    pub(crate) fn forget(&mut self, index: u32) {
        if !self.everything {
            self.unknown.push(index);
        }
    }

    /// The devices whose moment must be worked out, by index; afterwards they count as known.
    pub(crate) fn unknown(&mut self, devices: usize) -> Vec<u32> {
        if std::mem::take(&mut self.everything) {
            self.heap.clear();
            self.unknown.clear();
            (0..devices as u32).collect()
        } else {
            std::mem::take(&mut self.unknown)
        }
    }

    /// Looks at a device at `due`, unless it is looked at before.
    pub(crate) fn put(&mut self, device: &mut Device, index: u32, due: Timestamp) {
        if device.queued.is_none_or(|queued| due < queued) {
            device.queued = Some(due);
            self.heap.push(Reverse((due, device.registration.id.clone(), index)));
        }
    }

    /// The next device to look at up to `until`, taken off the queue.
    pub(crate) fn next(&mut self, until: Timestamp, devices: &mut [Device]) -> Option<(Timestamp, u32)> {
        while let Some(Reverse((due, _, _))) = self.heap.peek()
            && *due <= until
        {
            let Some(Reverse((due, id, index))) = self.heap.pop() else { break };
            if let Some(device) = devices.get_mut(index as usize)
                && device.queued == Some(due)
                && device.registration.id == id
            {
                device.queued = None;
                return Some((due, index));
            }
        }
        None
    }
}
