//! Parses raw forms from values that have passed the schema.

use std::fmt;

use serde::Deserialize;
use serde_json::{Number, Value};
use serde_path_to_error::Segment;

use crate::source::Step;

/// A value that cannot be parsed as a raw form.
#[derive(Debug)]
pub(crate) struct Unreadable(serde_path_to_error::Error<serde_json::Error>);

impl Unreadable {
    /// The steps to the part that cannot be parsed, as far as they are known.
    pub(crate) fn steps(&self) -> Vec<Step<'_>> {
        let step = |segment| match segment {
            &Segment::Seq { index } => Some(Step::Index(index)),
            Segment::Map { key } => Some(Step::Key(key)),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        self.0.path().iter().map_while(step).collect()
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.inner().fmt(f)
    }
}

/// Parses a raw form. JSON Schema considers `2.0` an integer but the raw forms do not, so if parsing fails, it is
/// retried with such numbers converted to integers.
pub(crate) fn read<T: for<'v> Deserialize<'v>>(value: &Value) -> Result<T, Unreadable> {
    T::deserialize(value).or_else(|_| serde_path_to_error::deserialize(&with_whole_numbers(value)).map_err(Unreadable))
}

/// Returns the value with numbers without a fraction converted to integers.
fn with_whole_numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(number).unwrap_or_else(|| number.clone())),
        Value::Array(items) => items.iter().map(with_whole_numbers).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), with_whole_numbers(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// Returns a number as an integer, if a floating-point number represents it exactly.
fn whole(number: &Number) -> Option<Number> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let value = number.as_f64().filter(|_| number.is_f64())?;
    (value.fract() == 0.0 && value.abs() <= EXACT_MAX).then(|| Number::from(value as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        assert_eq!(read::<Vec<u32>>(&json!([2.0, 3])).expect("whole numbers"), [2, 3]);
        assert_eq!(read::<i64>(&json!(-4.0)).expect("a whole number"), -4);
        assert_eq!(read::<f64>(&json!(2.0)).expect("a number"), 2.0);
        assert!(read::<u32>(&json!(2.5)).is_err() && read::<u32>(&json!(1e300)).is_err());
    }

    #[test]
    fn what_cannot_be_read_says_where_it_is() {
        let file = json!({ "device_types": { "meter": { "count": { "zone-a": 1, "zone-b": 5_000_000_000u64 } } } });
        let error = read::<crate::platform::RawFile>(&file).expect_err("it does not fit");
        assert_eq!(error.steps(), ["device_types", "meter", "count", "zone-b"].map(Step::Key));
        let error = read::<Vec<u32>>(&json!([1, "two"])).expect_err("it is no number");
        assert_eq!(error.steps(), [Step::Index(1)]);
    }

    #[test]
    fn a_file_means_the_same_with_points_in_its_whole_numbers() {
        let file = |shards: &str, samples: &str| {
            let mut text = include_str!("../../../platform.toml").to_owned();
            // All of the same width, because the tests of rules rely on the offsets.
            for (key, number) in [("shards    = 4", shards), ("min_samples  = 2", samples)] {
                assert_eq!(text.matches(key).count(), 1, "{key}");
                text = text.replace(key, &format!("{}{number:>3}", &key[..key.len() - 1]));
            }
            let checked = crate::check("platform.toml", &text);
            assert_eq!(checked.diagnostics, [], "{shards}, {samples}");
            checked.project
        };
        assert_eq!(file("4.0", "2.0"), file("4", "2"));
        assert_ne!(file("5.0", "2.0"), file("4", "2"));
        assert_ne!(file("4.0", "3.0"), file("4", "2"));
    }
}
