//! A TOML table as JSON, so that a JSON Schema can be held against it.
//!
//! JSON cannot say everything that TOML can: numbers that are not finite and dates become `null` and are reported.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value that cannot be said in JSON.
#[derive(Debug, PartialEq)]
pub(crate) struct Unusable {
    /// Where it stands.
    pub(crate) span: Range<usize>,
    /// Why it cannot be used.
    pub(crate) reason: UnusableReason,
}

/// Why a value cannot be said in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnusableReason {
    /// `nan`, `inf`, or a number that overflows, such as `1e400`.
    NotFinite,
    /// A whole number outside 64 bits.
    IntegerTooLarge,
    /// A date or a time.
    Date,
}

/// A table as JSON.
pub(super) fn table(table: &DeTable<'_>, unusable: &mut Vec<Unusable>) -> Value {
    let entries = table.iter().map(|(key, value)| (key.get_ref().clone().into_owned(), convert(value, unusable)));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// A value as JSON; `null` where it cannot be said.
fn convert(value: &Spanned<DeValue<'_>>, unusable: &mut Vec<Unusable>) -> Value {
    let mut refuse = |reason| {
        unusable.push(Unusable { span: value.span(), reason });
        Value::Null
    };
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number.into()),
            Err(_) => refuse(UnusableReason::IntegerTooLarge),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => refuse(UnusableReason::NotFinite),
        },
        DeValue::Datetime(_) => refuse(UnusableReason::Date),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| convert(item, unusable)).collect()),
        DeValue::Table(inner) => table(inner, unusable),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::source::Source;

    #[test]
    fn numbers_that_are_not_finite_are_null_and_reported() {
        let source = Source::parse("a = nan\nb = inf\nc = 1e400\nd = -inf\ne = 0x1F\nf = 1_000.5\ng = 1979-05-27\n")
            .expect("small enough");
        assert_eq!(
            source.value,
            json!({ "a": null, "b": null, "c": null, "d": null, "e": 31, "f": 1000.5, "g": null })
        );
        let reasons: Vec<_> = source.unusable.iter().map(|unusable| unusable.reason).collect();
        assert_eq!(reasons.iter().filter(|reason| **reason == UnusableReason::NotFinite).count(), 4);
        assert!(reasons.contains(&UnusableReason::Date));
    }
}
