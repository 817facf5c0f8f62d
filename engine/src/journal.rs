//! What a run has touched of a state, and the values before it, so that a run that lost a race can be undone.
//!
//! Every record touches a device, so a copy must cost little: the copies of all devices are appended to shared lists,
//! whose memory the next run reuses. Nothing is allocated once an earlier run has been as large.

use std::sync::Arc;

use crate::{
    compiled::Home,
    fleet::{Fleet, Memberships},
    instances::Instances,
    metric::MetricState,
    rule::memory::Memory,
    state::{Device, Firing, Flaps, Head, Instance, Phase, Presence, Registration},
    units::{Finite, Timestamp},
};

/// What a run has touched since [`Journal::begin`].
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) before: Head,
    /// Number of devices at the start of the run.
    pub(crate) devices: usize,
    /// Whether every device was touched, so that there is no copy to go back to.
    pub(crate) whole: bool,
    /// Number of the run.
    run: u32,
    /// Indexes of the devices touched, each once.
    changed: Vec<u32>,
    /// Their values before the run, in the order of `changed`. New devices have no copy.
    copies: Vec<Copied>,
    metrics: Vec<MetricState>,
    instances: Vec<CopiedInstance>,
    firings: Pool<Firing>,
    memories: Pool<Memory>,
    flaps: Pool<Flaps>,
}

/// Where a journal has noted a device. A note from an earlier run means nothing. So it is not part of the device's
/// value, and a new run need not visit the devices of the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noted {
    run: u32,
    place: u32,
}

impl PartialEq for Noted {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A device before the run. Its parts in the lists end where these numbers say, and start where those of the previous
/// device end.
#[derive(Debug, Default)]
struct Copied {
    last_ingest: Option<Timestamp>,
    presence: Presence,
    metrics: usize,
    instances: usize,
    memberships: Memberships,
    fleet: Option<Box<Fleet>>,
    /// What it was registered as, if the run has registered it again.
    registered: Option<Registered>,
}

/// The parts of a device that follow from its registration.
#[derive(Debug)]
struct Registered {
    registration: Arc<Registration>,
    home: Option<Home>,
    attributes: Arc<[Finite]>,
}

#[derive(Debug)]
struct CopiedInstance {
    slot: u32,
    phase: CopiedPhase,
    breached: u64,
    unclear: u64,
    noticed_at: Option<Timestamp>,
    suppressed: u32,
    /// Whether the next memory and the next firings of the lists belong to it.
    remembers: bool,
    flaps: bool,
}

#[derive(Clone, Copy, Debug)]
enum CopiedPhase {
    Inactive,
    Pending {
        since: Timestamp,
    },
    /// The next entry in the list of firings.
    Firing,
}

/// Values whose buffers the next run reuses.
#[derive(Debug)]
struct Pool<T> {
    kept: Vec<T>,
    used: usize,
}

impl<T: Clone> Pool<T> {
    const EMPTY: Self = Self { kept: Vec::new(), used: 0 };

    fn push(&mut self, value: &T) {
        match self.kept.get_mut(self.used) {
            Some(spare) => spare.clone_from(value),
            None => self.kept.push(value.clone()),
        }
        self.used += 1;
    }
}

impl Journal {
    /// Creates the journal of a state with this many devices, none of them touched.
    pub(crate) fn new(before: Head, devices: usize) -> Self {
        Self {
            before,
            devices,
            whole: false,
            run: 1,
            changed: Vec::new(),
            copies: Vec::new(),
            metrics: Vec::new(),
            instances: Vec::new(),
            firings: Pool::EMPTY,
            memories: Pool::EMPTY,
            flaps: Pool::EMPTY,
        }
    }

    /// Returns the devices touched, in the order in which they were touched.
    pub(crate) fn changed(&self) -> &[u32] {
        &self.changed
    }

    /// Whether the device is noted in this run.
    #[inline]
    pub(crate) fn has(&self, noted: Noted) -> bool {
        noted.run == self.run
    }

    /// Notes that a device changes from here on, and copies it if it existed before the run.
    pub(crate) fn note(&mut self, index: u32, device: &Device) -> Noted {
        let noted = Noted { run: self.run, place: self.changed.len() as u32 };
        self.changed.push(index);
        let mut copied = Copied::default();
        if (index as usize) < self.devices && !self.whole {
            copied.last_ingest = device.last_ingest;
            copied.presence = device.presence;
            copied.memberships.clone_from(&device.memberships);
            copied.fleet.clone_from(&device.fleet);
            self.metrics.extend_from_slice(&device.metrics);
            for (slot, instance) in device.instances.iter() {
                self.keep(slot as u32, instance);
            }
        }
        copied.metrics = self.metrics.len();
        copied.instances = self.instances.len();
        self.copies.push(copied);
        noted
    }

    fn keep(&mut self, slot: u32, instance: &Instance) {
        let Instance { phase, breached, unclear, noticed_at, suppressed, memory, flaps } = instance;
        let phase = match phase {
            Phase::Inactive => CopiedPhase::Inactive,
            Phase::Pending { since } => CopiedPhase::Pending { since: *since },
            Phase::Firing(firing) => {
                self.firings.push(firing);
                CopiedPhase::Firing
            }
        };
        memory.iter().for_each(|memory| self.memories.push(memory));
        flaps.iter().for_each(|flaps| self.flaps.push(flaps));
        self.instances.push(CopiedInstance {
            slot,
            phase,
            breached: *breached,
            unclear: *unclear,
            noticed_at: *noticed_at,
            suppressed: *suppressed,
            remembers: memory.is_some(),
            flaps: flaps.is_some(),
        });
    }

    /// Copies the registration of a device that was noted before, the first time that it changes.
    pub(crate) fn registered_anew(&mut self, noted: Noted, device: &Device) {
        if let Some(copied) = self.copies.get_mut(noted.place as usize) {
            copied.registered.get_or_insert_with(|| Registered {
                registration: device.registration.clone(),
                home: device.home,
                attributes: device.attributes.clone(),
            });
        }
    }

    /// Restores every device that existed before the run.
    pub(crate) fn restore(&mut self, devices: &mut [Device]) {
        let mut metrics = self.metrics.iter();
        let mut instances = self.instances.iter();
        let mut firings = self.firings.kept.iter();
        let mut memories = self.memories.kept.iter();
        let mut flaps = self.flaps.kept.iter();
        let (mut metrics_from, mut instances_from) = (0, 0);
        for (copied, index) in self.copies.iter_mut().zip(&self.changed) {
            let kept = instances.by_ref().take(copied.instances - instances_from).map(|kept| {
                let phase = match kept.phase {
                    CopiedPhase::Inactive => Phase::Inactive,
                    CopiedPhase::Pending { since } => Phase::Pending { since },
                    CopiedPhase::Firing => firings.next().cloned().map_or(Phase::Inactive, |f| Phase::Firing(f.into())),
                };
                let instance = Instance {
                    phase,
                    breached: kept.breached,
                    unclear: kept.unclear,
                    noticed_at: kept.noticed_at,
                    suppressed: kept.suppressed,
                    memory: memories.by_ref().take(usize::from(kept.remembers)).next().cloned().map(Box::new),
                    flaps: flaps.by_ref().take(usize::from(kept.flaps)).next().cloned().map(Box::new),
                };
                (kept.slot, instance)
            });
            let kept: Instances = kept.collect();
            let values = metrics.by_ref().take(copied.metrics - metrics_from).copied();
            (metrics_from, instances_from) = (copied.metrics, copied.instances);
            if (*index as usize) >= self.devices {
                continue;
            }
            let device = &mut devices[*index as usize];
            device.metrics.clear();
            device.metrics.extend(values);
            device.instances = kept;
            device.last_ingest = copied.last_ingest;
            device.presence = copied.presence;
            device.memberships = std::mem::take(&mut copied.memberships);
            device.fleet = copied.fleet.take();
            if let Some(Registered { registration, home, attributes }) = copied.registered.take() {
                (device.registration, device.home, device.attributes) = (registration, home, attributes);
            }
        }
    }

    /// Starts a run over this many devices: the current state is committed.
    pub(crate) fn begin(&mut self, head: &Head, devices: usize) {
        self.before.clone_from(head);
        self.devices = devices;
        self.whole = false;
        // Zero belongs to no run.
        self.run = self.run.checked_add(1).unwrap_or(1);
        self.changed.clear();
        self.copies.clear();
        self.metrics.clear();
        self.instances.clear();
        self.firings.used = 0;
        self.memories.used = 0;
        self.flaps.used = 0;
    }
}
