//! A platform as the rule set that the runtime loads: the only artifact that generator and runtime share.
//!
//! The meaning of a rule is up to the engine. This module only copies its parts and leaves out addresses.

use std::sync::Arc;

use fleetform_engine::rule_set::{Contact, DeviceType, FORMAT_VERSION, Reading, RuleSet, Zone};
use smol_str::SmolStr;

use crate::{output::sha256, platform::Platform};

/// The rule set of one environment as bytes, with their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSetArtifact {
    /// SHA-256 of the bytes, in hexadecimal: the rule set's address.
    pub sha256: SmolStr,
    /// The canonical bytes.
    pub bytes: Vec<u8>,
}

impl RuleSetArtifact {
    /// Builds the artifact of a platform.
    pub fn of(platform: &Platform) -> Self {
        let set = rule_set(platform);
        // The last of a platform's checks asserts the same, and so does the loader.
        debug_assert_eq!(set.check(), Ok(()), "a platform that passes its checks makes a rule set that passes its own");
        let bytes = set.to_bytes();
        Self { sha256: sha256(&bytes).into(), bytes }
    }
}

/// Returns what the runtime needs to know about a platform. It contains no addresses: those are subscriptions of the
/// contacts' topics.
pub fn rule_set(platform: &Platform) -> RuleSet {
    RuleSet { rules: platform.rules.clone(), ..without_rules(platform) }
}

/// Like [`rule_set`], but without the rules, for callers that do not need them.
pub(crate) fn without_rules(platform: &Platform) -> RuleSet {
    let zones = platform.zones.iter().map(|(id, zone)| {
        let zone = Zone {
            title: zone.title.clone(),
            parent: zone.parent.clone(),
            timezone: zone.timezone.clone(),
            contacts: zone.contacts.clone(),
        };
        (id.clone(), zone)
    });
    let device_types = platform.device_types.iter().map(|(id, device_type)| {
        let readings = device_type.readings.iter().map(|(metric, reading)| {
            let reading = Reading {
                key: reading.key.clone(),
                value: reading.value.clone(),
                required: reading.required,
                unit: reading.unit.clone().unwrap_or_default(),
            };
            (metric.clone(), reading)
        });
        let device_type = DeviceType {
            report_every_ms: device_type.report_every,
            send_every_ms: device_type.send_every,
            offline_after_ms: device_type.offline_after,
            readings: readings.collect(),
            attributes: device_type.attributes.clone(),
        };
        (id.clone(), device_type)
    });
    let contacts = platform.contacts.iter().map(|(id, contact)| {
        let contact = Contact {
            sms: !contact.sms.is_empty(),
            email: !contact.email.is_empty(),
            webhook: contact.webhook.clone(),
        };
        (id.clone(), contact)
    });
    RuleSet {
        format_version: FORMAT_VERSION,
        platform: platform.name.clone(),
        environment: platform.environment.id.clone(),
        message: platform.message.clone(),
        max_alert_delay_ms: platform.processor.max_alert_delay,
        zones: zones.collect(),
        device_types: device_types.collect(),
        severities: platform.severities.clone(),
        contacts: contacts.collect(),
        routes: platform.routes.clone(),
        rules: Arc::default(),
    }
}
