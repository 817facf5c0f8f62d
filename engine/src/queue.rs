//! The queue of timers: which device to check when the shard's time reaches a moment.
//!
//! What is due on a device follows from its state; the queue only remembers when to check. A device is checked too
//! early rather than too late: that its moment has moved on is detected only then, so the many records that merely
//! move it on cost nothing here.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{ids::DeviceId, state::Device, units::Timestamp};

/// The queue. It is not part of a state: it is rebuilt from the state.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Earliest first, then by device. An entry whose device has another moment by now is void.
    heap: BinaryHeap<Reverse<(Timestamp, DeviceId, u32)>>,
    /// Devices whose moment is not known.
    unknown: Vec<u32>,
    /// Whether no device's moment is known.
    everything: bool,
}

impl Queue {
    /// Creates a queue that knows nothing yet.
    pub(crate) fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Discards what was known of a device.
    pub(crate) fn forget(&mut self, index: u32) {
        if !self.everything {
            self.unknown.push(index);
        }
    }

    /// Returns the indexes of the devices whose moment must be computed; from then on they count as known.
    pub(crate) fn unknown(&mut self, devices: usize) -> Vec<u32> {
        if std::mem::take(&mut self.everything) {
            self.heap.clear();
            self.unknown.clear();
            (0..devices as u32).collect()
        } else {
            std::mem::take(&mut self.unknown)
        }
    }

    /// Schedules a check of a device at `due`, unless one is scheduled earlier.
    pub(crate) fn put(&mut self, device: &mut Device, index: u32, due: Timestamp) {
        if device.queued.is_none_or(|queued| due < queued) {
            device.queued = Some(due);
            self.heap.push(Reverse((due, device.registration.id.clone(), index)));
        }
    }

    /// Removes and returns the next device to check up to `until`.
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
