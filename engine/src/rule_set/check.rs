//! Checks that a rule set is consistent. The generator has made the same checks on the platform file and can point at
//! its lines. Here they are repeated on the artifact, since another version may have written it.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use super::{DeviceType, MessageFormat, Recipient, RuleSet, ValueType};
use crate::{ids::ZoneId, units::Millis};

/// Maximum number of samples that `samples.of` looks back on.
pub const SAMPLES_OF_MAX: u32 = 64;
/// Maximum number of metrics of a device type, including health values.
pub const METRICS_MAX: usize = 64;
/// Maximum number of words of an enum reading.
pub const ENUM_WORDS_MAX: usize = 1_024;
/// Maximum length of any time span in a rule set: ten years.
pub const LENGTH_MAX: Millis = Millis::from_days(10 * 366);

/// A part of a rule set that contradicts another, or itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rule set is wrong at `{at}`: {problem}")]
pub struct Invalid {
    /// Path of the part: keys from the root, joined by `.`.
    pub at: String,
    /// Description of the problem.
    pub problem: String,
}

pub(super) fn invalid(at: impl Into<String>, problem: impl Into<String>) -> Invalid {
    Invalid { at: at.into(), problem: problem.into() }
}

impl RuleSet {
    /// Checks everything about a set's meaning. The first contradiction is reported.
    pub fn check(&self) -> Result<(), Invalid> {
        check_message(&self.message)?;
        check_length("max_alert_delay_ms", self.max_alert_delay_ms, true)?;
        self.check_zones()?;
        for (id, device_type) in &self.device_types {
            self.check_device_type(device_type)
                .map_err(|error| invalid(format!("device_types.{id}.{}", error.at), error.problem))?;
        }
        for (id, severity) in &self.severities {
            check_length(&format!("severities.{id}.cooldown_ms"), severity.cooldown_ms, true)?;
            if let Some(repeat_every) = severity.repeat_every_ms {
                check_length(&format!("severities.{id}.repeat_every_ms"), repeat_every, false)?;
            }
        }
        self.check_routes()?;
        for (id, rule) in self.rules.iter() {
            self.check_rule(id, rule).map_err(|error| invalid(format!("rules.{id}.{}", error.at), error.problem))?;
        }
        Ok(())
    }

    fn check_zones(&self) -> Result<(), Invalid> {
        for (id, zone) in &self.zones {
            for contact in &zone.contacts {
                known(&self.contacts, contact, || format!("zones.{id}.contacts"), "contact")?;
            }
            // A chain of parents with more links than there are zones is a cycle.
            let mut above: Option<&ZoneId> = zone.parent.as_ref();
            for _ in 0..=self.zones.len() {
                let Some(parent) = above else { break };
                let Some(next) = self.zones.get(parent) else {
                    return Err(invalid(format!("zones.{id}.parent"), format!("there is no zone `{parent}`")));
                };
                above = next.parent.as_ref();
            }
            if above.is_some() {
                return Err(invalid(format!("zones.{id}.parent"), "the zone lies within itself"));
            }
        }
        Ok(())
    }

    fn check_device_type(&self, device_type: &DeviceType) -> Result<(), Invalid> {
        for (at, length) in [
            ("report_every_ms", device_type.report_every_ms),
            ("send_every_ms", device_type.send_every_ms),
            ("offline_after_ms", device_type.offline_after_ms),
        ] {
            check_length(at, length, false)?;
        }
        if device_type.readings.len() + self.message.health.len() > METRICS_MAX {
            return Err(invalid("readings", format!("a device type has at most {METRICS_MAX} metrics")));
        }
        let mut keys = BTreeSet::new();
        for (id, reading) in &device_type.readings {
            if reading.key.is_empty() || !keys.insert(&reading.key) {
                return Err(invalid(format!("readings.{id}.key"), "a key is given once and is not empty"));
            }
            if self.message.health.contains_key(id) {
                return Err(invalid(format!("readings.{id}"), "a health value has the same name"));
            }
            match &reading.value {
                ValueType::Float { min, max } | ValueType::Int { min, max } => {
                    if let (Some(min), Some(max)) = (min, max)
                        && min > max
                    {
                        return Err(invalid(format!("readings.{id}.min"), format!("{min} is above the maximum {max}")));
                    }
                }
                ValueType::Enum { values } => {
                    let words: BTreeSet<&SmolStr> = values.iter().collect();
                    if words.is_empty() || words.len() != values.len() || words.len() > ENUM_WORDS_MAX {
                        return Err(invalid(
                            format!("readings.{id}.values"),
                            format!("an enum has 1 to {ENUM_WORDS_MAX} different words"),
                        ));
                    }
                }
                ValueType::Bool | ValueType::String => {}
            }
        }
        Ok(())
    }

    fn check_routes(&self) -> Result<(), Invalid> {
        for (index, route) in self.routes.iter().enumerate() {
            let at = |key: &str| format!("routes.{index}.{key}");
            if route.to.is_empty() {
                return Err(invalid(at("to"), "nobody is told"));
            }
            if route.channels.is_empty() {
                return Err(invalid(at("channels"), "there is no way to tell anybody"));
            }
            for recipient in &route.to {
                match recipient {
                    Recipient::Zone => {}
                    Recipient::Contact(contact) => known(&self.contacts, contact, || at("to"), "contact")?,
                }
            }
            for id in &route.matches.severities {
                known(&self.severities, id, || at("match.severities"), "severity")?;
            }
            for id in &route.matches.rules {
                known(&self.rules, id, || at("match.rules"), "rule")?;
            }
            for id in &route.matches.zones {
                known(&self.zones, id, || at("match.zones"), "zone")?;
            }
            for id in &route.matches.device_types {
                known(&self.device_types, id, || at("match.device_types"), "device type")?;
            }
        }
        Ok(())
    }
}

pub(super) fn check_length(at: &str, length: Millis, zero_is_fine: bool) -> Result<(), Invalid> {
    if (length.0 == 0 && !zero_is_fine) || length > LENGTH_MAX {
        let least = if zero_is_fine { 0 } else { 1 };
        return Err(invalid(at, format!("{} ms does not lie between {least} and {} ms", length.0, LENGTH_MAX.0)));
    }
    Ok(())
}

pub(super) fn known<K: Ord + std::fmt::Display, V>(
    table: &BTreeMap<K, V>,
    id: &K,
    at: impl FnOnce() -> String,
    kind: &str,
) -> Result<(), Invalid> {
    if table.contains_key(id) { Ok(()) } else { Err(invalid(at(), format!("there is no {kind} `{id}`"))) }
}

/// Checks that no two parts of a message share a place or lie inside each other, so that a value has one meaning.
fn check_message(message: &MessageFormat) -> Result<(), Invalid> {
    let mut paths: Vec<(String, &str)> = vec![
        ("message.device_id".into(), &message.device_id),
        ("message.timestamp".into(), &message.timestamp),
        ("message.readings".into(), &message.readings),
    ];
    if let Some(batch) = &message.batch {
        paths.push(("message.batch".into(), batch));
    }
    paths.extend(message.health.iter().map(|(id, path)| (format!("message.health.{id}"), path.as_str())));
    for (at, path) in &paths {
        if path.split('.').any(str::is_empty) {
            return Err(invalid(at, format!("`{path}` is not keys joined by `.`")));
        }
        if path.split('.').count() > 8 {
            return Err(invalid(at, "a path has at most 8 keys"));
        }
    }
    for (index, (at, path)) in paths.iter().enumerate() {
        for (other_at, other) in &paths[..index] {
            let inside = |inner: &str, outer: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if inside(path, other) || inside(other, path) {
                return Err(invalid(at, format!("`{path}` and `{other}` of `{other_at}` overlap")));
            }
        }
    }
    check_length("message.max_future_skew_ms", message.max_future_skew_ms, true)?;
    check_length("message.max_past_ms", message.max_past_ms, true)
}
