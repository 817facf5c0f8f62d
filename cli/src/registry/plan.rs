//! What has to change for a device to become as wanted, derived from what is known about it. Makes no calls: for a
//! device that is as wanted there is nothing to change.

use std::collections::BTreeMap;

use fleetform_generator::{
    Registration, RegistrationError,
    platform::{Platform, identity::Key},
    sha256,
    stacks::{device_policy_names, iot_policy_names_by_type, registry_names},
};

use super::{
    Thing,
    port::{Certificate, Change, Status, Step},
    values,
};
use crate::found::stack_name;

/// The names of a platform's elements in AWS IoT, and what else its devices have in common.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) stack: String,
    /// Thing types by device type.
    pub(crate) types: BTreeMap<String, String>,
    /// Thing groups by zone.
    pub(crate) groups: BTreeMap<String, String>,
    /// Policies that every device has.
    policies: Vec<String>,
    /// Additional policies of the devices of a type.
    type_policies: BTreeMap<String, String>,
    /// The kind of keys that are made for its devices.
    pub(crate) key: Key,
}

impl Names {
    pub(crate) fn of(platform: &Platform) -> Self {
        let owned = |names: BTreeMap<&str, String>| names.into_iter().map(|(id, name)| (id.to_owned(), name)).collect();
        let (types, groups) = registry_names(platform);
        Self {
            stack: stack_name(platform),
            types: owned(types),
            groups: owned(groups),
            policies: device_policy_names(platform),
            type_policies: owned(iot_policy_names_by_type(platform)),
            key: platform.identity.key,
        }
    }

    /// Whether a thing is one of this platform and environment.
    pub(crate) fn has(&self, thing: &Thing) -> bool {
        let by_type = match thing.thing_type.as_deref() {
            None => true,
            Some(name) => self.types.values().any(|known| known == name),
        };
        by_type || thing.attribute("stack") == Some(&self.stack)
    }

    /// The policies of a device of a type.
    pub(crate) fn policies_of(&self, device_type: &str) -> Vec<String> {
        self.policies.iter().cloned().chain(self.type_policies.get(device_type).cloned()).collect()
    }
}

/// A device as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) device: String,
    pub(crate) device_type: String,
    pub(crate) zone: String,
    /// Numbers as they were written: they are compared as strings with those of the last record.
    values: BTreeMap<String, String>,
    retired: bool,
}

impl Wanted {
    /// A device that is asked for, checked against the platform.
    pub(crate) fn new(
        platform: &Platform,
        device: &str,
        device_type: &str,
        zone: &str,
        attributes: &[(String, String)],
    ) -> Result<Self, Vec<String>> {
        let said = |errors: Vec<RegistrationError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        Registration::new(platform, device, device_type, zone, attributes).map_err(said)?;
        let odd = attributes.iter().filter(|(_, value)| !is_plain_number(value));
        let odd: Vec<String> = odd
            .map(|(name, value)| {
                format!("attribute `{name}` must be written in digits with at most one point, not `{value}`")
            })
            .collect();
        if !odd.is_empty() {
            return Err(odd);
        }
        Ok(Self {
            device: device.to_owned(),
            device_type: device_type.to_owned(),
            zone: zone.to_owned(),
            values: attributes.iter().cloned().collect(),
            retired: false,
        })
    }

    /// The last record of a thing on the stream; none if there never was one.
    pub(crate) fn told(thing: &Thing) -> Option<Self> {
        Some(Self {
            device: thing.name.clone(),
            device_type: thing.attribute("type")?.to_owned(),
            zone: thing.attribute("zone")?.to_owned(),
            values: values(thing.attribute("values").unwrap_or_default()).into_iter().collect(),
            retired: thing.is_retired(),
        })
    }

    /// The same in another zone, checked against the platform.
    pub(crate) fn moved(self, platform: &Platform, zone: &str) -> Result<Self, String> {
        let pairs: Vec<_> = self.values.clone().into_iter().collect();
        Registration::registered(platform, &self.device, &self.device_type, zone, &pairs).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            errors.join("; ")
        })?;
        Ok(Self { zone: zone.to_owned(), ..self })
    }

    /// The same, taken out of service.
    pub(crate) fn retired(self) -> Self {
        Self { retired: true, ..self }
    }

    /// The part of its record that identifies it.
    fn fields(&self) -> String {
        let Self { device_type, zone, values, retired, .. } = self;
        let values: Vec<String> = values.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
        let values = values.join(",");
        format!(r#""type":"{device_type}","zone":"{zone}","attributes":{{{values}}},"retired":{retired}"#)
    }
}

/// A number as `scripts/devices.sh` takes it: up to 15 digits on each side of the point, and no zero before others.
fn is_plain_number(text: &str) -> bool {
    let (whole, part) = text
        .strip_prefix('-')
        .unwrap_or(text)
        .split_once('.')
        .map_or_else(|| (text.strip_prefix('-').unwrap_or(text), None), |(whole, part)| (whole, Some(part)));
    let digits = |text: &str| (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && part.is_none_or(digits)
}

/// What is missing in the registry and then on the stream, in this order.
pub(crate) fn register(
    names: &Names,
    stream: &str,
    wanted: &Wanted,
    (thing, groups): (Option<&Thing>, &[String]),
    now_ms: u64,
) -> Vec<Step> {
    let device = || wanted.device.clone();
    let (thing_type, group) = (&names.types[&wanted.device_type], &names.groups[&wanted.zone]);
    let mut changes = Vec::new();
    match thing {
        None => changes.push(Change::CreateThing { device: device(), thing_type: thing_type.clone() }),
        Some(thing) if thing.thing_type.as_ref() != Some(thing_type) => {
            changes.push(Change::SetThingType { device: device(), thing_type: thing_type.clone() });
        }
        Some(_) => {}
    }
    // Out before in: a thing may be in one group of a hierarchy only.
    let others = groups.iter().filter(|held| *held != group && names.groups.values().any(|known| known == *held));
    changes.extend(others.map(|other| Change::LeaveGroup { device: device(), group: other.clone() }));
    if !groups.contains(group) {
        changes.push(Change::JoinGroup { device: device(), group: group.clone() });
    }
    changes.into_iter().map(Step::from).chain(tell(names, stream, wanted, thing, now_ms)).collect()
}

/// Puts the record of a device on the stream, unless it is there, and notes on the thing that it was put.
pub(crate) fn tell(names: &Names, stream: &str, wanted: &Wanted, thing: Option<&Thing>, now_ms: u64) -> Vec<Step> {
    let fields = wanted.fields();
    // A different stream needs the record again.
    let told = sha256(format!("{stream} {fields}").as_bytes());
    if thing.and_then(|thing| thing.attribute("told")) == Some(&told) {
        return Vec::new();
    }
    // Revisions increase even if the clock goes back.
    let known = thing.and_then(Thing::revision).unwrap_or(0);
    let revision = now_ms.max(known + 1);
    let device = &wanted.device;
    let record = format!(r#"{{"ff":1,"k":"device","d":"{device}","rev":{revision},{fields},"t":{now_ms}}}"#);
    let pairs: Vec<String> = wanted.values.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let attributes = vec![
        ("told", told),
        ("revision", revision.to_string()),
        ("type", wanted.device_type.clone()),
        ("zone", wanted.zone.clone()),
        ("values", pairs.join("/")),
        ("retired", wanted.retired.to_string()),
        ("stack", names.stack.clone()),
    ];
    // Kept only once it was put: a run that is stopped in between puts it again, which changes nothing.
    vec![
        Step::TellStream { device: device.clone(), record },
        Change::SetAttributes { device: device.clone(), attributes }.into(),
    ]
}

/// A certificate with its policies and its things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) arn: String,
    pub(crate) status: Status,
    pub(crate) policies: Vec<String>,
    pub(crate) is_attached: bool,
}

/// Puts a certificate into service for a device: its policies, the thing, and only then its activation.
pub(crate) fn speak(names: &Names, device: &str, device_type: &str, held: &Held) -> Vec<Change> {
    let wanted = names.policies_of(device_type);
    let certificate = || held.arn.clone();
    let missing = wanted.iter().filter(|policy| !held.policies.contains(policy));
    let mut changes: Vec<Change> =
        missing.map(|policy| Change::AttachPolicy { policy: policy.clone(), certificate: certificate() }).collect();
    // Policies of another device type. Policies that a person attached are left.
    let others =
        names.type_policies.values().filter(|policy| held.policies.contains(policy) && !wanted.contains(policy));
    changes.extend(others.map(|policy| Change::DetachPolicy { policy: policy.clone(), certificate: certificate() }));
    if !held.is_attached {
        changes.push(Change::AttachThing { device: device.to_owned(), certificate: certificate() });
    }
    if held.status == Status::Inactive {
        changes.push(Change::SetStatus { certificate: certificate(), status: Status::Active });
    }
    changes
}

/// Withdraws a certificate from a device, from whichever step is left to do.
pub(crate) fn silence(device: &str, held: &Held) -> Vec<Change> {
    let certificate = || held.arn.clone();
    let mut changes = Vec::new();
    // One that waits would be let in as soon as it is on the list.
    if matches!(held.status, Status::Active | Status::Waiting) {
        changes.push(Change::SetStatus { certificate: certificate(), status: Status::Inactive });
    }
    let policies = held.policies.iter();
    changes.extend(policies.map(|policy| Change::DetachPolicy { policy: policy.clone(), certificate: certificate() }));
    if held.is_attached {
        changes.push(Change::DetachThing { device: device.to_owned(), certificate: certificate() });
    }
    changes
}

/// Deletes a certificate for good. One of the customer's own authority is revoked and stays: AWS IoT would register it
/// again when its holder connects.
pub(crate) fn discard(found: &Certificate) -> Vec<Change> {
    let certificate = || found.arn.clone();
    let mut changes = Vec::new();
    if found.status != Status::Revoked {
        changes.push(Change::SetStatus { certificate: certificate(), status: Status::Revoked });
    }
    if found.authority.is_none() {
        changes.push(Change::DeleteCertificate { certificate: certificate() });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If it were deleted, its holder would connect and be registered again.
    #[test]
    fn a_certificate_of_ones_own_authority_is_revoked_and_stays() {
        let found = |authority: Option<&str>, status| Certificate {
            arn: "arn/1".to_owned(),
            status,
            pem: String::new(),
            authority: authority.map(str::to_owned),
        };
        let revoke = || Change::SetStatus { certificate: "arn/1".to_owned(), status: Status::Revoked };
        assert_eq!(discard(&found(Some("ca"), Status::Inactive)), [revoke()]);
        assert_eq!(discard(&found(Some("ca"), Status::Revoked)), []);
        let delete = Change::DeleteCertificate { certificate: "arn/1".to_owned() };
        assert_eq!(discard(&found(None, Status::Inactive)), [revoke(), delete]);
    }

    #[test]
    fn a_certificate_that_waits_is_silenced_before_it_is_let_in() {
        let held = Held {
            arn: "arn/1".to_owned(),
            status: Status::Waiting,
            policies: vec!["p".to_owned()],
            is_attached: true,
        };
        let first = silence("d", &held).remove(0);
        assert_eq!(first, Change::SetStatus { certificate: "arn/1".to_owned(), status: Status::Inactive });
    }

    #[test]
    fn numbers_are_those_that_the_script_takes() {
        for text in ["0", "-1", "70", "70.50", "0.5", "-0.25", "123456789012345"] {
            assert!(is_plain_number(text), "{text}");
        }
        for text in ["", "-", "1.", ".5", "01", "1e3", "+1", "1234567890123456", "1.2.3", "--1", "NaN"] {
            assert!(!is_plain_number(text), "{text}");
        }
    }

    #[test]
    fn what_is_known_of_a_device_is_the_text_that_the_script_compares() {
        let wanted = Wanted {
            device: "d".into(),
            device_type: "meter".into(),
            zone: "north".into(),
            values: [("b", "2.50"), ("a", "1")].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            retired: false,
        };
        assert_eq!(wanted.fields(), r#""type":"meter","zone":"north","attributes":{"a":1,"b":2.50},"retired":false"#);
    }
}
