//! Converts the values of Athena's results, which are strings.

use serde_json::Value;

use crate::event::query::Column;

/// A column as Athena describes it.
pub(super) fn column(name: &str, athena: &str) -> Column {
    let column_type = match athena {
        "varchar" | "char" | "string" => "string",
        "double" | "real" | "float" => "double",
        "bigint" | "integer" | "int" | "smallint" | "tinyint" => "long",
        "boolean" => "boolean",
        moment if moment.starts_with("timestamp") => "timestamptz",
        other => other,
    };
    Column { name: name.to_owned(), column_type: column_type.to_owned() }
}

/// A value of a column. A value that does not match the column's type stays a string.
pub(super) fn value(column: &Column, text: Option<String>) -> Value {
    let Some(text) = text else { return Value::Null };
    let read = match column.column_type.as_str() {
        "double" => text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        "long" => text.parse::<i64>().ok().map(Value::from),
        "boolean" => text.parse::<bool>().ok().map(Value::from),
        "timestamptz" => moment(&text).map(Value::from),
        _ => None,
    };
    read.unwrap_or(Value::String(text))
}

/// A point in time in RFC 3339. Athena writes `2026-01-31 10:30:00.250 UTC`, without a zone for types that have none.
fn moment(text: &str) -> Option<String> {
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let moment: jiff::Timestamp = format!("{}Z", text.replacen(' ', "T", 1)).parse().ok()?;
    Some(moment.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_become_what_their_column_holds() {
        let read = |athena: &str, text: &str| value(&column("x", athena), Some(text.to_owned()));
        assert_eq!(read("double", "1.5"), json!(1.5));
        assert_eq!(read("double", "1.0E-4"), json!(0.0001));
        assert_eq!(read("bigint", "-7"), json!(-7));
        assert_eq!(read("boolean", "true"), json!(true));
        assert_eq!(read("varchar", "true"), json!("true"));
        assert_eq!(
            read("timestamp(6) with time zone", "2026-01-31 10:30:00.250000 UTC"),
            json!("2026-01-31T10:30:00.25Z")
        );
        assert_eq!(read("timestamp", "2026-01-31 10:30:00.000"), json!("2026-01-31T10:30:00Z"));
        assert_eq!(value(&column("x", "double"), None), Value::Null);
    }

    #[test]
    fn what_cannot_be_read_stays_a_text() {
        let read = |athena: &str, text: &str| value(&column("x", athena), Some(text.to_owned()));
        assert_eq!(read("double", "NaN"), json!("NaN"));
        assert_eq!(
            read("timestamp(3) with time zone", "2026-01-31 10:30:00 Europe/Berlin"),
            json!("2026-01-31 10:30:00 Europe/Berlin")
        );
        assert_eq!(read("decimal(10,2)", "1.50"), json!("1.50"));
        assert_eq!(column("x", "row(a bigint)").column_type, "row(a bigint)");
    }
}
