//! The values that a reading, a setting or a parameter takes: type, bounds, words and unit.

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
    check::context::{Context, number, shown},
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Maximum number of words in an `enum`. The loader of a rule set must accept as many.
pub(crate) const WORDS_MAX: usize = 100;
const _: () = assert!(WORDS_MAX <= ENUM_WORDS_MAX, "a rule set takes every enum that a platform file may have");

/// Largest absolute value that the engine accepts.
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

/// The written form of the values of a reading, a setting or a parameter.
pub(crate) struct RawValues<'a> {
    /// Which of these it is.
    pub(crate) thing: &'static str,
    pub(crate) kind: Kind,
    pub(crate) values: Option<&'a [String]>,
    pub(crate) unit: &'a Option<String>,
    pub(crate) min: Option<Finite>,
    pub(crate) max: Option<Finite>,
    pub(crate) text_chars_max: Option<u32>,
}

/// The diagnostic for an upper bound that is not above the lower one.
pub(crate) fn empty_range(min: Finite, max: Finite, at: &At<'_>, context: &Context<'_>) -> Diagnostic {
    let message = format!("`max` {} is not above `min` {}", number(max), number(min));
    Diagnostic::new(Code::EmptyRange, context.value(&at.key("max")), message)
        .related(context.value(&at.key("min")), "`min` stands here")
        .help(if min == max { "raise `max`, or lower `min`" } else { "swap them" })
}

impl RawValues<'_> {
    /// Checks the keys and returns the values and their unit; `None` if an error makes them unclear.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> Option<(ValueType, Option<SmolStr>)> {
        context.whole(at, || self.check_parts(at, context))
    }

    fn check_parts(&self, at: &At<'_>, context: &Context<'_>) -> (ValueType, Option<SmolStr>) {
        if !context.is_broken(&at.key("type")) {
            self.check_keys(at, context);
        }
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

    /// Reports keys that do not apply to values of this type.
    fn check_keys(&self, at: &At<'_>, context: &Context<'_>) {
        let is_number = matches!(self.kind, Kind::Float | Kind::Int);
        let keys = [
            ("min", self.min.is_some(), is_number, "only numbers have bounds", "float"),
            ("max", self.max.is_some(), is_number, "only numbers have bounds", "float"),
            ("unit", self.unit.is_some(), is_number, "only numbers have a unit", "float"),
            ("values", self.values.is_some(), self.kind == Kind::Enum, "only an `enum` has values", "enum"),
            ("max_len", self.text_chars_max.is_some(), self.kind == Kind::String, "only texts have a length", "string"),
        ];
        let type_at = at.key("type");
        for (key, _, _, why, kind) in keys.into_iter().filter(|(_, given, allowed, ..)| *given && !allowed) {
            let diagnostic = Diagnostic::new(Code::KeysExclude, context.key(&at.key(key)), why);
            context.report(if context.is_written(&type_at) {
                let diagnostic = diagnostic.related(context.value(&type_at), format!("the {}'s type", self.thing));
                diagnostic.help(format!("remove `{key}`, or write: type = \"{kind}\""))
            } else {
                diagnostic.help(format!("add: type = \"{kind}\""))
            });
        }
        if self.kind == Kind::Enum && self.values.is_none() && !context.is_broken(&at.key("values")) {
            context.report(
                Diagnostic::new(Code::MissingKey, context.key(at), format!("an `enum` {} needs `values`", self.thing))
                    .help("add: values = [\"stopped\", \"running\"]"),
            );
        }
    }

    fn check_bounds(&self, at: &At<'_>, context: &Context<'_>) {
        for (key, bound) in [("min", self.min), ("max", self.max)] {
            if bound.is_some_and(|bound| bound.get().abs() > NUMBER_MAX) {
                context.mark_broken(&at.key(key));
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
            && !context.is_broken(&at.key("min"))
            && !context.is_broken(&at.key("max"))
        {
            context.report(empty_range(min, max, at, context));
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
