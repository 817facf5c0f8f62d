//! What a shard remembers: its devices, the newest sample of each metric, and where each rule stands. It knows which
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

/// Which rule set a shard evaluates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSetRef {
    /// Its version: 0 for the set that a shard started with.
    pub version: u64,
    /// SHA-256 of the artifact.
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

/// The part of a state that belongs to no device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) position: Position,
    /// The highest ingest time seen.
    pub(crate) shard_time: Timestamp,
    pub(crate) rule_set: RuleSetRef,
    /// What is set for its rules apart from the set.
    pub(crate) overrides: Arc<Overrides>,
}

/// One device, or what stands for a fleet rule in a zone.
#[derive(Debug, PartialEq)]
pub(crate) struct Device {
    pub(crate) registration: Arc<Registration>,
    /// Where it belongs in the shard's rule set; none while the set does not know its type or zone, or it is retired.
    pub(crate) home: Option<Home>,
    /// In the order of its type.
    pub(crate) attributes: Arc<[Finite]>,
    /// Ingest time of its last message.
    pub(crate) last_ingest: Option<Timestamp>,
    pub(crate) presence: Presence,
    /// In the order of its type.
    pub(crate) metrics: Vec<MetricState>,
    /// In the order of its plan.
    pub(crate) instances: Instances,
    /// What it has said to fleets.
    pub(crate) memberships: Memberships,
    /// The devices of a zone, if this stands for a fleet rule and not for a device.
    pub(crate) fleet: Option<Box<Fleet>>,
    /// The moment at which the queue of timers looks at it.
    pub(crate) queued: Option<Timestamp>,
    /// Its place in the journal of the run that touched it last.
    pub(crate) noted: Noted,
}

/// What is set for a device when it is registered.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// The device.
    pub id: DeviceId,
    /// A registration with a lower or equal revision is ignored.
    pub revision: u64,
    /// Its type.
    pub device_type: DeviceTypeId,
    /// Its zone.
    pub zone: ZoneId,
    /// Its own values of its type's attributes.
    pub attributes: Vec<(AttributeId, Finite)>,
    /// Whether it was taken out of service.
    pub retired: bool,
}

/// Where one rule stands on one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Instance {
    pub(crate) phase: Phase,
    /// A bit for each of the last samples that matter, the newest lowest: whether it breached.
    pub(crate) breached: u64,
    /// The same: whether it was not clear.
    pub(crate) unclear: u64,
    /// Ingest time of the last notice of a firing.
    pub(crate) noticed_at: Option<Timestamp>,
    /// Firings that the cooldown held back since then.
    pub(crate) suppressed: u32,
    /// What the condition remembers.
    pub(crate) memory: Option<Box<Memory>>,
    /// Its last firings.
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
    /// What explains it.
    pub(crate) evidence: Option<Evidence>,
    pub(crate) notice: Notice,
    /// How often it was told of again.
    pub(crate) repeats: u32,
}

/// When a firing rule's value became clear: by the sample, which samples are compared with, and by its ingest, which
/// the shard's time is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    pub(crate) at: Timestamp,
    pub(crate) ingested_at: Timestamp,
}

/// Firings of a rule on a device, kept to tell flapping.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Flaps {
    /// Ingest times of the last firings, at most one more than the rule's limit.
    pub(crate) recent: Vec<Timestamp>,
    /// It has been called flapping, and has not been stable since.
    pub(crate) flapping: bool,
}

/// Whether a device is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    /// Place of the newest connect or disconnect that counted among those of the client.
    pub(crate) order: Option<u64>,
    /// Ingest time at which it was last said to have gone, unless it has come back.
    pub(crate) gone_at: Option<Timestamp>,
    /// Since when it is offline, by the shard's time.
    pub(crate) offline_since: Option<Timestamp>,
}

/// Whether anybody was told of a running episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Not yet. `counted`: the cooldown has counted it as held back.
    Owed { counted: bool },
    /// Yes.
    Given,
}

impl Instance {
    /// As it is before the first sample.
    pub(crate) const BEGINNING: Self = Self {
        phase: Phase::Inactive,
        breached: 0,
        unclear: 0,
        noticed_at: None,
        suppressed: 0,
        memory: None,
        flaps: None,
    };

    /// Whether a sample that is within a rule's limits leaves it as it is: it may only remember when it was told of.
    #[inline]
    pub(crate) fn is_still(&self) -> bool {
        matches!(self.phase, Phase::Inactive) && self.breached == 0
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::BEGINNING
    }
}

impl Registration {
    /// The values of a type's attributes for this device: its own, or those of the type.
    fn attributes_of(&self, rules: &Compiled, home: Option<Home>) -> Arc<[Finite]> {
        let Some(home) = home else { return Arc::from([]) };
        let own = |id: &AttributeId| self.attributes.iter().find(|(own, _)| own == id).map(|(_, value)| *value);
        rules.device_type(home).attributes.iter().map(|(id, default)| own(id).unwrap_or(*default)).collect()
    }
}

impl Device {
    /// A device of which nothing but its registration is known.
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

    /// What stands for a fleet rule in a zone, of which nothing is known.
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

    /// Roughly how many bytes it takes in a delta.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let remembered = self.instances.iter().filter_map(|(_, instance)| instance.memory.as_deref());
        let remembered: usize = remembered.map(Memory::encoded_bytes).sum();
        let members = self.fleet.as_ref().map_or(0, |fleet| fleet.members().len());
        let fleets = 24 * self.memberships.all().len() + 40 * members;
        160 + 24 * self.metrics.len() + 16 * self.instances.len() + remembered + fleets
    }
}

impl ShardState {
    /// The state before the first record.
    pub fn new(rule_set: RuleSetRef) -> Self {
        let (shard_time, overrides) = (Timestamp::default(), Arc::default());
        Self::from_parts(Head { position: Position::Start, shard_time, rule_set, overrides }, Vec::new())
    }

    pub(crate) fn from_parts(head: Head, mut devices: Vec<Device>) -> Self {
        // A device may come from another state, in whose run it was touched. Here it is not, or no delta would hold it.
        devices.iter_mut().for_each(|device| device.noted = Noted::default());
        let index = Index::of(&devices);
        let journal = Journal::new(head.clone(), devices.len());
        Self { head, devices, index, queue: Queue::everything(), journal }
    }

    /// The last record that the state has applied.
    pub fn position(&self) -> Position {
        self.head.position
    }

    /// The highest ingest time seen.
    pub fn shard_time(&self) -> Timestamp {
        self.head.shard_time
    }

    /// The rule set that it evaluates.
    pub fn rule_set(&self) -> &RuleSetRef {
        &self.head.rule_set
    }

    /// What is set for rules apart from the rule set, by rule.
    pub fn overrides(&self) -> impl ExactSizeIterator<Item = (&RuleId, &Override)> {
        self.head.overrides.iter()
    }

    pub(crate) fn find(&self, device: &str) -> Option<u32> {
        self.index.find(device, &self.devices)
    }

    /// A device for changing it: from here on it is part of the run's delta.
    pub(crate) fn touch(&mut self, index: u32) -> &mut Device {
        let device = &mut self.devices[index as usize];
        if !self.journal.has(device.noted) {
            device.instances.settle();
            device.noted = self.journal.note(index, device);
        }
        device
    }

    /// Looks at a device when the shard's time comes to `due`.
    pub(crate) fn look_at(&mut self, index: u32, due: Option<Timestamp>) {
        if let (Some(due), Some(device)) = (due, self.devices.get_mut(index as usize)) {
            self.queue.put(device, index, due);
        }
    }

    /// Puts a device in its place, new or not, and says which that is.
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

    /// Puts a device in its place without making it part of the delta.
    pub(crate) fn replace(&mut self, index: usize, device: Device) {
        let noted = self.devices[index].noted;
        self.devices[index] = Device { noted, queued: None, ..device };
        self.queue.forget(index as u32);
    }

    /// Says that every device may change, so that there is no way back but reading the chain again.
    pub(crate) fn touch_all(&mut self) {
        self.journal.whole = true;
    }

    /// Makes every device part of the delta, as it will be by then.
    pub(crate) fn note_all(&mut self) {
        (0..self.devices.len() as u32).for_each(|index| {
            self.touch(index);
        });
    }

    /// Starts a run: what is here now is committed.
    pub fn begin(&mut self) {
        self.journal.begin(&self.head, self.devices.len());
    }

    /// Goes back to where the run started. `false` when there is no way back: the state means nothing then.
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

    /// The devices that the run has touched.
    pub(crate) fn changed(&self) -> impl ExactSizeIterator<Item = &Device> {
        self.changed_from(0)
    }

    /// Those of them that came after so many others.
    pub(crate) fn changed_from(&self, others: usize) -> impl ExactSizeIterator<Item = &Device> {
        self.journal.changed()[others..].iter().map(|index| &self.devices[*index as usize])
    }

    /// Roughly how many bytes the touched devices take in a delta.
    pub(crate) fn changed_bytes(&self, from: usize) -> (usize, usize) {
        let changed = &self.journal.changed()[from..];
        let bytes = changed.iter().map(|index| self.devices[*index as usize].encoded_bytes()).sum();
        (self.journal.changed().len(), bytes)
    }
}
