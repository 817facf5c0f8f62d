//! What a shard remembers: its devices, the newest sample of each metric, and where each rule stands. It tracks which
//! devices a run has touched, so that a delta holds only those and a run that lost a race can be undone.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::{
    compiled::{Compiled, Home},
    effect::Evidence,
    fleet::{Fleet, Memberships},
    ids::{AttributeId, DeviceId, DeviceTypeId, RuleId, ZoneId},
    index::Index,
    instances::Instances,
    journal::{Journal, Noted},
    metric::MetricState,
    overrides::{Override, Overrides},
    position::Position,
    queue::Queue,
    rule::memory::Memory,
    units::{Finite, Timestamp},
    value::Value,
};

/// The rule set that a shard evaluates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSetRef {
    /// Version of the set; 0 for the set that the shard started with.
    pub version: u64,
    /// SHA-256 of the artifact, in hexadecimal.
    pub sha256: SmolStr,
}

/// The state of one shard.
#[derive(Debug)]
pub struct ShardState {
    pub(crate) head: Head,
    pub(crate) devices: Vec<Device>,
    pub(crate) index: Index,
    /// When the passing of time alone changes something.
    pub(crate) queue: Queue,
    journal: Journal,
}

/// The part of a state that does not belong to a device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) position: Position,
    /// The highest ingest time seen.
    pub(crate) shard_time: Timestamp,
    pub(crate) rule_set: RuleSetRef,
    /// The overrides of its rules.
    pub(crate) overrides: Arc<Overrides>,
}

/// One device, or the pseudo-device that represents a fleet rule in a zone.
#[derive(Debug, PartialEq)]
pub(crate) struct Device {
    pub(crate) registration: Arc<Registration>,
    /// Its place in the shard's rule set; `None` while the set does not know its type or zone, or while it is
    /// retired.
    pub(crate) home: Option<Home>,
    /// Values in the order of its type's attributes.
    pub(crate) attributes: Arc<[Finite]>,
    /// Ingest time of its last message.
    pub(crate) last_ingest: Option<Timestamp>,
    pub(crate) presence: Presence,
    /// States in the order of its type's metrics.
    pub(crate) metrics: Vec<MetricState>,
    /// Rule instances in the order of its plan.
    pub(crate) instances: Instances,
    /// What it has reported to fleets.
    pub(crate) memberships: Memberships,
    /// The devices of a zone, if this represents a fleet rule.
    pub(crate) fleet: Option<Box<Fleet>>,
    /// The moment at which the queue of timers checks it.
    pub(crate) queued: Option<Timestamp>,
    /// Its place in the journal of the run that touched it last.
    pub(crate) noted: Noted,
}

/// What is set for a device at registration.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Id of the device.
    pub id: DeviceId,
    /// Revision of the registration. One with a lower or equal revision is ignored.
    pub revision: u64,
    /// Id of its device type.
    pub device_type: DeviceTypeId,
    /// Id of its zone.
    pub zone: ZoneId,
    /// Its own values for its type's attributes.
    pub attributes: Vec<(AttributeId, Finite)>,
    /// Whether it was taken out of service.
    pub retired: bool,
}

/// Where one rule stands on one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Instance {
    pub(crate) phase: Phase,
    /// One bit for each recent sample that matters, the newest lowest: whether it breached.
    pub(crate) breached: u64,
    /// One bit for each of the same samples: whether it was not clear.
    pub(crate) unclear: u64,
    /// Ingest time of the last notice of a firing.
    pub(crate) noticed_at: Option<Timestamp>,
    /// Number of firings that the cooldown has held back since then.
    pub(crate) suppressed: u32,
    /// What the condition remembers.
    pub(crate) memory: Option<Box<Memory>>,
    /// Its recent firings.
    pub(crate) flaps: Option<Box<Flaps>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Phase {
    #[default]
    Inactive,
    Pending {
        since: Timestamp,
    },
    Firing(Box<Firing>),
}

/// A running episode.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Firing {
    pub(crate) episode: SmolStr,
    pub(crate) since: Timestamp,
    pub(crate) quiet_since: Option<Quiet>,
    /// The value compared last.
    pub(crate) value: Value,
    /// Evidence that explains the value.
    pub(crate) evidence: Option<Evidence>,
    pub(crate) notice: Notice,
    /// Number of repeated notices.
    pub(crate) repeats: u32,
}

/// When a firing rule's value became clear: the time of the sample, which is compared with samples, and its ingest
/// time, which is compared with the shard's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    pub(crate) at: Timestamp,
    pub(crate) ingested_at: Timestamp,
}

/// Firings of a rule on a device, kept to detect flapping.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Flaps {
    /// Ingest times of the last firings, at most one more than the rule's limit.
    pub(crate) recent: Vec<Timestamp>,
    /// Whether it has been reported as flapping and has not been stable since.
    pub(crate) flapping: bool,
}

/// Whether a device is online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    /// The highest order among the client's connect and disconnect events that counted.
    pub(crate) order: Option<u64>,
    /// Ingest time at which it was last reported gone, unless it has come back.
    pub(crate) gone_at: Option<Timestamp>,
    /// Since when it is offline, by the shard's time; `None` while it is online.
    pub(crate) offline_since: Option<Timestamp>,
}

/// Whether a running episode has been notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Not yet. `counted`: the cooldown has counted it as held back.
    Owed { counted: bool },
    /// Yes, a notice was sent.
    Given,
}

impl Instance {
    /// The initial state, before the first sample.
    pub(crate) const BEGINNING: Self = Self {
        phase: Phase::Inactive,
        breached: 0,
        unclear: 0,
        noticed_at: None,
        suppressed: 0,
        memory: None,
        flaps: None,
    };

    /// Whether a sample within a rule's limits leaves the instance unchanged: it may remember nothing but its last
    /// notice.
    #[inline]
    pub(crate) fn is_still(&self) -> bool {
        matches!(self.phase, Phase::Inactive) && self.breached == 0
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::BEGINNING
    }
}

impl Registration {
    /// Returns the values of a type's attributes for this device: its own, or the type's defaults.
    fn attributes_of(&self, rules: &Compiled, home: Option<Home>) -> Arc<[Finite]> {
        let Some(home) = home else { return Arc::from([]) };
        let own = |id: &AttributeId| self.attributes.iter().find(|(own, _)| own == id).map(|(_, value)| *value);
        rules.device_type(home).attributes.iter().map(|(id, default)| own(id).unwrap_or(*default)).collect()
    }
}

impl Device {
    /// Creates a device of which only the registration is known.
    pub(crate) fn new(registration: Arc<Registration>, rules: &Compiled) -> Self {
        let home = if registration.retired { None } else { rules.home(&registration.device_type, &registration.zone) };
        Self {
            attributes: registration.attributes_of(rules, home),
            registration,
            home,
            last_ingest: None,
            presence: Presence::default(),
            queued: None,
            metrics: home
                .map_or(Vec::new(), |home| vec![MetricState::default(); rules.device_type(home).metrics.len()]),
            instances: Instances::default(),
            memberships: Memberships::default(),
            fleet: None,
            noted: Noted::default(),
        }
    }

    /// Creates the pseudo-device that represents a fleet rule in a zone, with nothing known.
    pub(crate) fn of_fleet(rule: &RuleId, zone: &ZoneId, rules: &Compiled) -> Self {
        let registration = Registration {
            id: DeviceId::of_fleet(rule, zone),
            revision: 0,
            device_type: DeviceTypeId::FLEET,
            zone: zone.clone(),
            attributes: Vec::new(),
            retired: false,
        };
        Self { fleet: Some(Box::default()), ..Self::new(registration.into(), rules) }
    }

    /// Returns the approximate number of bytes that it takes in a delta.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let remembered = self.instances.iter().filter_map(|(_, instance)| instance.memory.as_deref());
        let remembered: usize = remembered.map(Memory::encoded_bytes).sum();
        let members = self.fleet.as_ref().map_or(0, |fleet| fleet.members().len());
        let fleets = 24 * self.memberships.all().len() + 40 * members;
        160 + 24 * self.metrics.len() + 16 * self.instances.len() + remembered + fleets
    }
}

impl ShardState {
    /// Creates the state before the first record.
    pub fn new(rule_set: RuleSetRef) -> Self {
        let (shard_time, overrides) = (Timestamp::default(), Arc::default());
        Self::from_parts(Head { position: Position::Start, shard_time, rule_set, overrides }, Vec::new())
    }

    pub(crate) fn from_parts(head: Head, mut devices: Vec<Device>) -> Self {
        // A device may come from another state, where a run touched it. Here it is untouched; otherwise no delta
        // would hold it.
        devices.iter_mut().for_each(|device| device.noted = Noted::default());
        let index = Index::of(&devices);
        let journal = Journal::new(head.clone(), devices.len());
        Self { head, devices, index, queue: Queue::everything(), journal }
    }

    /// Returns the position of the last record that the state has applied.
    pub fn position(&self) -> Position {
        self.head.position
    }

    /// Returns the highest ingest time seen.
    pub fn shard_time(&self) -> Timestamp {
        self.head.shard_time
    }

    /// Returns the rule set that the shard evaluates.
    pub fn rule_set(&self) -> &RuleSetRef {
        &self.head.rule_set
    }

    /// Returns the overrides, by rule.
    pub fn overrides(&self) -> impl ExactSizeIterator<Item = (&RuleId, &Override)> {
        self.head.overrides.iter()
    }

    pub(crate) fn find(&self, device: &str) -> Option<u32> {
        self.index.find(device, &self.devices)
    }

    /// Returns a device to be changed: from here on it is part of the run's delta.
    pub(crate) fn touch(&mut self, index: u32) -> &mut Device {
        let device = &mut self.devices[index as usize];
        if !self.journal.has(device.noted) {
            device.instances.settle();
            device.noted = self.journal.note(index, device);
        }
        device
    }

    /// Schedules a check of a device when the shard's time reaches `due`.
    pub(crate) fn look_at(&mut self, index: u32, due: Option<Timestamp>) {
        if let (Some(due), Some(device)) = (due, self.devices.get_mut(index as usize)) {
            self.queue.put(device, index, due);
        }
    }

    /// Inserts or replaces a device and returns its index.
    pub(crate) fn put(&mut self, device: Device) -> u32 {
        match self.find(device.registration.id.as_str()) {
            Some(index) => {
                self.queue.forget(index);
                let noted = self.touch(index).noted;
                let place = &mut self.devices[index as usize];
                self.journal.registered_anew(noted, place);
                *place = Device { noted, queued: None, ..device };
                index
            }
            None => {
                let index = self.devices.len() as u32;
                self.queue.forget(index);
                let noted = self.journal.note(index, &device);
                self.devices.push(Device { noted, queued: None, ..device });
                self.index.insert(index, &self.devices);
                index
            }
        }
    }

    /// Replaces a device without making it part of the delta.
    pub(crate) fn replace(&mut self, index: usize, device: Device) {
        let noted = self.devices[index].noted;
        self.devices[index] = Device { noted, queued: None, ..device };
        self.queue.forget(index as u32);
    }

    /// Marks every device as changeable, so that the only way back is to read the chain again.
    pub(crate) fn touch_all(&mut self) {
        self.journal.whole = true;
    }

    /// Makes every device part of the delta, with the value it has when the delta is written.
    pub(crate) fn note_all(&mut self) {
        (0..self.devices.len() as u32).for_each(|index| {
            self.touch(index);
        });
    }

    /// Starts a run: the current state is committed.
    pub fn begin(&mut self) {
        self.journal.begin(&self.head, self.devices.len());
    }

    /// Returns to the state at the start of the run. Returns `false` if that is impossible; the state is then
    /// unspecified.
    #[must_use]
    pub(crate) fn undo(&mut self) -> bool {
        if self.journal.whole {
            return false;
        }
        for index in self.journal.devices..self.devices.len() {
            self.index.remove(index as u32, &self.devices);
        }
        self.devices.truncate(self.journal.devices);
        self.journal.restore(&mut self.devices);
        for index in self.journal.changed() {
            if let Some(device) = self.devices.get_mut(*index as usize) {
                device.queued = None;
                self.queue.forget(*index);
            }
        }
        self.head.clone_from(&self.journal.before);
        self.journal.begin(&self.head, self.devices.len());
        true
    }

    /// Returns the devices that the run has touched.
    pub(crate) fn changed(&self) -> impl ExactSizeIterator<Item = &Device> {
        self.changed_from(0)
    }

    /// Returns the touched devices after the first `others`.
    pub(crate) fn changed_from(&self, others: usize) -> impl ExactSizeIterator<Item = &Device> {
        self.journal.changed()[others..].iter().map(|index| &self.devices[*index as usize])
    }

    /// Returns the approximate number of bytes that the touched devices take in a delta.
    pub(crate) fn changed_bytes(&self, from: usize) -> (usize, usize) {
        let changed = &self.journal.changed()[from..];
        let bytes = changed.iter().map(|index| self.devices[*index as usize].encoded_bytes()).sum();
        (self.journal.changed().len(), bytes)
    }
}
