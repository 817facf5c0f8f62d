//! A device registration: checked against the platform, and written as the record that the stream carries.

use std::collections::BTreeMap;

use fleetform_engine::{
    ids::{AttributeId, DeviceId, DeviceTypeId, InvalidName, ZoneId},
    units::{Finite, Timestamp},
};
use regex::Regex;
use serde::Serialize;

use crate::platform::Platform;

/// A device with its type, its zone and its own attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    device: DeviceId,
    device_type: DeviceTypeId,
    zone: ZoneId,
    attributes: BTreeMap<AttributeId, Finite>,
    retired: bool,
}

/// Why a device cannot be registered as requested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// The device's id is not valid as a thing name.
    #[error(transparent)]
    Device(#[from] InvalidName),
    /// The device's id does not match the pattern that the platform requires.
    #[error("device id `{device}` does not match `identity.serial.pattern`, which is `{pattern}`")]
    Serial {
        /// The id.
        device: String,
        /// The pattern.
        pattern: String,
    },
    /// The platform has nothing of this name.
    #[error("there is no {kind} `{name}`; known: {known}")]
    Unknown {
        /// What was named, as in "device type".
        kind: &'static str,
        /// The name.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// An attribute's value is not a finite number.
    #[error("attribute `{name}` must be a finite number, not `{value}`")]
    Value {
        /// The attribute.
        name: String,
        /// The value given.
        value: String,
    },
    /// An attribute was given twice.
    #[error("attribute `{0}` is given twice")]
    Twice(String),
}

impl Registration {
    /// Checks a device against a platform and reports everything that is wrong.
    pub fn new(
        platform: &Platform,
        device: &str,
        device_type: &str,
        zone: &str,
        attributes: &[(String, String)],
    ) -> Result<Self, Vec<RegistrationError>> {
        Self::checked(platform, check_device(platform, device), device_type, zone, attributes)
    }

    /// Like [`Self::new`], for a device that is already registered, so its name is not checked against the naming
    /// rules.
    pub fn registered(
        platform: &Platform,
        device: &str,
        device_type: &str,
        zone: &str,
        attributes: &[(String, String)],
    ) -> Result<Self, Vec<RegistrationError>> {
        let device = DeviceId::new(device).map_err(RegistrationError::from);
        Self::checked(platform, device, device_type, zone, attributes)
    }

    fn checked(
        platform: &Platform,
        device: Result<DeviceId, RegistrationError>,
        device_type: &str,
        zone: &str,
        attributes: &[(String, String)],
    ) -> Result<Self, Vec<RegistrationError>> {
        let mut errors = Vec::new();
        let device = device.map_err(|error| errors.push(error)).ok();
        let zone = known("zone", &platform.zones, zone).map_err(|error| errors.push(error)).ok();
        let of_type =
            known("device type", &platform.device_types, device_type).map_err(|error| errors.push(error)).ok();
        let mut values = BTreeMap::new();
        for (name, value) in attributes {
            // Without a type, there is nothing to check its attributes against.
            let Some((_, declared)) = of_type else { break };
            let checked = known("attribute", &declared.attributes, name).and_then(|(id, _)| {
                let number = value.parse().ok().and_then(Finite::new);
                let number =
                    number.ok_or_else(|| RegistrationError::Value { name: name.clone(), value: value.clone() })?;
                Ok((id.clone(), number))
            });
            match checked {
                Ok((id, number)) => {
                    if values.insert(id, number).is_some() {
                        errors.push(RegistrationError::Twice(name.clone()));
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        match (device, of_type, zone) {
            (Some(device), Some((device_type, _)), Some((zone, _))) if errors.is_empty() => {
                let (device_type, zone) = (device_type.clone(), zone.clone());
                Ok(Self { device, device_type, zone, attributes: values, retired: false })
            }
            _ => Err(errors),
        }
    }

    /// The device, which is the record's partition key.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The same device, put out of or into service.
    #[must_use]
    pub fn retired(self, retired: bool) -> Self {
        Self { retired, ..self }
    }

    /// Returns the record. Of two records with the same device, the one with the higher revision applies.
    pub fn record(&self, revision: u64, at: Timestamp) -> Vec<u8> {
        let record = Record {
            ff: 1,
            k: "device",
            d: &self.device,
            rev: revision,
            device_type: &self.device_type,
            zone: &self.zone,
            attributes: &self.attributes,
            retired: self.retired,
            t: at,
        };
        serde_json::to_vec(&record).expect("a record has only text keys")
    }
}

#[derive(Serialize)]
struct Record<'a> {
    ff: u8,
    k: &'static str,
    d: &'a DeviceId,
    rev: u64,
    #[serde(rename = "type")]
    device_type: &'a DeviceTypeId,
    zone: &'a ZoneId,
    attributes: &'a BTreeMap<AttributeId, Finite>,
    retired: bool,
    t: Timestamp,
}

fn check_device(platform: &Platform, device: &str) -> Result<DeviceId, RegistrationError> {
    let id = DeviceId::new(device)?;
    let Some(pattern) = &platform.identity.serial_pattern else { return Ok(id) };
    let whole = Regex::new(&format!("^(?:{pattern})$")).expect("the pattern was checked with the platform file");
    if whole.is_match(device) {
        Ok(id)
    } else {
        Err(RegistrationError::Serial { device: device.to_owned(), pattern: pattern.to_string() })
    }
}

fn known<'p, Id, Value>(
    kind: &'static str,
    all: &'p BTreeMap<Id, Value>,
    name: &str,
) -> Result<(&'p Id, &'p Value), RegistrationError>
where
    Id: Ord + std::borrow::Borrow<str> + std::fmt::Display,
{
    all.get_key_value(name).ok_or_else(|| {
        let known: Vec<String> = all.keys().map(|id| format!("`{id}`")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        RegistrationError::Unknown { kind, name: name.to_owned(), known }
    })
}
