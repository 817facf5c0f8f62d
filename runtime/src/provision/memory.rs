//! An allow-list, a stream and a registry in memory, whose calls can fail or end the program.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use fleetform_engine::{drive::PortError, units::Timestamp};
use serde_json::Value;

use super::{
    AllowList, Claim, Records, Row, Things,
    just_in_time::{Made, ThingRegistry},
};
use crate::aws::things::{Certificate, Change, Status, Thing};

pub(crate) const SERIAL_NUMBER: &str = "RW-000123";
pub(crate) const START: Timestamp = Timestamp(1_769_855_400_000);

/// Where something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The call takes effect, and the program ends before it learns of that.
    KilledAfter(usize),
    /// The program ends before the call takes effect.
    KilledBefore(usize),
    /// The call has no effect, and returns an error.
    Fails(usize),
    /// Nothing goes wrong.
    Well,
}

/// An allow-list and a stream.
pub(crate) struct World {
    pub(crate) rows: Mutex<BTreeMap<String, (Row, Option<String>)>>,
    stream: Mutex<Vec<(String, Vec<u8>)>>,
    pub(crate) calls: AtomicUsize,
    pub(crate) fate: Mutex<Fate>,
    pub(crate) registry: Mutex<Registry>,
}

/// The contents of AWS IoT's registry.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) certificates: BTreeMap<String, Certificate>,
    pub(crate) things: BTreeMap<String, Thing>,
    pub(crate) groups: BTreeMap<String, BTreeSet<String>>,
    /// The policies of certificates, and the things they are attached to.
    pub(crate) policies: BTreeMap<String, BTreeSet<String>>,
    pub(crate) attached: BTreeMap<String, String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let row = |device: &str| Row {
            device: device.to_owned(),
            device_type: "pump".to_owned(),
            zone: "zone-a".to_owned(),
            attributes: "max_pressure=70".to_owned(),
            thing_type: "water-dev-pump".to_owned(),
            thing_group: "water-dev-zone-a".to_owned(),
            policy: "water-dev-commands-pump".to_owned(),
            used_at: Timestamp(0),
        };
        let unusable = Row { zone: "no zone".to_owned(), ..row("pump-9") };
        let rows = [(SERIAL_NUMBER, row("pump-1")), ("RW-000124", row("pump-2")), ("RW-000999", unusable)];
        Self {
            rows: Mutex::new(rows.into_iter().map(|(serial, row)| (serial.to_owned(), (row, None))).collect()),
            stream: Mutex::default(),
            calls: AtomicUsize::new(0),
            fate: Mutex::new(Fate::Well),
            registry: Mutex::default(),
        }
    }

    /// Makes a call, unless it goes wrong.
    async fn call<T>(&self, done: impl FnOnce() -> T) -> Result<T, PortError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let fate = *self.fate.lock().unwrap();
        if fate == Fate::Fails(number) {
            return Err(PortError("throttled".to_owned()));
        }
        if fate == Fate::KilledBefore(number) {
            std::future::pending::<()>().await;
        }
        let done = done();
        if fate == Fate::KilledAfter(number) {
            std::future::pending::<()>().await;
        }
        Ok(done)
    }

    pub(crate) fn told(&self) -> Vec<Value> {
        let stream = self.stream.lock().unwrap();
        stream
            .iter()
            .map(|(key, record)| {
                let record: Value = serde_json::from_slice(record).expect("JSON");
                assert_eq!(record["d"], key.as_str(), "the partition key is the device");
                record
            })
            .collect()
    }

    pub(crate) fn used_by(&self, serial: &str) -> Option<String> {
        self.rows.lock().unwrap()[serial].1.clone()
    }
}

impl AllowList for &World {
    async fn claim(&self, serial: &str, certificate: &str, now: Timestamp) -> Result<Claim, PortError> {
        self.call(|| {
            let mut rows = self.rows.lock().unwrap();
            let Some((row, used_by)) = rows.get_mut(serial) else { return Claim::Unknown };
            match used_by {
                Some(other) if other != certificate => return Claim::Used,
                Some(_) => {}
                None => {
                    *used_by = Some(certificate.to_owned());
                    row.used_at = now;
                }
            }
            Claim::Granted(row.clone())
        })
        .await
    }
}

impl Records for &World {
    async fn put(&self, device: &str, record: &[u8]) -> Result<(), PortError> {
        // A device that is on the stream may be provisioned, so its serial must be claimed by then.
        let is_taken =
            self.rows.lock().unwrap().values().any(|(row, used_by)| row.device == device && used_by.is_some());
        assert!(is_taken, "nobody has the serial of {device}");
        self.call(|| self.stream.lock().unwrap().push((device.to_owned(), record.to_vec()))).await
    }
}

/// A clock that advances by a second with each reading.
pub(crate) fn clock() -> Timestamp {
    static NOW: AtomicI64 = AtomicI64::new(START.0);
    Timestamp(NOW.fetch_add(1_000, Ordering::Relaxed))
}

impl Things for &World {
    async fn thing(&self, device: &str) -> Result<Option<Thing>, PortError> {
        self.call(|| self.registry.lock().unwrap().things.get(device).cloned()).await
    }
}

impl ThingRegistry for &World {
    async fn certificate(&self, id: &str) -> Result<Option<Certificate>, PortError> {
        self.call(|| self.registry.lock().unwrap().certificates.get(id).cloned()).await
    }

    async fn groups(&self, device: &str) -> Result<Vec<String>, PortError> {
        self.call(|| self.registry.lock().unwrap().groups.get(device).into_iter().flatten().cloned().collect()).await
    }

    async fn policies(&self, certificate: &str) -> Result<Vec<String>, PortError> {
        let id = certificate.rsplit('/').next().expect("an ARN");
        self.call(|| self.registry.lock().unwrap().policies.get(id).into_iter().flatten().cloned().collect()).await
    }

    async fn change(&self, change: &Change) -> Result<Made, PortError> {
        self.call(|| self.registry.lock().unwrap().change(change, &self.told())).await
    }
}

impl Registry {
    fn change(&mut self, change: &Change, told: &[Value]) -> Made {
        let id = |arn: &str| arn.rsplit('/').next().expect("an ARN").to_owned();
        match change.clone() {
            Change::CreateThing { device, thing_type } => {
                let thing = Thing { name: device.clone(), thing_type: Some(thing_type), ..Thing::default() };
                self.things.entry(device).or_insert(thing);
            }
            Change::SetThingType { device, thing_type } => {
                self.things.get_mut(&device).expect("a thing").thing_type = Some(thing_type);
            }
            Change::SetAttributes { device, attributes } => {
                let thing = self.things.get_mut(&device).expect("a thing");
                thing.attributes.extend(attributes.into_iter().map(|(name, value)| (name.to_owned(), value)));
            }
            Change::JoinGroup { group, .. } if group.ends_with("-gone") => return Made::Missing,
            Change::JoinGroup { device, group } => {
                let groups = self.groups.entry(device).or_default();
                assert!(groups.is_empty(), "a thing is in one group of a hierarchy only: {groups:?} and {group}");
                groups.insert(group);
            }
            Change::LeaveGroup { device, group } => {
                assert!(self.groups.entry(device).or_default().remove(&group));
            }
            Change::AttachPolicy { policy, certificate } => {
                self.policies.entry(id(&certificate)).or_default().insert(policy);
            }
            Change::DetachPolicy { policy, certificate } => {
                assert!(self.policies.entry(id(&certificate)).or_default().remove(&policy));
            }
            Change::AttachThing { device, certificate } => {
                assert!(self.things.contains_key(&device));
                self.attached.insert(id(&certificate), device);
            }
            Change::SetStatus { certificate, status } => {
                let id = id(&certificate);
                // From here on its device may publish.
                let device = self.attached.get(&id).expect("it speaks for nobody");
                assert!(told.iter().any(|record| record["d"] == device.as_str()), "the stream does not know {device}");
                assert!(self.things[device].attribute("told").is_some() && !self.policies[&id].is_empty());
                assert_eq!(status, Status::Active);
                self.certificates.get_mut(&id).expect("a certificate").status = status;
            }
            Change::DeleteThing { .. } | Change::DetachThing { .. } | Change::DeleteCertificate { .. } => {
                panic!("nothing is taken away here: {change}");
            }
        }
        Made::Done
    }
}
