//! Commands: what operators can send to devices of a type, as registered in AWS IoT.
//!
//! AWS IoT cannot change the payload of an existing command, so a command's id contains a hash of its payload: a
//! changed command is another one, and the old one is deleted. Sending commands is up to operators.

use fleetform_engine::ids::{CommandId, DeviceTypeId, ParamId};
use serde_json::{Map, Value, json};

use super::site::{Site, short_hash};
use crate::{
    cfn::{
        resource::iot::{
            Command as Resource, CommandParameter, CommandPreprocessor, JsonSubstitution, NumberRange, Operand,
            ValueCondition,
        },
        stack::Stack,
        value::logical_id,
        yaml::Sorted,
    },
    platform::{
        command::{Command, Param},
        device_type::DeviceType,
    },
};

/// Longest id of a command, in characters.
const COMMAND_ID_CHARS_MAX: usize = 64;

/// Longest display name of a command, in characters.
const DISPLAY_NAME_CHARS_MAX: usize = 64;

/// A deployed command.
pub(crate) struct Deployed<'a> {
    pub(crate) device_type: &'a DeviceTypeId,
    pub(crate) name: &'a CommandId,
    pub(crate) command: &'a Command,
    /// Its id in AWS IoT.
    pub(crate) id: String,
}

/// Returns the commands of a device type.
pub(crate) fn of_type<'a>(
    site: &Site<'_>,
    device_type: &'a DeviceTypeId,
    declared: &'a DeviceType,
) -> Vec<Deployed<'a>> {
    let commands = declared.commands.iter();
    commands
        .map(|(name, command)| Deployed { device_type, name, command, id: id(site, device_type, name, command) })
        .collect()
}

/// Adds the commands of a device type to a stack.
pub(crate) fn add(site: &Site<'_>, stack: &mut Stack, device_type: &DeviceTypeId, declared: &DeviceType) {
    for deployed in of_type(site, device_type, declared) {
        let Deployed { name, command, id, .. } = deployed;
        let mut display_name = format!("{device_type}: {name}");
        display_name.truncate(DISPLAY_NAME_CHARS_MAX);
        let resource = Resource {
            command_id: id,
            display_name,
            description: format!("To be answered within {} s", command.timeout.as_secs()),
            namespace: "AWS-IoT",
            payload_template: written(&payload(name, command)).into(),
            preprocessor: CommandPreprocessor { aws_json_substitution: JsonSubstitution { output_format: "JSON" } },
            mandatory_parameters: command.params.iter().map(|(id, param)| parameter(id, param)).collect(),
        };
        // Two types may have commands with the same name, and concatenated words may be ambiguous: the hash keeps their
        // ids distinct.
        let hash = short_hash(&format!("{device_type}/{name}"));
        stack.add(
            format!("{}{hash}", logical_id(device_type.as_str(), &logical_id(name.as_str(), "Command"))),
            resource,
        );
    }
}

/// A command as scripts and people need it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CommandEntry<'a> {
    /// Its device type.
    pub device_type: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its id in AWS IoT.
    pub id: String,
    /// How long to wait for its response, in seconds.
    pub timeout_s: u64,
    /// Its parameters as passed to AWS IoT, as in `{"reason":{"S":"…"}}`; empty if it has none.
    pub parameters: String,
}

impl<'a> CommandEntry<'a> {
    pub(super) fn of(deployed: Deployed<'a>) -> Self {
        let parameters = deployed.command.params.iter().map(|(id, param)| {
            let value = match param {
                Param::Float { .. } => r#"{"D":0.0}"#,
                Param::Int { .. } => r#"{"I":0}"#,
                Param::Bool => r#"{"B":true}"#,
                Param::Enum(_) | Param::Text { .. } => r#"{"S":"…"}"#,
            };
            format!(r#""{id}":{value}"#)
        });
        let parameters: Vec<String> = parameters.collect();
        Self {
            device_type: deployed.device_type.as_str(),
            name: deployed.name.as_str(),
            id: deployed.id,
            timeout_s: deployed.command.timeout.as_secs(),
            parameters: if parameters.is_empty() { String::new() } else { format!("{{{}}}", parameters.join(",")) },
        }
    }
}

/// Maximum number of bytes of text from the platform file in the commands of a device type.
pub(crate) fn bytes(declared: &DeviceType) -> usize {
    let param = |param: &Param| match param {
        Param::Enum(words) => words.iter().map(|word| word.len() + 20).sum::<usize>() + 400,
        Param::Float { .. } | Param::Int { .. } | Param::Bool | Param::Text { .. } => 500,
    };
    let of_one =
        |command: &Command| command.params.iter().map(|(id, one)| 3 * id.as_str().len() + param(one)).sum::<usize>();
    declared.commands.values().map(of_one).sum()
}

fn id(site: &Site<'_>, device_type: &DeviceTypeId, name: &CommandId, command: &Command) -> String {
    let parameters: Vec<CommandParameter> = command.params.iter().map(|(id, param)| parameter(id, param)).collect();
    let parameters = serde_json::to_string(&parameters).expect("parameters hold only JSON's own types");
    let whole = format!("{}-{device_type}-{name}", site.name);
    let hash = short_hash(&format!("{whole} {} {parameters}", written(&payload(name, command))));
    let mut id = whole;
    id.truncate(COMMAND_ID_CHARS_MAX - hash.len() - 1);
    format!("{id}-{hash}")
}

/// Serializes a payload. AWS IoT fills in its placeholders, not CloudFormation.
fn written(payload: &Value) -> String {
    serde_json::to_string(&Sorted(payload)).expect("a tree is written as it is")
}

/// The payload that a device receives. AWS IoT replaces the placeholders with values.
fn payload(name: &CommandId, command: &Command) -> Value {
    let placeholder = |rest: &str| Value::String(format!("${{aws:iot:commandexecution::{rest}}}"));
    let params: Map<String, Value> =
        command.params.keys().map(|id| (id.to_string(), placeholder(&format!("parameter:{id}")))).collect();
    json!({ "command": name, "timeout_s": placeholder("executionTimeoutSec"), "params": params })
}

fn parameter(id: &ParamId, param: &Param) -> CommandParameter {
    let numbers = |kind, min: &Option<_>, max: &Option<_>| {
        let text = |bound: &fleetform_engine::units::Finite| bound.to_string();
        let (min, max) = (min.as_ref().map(text), max.as_ref().map(text));
        let condition = |comparison_operator, operand| vec![ValueCondition { comparison_operator, operand }];
        let conditions = match (min, max) {
            (None, None) => Vec::new(),
            (Some(min), None) => condition("GREATER_THAN_EQUALS", Operand { number: Some(min), ..Operand::default() }),
            (None, Some(max)) => condition("LESS_THAN_EQUALS", Operand { number: Some(max), ..Operand::default() }),
            (Some(min), Some(max)) => {
                condition("IN_RANGE", Operand { number_range: Some(NumberRange { min, max }), ..Operand::default() })
            }
        };
        (kind, conditions, None)
    };
    let (kind, value_conditions, description) = match param {
        Param::Float { min, max } => numbers("DOUBLE", min, max),
        Param::Int { min, max } => numbers("INTEGER", min, max),
        Param::Bool => ("BOOLEAN", Vec::new(), None),
        Param::Enum(words) => {
            let operand = Operand { strings: words.clone(), ..Operand::default() };
            ("STRING", vec![ValueCondition { comparison_operator: "IN_SET", operand }], None)
        }
        // AWS IoT does not check the length of strings, so it is stated for people and, in the contract, for the
        // device.
        Param::Text { max_len } => ("STRING", Vec::new(), max_len.map(|len| format!("At most {len} characters"))),
    };
    CommandParameter { name: id.to_string(), r#type: kind, description, value_conditions }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::sample::platform;

    fn pump() -> (crate::platform::Platform, DeviceTypeId) {
        (platform(), DeviceTypeId::new("pump").unwrap())
    }

    #[test]
    fn a_device_hears_the_command_the_time_and_each_parameter() {
        let (platform, pump) = pump();
        let (name, command) = platform.device_types[&pump].commands.first_key_value().expect("a command");
        assert_eq!(
            payload(name, command),
            json!({
                "command": "stop",
                "timeout_s": "${aws:iot:commandexecution::executionTimeoutSec}",
                "params": { "reason": "${aws:iot:commandexecution::parameter:reason}" },
            })
        );
    }

    #[test]
    fn a_command_that_says_something_else_is_another_one() {
        let (mut platform, pump) = pump();
        let ids = |platform: &crate::platform::Platform| {
            let site = Site::new(platform);
            of_type(&site, &pump, &platform.device_types[&pump]).into_iter().map(|one| one.id).collect::<Vec<_>>()
        };
        let before = ids(&platform);
        assert!(
            before.iter().all(|id| id.len() <= 64 && id.starts_with("riverton-water-prod-pump-stop-")),
            "{before:?}"
        );
        let commands = &mut platform.device_types.get_mut(&pump).expect("a pump").commands;
        let command = commands.values_mut().next().expect("a command");
        command.timeout = fleetform_engine::units::Millis::from_secs(7);
        assert_eq!(ids(&platform), before, "how long is waited is said with each execution");
        let commands = &mut platform.device_types.get_mut(&pump).expect("a pump").commands;
        let command = commands.values_mut().next().expect("a command");
        command.params.insert(ParamId::new("now").unwrap(), Param::Bool);
        assert_ne!(ids(&platform), before);
    }

    #[test]
    fn conditions_are_those_of_the_file() {
        let finite = |number| fleetform_engine::units::Finite::new(number);
        let of = |param: Param| serde_json::to_value(parameter(&ParamId::new("x").unwrap(), &param)).unwrap();
        assert_eq!(
            of(Param::Int { min: finite(1.0), max: finite(5.0) }),
            json!({ "Name": "x", "Type": "INTEGER", "ValueConditions": [
                { "ComparisonOperator": "IN_RANGE", "Operand": { "NumberRange": { "Min": "1", "Max": "5" } } }] })
        );
        assert_eq!(
            of(Param::Float { min: finite(0.5), max: None })["ValueConditions"][0],
            json!({ "ComparisonOperator": "GREATER_THAN_EQUALS", "Operand": { "Number": "0.5" } })
        );
        assert_eq!(
            of(Param::Enum(vec!["slow".into(), "fast".into()]))["ValueConditions"][0],
            json!({ "ComparisonOperator": "IN_SET", "Operand": { "Strings": ["slow", "fast"] } })
        );
        assert_eq!(of(Param::Bool), json!({ "Name": "x", "Type": "BOOLEAN" }));
        assert_eq!(
            of(Param::Text { max_len: Some(64) }),
            json!({ "Name": "x", "Type": "STRING", "Description": "At most 64 characters" })
        );
    }
}
