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

use fleetform_generator::{Registration, platform::Platform};
pub(crate) use fleetform_runtime::aws::things::Thing;

/// The device that the stream was told of, checked against a platform as it is now.
pub(crate) fn registration(thing: &Thing, platform: &Platform) -> Result<Registration, String> {
    let (Some(device_type), Some(zone)) = (thing.attribute("type"), thing.attribute("zone")) else {
        return Err("it has no record on the stream".to_owned());
    };
    let attributes = values(thing.attribute("values").unwrap_or_default());
    let checked = Registration::registered(platform, &thing.name, device_type, zone, &attributes);
    checked.map(|registration| registration.retired(thing.is_retired())).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.join("; ")
    })
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
