//! `[device_types.X.readings.Y]`: one measured value.

use fleetform_engine::{ids::MetricId, units::Finite};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    device_type::Reading,
    values::{Kind, RawValues, WORDS_MAX},
};
use crate::{check::context::Context, source::At};

/// `device_types.X.readings.Y` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawReading {
    /// Its key in the message's readings object. Default: the reading's own name.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) key: Option<String>,
    /// The type of its values.
    #[serde(rename = "type")]
    #[schemars(extend("default" = "float"))]
    pub(crate) kind: Option<Kind>,
    /// The words of an `enum`.
    #[schemars(length(min = 1, max = WORDS_MAX))]
    pub(crate) values: Option<Vec<String>>,
    /// UCUM code of its unit, such as `L/min`, `Cel` or `[psi]`.
    pub(crate) unit: Option<String>,
    /// Lowest value; lower ones are quarantined.
    #[schemars(with = "Option<f64>")]
    pub(crate) min: Option<Finite>,
    /// Highest value; higher ones are quarantined.
    #[schemars(with = "Option<f64>")]
    pub(crate) max: Option<Finite>,
    /// Whether every sample must contain it.
    #[schemars(extend("default" = false))]
    pub(crate) required: Option<bool>,
}

impl RawReading {
    /// Checks a reading; `None` if it is unclear what it looks like.
    pub(crate) fn check(&self, id: &MetricId, at: &At<'_>, context: &Context<'_>) -> Option<Reading> {
        let values = RawValues {
            thing: "reading",
            kind: self.kind.unwrap_or(Kind::Float),
            values: self.values.as_deref(),
            unit: &self.unit,
            min: self.min,
            max: self.max,
            text_chars_max: None,
        };
        let (value, unit) = values.check(at, context)?;
        Some(Reading {
            key: self.key.as_deref().unwrap_or(id.as_str()).into(),
            value,
            unit,
            required: self.required.unwrap_or(false),
        })
    }
}
