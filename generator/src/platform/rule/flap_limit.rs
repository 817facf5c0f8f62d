//! `flap_limit`: how often a rule may fire on a device before this counts as flapping, such as `5/h`.

use std::borrow::Cow;

use fleetform_engine::{
    rule_set::{FLAP_FIRINGS_MAX, FlapLimit},
    units::Millis,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Its format. [`FLAP_FIRINGS_MAX`] is 100.
pub(crate) const FLAP_LIMIT_PATTERN: &str = "^([1-9][0-9]?|100)/(m|h|d)$";

const UNITS: [(&str, u64); 3] = [("m", 60), ("h", 3_600), ("d", 86_400)];

/// A number of firings per minute, hour or day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlapLimitWord(pub(crate) FlapLimit);

impl<'de> Deserialize<'de> for FlapLimitWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let limit = text.split_once('/').and_then(|(firings, unit)| {
            let firings = firings.parse().ok().filter(|firings| (1..=FLAP_FIRINGS_MAX).contains(firings))?;
            let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
            Some(Self(FlapLimit { firings, per_ms: Millis::from_secs(*seconds) }))
        });
        limit.ok_or_else(|| de::Error::custom("no number of firings in a time"))
    }
}

impl JsonSchema for FlapLimitWord {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "FlapLimit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": FLAP_LIMIT_PATTERN, "examples": ["5/h", "20/d"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_and_the_reader_agree() {
        let pattern = regex::Regex::new(FLAP_LIMIT_PATTERN).expect("a pattern");
        for text in ["5/h", "1/m", "100/d", "99/h", "0/h", "101/h", "5/w", "5", "/h", "05/h", "5/ h"] {
            let read = serde_json::from_value::<FlapLimitWord>(text.into()).is_ok();
            // The schema is the stricter of the two, because it is checked first.
            assert!(read || !pattern.is_match(text), "{text}");
            assert_eq!(pattern.is_match(text), ["5/h", "1/m", "100/d", "99/h"].contains(&text), "{text}");
        }
    }
}
