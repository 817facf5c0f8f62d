//! `[device_types.X.commands.Y]`: commands that operators can send to devices of one type.

use std::collections::BTreeMap;

use fleetform_engine::{
    ids::{CommandId, ParamId},
    rule_set::ValueType,
    units::{Finite, Millis},
};
use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use super::values::{Kind, RawValues};
use crate::{
    check::{bounds::Bounds, context::Context},
    diagnostic::{Code, Diagnostic},
    schema::types::{Duration, Table},
    source::At,
};

/// How long to wait for a response unless the file sets it.
const TIMEOUT: &str = "60s";

/// Maximum number of words in an `enum`: AWS IoT compares a parameter with no more.
const WORDS_MAX: usize = 10;

/// Longest string parameter, in characters.
const LEN_MAX: u32 = 4_096;

/// Largest absolute value of an integer parameter: AWS IoT stores it in 32 bits.
const INT_MAX: f64 = 2_147_483_647.0;

/// `device_types.X.commands.Y` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCommand {
    /// How long to wait for the device's response, 1s to 12h in whole seconds.
    #[schemars(extend("default" = TIMEOUT))]
    pub(crate) timeout: Option<Duration>,
    /// The parameters of the command.
    #[schemars(extend("maxProperties" = 20))]
    pub(crate) params: Option<Table<ParamId, RawParam>>,
}

/// `device_types.X.commands.Y.params.Z` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawParam {
    /// The type of its values.
    #[serde(rename = "type")]
    #[schemars(extend("default" = "string"))]
    pub(crate) kind: Option<Kind>,
    /// The words of an `enum`.
    #[schemars(length(min = 1, max = WORDS_MAX))]
    pub(crate) values: Option<Vec<String>>,
    /// Lowest value.
    #[schemars(with = "Option<f64>")]
    pub(crate) min: Option<Finite>,
    /// Highest value.
    #[schemars(with = "Option<f64>")]
    pub(crate) max: Option<Finite>,
    /// Longest text, in characters.
    #[schemars(range(min = 1, max = LEN_MAX))]
    pub(crate) max_len: Option<u32>,
}

/// A command that devices of a type accept.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// How long to wait for the device's response.
    pub timeout: Millis,
    /// The parameters of the command.
    pub params: BTreeMap<ParamId, Param>,
}

/// The values that a parameter accepts.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// A number.
    Float {
        /// Lowest value.
        min: Option<Finite>,
        /// Highest value.
        max: Option<Finite>,
    },
    /// A 32-bit integer.
    Int {
        /// Lowest value.
        min: Option<Finite>,
        /// Highest value.
        max: Option<Finite>,
    },
    /// `true` or `false`.
    Bool,
    /// One of these words; never empty.
    Enum(Vec<SmolStr>),
    /// A string.
    Text {
        /// Maximum length, in characters. The device must enforce it: AWS IoT does not.
        max_len: Option<u32>,
    },
}

impl RawCommand {
    /// Checks a command.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> Command {
        let params_at = at.key("params");
        let params = self.params.iter().flat_map(|params| &params.0);
        Command {
            timeout: Bounds::new("1s", "12h").in_whole("1s").check(self.timeout, TIMEOUT, &at.key("timeout"), context),
            params: params
                .filter_map(|(id, raw)| Some((id.clone(), raw.check(&params_at.key(id.as_str()), context)?)))
                .collect(),
        }
    }
}

impl RawParam {
    /// Checks a parameter; `None` if it is unclear what it accepts.
    fn check(&self, at: &At<'_>, context: &Context<'_>) -> Option<Param> {
        let values = RawValues {
            thing: "parameter",
            kind: self.kind.unwrap_or(Kind::String),
            values: self.values.as_deref(),
            unit: &None,
            min: self.min,
            max: self.max,
            text_chars_max: self.max_len,
        };
        let (value, _) = values.check(at, context)?;
        Some(match value {
            ValueType::Float { min, max } => Param::Float { min, max },
            ValueType::Int { min, max } => {
                self.check_size(at, context);
                Param::Int { min, max }
            }
            ValueType::Bool => Param::Bool,
            ValueType::Enum { values } => Param::Enum(values),
            ValueType::String => Param::Text { max_len: self.max_len },
        })
    }

    /// Reports bounds of an integer that do not fit 32 bits.
    fn check_size(&self, at: &At<'_>, context: &Context<'_>) {
        for (key, bound) in [("min", self.min), ("max", self.max)] {
            if bound.is_some_and(|bound| bound.get().abs() > INT_MAX) {
                context.report(
                    Diagnostic::new(
                        Code::OutOfBounds,
                        context.value(&at.key(key)),
                        "a whole number of a command has 32 bits: its bounds are at most 2147483647 either way",
                    )
                    .help(format!("leave `{key}` out where there is no bound, or write: type = \"float\"")),
                );
            }
        }
    }
}

/// Checks the commands of a device type.
pub(crate) fn check(
    raw: Option<&Table<CommandId, RawCommand>>,
    at: &At<'_>,
    context: &Context<'_>,
) -> BTreeMap<CommandId, Command> {
    let raw = raw.into_iter().flat_map(|commands| &commands.0);
    raw.map(|(id, raw)| (id.clone(), raw.check(&at.key(id.as_str()), context))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;

    #[test]
    fn a_command_waits_for_a_minute_and_a_parameter_is_a_text_unless_the_file_says_otherwise() {
        let text = "schema = 1\n[platform]\nname = \"water\"\n[environments.dev]\naccount = \"111111111111\"\n\
             region = \"us-east-1\"\n[zones.zone-a]\ncontacts = [\"oncall\"]\n[contacts.oncall]\n\
             email = [\"oncall@water.example\"]\n[device_types.meter]\nreadings = { level = {} }\n\
             [device_types.meter.commands.restart]\n[device_types.meter.commands.set]\ntimeout = \"12h\"\n\
             [device_types.meter.commands.set.params]\ncount = { type = \"int\", min = 1 }\n\
             led = { type = \"bool\" }\nmode = { type = \"enum\", values = [\"eco\", \"full\"] }\n\
             rate = { type = \"float\", max = 2.5 }\nwhy = {}\n";
        let checked = check("platform.toml", text);
        let project = checked.project.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics));
        let commands = &project.environments["dev"].device_types["meter"].commands;
        assert_eq!(commands["restart"], Command { timeout: Millis::from_secs(60), params: BTreeMap::new() });
        assert_eq!(commands["set"].timeout, Millis::from_secs(12 * 3_600));
        assert_eq!(
            commands["set"].params.values().cloned().collect::<Vec<_>>(),
            [
                Param::Int { min: Finite::new(1.0), max: None },
                Param::Bool,
                Param::Enum(vec!["eco".into(), "full".into()]),
                Param::Float { min: None, max: Finite::new(2.5) },
                Param::Text { max_len: None },
            ]
        );
    }
}
