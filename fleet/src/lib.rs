//! Simulated devices: what a fleet of a platform would send, message by message, in the order in which it would
//! arrive.
//!
//! A run follows from a rule set, how many devices of which type there are in which zone, and a seed, and from nothing
//! else: the same ones give the same bytes. Nothing here sends anything, reads a clock, or knows what a message will
//! do.
#![forbid(unsafe_code)]

mod device;
mod message;
mod name;
mod profile;
mod shadow;
mod signal;

use std::collections::{BTreeMap, VecDeque};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::{
    ids::{DeviceId, DeviceTypeId, InvalidName, ZoneId},
    rule_set::{DeviceType, MessageFormat, RuleSet},
    units::{Millis, Timestamp},
};
use serde_json::json;

pub use message::{Kind, status};
pub use name::{BadTemplate, NameTemplate};
pub use profile::{BadMix, Mix, Profile};
pub use shadow::{Setting, Shadow};

use device::Device;

/// Maximum number of devices in a fleet.
pub const DEVICES_MAX: u64 = 1_000_000;

/// Devices of one type in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Id of their type, which must be in the rule set.
    pub device_type: DeviceTypeId,
    /// Id of their zone.
    pub zone: ZoneId,
    /// Number of devices.
    pub count: u32,
}

/// Options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of all random choices.
    pub seed: u64,
    /// When the run starts.
    pub start: Timestamp,
    /// How long the run lasts.
    pub length: Millis,
    /// How devices behave.
    pub mix: Mix,
    /// Template of the devices' names.
    pub names: NameTemplate,
    /// Whether the broker reports that a device is gone, because the device has left a will.
    pub last_will: bool,
}

/// One message that a device sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it arrives at the broker.
    pub at: Timestamp,
    /// Index of the device in [`Fleet::devices`].
    pub device: usize,
    /// Its kind.
    pub kind: Kind,
    /// The message's bytes.
    pub payload: Vec<u8>,
    /// Number of samples in the message.
    pub samples: usize,
    /// Whether the message must be refused.
    pub is_malformed: bool,
}

/// The identity of a device in the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Id of the device.
    pub id: DeviceId,
    /// Id of its type.
    pub device_type: DeviceTypeId,
    /// Id of its zone.
    pub zone: ZoneId,
    /// How it behaves.
    pub profile: Profile,
}

/// A fleet during a run: an iterator over what it sends.
pub struct Fleet<'r> {
    message: &'r MessageFormat,
    types: Vec<&'r DeviceType>,
    members: Vec<Member>,
    devices: Vec<Device>,
    options: Options,
    /// Planned events, by time and then in the order in which they were planned.
    planned: BTreeMap<(Timestamp, u64), What>,
    order: u64,
    /// The next events, all at the same moment.
    ready: VecDeque<Event>,
}

enum What {
    /// A device sends what it has.
    Send(usize),
    /// A message that was sent earlier arrives.
    Arrive(Event),
}

impl<'r> Fleet<'r> {
    /// Creates a fleet before its first message.
    ///
    /// # Errors
    /// If the name of a device is not valid.
    ///
    /// # Panics
    /// If the rule set does not contain the type of a group, or there are more than [`DEVICES_MAX`] devices.
    pub fn new(rules: &'r RuleSet, groups: &[Group], options: Options) -> Result<Self, InvalidName> {
        let count: u64 = groups.iter().map(|group| u64::from(group.count)).sum();
        assert!(count <= DEVICES_MAX, "a fleet has at most {DEVICES_MAX} devices");
        let mut fleet = Self {
            message: &rules.message,
            types: Vec::new(),
            members: Vec::new(),
            devices: Vec::new(),
            options,
            planned: BTreeMap::new(),
            order: 0,
            ready: VecDeque::new(),
        };
        for group in groups {
            let device_type = &rules.device_types[&group.device_type];
            fleet.types.push(device_type);
            for _ in 0..group.count {
                fleet.add(group, device_type)?;
            }
        }
        Ok(fleet)
    }

    fn add(&mut self, group: &Group, device_type: &DeviceType) -> Result<(), InvalidName> {
        let number = self.members.len() + 1;
        let name = self.options.names.name(group.device_type.as_str(), group.zone.as_str(), number);
        let id = DeviceId::new(&name)?;
        let mut chance = fastrand::Rng::with_seed(seed_of(self.options.seed, id.as_str()));
        let profile = self.options.mix.pick(&mut chance);
        let first = self.options.start.after(Millis(chance.u64(0..device_type.send_every_ms.0)));
        let index = self.devices.len();
        self.devices.push(Device::new(self.types.len() - 1, device_type, first, profile, chance));
        let (device_type, zone) = (group.device_type.clone(), group.zone.clone());
        self.members.push(Member { id, device_type, zone, profile });
        self.plan(first, What::Send(index));
        Ok(())
    }

    /// Returns its devices. An event names one by its index here.
    pub fn devices(&self) -> &[Member] {
        &self.members
    }

    /// Returns how far the run has progressed at a moment, from 0 to 1.
    pub fn share(&self, at: Timestamp) -> f64 {
        share(&self.options, at)
    }

    /// Returns a message as the topic rules put it on the telemetry stream.
    pub fn record(&self, event: &Event) -> Vec<u8> {
        let device = self.members[event.device].id.as_str();
        let payload = STANDARD.encode(&event.payload);
        json!({ "ff": 1, "k": "message", "p": payload, "d": device, "ch": event.kind.channel(), "c": device, "t": event.at })
            .to_string()
            .into_bytes()
    }

    fn plan(&mut self, at: Timestamp, what: What) {
        self.planned.insert((at, self.order), what);
        self.order += 1;
    }

    /// Sends what a device has, and plans its next message.
    fn send(&mut self, index: usize, at: Timestamp) {
        let device = &mut self.devices[index];
        let device_type = self.types[device.group];
        let id = &self.members[index].id;
        let now = device::Now { at, share: share(&self.options, at), last_will: self.options.last_will };
        let sent = device.send(now, device_type, self.message, id);
        let next = at.after(device_type.send_every_ms);
        for (delay, message) in sent {
            let event = Event {
                at: at.after(delay),
                device: index,
                kind: message.kind,
                payload: message.payload,
                samples: message.samples,
                is_malformed: message.is_malformed,
            };
            if delay == Millis(0) {
                self.ready.push_back(event);
            } else {
                self.plan(event.at, What::Arrive(event));
            }
        }
        self.plan(next, What::Send(index));
    }
}

impl Iterator for Fleet<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let end = self.options.start.after(self.options.length);
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let ((at, _), what) = self.planned.pop_first()?;
            // Messages that would arrive after the end of the run are dropped.
            if at < end {
                match what {
                    What::Send(index) => self.send(index, at),
                    What::Arrive(event) => return Some(event),
                }
            }
        }
    }
}

fn share(options: &Options, at: Timestamp) -> f64 {
    at.since(options.start).0 as f64 / options.length.0.max(1) as f64
}

/// Returns a device's own seed, which does not depend on what other devices there are: FNV-1a over its name.
fn seed_of(seed: u64, name: &str) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(PRIME);
    name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}
