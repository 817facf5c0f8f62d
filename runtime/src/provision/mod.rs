//! The allow-list: which serials may become devices, which device each becomes, and which certificate has used it. The
//! allow-list alone determines what a device becomes; nothing that the device claims about itself is used.
//!
//! A serial can be used once, and the stream knows a device before the device can publish. How a device presents its
//! serial is outside this module.

pub mod just_in_time;
#[cfg(test)]
pub(crate) mod memory;

use std::{collections::BTreeMap, fmt::Write as _};

use fleetform_engine::{
    drive::PortError,
    ids::{AttributeId, DeviceId, DeviceTypeId, ZoneId},
    units::{Finite, Timestamp},
};
use serde_json::Number;
use sha2::{Digest as _, Sha256};

use crate::aws::things::Thing;

/// A serial's row, as its owner wrote it and as it was first used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The thing's name, which is the device's id.
    pub device: String,
    /// The id of its device type.
    pub device_type: String,
    /// The id of its zone.
    pub zone: String,
    /// The device's own attribute values, in the form `max_pressure=70;min_flow=2`.
    pub attributes: String,
    /// The name of its thing type in AWS IoT.
    pub thing_type: String,
    /// The name of its zone's thing group in AWS IoT.
    pub thing_group: String,
    /// The name of the AWS IoT policy with the additional permissions of its device type, or of a policy that every
    /// device has if there are none.
    pub policy: String,
    /// When the serial was first used; a replay does not change it.
    pub used_at: Timestamp,
}

/// The result of claiming a serial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The serial belongs to this certificate, as of now or of an earlier request.
    Granted(Row),
    /// Another certificate has used the serial.
    Used,
    /// The serial is not on the list.
    Unknown,
}

/// The port to the allow-list.
pub trait AllowList: Sync {
    /// Marks a serial as used by a certificate, in one step. Of all certificates that try, exactly one gets it, and
    /// gets it again each time it asks.
    fn claim(
        &self,
        serial: &str,
        certificate: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<Claim, PortError>> + Send;
}

/// The port to the telemetry stream.
pub trait Records: Sync {
    /// Puts a device's record, with the device as partition key. The record is on the stream once this returns.
    fn put(&self, device: &str, record: &[u8]) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// The port to the things of AWS IoT's registry.
pub trait Things: Sync {
    /// The thing of a device, if there is one.
    fn thing(&self, device: &str) -> impl Future<Output = Result<Option<Thing>, PortError>> + Send;
}

/// Longest serial, in characters.
pub(crate) const SERIAL_CHARS_MAX: usize = 128;

/// Why a registration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No serial is given, or a string that is not a valid serial.
    MalformedSerial,
    /// The serial is not on the list.
    UnknownSerial,
    /// Another certificate has used the serial.
    UsedSerial,
    /// The serial's row is invalid.
    UnusableRow,
    /// The certificate was signed by an authority that is not one of the platform's.
    UnknownAuthority,
    /// A thing of the device's name exists and belongs to something else.
    ForeignThing,
    /// The device was revoked after its serial was used.
    RevokedDevice,
}

impl Refusal {
    /// The reason as a label for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedSerial => "malformed_serial",
            Self::UnknownSerial => "unknown_serial",
            Self::UsedSerial => "used_serial",
            Self::UnusableRow => "unusable_row",
            Self::UnknownAuthority => "unknown_authority",
            Self::ForeignThing => "foreign_thing",
            Self::RevokedDevice => "revoked_device",
        }
    }
}

/// Claims a serial for a certificate, and returns the device that it becomes. Repeating a claim has the same result.
///
/// # Errors
/// If the allow-list fails.
pub async fn claim<L: AllowList>(
    allow_list: &L,
    serial: Option<&str>,
    certificate: &str,
    now: Timestamp,
) -> Result<Result<Registration, Refusal>, PortError> {
    let Some(serial) = serial.filter(|serial| is_serial(serial)) else {
        return Ok(Err(Refusal::MalformedSerial));
    };
    let row = match allow_list.claim(serial, certificate, now).await? {
        Claim::Granted(row) => row,
        Claim::Used => return Ok(Err(Refusal::UsedSerial)),
        Claim::Unknown => return Ok(Err(Refusal::UnknownSerial)),
    };
    Ok(Registration::read(row).map_err(|unusable| {
        tracing::error!(problem = %unusable, "a row of the allow-list cannot be used");
        Refusal::UnusableRow
    }))
}

/// Announces a device to the stream, which must know it before it can publish. Repeating it puts the same bytes.
///
/// # Errors
/// If the stream rejects the record.
pub async fn tell<R: Records>(records: &R, registration: &Registration) -> Result<(), PortError> {
    records.put(registration.device().as_str(), &registration.record()).await
}

/// Why the thing that has a device's name is not given to whoever has its serial. `stack` is what things of the platform are
/// told by.
pub fn refusal(stack: &str, registration: &Registration, thing: &Thing) -> Option<Refusal> {
    let is_ours = match thing.attribute("stack") {
        Some(other) => other == stack,
        // A stopped run has made it, and told nobody yet what for.
        None => thing.thing_type.as_ref().is_none_or(|name| *name == registration.thing_type),
    };
    if !is_ours {
        return Some(Refusal::ForeignThing);
    }
    (thing.is_retired() && registration.is_older_than(thing)).then_some(Refusal::RevokedDevice)
}

/// As the script writes them into the list.
fn is_serial(text: &str) -> bool {
    (1..=SERIAL_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-'))
}

/// The column of a row that is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its `{0}` is not usable")]
pub struct Unusable(pub &'static str);

/// A row that was parsed completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    device: DeviceId,
    device_type: DeviceTypeId,
    zone: ZoneId,
    /// Each value as its owner wrote it: parsing it as a number could change the text.
    attributes: BTreeMap<AttributeId, String>,
    thing_type: String,
    thing_group: String,
    policy: String,
    revision: Timestamp,
}

impl Registration {
    /// Parses a row.
    pub fn read(row: Row) -> Result<Self, Unusable> {
        let mut attributes = BTreeMap::new();
        for pair in row.attributes.split(';').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(Unusable("attributes"))?;
            let name = AttributeId::new(name).map_err(|_| Unusable("attributes"))?;
            let number = serde_json::from_str::<Number>(value).ok().and_then(|number| number.as_f64());
            number.and_then(Finite::new).ok_or(Unusable("attributes"))?;
            if attributes.insert(name, value.trim().to_owned()).is_some() {
                return Err(Unusable("attributes"));
            }
        }
        let named = |text: String, name| if text.is_empty() { Err(Unusable(name)) } else { Ok(text) };
        Ok(Self {
            device: DeviceId::new(&row.device).map_err(|_| Unusable("device"))?,
            device_type: DeviceTypeId::new(&row.device_type).map_err(|_| Unusable("type"))?,
            zone: ZoneId::new(&row.zone).map_err(|_| Unusable("zone"))?,
            attributes,
            thing_type: named(row.thing_type, "thing_type")?,
            thing_group: named(row.thing_group, "thing_group")?,
            policy: named(row.policy, "policy")?,
            revision: row.used_at,
        })
    }

    /// The device, whose id is the record's partition key.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Whether the stream was told something of the device later.
    fn is_older_than(&self, thing: &Thing) -> bool {
        thing.revision().is_some_and(|revision| u64::try_from(self.revision.0).is_ok_and(|own| revision > own))
    }

    /// The record that tells the stream of the device. A replay has the same bytes.
    pub fn record(&self) -> Vec<u8> {
        let (device, revision, fields) = (&self.device, self.revision.0, self.fields());
        format!(r#"{{"ff":1,"k":"device","d":"{device}","rev":{revision},{fields},"t":{revision}}}"#).into_bytes()
    }

    /// A hash of what the stream knows of the device, computed as in the script for devices, which then finds nothing
    /// left to announce.
    fn told(&self, stream: &str) -> String {
        let told = Sha256::digest(format!("{stream} {}", self.fields()));
        told.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes everything");
            text
        })
    }

    /// The attribute values in the form of a thing attribute. Never empty, since a template parameter must not be:
    /// without any pairs, only the separator is left.
    fn values(&self) -> String {
        let values: Vec<String> = self.attributes.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        if values.is_empty() { "/".to_owned() } else { values.join("/") }
    }

    /// The parameters for the provisioning template.
    pub fn parameters(&self, stream: &str) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("ThingName", self.device.to_string()),
            ("ThingTypeName", self.thing_type.clone()),
            ("ThingGroupName", self.thing_group.clone()),
            ("DeviceType", self.device_type.to_string()),
            ("PolicyName", self.policy.clone()),
            ("Zone", self.zone.to_string()),
            ("Values", self.values()),
            ("Revision", self.revision.0.to_string()),
            ("Told", self.told(stream)),
        ])
    }

    fn fields(&self) -> String {
        let attributes: Vec<String> =
            self.attributes.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
        format!(
            r#""type":"{}","zone":"{}","attributes":{{{}}},"retired":false"#,
            self.device_type,
            self.zone,
            attributes.join(",")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            device: "sensor-001".to_owned(),
            device_type: "pressure-logger".to_owned(),
            zone: "zone-a".to_owned(),
            attributes: "min_flow=2.50;max_pressure=70".to_owned(),
            thing_type: "water-dev-pressure-logger".to_owned(),
            thing_group: "water-dev-zone-a".to_owned(),
            policy: "water-dev-core".to_owned(),
            used_at: Timestamp(1_769_855_400_000),
        }
    }

    #[test]
    fn a_row_becomes_a_record_and_the_parameters_of_a_template() {
        let registration = Registration::read(row()).expect("a usable row");
        assert_eq!(
            String::from_utf8(registration.record()).expect("text"),
            r#"{"ff":1,"k":"device","d":"sensor-001","rev":1769855400000,"type":"pressure-logger","zone":"zone-a","attributes":{"max_pressure":70,"min_flow":2.50},"retired":false,"t":1769855400000}"#
        );
        let parameters = registration.parameters("the-stream");
        // printf '%s %s' the-stream '"type":"pressure-logger",…,"retired":false' | sha256sum
        let told = "c04d6f79828647bdc6325f7a8176c9a1de7aa65576cde7914871bc08c1009781";
        assert_eq!(
            parameters.into_iter().collect::<Vec<_>>(),
            [
                ("DeviceType", "pressure-logger".to_owned()),
                ("PolicyName", "water-dev-core".to_owned()),
                ("Revision", "1769855400000".to_owned()),
                ("ThingGroupName", "water-dev-zone-a".to_owned()),
                ("ThingName", "sensor-001".to_owned()),
                ("ThingTypeName", "water-dev-pressure-logger".to_owned()),
                ("Told", told.to_owned()),
                ("Values", "max_pressure:70/min_flow:2.50".to_owned()),
                ("Zone", "zone-a".to_owned()),
            ]
        );
        let plain = Registration::read(Row { attributes: String::new(), ..row() }).expect("a usable row");
        assert_eq!(plain.parameters("the-stream")["Values"], "/");
        assert!(String::from_utf8(plain.record()).expect("text").contains(r#""attributes":{},"#));
    }

    #[test]
    fn what_is_wrong_with_a_row_is_named() {
        let with = |change: fn(&mut Row)| {
            let mut row = row();
            change(&mut row);
            Registration::read(row).expect_err("an unusable row").0
        };
        assert_eq!(with(|row| row.device = "sensor 1".to_owned()), "device");
        assert_eq!(with(|row| row.device_type = "Pump".to_owned()), "type");
        assert_eq!(with(|row| row.zone.clear()), "zone");
        assert_eq!(with(|row| row.thing_type.clear()), "thing_type");
        assert_eq!(with(|row| row.thing_group.clear()), "thing_group");
        assert_eq!(with(|row| row.policy.clear()), "policy");
        for attributes in
            ["max_pressure", "Max=1", "a=x", "a=01", "a=1;a=2", "a=\"1\"", "a=1,\"retired\":true", "a=1e999"]
        {
            let row = Row { attributes: attributes.to_owned(), ..row() };
            assert_eq!(Registration::read(row).expect_err(attributes).0, "attributes");
        }
    }
}
