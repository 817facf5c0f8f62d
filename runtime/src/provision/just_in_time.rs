//! Devices with certificates of a private authority, which AWS IoT registers when they first connect: what is read from
//! such a certificate, and what has to change so that it identifies its device. This module makes no calls itself.

use fleetform_engine::drive::PortError;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_cert::{
    Certificate as Signed,
    attr::AttributeTypeAndValue,
    der::{
        Decode as _, Tag, Tagged as _,
        asn1::{ObjectIdentifier, PrintableStringRef, TeletexStringRef, Utf8StringRef},
    },
};

use super::{Registration, Things};
use crate::aws::things::{Certificate, Change, Thing};

/// `id-at-commonName` of X.520.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The port to all that is asked and changed in AWS IoT's registry.
pub trait ThingRegistry: Things {
    /// A certificate by its id, if there is one.
    fn certificate(&self, id: &str) -> impl Future<Output = Result<Option<Certificate>, PortError>> + Send;
    /// The groups that a thing is in.
    fn groups(&self, device: &str) -> impl Future<Output = Result<Vec<String>, PortError>> + Send;
    /// The policies of a certificate, by its ARN.
    fn policies(&self, certificate: &str) -> impl Future<Output = Result<Vec<String>, PortError>> + Send;
    /// Makes a change. A thing that already exists was created by a concurrent call.
    fn change(&self, change: &Change) -> impl Future<Output = Result<Made, PortError>> + Send;
}

/// The result of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// The change is made.
    Done,
    /// The change refers to a type, a group or a policy that does not exist.
    Missing,
}

/// The names of a platform's elements in AWS IoT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The stack's name, which is the prefix of the names of groups and policies.
    pub stack: String,
    /// The name of the telemetry stream.
    pub stream: String,
    /// The names of the policies that every device has.
    pub policies: Vec<String>,
}

impl Names {
    /// Whether the platform assigns names of this form. Another platform's names may have the same prefix, so this is
    /// only used for what a thing or a certificate of this platform has.
    fn is_own(&self, name: &str) -> bool {
        name.strip_prefix(&self.stack).is_some_and(|rest| rest.starts_with('-'))
    }
}

/// The name in the subject of a certificate.
pub fn common_name(pem: &str) -> Option<String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let subject = Signed::from_der(&der).ok()?.tbs_certificate.subject;
    let mut names = subject.0.iter().flat_map(|part| part.0.iter()).filter(|part| part.oid == COMMON_NAME);
    let name = names.next().and_then(text)?;
    // If there are two, it is not clear which one is intended.
    names.next().is_none().then_some(name)
}

fn text(part: &AttributeTypeAndValue) -> Option<String> {
    let value = &part.value;
    let text = match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::TeletexString => value.decode_as::<TeletexStringRef<'_>>().ok()?.as_str().to_owned(),
        _ => return None,
    };
    Some(text)
}

/// The changes that the registry needs for a device whose serial is claimed: the thing, its group, and the attributes
/// with what the stream knows of it. Later changes, such as moving the device, are kept.
pub fn register(
    names: &Names,
    registration: &Registration,
    (thing, groups): (Option<&Thing>, &[String]),
) -> Vec<Change> {
    if thing.is_some_and(|thing| registration.is_older_than(thing)) {
        return Vec::new();
    }
    let device = || registration.device.to_string();
    let mut changes = Vec::new();
    match thing {
        None => {
            changes.push(Change::CreateThing { device: device(), thing_type: registration.thing_type.clone() });
        }
        Some(thing) if thing.thing_type.as_ref() != Some(&registration.thing_type) => {
            changes.push(Change::SetThingType { device: device(), thing_type: registration.thing_type.clone() });
        }
        Some(_) => {}
    }
    // Removed before added: a thing can only be in one group of a hierarchy.
    let group = &registration.thing_group;
    let others = groups.iter().filter(|held| *held != group && names.is_own(held));
    changes.extend(others.map(|other| Change::LeaveGroup { device: device(), group: other.clone() }));
    if !groups.contains(group) {
        changes.push(Change::JoinGroup { device: device(), group: group.clone() });
    }
    let told = registration.told(&names.stream);
    let revision = registration.revision.0.to_string();
    let knows =
        |thing: &Thing| thing.attribute("told") == Some(&told) && thing.attribute("revision") == Some(&revision);
    if !thing.is_some_and(knows) {
        let attributes = vec![
            ("told", told),
            ("revision", revision),
            ("type", registration.device_type.to_string()),
            ("zone", registration.zone.to_string()),
            ("values", registration.values()),
            ("retired", "false".to_owned()),
            ("stack", names.stack.clone()),
        ];
        changes.push(Change::SetAttributes { device: device(), attributes });
    }
    changes
}

/// The changes that a certificate needs to identify its device. It loses the policies of other device types.
pub fn empower(names: &Names, registration: &Registration, certificate: &str, held: &[String]) -> Vec<Change> {
    let certificate = || certificate.to_owned();
    // For a type without its own policy, this is one that every device has.
    let wanted: Vec<&String> = names.policies.iter().chain([&registration.policy]).collect();
    let others = held.iter().filter(|policy| names.is_own(policy) && !wanted.contains(policy));
    let mut changes: Vec<Change> =
        others.map(|policy| Change::DetachPolicy { policy: policy.clone(), certificate: certificate() }).collect();
    let own = Some(&registration.policy).filter(|own| !names.policies.contains(own));
    let lacking = names.policies.iter().chain(own).filter(|policy| !held.contains(policy));
    changes.extend(lacking.map(|policy| Change::AttachPolicy { policy: policy.clone(), certificate: certificate() }));
    changes.push(Change::AttachThing { device: registration.device.to_string(), certificate: certificate() });
    changes
}
