//! A registry in memory that refuses what AWS IoT refuses, and that can be made to stop before a change, or after it
//! with the answer lost.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};

use super::{
    Thing,
    iot::CallError,
    port::{Certificate, Change, Created, CreatedWithKey, Registry, Status, Step},
    request,
};

/// Bytes of a public point of EC P-256, with which its public keys end.
const POINT_BYTES: usize = 65;

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) certificate: Certificate,
    pub(super) policies: BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) things: BTreeMap<String, Thing>,
    pub(super) groups: BTreeMap<String, BTreeSet<String>>,
    /// Thing and certificate.
    pub(super) attached: BTreeSet<(String, String)>,
    pub(super) certificates: BTreeMap<String, Kept>,
    pub(super) records: Vec<serde_json::Value>,
    made: usize,
}

/// Where a registry stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Before this change, counted from 1.
    Before(usize),
    /// After it, with the answer lost.
    After(usize),
}

#[derive(Default)]
pub(super) struct Memory {
    pub(super) state: RefCell<State>,
    /// Every requested change, in words.
    pub(super) changes: RefCell<Vec<String>>,
    pub(super) stops: Cell<Option<Stopped>>,
}

struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Memory {
    pub(super) fn of(state: State) -> Self {
        Self { state: RefCell::new(state), ..Self::default() }
    }

    /// Does something that changes the state, unless it stops here.
    fn counted<T>(&self, what: String, act: impl FnOnce(&mut State) -> Result<T, CallError>) -> Result<T, CallError> {
        self.changes.borrow_mut().push(what.clone());
        let number = self.changes.borrow().len();
        let stopped = || CallError { call: what.clone(), code: String::new(), message: "stopped".to_owned() };
        if self.stops.get() == Some(Stopped::Before(number)) {
            return Err(stopped());
        }
        let done = act(&mut self.state.borrow_mut());
        if self.stops.get() == Some(Stopped::After(number)) {
            return Err(stopped());
        }
        done
    }
}

fn refused(code: &str, what: &Change) -> CallError {
    CallError { call: what.to_string(), code: code.to_owned(), message: "refused".to_owned() }
}

impl Registry for Memory {
    async fn thing(&self, device: &str) -> Result<Option<Thing>, CallError> {
        Ok(self.state.borrow().things.get(device).cloned())
    }

    async fn groups(&self, device: &str) -> Result<Vec<String>, CallError> {
        Ok(self.state.borrow().groups.get(device).into_iter().flatten().cloned().collect())
    }

    async fn certificates(&self, device: &str) -> Result<Vec<String>, CallError> {
        let state = self.state.borrow();
        Ok(state.attached.iter().filter(|(thing, _)| thing == device).map(|(_, arn)| arn.clone()).collect())
    }

    async fn certificate(&self, arn: &str) -> Result<Option<Certificate>, CallError> {
        Ok(self.state.borrow().certificates.get(arn).map(|kept| kept.certificate.clone()))
    }

    async fn inactive(&self) -> Result<Vec<String>, CallError> {
        let state = self.state.borrow();
        let inactive = state.certificates.iter().filter(|(_, kept)| kept.certificate.status == Status::Inactive);
        Ok(inactive.map(|(arn, _)| arn.clone()).collect())
    }

    async fn policies(&self, arn: &str) -> Result<Vec<String>, CallError> {
        let state = self.state.borrow();
        Ok(state.certificates.get(arn).into_iter().flat_map(|kept| kept.policies.iter().cloned()).collect())
    }

    async fn create_certificate(&self, request: &str) -> Result<Created, CallError> {
        let der = request::of_request(request).expect("a request with its signature").into_der();
        let point = Point(der[der.len() - POINT_BYTES..].to_vec());
        self.counted("create certificate".to_owned(), |state| Ok(state.certify(&point)))
    }

    async fn create_keys_and_certificate(&self) -> Result<CreatedWithKey, CallError> {
        let key = KeyPair::generate().expect("a key");
        let point = Point(key.public_key_raw().to_vec());
        let what = "create keys and certificate".to_owned();
        let created = self.counted(what, |state| Ok(state.certify(&point)))?;
        Ok(CreatedWithKey { created, key: key.serialize_pem() })
    }

    async fn take(&self, step: &Step) -> Result<(), CallError> {
        self.counted(step.to_string(), |state| match step {
            Step::Registry(change) => state.change(change),
            Step::TellStream { device, record } => {
                let record: serde_json::Value = serde_json::from_str(record).expect("a record is JSON");
                assert_eq!(record["d"], device.as_str());
                state.records.push(record);
                Ok(())
            }
        })
    }
}

impl State {
    /// Makes a certificate of a key, which is inactive.
    fn certify(&mut self, point: &Point) -> Created {
        let authority = KeyPair::generate().expect("a key");
        let issuer = Issuer::new(CertificateParams::default(), authority);
        let pem = CertificateParams::default().signed_by(point, &issuer).expect("a certificate").pem();
        self.made += 1;
        let arn = format!("arn:aws:iot:us-east-1:111111111111:cert/{:064}", self.made);
        let certificate = Certificate { arn: arn.clone(), status: Status::Inactive, pem: pem.clone(), authority: None };
        self.certificates.insert(arn.clone(), Kept { certificate, policies: BTreeSet::new() });
        Created { arn, pem }
    }

    fn change(&mut self, change: &Change) -> Result<(), CallError> {
        let missing = || refused("ResourceNotFoundException", change);
        match change.clone() {
            Change::CreateThing { device, thing_type } => {
                let thing = Thing { name: device.clone(), thing_type: Some(thing_type), ..Thing::default() };
                if self.things.insert(device, thing).is_some() {
                    return Err(refused("ResourceAlreadyExistsException", change));
                }
            }
            Change::SetThingType { device, thing_type } => {
                self.things.get_mut(&device).ok_or_else(missing)?.thing_type = Some(thing_type);
            }
            Change::SetAttributes { device, attributes } => {
                let thing = self.things.get_mut(&device).ok_or_else(missing)?;
                thing.attributes.extend(attributes.into_iter().map(|(name, value)| (name.to_owned(), value)));
            }
            Change::DeleteThing { device } => {
                if self.attached.iter().any(|(thing, _)| *thing == device) {
                    return Err(refused("InvalidRequestException", change));
                }
                self.things.remove(&device).ok_or_else(missing)?;
                self.groups.remove(&device);
            }
            Change::JoinGroup { device, group } => {
                let groups = self.groups.entry(device).or_default();
                // A thing is in one group of a hierarchy only.
                if !groups.is_empty() {
                    return Err(refused("InvalidRequestException", change));
                }
                groups.insert(group);
            }
            Change::LeaveGroup { device, group } => {
                self.groups.entry(device).or_default().remove(&group);
            }
            Change::AttachPolicy { policy, certificate } => {
                let kept = self.certificates.get_mut(&certificate).ok_or_else(missing)?;
                assert!(kept.policies.insert(policy), "attached twice");
            }
            Change::DetachPolicy { policy, certificate } => {
                let kept = self.certificates.get_mut(&certificate).ok_or_else(missing)?;
                assert!(kept.policies.remove(&policy), "detached twice");
            }
            Change::AttachThing { device, certificate } => {
                self.things.get(&device).ok_or_else(missing)?;
                assert!(self.attached.insert((device, certificate)), "attached twice");
            }
            Change::DetachThing { device, certificate } => {
                assert!(self.attached.remove(&(device, certificate)), "detached twice");
            }
            Change::SetStatus { certificate, status } => {
                // From here on its device can connect.
                if status == Status::Active {
                    let of = self.attached.iter().find(|(_, arn)| *arn == certificate).expect("it speaks for nobody");
                    let told = self.records.iter().any(|record| record["d"] == of.0.as_str());
                    assert!(told, "the stream does not know {}", of.0);
                }
                self.certificates.get_mut(&certificate).ok_or_else(missing)?.certificate.status = status;
            }
            Change::DeleteCertificate { certificate } => {
                let kept = self.certificates.get(&certificate).ok_or_else(missing)?;
                let is_attached = self.attached.iter().any(|(_, arn)| *arn == certificate);
                if kept.certificate.status == Status::Active || is_attached {
                    return Err(refused("DeleteConflictException", change));
                }
                self.certificates.remove(&certificate);
            }
        }
        Ok(())
    }
}
