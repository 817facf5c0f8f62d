//! Platform files of a chosen size, which depend on nothing else: the same size always gives the same text.
//!
//! Their contents are plausible, so they pass every check; this module does not define what they mean.

use std::fmt::Write as _;

/// The size of a platform file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The number of zones; three quarters of them are children of another one.
    pub zones: usize,
    /// The number of device types, with three readings each.
    pub device_types: usize,
    /// The number of contacts, with one e-mail address each.
    pub contacts: usize,
    /// The number of rules, spread over device types, zones and kinds.
    pub rules: usize,
}

impl Size {
    /// The smallest platform: one of each.
    pub const ONE: Self = Self { zones: 1, device_types: 1, contacts: 1, rules: 1 };
}

/// The text of a platform file of that size.
///
/// # Panics
/// If a count is zero.
pub fn platform(size: Size) -> String {
    assert!(size.zones > 0 && size.device_types > 0 && size.contacts > 0 && size.rules > 0, "{size:?}");
    let mut text = String::from(HEAD);
    for zone in 0..size.zones {
        write_zone(&mut text, zone, size);
    }
    for device_type in 0..size.device_types {
        write_device_type(&mut text, device_type);
    }
    for contact in 0..size.contacts {
        writeln!(text, "[contacts.crew-{contact}]\nemail = [\"crew-{contact}@example.com\"]\n").expect(INFALLIBLE);
    }
    for rule in 0..size.rules {
        write_rule(&mut text, rule, size);
    }
    text
}

const INFALLIBLE: &str = "a string takes any text";

const HEAD: &str = r#"schema = 1

[platform]
name        = "sized"
owner       = "ops@example.com"
default_env = "dev"

[environments.dev]
account = "111111111111"
region  = "us-east-1"

"#;

fn write_zone(text: &mut String, zone: usize, size: Size) {
    let contact = zone % size.contacts;
    writeln!(text, "[zones.zone-{zone}]\ntitle = \"Zone {zone}\"\ncontacts = [\"crew-{contact}\"]").expect(INFALLIBLE);
    if !zone.is_multiple_of(4) {
        writeln!(text, "parent = \"zone-{}\"", zone - zone % 4).expect(INFALLIBLE);
    }
    text.push('\n');
}

fn write_device_type(text: &mut String, device_type: usize) {
    writeln!(
        text,
        "[device_types.type-{device_type}]\n\
         report_every = \"30s\"\n\
         [device_types.type-{device_type}.readings]\n\
         pressure    = {{ unit = \"[psi]\", min = 0, max = 360, required = true }}\n\
         flow_rate   = {{ key = \"flowRate\", unit = \"L/min\", min = 0, max = 900 }}\n\
         state       = {{ type = \"enum\", values = [\"stopped\", \"running\", \"fault\"] }}\n"
    )
    .expect(INFALLIBLE);
}

/// Kinds alternate, and so do device types and zones. As long as there are enough of them, no two rules cover the same
/// device type in the same zone, so that none shadows another.
fn write_rule(text: &mut String, rule: usize, size: Size) {
    let zone = rule % size.zones;
    let device_type = (rule + rule / size.zones) % size.device_types;
    let condition = match rule % 4 {
        0 => {
            let threshold = 60.0 + (rule / 4) as f64 / 1e3;
            format!(
                "type = \"threshold\"\nmetric = \"pressure\"\noperator = \">\"\nthreshold = {threshold:?}\nduration = \"5m\""
            )
        }
        1 => {
            let max = 500.0 + (rule / 4) as f64 / 1e3;
            format!("type = \"range\"\nmetric = \"flow_rate\"\nmin = 1.0\nmax = {max:?}")
        }
        2 => {
            let threshold = 20.0 + (rule / 4) as f64 / 1e3;
            format!(
                "type = \"rate_of_change\"\nmetric = \"pressure\"\noperator = \">\"\nthreshold = {threshold:?}\nper = \"1m\""
            )
        }
        _ => "type = \"state\"\nmetric = \"state\"\nequals = \"fault\"".to_owned(),
    };
    writeln!(
        text,
        "[rules.rule-{rule}]\n{condition}\nseverity = \"high\"\nzones = [\"zone-{zone}\"]\ndevice_types = [\"type-{device_type}\"]\n"
    )
    .expect(INFALLIBLE);
}

#[cfg(test)]
mod tests {
    use fleetform_generator::check;

    use super::*;

    #[test]
    fn a_platform_of_many_zones_has_nothing_to_warn_of() {
        let text = platform(Size { zones: 100, device_types: 20, contacts: 10, rules: 1_000 });
        let checked = check("platform.toml", &text);
        assert!(checked.project.is_some() && checked.diagnostics.is_empty(), "{:#?}", checked.diagnostics);
    }
}
