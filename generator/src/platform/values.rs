//! What values a reading, a setting or a parameter takes: its type, its bounds, its words, its unit.

use std::collections::BTreeSet;

use fleetform_engine::{
    rule_set::{ENUM_WORDS_MAX, ValueType},
    units::Finite,
};
use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use super::unit;
use crate::{
    check::context::{Context, shown},
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// The most words of an `enum`. The loader of a rule set must take as many.
pub(crate) const WORDS_MAX: usize = 100;
const _: () = assert!(WORDS_MAX <= ENUM_WORDS_MAX, "a rule set takes every enum that a platform file may have");

/// Largest number that the engine takes, either way.
const NUMBER_MAX: f64 = 1e15;

/// The types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Kind {
    Float,
    Int,
    Bool,
    Enum,
    String,
}

/// What is written of the values of a reading, a setting or a parameter.
pub(crate) struct RawValues<'a> {
    /// Which of them it is.
    pub(crate) thing: &'static str,
    pub(crate) kind: Kind,
    pub(crate) values: Option<&'a [String]>,
    pub(crate) unit: &'a Option<String>,
    pub(crate) min: Option<Finite>,
    pub(crate) max: Option<Finite>,
    pub(crate) text_chars_max: Option<u32>,
}

impl RawValues<'_> {
    /// Checks the keys, and gives the values and their unit.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> (ValueType, Option<SmolStr>) {
        self.check_keys(at, context);
        self.check_bounds(at, context);
        let value = match self.kind {
            Kind::Float => ValueType::Float { min: self.min, max: self.max },
            Kind::Int => ValueType::Int { min: self.min, max: self.max },
            Kind::Bool => ValueType::Bool,
            Kind::Enum => ValueType::Enum { values: self.check_values(&at.key("values"), context) },
            Kind::String => ValueType::String,
        };
        (value, unit::check(self.unit, &at.key("unit"), context))
    }

    /// Reports keys that values of this type do not have.
    fn check_keys(&self, at: &At<'_>, context: &Context<'_>) {
        let number = matches!(self.kind, Kind::Float | Kind::Int);
        let keys = [
            ("min", self.min.is_some(), number, "only numbers have bounds"),
            ("max", self.max.is_some(), number, "only numbers have bounds"),
            ("unit", self.unit.is_some(), number, "only numbers have a unit"),
            ("values", self.values.is_some(), self.kind == Kind::Enum, "only an `enum` has values"),
            ("max_len", self.text_chars_max.is_some(), self.kind == Kind::String, "only texts have a length"),
        ];
        for (key, given, allowed, why) in keys {
            if given && !allowed {
                let type_at = at.key("type");
                let mut diagnostic = Diagnostic::new(Code::KeysExclude, context.key(&at.key(key)), why);
                if context.is_written(&type_at) {
                    diagnostic = diagnostic.related(context.value(&type_at), format!("the {}'s type", self.thing));
                }
                context.report(diagnostic.help(format!("remove `{key}`, or change `type`")));
            }
        }
        if self.kind == Kind::Enum && !context.is_written(&at.key("values")) {
            context.report(
                Diagnostic::new(Code::MissingKey, context.key(at), format!("an `enum` {} needs `values`", self.thing))
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
                        format!("a {} is at most 1e15 either way", self.thing),
                    )
                    .help(format!("leave `{key}` out where there is no bound")),
                );
            } else if self.kind == Kind::Int
                && let Some(bound) = bound.filter(|bound| bound.get().fract() != 0.0)
            {
                context.report(
                    Diagnostic::new(
                        Code::WrongType,
                        context.value(&at.key(key)),
                        format!("`{bound}` is not a whole number, as the {} is", self.thing),
                    )
                    .help("write a whole number, or: type = \"float\""),
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

    fn check_values(&self, at: &At<'_>, context: &Context<'_>) -> Vec<SmolStr> {
        let mut seen = BTreeSet::new();
        for (index, value) in self.values.iter().copied().flatten().enumerate() {
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
        self.values.iter().copied().flatten().map(SmolStr::new).collect()
    }
}
