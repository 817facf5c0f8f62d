//! Raw forms out of the values that the schema has passed.

use std::fmt;

use serde::Deserialize;
use serde_json::{Number, Value};
use serde_path_to_error::Segment;

use crate::source::Step;

/// A value that has no raw form.
#[derive(Debug)]
pub(crate) struct Unreadable(serde_path_to_error::Error<serde_json::Error>);

impl Unreadable {
    /// The steps to the part that cannot be read, as far as they are known.
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

/// Reads a raw form. To JSON Schema `2.0` is a whole number and to a raw form it is none, so what cannot be read is tried
/// once more with such numbers as they are meant.
pub(crate) fn read<T: for<'v> Deserialize<'v>>(value: &Value) -> Result<T, Unreadable> {
    T::deserialize(value).or_else(|_| serde_path_to_error::deserialize(&with_whole_numbers(value)).map_err(Unreadable))
}

/// The same value, in which numbers without a fraction are whole.
fn with_whole_numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(number).unwrap_or_else(|| number.clone())),
        Value::Array(items) => items.iter().map(with_whole_numbers).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), with_whole_numbers(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// A number as a whole one, if it is one that a floating-point number holds exactly.
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
            // Of one width, since the rules' tests know where they stand.
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
