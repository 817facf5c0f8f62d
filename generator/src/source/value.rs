//! Converts a TOML document to JSON, for validation against a JSON Schema, along with the locations of its parts.
//!
//! JSON cannot represent everything that TOML can: non-finite numbers and dates become `null` and are reported.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Step,
    places::{Path, Places},
};

/// A value that JSON cannot represent.
#[derive(Debug, PartialEq)]
pub(crate) struct Unusable {
    /// Its location.
    pub(crate) span: Range<usize>,
    /// Why it cannot be used.
    pub(crate) reason: UnusableReason,
}

/// Why JSON cannot represent a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnusableReason {
    /// `nan`, `inf`, or a number that overflows, such as `1e400`.
    NotFinite,
    /// An integer outside 64 bits.
    IntegerTooLarge,
    /// A date or a time, as written.
    Date(String),
}

/// Converts a document to JSON, and records the locations of its parts and the values that JSON cannot represent.
pub(super) fn document(table: &DeTable<'_>, places: &mut Places, unusable: &mut Vec<Unusable>) -> Value {
    Converter { places, unusable }.table(table, Path::ROOT)
}

struct Converter<'o> {
    places: &'o mut Places,
    unusable: &'o mut Vec<Unusable>,
}

impl Converter<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: Path) -> Value {
        let entries = table.iter().map(|(key, value)| {
            let path = path.then(Step::Key(key.get_ref()));
            self.places.add(path, key.span(), value.span());
            (key.get_ref().clone().into_owned(), self.value(value, path))
        });
        Value::Object(entries.collect::<Map<_, _>>())
    }

    fn array(&mut self, items: &[Spanned<DeValue<'_>>], path: Path) -> Value {
        let items = items.iter().enumerate().map(|(index, item)| {
            let path = path.then(Step::Index(index));
            self.places.add(path, item.span(), item.span());
            self.value(item, path)
        });
        Value::Array(items.collect())
    }

    /// Converts a value to JSON; `null` if JSON cannot represent it.
    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: Path) -> Value {
        let number = match value.get_ref() {
            DeValue::String(text) => return Value::String(text.clone().into_owned()),
            DeValue::Boolean(truth) => return Value::Bool(*truth),
            DeValue::Array(items) => return self.array(items, path),
            DeValue::Table(inner) => return self.table(inner, path),
            DeValue::Integer(number) => integer(number.as_str(), number.radix()).ok_or(UnusableReason::IntegerTooLarge),
            DeValue::Float(number) => float(number.as_str()).ok_or(UnusableReason::NotFinite),
            DeValue::Datetime(moment) => Err(UnusableReason::Date(moment.to_string())),
        };
        number.map_or_else(
            |reason| {
                self.unusable.push(Unusable { span: value.span(), reason });
                Value::Null
            },
            Value::Number,
        )
    }
}

/// Parses an integer without its prefix; `None` if it does not fit into 64 bits.
pub(super) fn integer(digits: &str, radix: u32) -> Option<Number> {
    i64::from_str_radix(digits, radix).ok().map(Number::from)
}

/// Parses a number; `None` if it is not finite.
pub(super) fn float(text: &str) -> Option<Number> {
    text.parse().ok().and_then(Number::from_f64)
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
        let reasons: Vec<_> = source.unusable.iter().map(|unusable| &unusable.reason).collect();
        assert_eq!(reasons.iter().filter(|reason| **reason == &UnusableReason::NotFinite).count(), 4);
        assert!(reasons.contains(&&UnusableReason::Date("1979-05-27".to_owned())));
    }
}
