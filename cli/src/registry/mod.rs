//! What AWS IoT's registry knows of devices: things, with what the stream was told of each kept in their attributes.
//!
//! How it is asked is `iot`'s and `aws`'s to know, what has to change `plan`'s, in which order `registrar`'s, and what a
//! device is made of the generator's.

pub(crate) mod aws;
pub(crate) mod iot;
pub(crate) mod keys;
pub(crate) mod manifest;
#[cfg(test)]
mod memory;
pub(crate) mod plan;
pub(crate) mod port;
pub(crate) mod registrar;
mod request;
pub(crate) mod shadows;
#[cfg(test)]
mod stopped_anywhere;

use std::collections::BTreeMap;

use fleetform_generator::{Registration, platform::Platform};
use serde::Deserialize;

/// A thing, as the registry has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Thing {
    /// Its name, which is the device's id.
    #[serde(rename = "thingName")]
    pub(crate) name: String,
    #[serde(rename = "thingArn", default)]
    pub(crate) arn: String,
    #[serde(rename = "thingTypeName")]
    pub(crate) thing_type: Option<String>,
    /// What was told of it, under the names that `scripts/devices.sh` gives them.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Thing {
    /// An attribute that has a value.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The revision of the record that the stream was told last; none if it was never told.
    pub(crate) fn revision(&self) -> Option<u64> {
        self.attribute("revision")?.parse().ok()
    }

    /// Whether the device was taken out of service.
    pub(crate) fn is_retired(&self) -> bool {
        self.attribute("retired") == Some("true")
    }

    /// The device that the stream was told of, checked against a platform as it is now.
    pub(crate) fn registration(&self, platform: &Platform) -> Result<Registration, String> {
        let (Some(device_type), Some(zone)) = (self.attribute("type"), self.attribute("zone")) else {
            return Err("the stream was never told of it".to_owned());
        };
        let attributes = values(self.attribute("values").unwrap_or_default());
        let checked = Registration::registered(platform, &self.name, device_type, zone, &attributes);
        checked.map(|registration| registration.retired(self.is_retired())).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            errors.join("; ")
        })
    }
}

/// Values as an attribute of a thing has them, which takes neither `=` nor `;`: `max_pressure:70/min_flow:2`.
fn values(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('/').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once(':').unwrap_or((pair, ""))).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_script_writes_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(values("max_pressure:70/min_flow:-2.5"), [pair("max_pressure", "70"), pair("min_flow", "-2.5")]);
        assert_eq!(values(""), []);
        // What nobody wrote is no number, and is refused as one.
        assert_eq!(values("max_pressure"), [pair("max_pressure", "")]);
    }
}
