//! Turns the derived schema into the published one: TOML has no `null`, editors do not know integer formats, and a
//! table with kinds states which keys each kind has.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::platform::{RawFile, rule::KINDS};

/// Derives the schema and transforms it.
pub(super) fn build() -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<RawFile>();
    let mut value = Value::from(schema);
    tidy(&mut value);
    value["title"] = json!("fleetform platform file");
    value["description"] =
        json!("One file says everything: zones, device types, rules, and how each environment differs.");
    if let Some(rule) = value.pointer_mut("/definitions/RawRule").and_then(Value::as_object_mut) {
        branch_by_kind(rule);
    }
    rename_definitions(&mut value);
    value
}

/// The part of the schema that applies to a test file.
pub(super) fn tests_alone(schema: &Value) -> Value {
    json!({
        "$schema": schema["$schema"],
        "title": "fleetform rule tests",
        "type": "object",
        "properties": { "schema": schema["properties"]["schema"], "tests": schema["properties"]["tests"] },
        "required": ["tests"],
        "additionalProperties": false,
        "definitions": schema["definitions"],
    })
}

/// Removes `null` and number formats everywhere, adds the bounds that formats imply, and uses the documentation's names
/// in references to definitions.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    map["type"] = only.clone();
                }
            }
            if let Some(Value::Array(options)) = map.get_mut("enum") {
                options.retain(|option| !option.is_null());
            }
            if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
                branches.retain(|branch| branch.get("type").is_none_or(|kind| kind != "null"));
                if branches.len() == 1
                    && let Some(Value::Array(mut branches)) = map.remove("anyOf")
                    && let Some(Value::Object(only)) = branches.pop()
                {
                    if only.contains_key("$ref") {
                        map.insert("allOf".to_owned(), json!([only]));
                    } else {
                        map.extend(only);
                    }
                }
            }
            // Editors show this text, where it is obvious that it describes the written form.
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace(" as it is written", "").replace(", as it is written", "");
            }
            if let Some(Value::String(reference)) = map.get_mut("$ref") {
                *reference = reference.replace("#/definitions/Raw", "#/definitions/");
            }
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            if map.get("format").is_some_and(|format| format == "uint32") && !map.contains_key("enum") {
                map.entry("maximum").or_insert(json!(u32::MAX));
            }
            if map.get("format").is_some_and(|format| format != "uri" && format != "email") {
                map.remove("format");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Adds, for each kind of rule, the keys that it requires and those that belong to other kinds.
///
/// A `oneOf` over kinds would only report "matches no branch"; `if` and `then` on `type` identify the key.
fn branch_by_kind(rule: &mut Map<String, Value>) {
    let all: Vec<&str> = KINDS.iter().flat_map(|kind| kind.required.iter().chain(kind.optional)).copied().collect();
    let branches: Vec<Value> = KINDS
        .iter()
        .map(|kind| {
            let mut properties = Map::new();
            for key in &all {
                if !kind.required.contains(key) && !kind.optional.contains(key) {
                    properties.insert((*key).to_owned(), Value::Bool(false));
                }
            }
            for (key, shape) in (kind.shapes)() {
                properties.insert(key.to_owned(), shape);
            }
            json!({
                "if": { "properties": { "type": { "enum": kind.words } }, "required": ["type"] },
                "then": { "required": kind.required, "properties": properties },
            })
        })
        .collect();
    rule.insert("allOf".to_owned(), Value::Array(branches));
}

/// Gives definitions the names used in the documentation instead of those in the code.
fn rename_definitions(value: &mut Value) {
    if let Some(definitions) = value.get_mut("definitions").and_then(Value::as_object_mut) {
        let renamed = std::mem::take(definitions)
            .into_iter()
            .map(|(name, shape)| (name.strip_prefix("Raw").map_or(name.clone(), str::to_owned), shape));
        *definitions = renamed.collect();
    }
}
