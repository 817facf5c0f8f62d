//! `[device_types.X.readings.Y]`: one measured value.

use std::collections::BTreeSet;

use fleetform_engine::{
    ids::MetricId,
    rule_set::{ENUM_WORDS_MAX, ValueType},
    units::Finite,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{device_type::Reading, unit};
use crate::{
    check::context::{Context, shown},
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// The most words of an `enum`. The loader of a rule set must take as many.
const WORDS_MAX: usize = 100;
const _: () = assert!(WORDS_MAX <= ENUM_WORDS_MAX, "a rule set takes every enum that a platform file may have");

/// Largest number that the engine takes, either way.
const NUMBER_MAX: f64 = 1e15;

/// `device_types.X.readings.Y` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawReading {
    /// Its key in the message's object of readings. Default: the reading's own name.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) key: Option<String>,
    /// What values it takes.
    #[serde(rename = "type")]
    #[schemars(extend("default" = "float"))]
    pub(crate) kind: Option<ReadingType>,
    /// The words of an `enum`.
    #[schemars(length(min = 1, max = WORDS_MAX))]
    pub(crate) values: Option<Vec<String>>,
    /// UCUM code of its unit, such as `L/min`, `Cel` or `[psi]`.
    pub(crate) unit: Option<String>,
    /// Lowest value; a lower one is quarantined.
    #[schemars(with = "Option<f64>")]
    pub(crate) min: Option<Finite>,
    /// Highest value; a higher one is quarantined.
    #[schemars(with = "Option<f64>")]
    pub(crate) max: Option<Finite>,
    /// Whether a sample must have it.
    #[schemars(extend("default" = false))]
    pub(crate) required: Option<bool>,
}

/// The types of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum ReadingType {
    Float,
    Int,
    Bool,
    Enum,
    String,
}

impl RawReading {
    /// Checks a reading.
    pub(crate) fn check(&self, id: &MetricId, at: &At<'_>, context: &Context<'_>) -> Reading {
        let kind = self.kind.unwrap_or(ReadingType::Float);
        self.check_keys(kind, at, context);
        self.check_bounds(at, context);
        Reading {
            key: self.key.as_deref().unwrap_or(id.as_str()).into(),
            value: match kind {
                ReadingType::Float => ValueType::Float { min: self.min, max: self.max },
                ReadingType::Int => ValueType::Int { min: self.min, max: self.max },
                ReadingType::Bool => ValueType::Bool,
                ReadingType::Enum => ValueType::Enum { values: self.check_values(&at.key("values"), context) },
                ReadingType::String => ValueType::String,
            },
            unit: unit::check(&self.unit, &at.key("unit"), context),
            required: self.required.unwrap_or(false),
        }
    }

    /// Reports keys that readings of this type do not have.
    fn check_keys(&self, kind: ReadingType, at: &At<'_>, context: &Context<'_>) {
        let number = matches!(kind, ReadingType::Float | ReadingType::Int);
        let keys = [
            ("min", self.min.is_some(), number, "only numbers have bounds"),
            ("max", self.max.is_some(), number, "only numbers have bounds"),
            ("unit", self.unit.is_some(), number, "only numbers have a unit"),
            ("values", self.values.is_some(), kind == ReadingType::Enum, "only an `enum` has values"),
        ];
        for (key, given, allowed, why) in keys {
            if given && !allowed {
                let type_at = at.key("type");
                let mut diagnostic = Diagnostic::new(Code::KeysExclude, context.key(&at.key(key)), why);
                if context.is_written(&type_at) {
                    diagnostic = diagnostic.related(context.value(&type_at), "the reading's type");
                }
                context.report(diagnostic.help(format!("remove `{key}`, or change `type`")));
            }
        }
        if kind == ReadingType::Enum && !context.is_written(&at.key("values")) {
            context.report(
                Diagnostic::new(Code::MissingKey, context.key(at), "an `enum` reading needs `values`")
                    .help("add: values = [\"stopped\", \"running\"]"),
            );
        }
    }

    fn check_bounds(&self, at: &At<'_>, context: &Context<'_>) {
        for (key, bound) in [("min", self.min), ("max", self.max)] {
            if bound.is_some_and(|bound| bound.get().abs() > NUMBER_MAX) {
                context.report(
                    Diagnostic::new(
                        Code::OutOfBounds,
                        context.value(&at.key(key)),
                        "a reading is at most 1e15 either way",
                    )
                    .help(format!("leave `{key}` out where there is no bound")),
                );
            }
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min >= max
        {
            context.report(
                Diagnostic::new(
                    Code::EmptyRange,
                    context.value(&at.key("max")),
                    format!("`max` {max} is not above `min` {min}"),
                )
                .related(context.value(&at.key("min")), "`min` stands here")
                .help("swap them"),
            );
        }
    }

    fn check_values(&self, at: &At<'_>, context: &Context<'_>) -> Vec<smol_str::SmolStr> {
        let mut seen = BTreeSet::new();
        for (index, value) in self.values.iter().flatten().enumerate() {
            if value.is_empty() || value.chars().count() > 100 {
                context.report(
                    Diagnostic::new(
                        Code::OutOfBounds,
                        context.value(&at.index(index)),
                        "a word has 1 to 100 characters",
                    )
                    .help("mend it, or remove it"),
                );
            }
            if !seen.insert(value) {
                let message = format!("the word `{}` stands here twice", shown(value));
                context.report(
                    Diagnostic::new(Code::Duplicate, context.value(&at.index(index)), message).help("remove one"),
                );
            }
        }
        self.values.iter().flatten().map(smol_str::SmolStr::new).collect()
    }
}
