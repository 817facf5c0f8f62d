//! JSON Schema (draft 2020-12) of a device type's messages.
//!
//! It says all that the runtime looks at. Properties that the platform does not name are left to whoever sends them, as the
//! runtime leaves them, unless the platform refuses readings that nobody declared.

use fleetform_engine::rule_set::{METRICS_MAX, TimestampFormat, UnknownReading};
use serde_json::{Map, Value, json};

use super::{Bounds, Contract, Field, Layout, Node, Part, Values};
use crate::cfn::yaml::Sorted;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schemas by what they describe.
pub(super) fn schemas(contract: &Contract<'_>) -> [(&'static str, String); 3] {
    [
        ("telemetry", written(contract, "telemetry", telemetry(contract))),
        ("status", written(contract, "status", status())),
        ("alarm", written(contract, "alarm", alarm())),
    ]
}

fn written(contract: &Contract<'_>, what: &str, schema: Value) -> String {
    let mut schema = schema;
    let map = schema.as_object_mut().expect("a schema is an object");
    map.insert("$schema".to_owned(), json!(DIALECT));
    map.insert("title".to_owned(), json!(format!("{}: {what}", contract.id)));
    let mut text = serde_json::to_string_pretty(&Sorted(&schema)).expect("a tree is written as it is");
    text.push('\n');
    text
}

/// A sample, a batch of samples around which health values may lie, or an array of samples.
fn telemetry(contract: &Contract<'_>) -> Value {
    let mut root = contract.sample();
    if let Some(batch) = contract.message.batch.as_deref() {
        root.insert(batch, Part::Batch);
    }
    let sample = json!({ "$ref": "#/$defs/sample" });
    let mut message = object(contract, &root);
    let readings = required(&contract.message.readings);
    let needs = match contract.message.batch.as_deref() {
        Some(batch) => json!([readings, required(batch)]),
        None => json!([readings]),
    };
    message.insert("anyOf".to_owned(), needs);
    // In a batch each sample may name its device again.
    let mut element = object(contract, &contract.sample());
    element.insert("allOf".to_owned(), json!([required(&contract.message.readings)]));
    json!({
        "description": "What a device publishes on its telemetry topic. At most 131,072 bytes.",
        "anyOf": [{ "$ref": "#/$defs/message" }, { "type": "array", "items": sample }],
        "$defs": { "message": message, "sample": element, "readings": readings_object(contract) },
    })
}

fn object(contract: &Contract<'_>, layout: &Layout<'_>) -> Map<String, Value> {
    let properties: Map<String, Value> = layout
        .0
        .iter()
        .map(|(key, node)| {
            let schema = match node {
                Node::Object(inner) => Value::Object(object(contract, inner)),
                Node::Part(part) => part_schema(contract, *part),
            };
            ((*key).to_owned(), schema)
        })
        .collect();
    Map::from_iter([("type".to_owned(), json!("object")), ("properties".to_owned(), Value::Object(properties))])
}

fn part_schema(contract: &Contract<'_>, part: Part) -> Value {
    match part {
        Part::DeviceId => {
            json!({ "type": "string", "description": "The device's own id. May be missing; must not be another's." })
        }
        Part::Timestamp => match contract.message.timestamp_format {
            TimestampFormat::Rfc3339 => {
                json!({ "type": "string", "format": "date-time", "description": WHEN })
            }
            TimestampFormat::EpochS => {
                json!({ "type": "number", "description": format!("{WHEN} In seconds since 1970.") })
            }
            TimestampFormat::EpochMs => {
                json!({ "type": "number", "description": format!("{WHEN} In milliseconds since 1970.") })
            }
        },
        Part::Readings => json!({ "$ref": "#/$defs/readings" }),
        Part::Health(index) => value(&contract.health[index]),
        Part::Batch => json!({ "type": "array", "items": { "$ref": "#/$defs/sample" } }),
    }
}

const WHEN: &str = "When the values were taken. A sample without it is taken to be from when it arrived.";

/// The readings of a sample. Without any, a message only says that the device is there.
fn readings_object(contract: &Contract<'_>) -> Value {
    let properties: Map<String, Value> =
        contract.readings.iter().map(|field| (field.key.to_owned(), value(field))).collect();
    let required: Vec<&str> =
        contract.readings.iter().filter(|field| field.is_required).map(|field| field.key).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "maxProperties": METRICS_MAX - contract.health.len(),
    });
    if !required.is_empty() {
        schema["anyOf"] = json!([{ "maxProperties": 0 }, { "required": required }]);
    }
    match contract.message.unknown_reading {
        UnknownReading::Reject => schema["additionalProperties"] = json!(false),
        UnknownReading::Store | UnknownReading::Drop => {}
    }
    schema
}

fn value(field: &Field<'_>) -> Value {
    let bounded = |kind: &str, bounds: &Bounds| json!({ "type": kind, "minimum": bounds.min, "maximum": bounds.max });
    let mut schema = match &field.value {
        Values::Float(bounds) => bounded("number", bounds),
        Values::Int(bounds) => bounded("integer", bounds),
        Values::Bool => json!({ "type": "boolean" }),
        Values::Enum(words) => json!({ "type": "string", "enum": words }),
        Values::Text => json!({ "type": "string" }),
    };
    let unit = field.unit.map(|unit| format!(", in {unit}")).unwrap_or_default();
    schema["description"] = json!(format!("{}{unit}", field.id));
    schema
}

/// That something lies at a path.
fn required(path: &str) -> Value {
    match path.split_once('.') {
        None => json!({ "required": [path] }),
        Some((key, rest)) => json!({ "required": [key], "properties": { key: required(rest) } }),
    }
}

fn status() -> Value {
    json!({
        "description": "What a device says of itself on its status topic, which may be its will.",
        "type": "object",
        "properties": { "status": { "type": "string", "enum": ["online", "offline"] } },
        "required": ["status"],
    })
}

fn alarm() -> Value {
    json!({
        "description": "An alarm that a device raises on its alerts topic, or ends.",
        "type": "object",
        "properties": {
            "code": { "type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$" },
            "active": { "type": "boolean" },
        },
        "required": ["code", "active"],
    })
}
