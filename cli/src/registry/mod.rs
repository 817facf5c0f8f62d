//! What AWS IoT's registry knows about devices: things, whose attributes keep the last record of each that was put on
//! the stream.
//!
//! `iot` and `aws` make the calls, `plan` decides what has to change, `registrar` in which order, and the generator
//! what a device consists of.

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

/// The device of the last record on the stream, checked against the current platform.
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

/// Values as a string for an attribute of a thing, which allows neither `=` nor `;`: `max_pressure:70/min_flow:2`.
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
        // A missing value is not a number, and is refused as such.
        assert_eq!(values("max_pressure"), [pair("max_pressure", "")]);
    }
}
