//! Resolves a dotted key against the schema, table by table.

use std::sync::LazyLock;

use serde_json::Value;

use super::SCHEMA;

/// A path that does not exist in the schema or the file.
#[derive(Debug, PartialEq)]
pub(crate) struct Astray<'p> {
    /// The first invalid step.
    pub(crate) step: usize,
    /// The reason.
    pub(crate) why: Why<'p>,
}

/// Why a path does not exist in the schema or the file.
#[derive(Debug, PartialEq)]
pub(crate) enum Why<'p> {
    /// The step is not a key of its table, which has this shape.
    UnknownKey(&'static Value),
    /// The step is a name that its table does not contain; this is the table, if it exists.
    UnknownName(Option<&'p Value>),
    /// The step leads to something that is not a table, but the path continues.
    NotATable,
}

/// Follows a path through a file. A key that the schema knows may be missing from the file; a name of an element may
/// not, except in the table `open`.
pub(crate) fn follow<'p>(file: &'p Value, path: &[&str], open: &[&str]) -> Result<(), Astray<'p>> {
    let mut shape = LazyLock::force(&SCHEMA);
    let mut value = Some(file);
    for (step, key) in path.iter().enumerate() {
        shape = resolve(shape);
        let rest = &shape["additionalProperties"];
        let has_keys = *shape == true || shape["properties"].is_object() || !rest.is_null();
        if !has_keys || value.is_some_and(|value| !value.is_object()) {
            return Err(Astray { step: step.saturating_sub(1), why: Why::NotATable });
        }
        let inner = value.and_then(|value| value.get(key));
        shape = match (&shape["properties"][key], rest) {
            (Value::Null, Value::Bool(false)) => {
                return Err(Astray { step, why: Why::UnknownKey(shape) });
            }
            (Value::Null, _) if inner.is_none() && !shape["propertyNames"].is_null() && path[..step] != *open => {
                return Err(Astray { step, why: Why::UnknownName(value) });
            }
            // Anything below an untyped value is untyped too.
            (Value::Null, Value::Null) => shape,
            (Value::Null, rest) => rest,
            (known, _) => known,
        };
        value = inner;
    }
    Ok(())
}

/// Returns the shape that another one refers to.
fn resolve(shape: &'static Value) -> &'static Value {
    let reference = [&shape["$ref"], &shape["allOf"][0]["$ref"]].into_iter().find_map(Value::as_str);
    let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| SCHEMA.pointer(pointer)).unwrap_or(shape)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_goes_astray_where_the_file_or_the_schema_ends() {
        let file = json!({
            "device_types": { "meter": { "readings": { "level": {} } } },
            "rules": { "high": { "threshold": 60 } },
        });
        for good in [
            "retention.alerts",
            "device_types.meter.readings.level.min",
            "device_types.meter.count.zone-a",
            "observe.ingestion_lag.warn",
            "rules.high.threshold",
            "platform.tags.team",
            "zones.zone-b.parent",
            "overrides.Stream.Tags.0.deep",
        ] {
            let path: Vec<_> = good.split('.').collect();
            assert_eq!(follow(&file, &path, &["zones"]), Ok(()), "{good}");
        }
        let astray = |path: &str| {
            let astray = follow(&file, &path.split('.').collect::<Vec<_>>(), &["zones"]).expect_err(path);
            match astray.why {
                Why::UnknownKey(_) => ("key", astray.step),
                Why::UnknownName(_) => ("name", astray.step),
                Why::NotATable => ("table", astray.step),
            }
        };
        assert_eq!(astray("retnetion.alerts"), ("key", 0));
        assert_eq!(astray("observe.ingestion_lag.wran"), ("key", 2));
        assert_eq!(astray("device_types.meter.readings.level.mni"), ("key", 4));
        assert_eq!(astray("device_types.meter.readings.flow.min"), ("name", 3));
        assert_eq!(astray("message.health.battery"), ("name", 2));
        assert_eq!(astray("severities.high.cooldown"), ("name", 1));
        assert_eq!(astray("retention.alerts.days"), ("table", 1));
        assert_eq!(astray("rules.high.threshold.default"), ("table", 2));
        assert_eq!(astray("routes.0.to"), ("table", 0));
    }
}
