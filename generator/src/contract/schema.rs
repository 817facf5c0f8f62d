//! JSON Schema (draft 2020-12) of a device type's messages.
//!
//! It describes everything that the runtime reads. Like the runtime, it allows properties that the platform does not
//! name, unless the platform rejects undeclared readings.

use std::collections::BTreeMap;

use fleetform_engine::{
    ids::{SettingId, ShadowName},
    rule_set::{METRICS_MAX, TimestampFormat, UnknownReading, ValueType},
    units::Finite,
};
use fleetform_policy::iot::shadow_topic;
use serde_json::{Map, Value, json};

use super::{Bounds, Contract, Field, Layout, Node, Part, Values};
use crate::{
    cfn::yaml::Sorted,
    platform::{command::Param, setting::Setting},
};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Returns the schemas by what they describe: one for each shadow with settings, and one for commands if there are any.
pub(super) fn schemas(contract: &Contract<'_>) -> impl Iterator<Item = (String, String)> {
    let messages = [("telemetry", telemetry(contract)), ("status", status()), ("alarm", alarm())];
    let commands = (!contract.commands.is_empty()).then(|| ("commands", commands(contract)));
    let messages = messages.into_iter().chain(commands).map(|(what, schema)| (what.to_owned(), schema));
    let settings = contract.settings.iter().map(|(shadow, settings)| match shadow {
        None => ("desired".to_owned(), desired(None, settings)),
        Some(name) => (format!("desired-{name}"), desired(Some(name), settings)),
    });
    messages.chain(settings).map(|(what, schema)| {
        let text = written(contract, &what, schema);
        (what, text)
    })
}

/// The contents of one shadow's `desired` and `reported`.
fn desired(shadow: Option<&ShadowName>, settings: &BTreeMap<&SettingId, &Setting>) -> Value {
    let which = shadow.map_or_else(|| "classic shadow".to_owned(), |name| format!("shadow `{name}`"));
    let topics = shadow_topic("<device>", shadow.map(ShadowName::as_str));
    let settings = settings.iter().map(|(id, setting)| (id.to_string(), setting_schema(setting)));
    json!({
        "description": format!(
            "What stands in the device's {which} as `desired` and as `reported`. Each setting may be missing: a device that \
             was told nothing has the default. The shadow's topics begin with `{topics}/`."
        ),
        "type": "object",
        "properties": settings.collect::<Map<String, Value>>(),
        "additionalProperties": false,
    })
}

fn setting_schema(setting: &Setting) -> Value {
    let mut schema = match &setting.value {
        ValueType::Float { min, max } => bounded("number", Bounds::new(*min, *max)),
        ValueType::Int { min, max } => bounded("integer", Bounds::new(*min, *max)),
        ValueType::Bool => json!({ "type": "boolean" }),
        ValueType::Enum { values } => json!({ "type": "string", "enum": values }),
        ValueType::String => json!({ "type": "string", "maxLength": setting.text_chars_max }),
    };
    schema["default"] = setting.default.clone();
    if let Some(unit) = &setting.unit {
        schema["description"] = json!(format!("In {unit}."));
    }
    schema
}

fn bounded(kind: &str, bounds: Bounds) -> Value {
    json!({ "type": kind, "minimum": bounds.min, "maximum": bounds.max })
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

/// A sample, a batch of samples with optional health values alongside them, or an array of samples.
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
    // In a batch, each sample may name its device again.
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

/// The readings of a sample. A message without readings only shows that the device is alive.
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
    let mut schema = match &field.value {
        Values::Float(bounds) => bounded("number", *bounds),
        Values::Int(bounds) => bounded("integer", *bounds),
        Values::Bool => json!({ "type": "boolean" }),
        Values::Enum(words) => json!({ "type": "string", "enum": words }),
        Values::Text => json!({ "type": "string" }),
    };
    let unit = field.unit.map(|unit| format!(", in {unit}")).unwrap_or_default();
    schema["description"] = json!(format!("{}{unit}", field.id));
    schema
}

/// Requires a value at a path.
fn required(path: &str) -> Value {
    match path.split_once('.') {
        None => json!({ "required": [path] }),
        Some((key, rest)) => json!({ "required": [key], "properties": { key: required(rest) } }),
    }
}

/// The commands that a device receives, one form for each. AWS IoT fills in numbers from strings, so both forms of a
/// number are accepted.
fn commands(contract: &Contract<'_>) -> Value {
    let forms = contract.commands.iter().map(|(name, command)| {
        let params: Map<String, Value> =
            command.params.iter().map(|(id, one)| (id.to_string(), param(one))).collect();
        let all: Vec<&str> = command.params.keys().map(|id| id.as_str()).collect();
        json!({
            "type": "object",
            "properties": {
                "command": { "const": name },
                "timeout_s": { "type": ["integer", "string"], "description": "How long the answer is waited for, in seconds." },
                "params": { "type": "object", "properties": params, "required": all },
            },
            "required": ["command", "timeout_s", "params"],
        })
    });
    json!({
        "description": "What a device hears on `$aws/commands/things/<device>/executions/<execution>/request/json`. It \
                        answers on the same topic with `response` for `request`.",
        "oneOf": forms.collect::<Vec<_>>(),
    })
}

fn param(param: &Param) -> Value {
    let bounded = |kinds: [&str; 2], min: &Option<Finite>, max: &Option<Finite>| {
        let mut schema = json!({ "type": kinds });
        if let Some(min) = min {
            schema["minimum"] = json!(min);
        }
        if let Some(max) = max {
            schema["maximum"] = json!(max);
        }
        schema
    };
    match param {
        Param::Float { min, max } => bounded(["number", "string"], min, max),
        Param::Int { min, max } => bounded(["integer", "string"], min, max),
        Param::Bool => json!({ "type": ["boolean", "string"] }),
        Param::Enum(words) => json!({ "type": "string", "enum": words }),
        Param::Text { max_len: None } => json!({ "type": "string" }),
        Param::Text { max_len: Some(len) } => json!({ "type": "string", "maxLength": len }),
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
