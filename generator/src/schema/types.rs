//! Shapes that many elements share: lengths of time, sizes, and tables whose keys are names.

use std::{borrow::Cow, collections::BTreeMap, fmt::Display, str::FromStr};

use fleetform_engine::{
    ids::{
        AttributeId, AuthorityId, CommandId, ContactId, DeviceTypeId, EnvironmentId, MetricId, ParamId, PlatformName,
        RuleId, SettingId, SeverityId, ZoneId,
    },
    units::Millis,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// How a length of time is written: `90s`, `5m`, `48h`, `400d`.
pub(crate) const DURATION_PATTERN: &str = "^[0-9]{1,7}(ms|s|m|h|d|w|y)$";

/// How a size is written: `256MiB`.
pub(crate) const SIZE_PATTERN: &str = "^[0-9]{1,7}(B|KiB|MiB|GiB)$";

/// How zones, device types, rules, contacts, severities and environments are named.
pub(crate) const KEBAB_PATTERN: &str = "^[a-z][a-z0-9-]{0,62}$";

/// How metrics, attributes, settings, commands and their parameters are named.
pub(crate) const SNAKE_PATTERN: &str = "^[a-z][a-z0-9_]{0,62}$";

/// How named shadows are named.
pub(crate) const SHADOW_PATTERN: &str = "^[a-zA-Z0-9_-]{1,64}$";

/// A length of time with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Duration(pub(crate) Millis);

impl Duration {
    /// Reads a length of time as the file writes it. A year has 365 days.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        if digits > 7 {
            return None;
        }
        Some(Self(Millis(number.parse::<u64>().ok()?.checked_mul(unit_ms)?)))
    }

    /// What a text means by longer words, by spaces or as a sum, as the file writes it: `90m` for `1h 30min`.
    pub(crate) fn meant(text: &str) -> Option<String> {
        const WORDS: [(&str, &[&str]); 7] = [
            ("ms", &["ms", "msec", "millis", "millisecond"]),
            ("s", &["s", "sec", "second"]),
            ("m", &["m", "min", "minute"]),
            ("h", &["h", "hr", "hour"]),
            ("d", &["d", "day"]),
            ("w", &["w", "wk", "week"]),
            ("y", &["y", "yr", "year"]),
        ];
        let mut rest = text.trim();
        let mut sum = Millis(0);
        while !rest.is_empty() {
            let (number, word, behind) = number_and_word(rest);
            let is_meant = |known: &&str| word == *known || (known.len() > 1 && word.strip_suffix('s') == Some(known));
            let (unit, _) = WORDS.iter().find(|(_, words)| words.iter().any(is_meant))?;
            let Self(length) = Self::parse(&format!("{number}{unit}"))?;
            sum = Millis(sum.0.checked_add(length.0)?);
            rest = behind;
        }
        let written = Self::write(sum);
        (sum.0 > 0 && Self::parse(&written).is_some()).then_some(written)
    }

    /// Writes a length of time in its largest whole unit.
    pub(crate) fn write(length: Millis) -> String {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match units.iter().find(|(unit, _)| length.0 > 0 && length.0.is_multiple_of(*unit)) {
            Some((unit, name)) => format!("{}{name}", length.0 / unit),
            None if length.0 == 0 => "0s".to_owned(),
            None => format!("{}ms", length.0),
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("a length of time is a whole number with a unit"))
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "5m", "48h", "30d"] })
    }
}

/// A size in bytes with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    /// Reads a size as the file writes it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return None,
        };
        if digits > 7 {
            return None;
        }
        number.parse::<u64>().ok().map(|number| Self(number << shift))
    }

    /// What a text means by another word for its unit or by spaces, as the file writes it: `256MiB` for `256 mb`.
    pub(crate) fn meant(text: &str) -> Option<String> {
        let (number, word, behind) = number_and_word(text.trim());
        let unit = match word.as_str() {
            "b" | "byte" | "bytes" => "B",
            "k" | "kb" | "kib" => "KiB",
            "m" | "mb" | "mib" => "MiB",
            "g" | "gb" | "gib" => "GiB",
            _ => return None,
        };
        let written = format!("{number}{unit}");
        (behind.is_empty() && Self::parse(&written).is_some()).then_some(written)
    }
}

/// The number that a text begins with, the word behind it in small letters, and what follows; without spaces between.
fn number_and_word(text: &str) -> (&str, String, &str) {
    let (number, behind) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let behind = behind.trim_start();
    let (word, behind) = behind.split_at(behind.bytes().take_while(u8::is_ascii_alphabetic).count());
    (number, word.to_ascii_lowercase(), behind.trim_start())
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("a size is a whole number with a unit"))
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": SIZE_PATTERN, "examples": ["256MiB"] })
    }
}

/// A kind of name that the file declares or refers to.
pub(crate) trait Name: Ord + Clone + Display + FromStr {
    /// The rule for it, as a regular expression.
    const PATTERN: &'static str;
    /// What it names, without the word "id".
    const THING: &'static str;
}

macro_rules! names {
    ($($name:ident $pattern:ident $thing:literal,)*) => {
        $(impl Name for $name {
            const PATTERN: &'static str = $pattern;
            const THING: &'static str = $thing;
        })*
    };
}

names! {
    PlatformName KEBAB_PATTERN "platform",
    EnvironmentId KEBAB_PATTERN "environment",
    ZoneId KEBAB_PATTERN "zone",
    DeviceTypeId KEBAB_PATTERN "device type",
    RuleId KEBAB_PATTERN "rule",
    ContactId KEBAB_PATTERN "contact",
    SeverityId KEBAB_PATTERN "severity",
    MetricId SNAKE_PATTERN "metric",
    AttributeId SNAKE_PATTERN "attribute",
    AuthorityId KEBAB_PATTERN "authority",
    SettingId SNAKE_PATTERN "setting",
    CommandId SNAKE_PATTERN "command",
    ParamId SNAKE_PATTERN "parameter",
}

/// A table whose keys are names of one kind.
#[derive(Debug, Deserialize)]
#[serde(transparent, bound = "K: Name + Deserialize<'de>, V: Deserialize<'de>")]
pub(crate) struct Table<K, V>(pub(crate) BTreeMap<K, V>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Name, V: JsonSchema> JsonSchema for Table<K, V> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("{}-{}", K::THING, V::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({
            "type": "object", "propertyNames": { "pattern": K::PATTERN }, "additionalProperties": value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_units() {
        for (text, ms) in
            [("0s", 0), ("250ms", 250), ("5m", 300_000), ("7y", 7 * 365 * 86_400_000), ("2w", 1_209_600_000)]
        {
            assert_eq!(Duration::parse(text), Some(Duration(Millis(ms))), "{text}");
        }
        for text in ["", "5", "s", "5 m", "-5m", "1.5h", "5M", "99999999s", "5min"] {
            assert_eq!(Duration::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_length_of_time_is_written_in_its_largest_whole_unit() {
        for text in ["0s", "90s", "5m", "48h", "250ms", "400d"] {
            let length = Duration::parse(text).expect("valid").0;
            assert_eq!(Duration::parse(&Duration::write(length)), Some(Duration(length)));
        }
        assert_eq!(Duration::write(Millis(300_000)), "5m");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(Size::parse("256MiB"), Some(Size(256 << 20)));
        assert_eq!(Size::parse("256MB"), None);
    }
}
