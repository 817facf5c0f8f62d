//! `[[tests]]` as it is written.

use std::{borrow::Cow, collections::BTreeMap};

use fleetform_engine::{effect::Observed, units::Finite};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{
    START,
    expectation::RawExpectation,
    series::{self, Problem, Values},
};
use crate::schema::types::Duration;

/// Maximum number of tests in a file.
pub(crate) const TESTS_MAX: u32 = 2_000;

/// Maximum number of devices that send the same data.
pub(crate) const OTHERS_MAX: u32 = 1_000;

/// An item of `[[tests]]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRuleTest {
    /// What it shows, in a few words.
    #[schemars(required, length(min = 1, max = 200))]
    pub(crate) name: Option<String>,
    /// The rule.
    #[schemars(required)]
    pub(crate) rule: Option<String>,
    /// The device that sends the series.
    #[schemars(required)]
    pub(crate) device: Option<RawTestDevice>,
    /// Time between two samples, 100ms to 7d. Default: the device type's `report_every`.
    pub(crate) every: Option<Duration>,
    /// When the first sample is taken, in RFC 3339 format. The default is a Monday.
    #[schemars(extend("default" = START))]
    pub(crate) start: Option<String>,
    /// What the device sends, by metric: a list such as `[62, 61, "_", 30]`, or a string such as `"40 65x8 4+2x3 _x2"`.
    /// A gap `_` leaves the metric out; where all metrics have a gap, nothing is sent.
    #[schemars(required, extend("minProperties" = 1))]
    pub(crate) series: Option<BTreeMap<String, RawSeries>>,
    /// Alarms that the device raises and ends itself, by code: `on`, `off`, or `_` for nothing, at the times of the
    /// samples.
    #[schemars(length(max = 100), extend("minProperties" = 1))]
    pub(crate) alarms: Option<BTreeMap<String, RawSeries>>,
    /// More devices of the same type and zone, for a fleet rule.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) others: Option<Vec<RawOthers>>,
    /// The expected states of the rule.
    #[schemars(required, length(min = 1, max = 1_000))]
    pub(crate) expect: Option<Vec<RawExpectation>>,
}

/// `device` of a test as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTestDevice {
    /// Its type, which the rule reads.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(crate) kind: Option<String>,
    /// Its zone, which the rule applies to.
    #[schemars(required)]
    pub(crate) zone: Option<String>,
    /// The device's own values for its type's attributes.
    #[schemars(with = "Option<BTreeMap<String, f64>>")]
    pub(crate) attributes: Option<BTreeMap<String, Finite>>,
}

/// An item of `others` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOthers {
    /// The number of devices.
    #[schemars(range(min = 1, max = OTHERS_MAX), extend("default" = 1))]
    pub(crate) count: Option<u32>,
    /// What each of them sends, by metric, as in `series` of the test.
    #[schemars(required, extend("minProperties" = 1))]
    pub(crate) series: Option<BTreeMap<String, RawSeries>>,
}

/// A series as written.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawSeries {
    Notation(String),
    Items(Vec<RawItem>),
}

impl JsonSchema for RawSeries {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Series".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "minLength": 1,
            "minItems": 1,
            "items": { "type": ["number", "boolean", "string"] },
            "examples": ["40 65x8 58x3 _x2"],
        })
    }
}

/// A single value as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawItem {
    Number(Finite),
    Truth(bool),
    Text(String),
}

impl JsonSchema for RawItem {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Item".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "boolean", "string"] })
    }
}

impl RawItem {
    /// Returns the value, `None` for a gap, or the reason why a metric with such values can never have it.
    pub(super) fn read(&self, values: Values<'_>) -> Result<Option<Observed>, Problem> {
        match (self, values) {
            (Self::Text(text), _) if text == "_" => Ok(None),
            (Self::Text(text), Values::Words(words)) => series::known(text, words).map(Some),
            (Self::Number(number), Values::Numbers) => Ok(Some(Observed::Number(*number))),
            (Self::Truth(truth), Values::Truth) => Ok(Some(Observed::Bool(*truth))),
            (_, Values::Numbers) => Err(self.misplaced("a number", "write a number such as 60.0, or \"_\" for a gap")),
            (_, Values::Truth) => Err(self.misplaced("true or false", "write true, false, or \"_\" for a gap")),
            (_, Values::Words(_)) => Err(self.misplaced("a word", "write a word in quotes, or \"_\" for a gap")),
        }
    }

    fn misplaced(&self, wanted: &str, help: &str) -> Problem {
        let found = match self {
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
            Self::Text(text) => crate::check::context::shown(text),
        };
        Problem {
            message: format!("`{found}` is not {wanted}, as the metric is"),
            help: help.to_owned(),
            instead: None,
            is_word: false,
        }
    }
}
