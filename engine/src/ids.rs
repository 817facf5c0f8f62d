//! Names as types: a value of one of these types has passed its check and stays valid.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::SmolStr;

/// Why a string is not a valid name of the requested kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {rule}")]
pub struct InvalidName {
    /// The string that was refused, cut to 80 characters.
    pub text: SmolStr,
    /// The kind of name that was expected, such as "zone id".
    pub kind: &'static str,
    /// The rule that it violates, in words.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:path, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// The kind of name, as used in diagnostics.
            pub const KIND: &'static str = $kind;
            /// The rule for its characters and length, in words.
            pub const RULE: &'static str = $rule;

            /// Checks a string and stores it.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                if $check(text) {
                    Ok(Self(SmolStr::new(text)))
                } else {
                    Err(InvalidName { text: text.chars().take(80).collect(), kind: $kind, rule: $rule })
                }
            }

            /// Returns the string as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = SmolStr::deserialize(deserializer)?;
                Self::new(&text).map_err(de::Error::custom)
            }
        }
    };
}

/// `^[a-z][a-z0-9-]{0,62}$`: the names of things that the platform file declares.
fn is_kebab(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// `^[a-z][a-z0-9_]{0,62}$`: the names of metrics and attributes, which become column names, and of settings.
fn is_snake(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// `^[a-zA-Z0-9_-]{1,64}$`: the shadow names that AWS IoT allows ("GetThingShadow", parameter `shadowName`), except
/// those with a `$`, which AWS reserves for its own shadows, and those with a `:`, which policy names do not allow.
fn is_shadow_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// `^[a-zA-Z0-9:_-]{1,128}$`: the thing names that AWS IoT allows ("CreateThing", parameter `thingName`).
fn is_thing_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-'))
}

name!(
    /// A platform, as in `platform.name`.
    PlatformName, "platform name", is_kebab, "a lowercase letter, then up to 62 lowercase letters, digits or `-`");
name!(
    /// An environment, as in `[environments.prod]`.
    EnvironmentId, "environment id", is_kebab, "a lowercase letter, then up to 62 lowercase letters, digits or `-`");
name!(
    /// A zone, as in `[zones.zone-a]`.
    ZoneId, "zone id", is_kebab, "a lowercase letter, then up to 62 lowercase letters, digits or `-`");
name!(
    /// A device type, as in `[device_types.flow-meter]`.
    DeviceTypeId, "device type id", is_kebab, "a lowercase letter, then up to 62 lowercase letters, digits or `-`");
name!(
    /// A rule, as in `[rules.high-pressure]`.
    RuleId, "rule id", is_kebab, "a lowercase letter, then up to 62 lowercase letters, digits or `-`");
name!(
    /// A command that devices of a type accept, as in `[device_types.pump.commands.stop]`.
    CommandId, "command", is_snake, "a lowercase letter, then up to 62 lowercase letters, digits or `_`");
name!(
    /// A parameter of a command.
    ParamId, "parameter", is_snake, "a lowercase letter, then up to 62 lowercase letters, digits or `_`");
name!(
    /// A contact, as in `[contacts.oncall]`.
    ContactId, "contact id", is_kebab, "a lowercase letter, then up to 62 lowercase letters, digits or `-`");
name!(
    /// A severity, as in `[severities.critical]`.
    SeverityId, "severity id", is_kebab, "a lowercase letter, then up to 62 lowercase letters, digits or `-`");
name!(
    /// A metric: a reading of a device type, or a health value of `message.health`.
    MetricId, "metric id", is_snake, "a lowercase letter, then up to 62 lowercase letters, digits or `_`");
name!(
    /// An attribute of a device, as in `device_types.X.attributes`.
    AttributeId, "attribute id", is_snake, "a lowercase letter, then up to 62 lowercase letters, digits or `_`");
name!(
    /// A setting of a device type, as in `device_types.X.desired`.
    SettingId, "setting id", is_snake, "a lowercase letter, then up to 62 lowercase letters, digits or `_`");
name!(
    /// A named shadow of devices, as in `device_types.X.shadows`.
    ShadowName, "shadow name", is_shadow_name, "1 to 64 letters, digits, `_` or `-`");
name!(
    /// A certificate authority that issues device certificates, as in `[identity.authorities.factory-1]`.
    AuthorityId, "authority", is_kebab, "a lowercase letter, then up to 62 lowercase letters, digits or `-`");
name!(
    /// A device: its client id, its thing name and the second level of its topics.
    DeviceId, "device id", is_thing_name, "1 to 128 letters, digits, `:`, `_` or `-`");

/// Prefix of the keys of fleets. It is not valid in a device id or a device type id.
const FLEET: &str = "zone/";

impl DeviceId {
    /// Returns the key that takes the place of a device id for a fleet rule in a zone, and is the partition key of
    /// its records.
    pub(crate) fn of_fleet(rule: &RuleId, zone: &ZoneId) -> Self {
        Self(smol_str::format_smolstr!("{FLEET}{zone}/{rule}"))
    }

    /// Returns the rule and the zone, if this is the key of a fleet rule in a zone.
    pub(crate) fn fleet(&self) -> Option<(RuleId, ZoneId)> {
        let (zone, rule) = self.0.strip_prefix(FLEET)?.split_once('/')?;
        Some((RuleId::new(rule).ok()?, ZoneId::new(zone).ok()?))
    }

    /// Reads a stored id: that of a device, or the key of a fleet rule in a zone.
    pub(crate) fn stored(text: &str) -> Option<Self> {
        let fleet = Self(SmolStr::new(text));
        if fleet.fleet().is_some() { Some(fleet) } else { Self::new(text).ok() }
    }
}

impl DeviceTypeId {
    /// The type of the pseudo-devices that represent fleet rules in zones.
    pub(crate) const FLEET: Self = Self(SmolStr::new_static(FLEET));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_s_name_can_be_part_of_a_policy_s() {
        for name in ["config", "Config_2", "-", "9", &"x".repeat(64)] {
            assert!(ShadowName::new(name).is_ok(), "{name}");
        }
        for name in ["", "$package", "a:b", "a/b", "a b", "a.b", "+", "#", "*", "é", &"x".repeat(65)] {
            assert!(ShadowName::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_stands_for_a_fleet_is_the_name_of_no_device() {
        let (rule, zone) = (RuleId::new("zone-silent").unwrap(), ZoneId::new("zone-a").unwrap());
        let fleet = DeviceId::of_fleet(&rule, &zone);
        assert_eq!(fleet.as_str(), "zone/zone-a/zone-silent");
        assert_eq!(fleet.fleet(), Some((rule, zone)));
        assert!(DeviceId::new(fleet.as_str()).is_err());
        assert!(DeviceTypeId::new(DeviceTypeId::FLEET.as_str()).is_err());
        assert_eq!(DeviceId::stored(fleet.as_str()), Some(fleet));
        assert_eq!(DeviceId::stored("valve-1").unwrap().fleet(), None);
        for text in ["zone/", "zone/zone-a", "zone//rule", "zone/zone-a/", "zone/zone-a/Rule", "other/zone-a/rule", ""]
        {
            assert_eq!(DeviceId::stored(text), None, "{text:?}");
        }
    }
}
