//! `[device_types.X.desired.Y]`: a setting that devices read from one of their shadows.

use std::collections::BTreeMap;

use fleetform_engine::{
    ids::{SettingId, ShadowName},
    rule_set::ValueType,
    units::Finite,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Number, Value, json};
use smol_str::SmolStr;

use super::{
    shadow,
    values::{Kind, RawValues, WORDS_MAX},
};
use crate::{
    check::context::{Context, listing, number, shown},
    diagnostic::{Code, Diagnostic},
    schema::types::Table,
    source::At,
};

/// The largest shadow, in bytes without metadata: <https://docs.aws.amazon.com/general/latest/gr/iot-core.html>.
pub const SHADOW_BYTES_MAX: usize = 8 << 10;

/// The maximum length of a string setting, in characters: the default, and the largest that the file can set.
const TEXT_CHARS: u32 = 64;
const TEXT_CHARS_MAX: u32 = 1_000;

/// Largest integer that is written without a decimal point.
const NUMBER_MAX: f64 = 1e15;

/// The maximum size in bytes of a number, and of a character, in JSON.
const NUMBER_BYTES_MAX: usize = 24;
const CHARACTER_BYTES_MAX: usize = 6;

/// `device_types.X.desired.Y` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSetting {
    /// The type of its values.
    #[serde(rename = "type")]
    #[schemars(extend("default" = "float"))]
    pub(crate) kind: Option<Kind>,
    /// The words of an `enum`.
    #[schemars(length(min = 1, max = WORDS_MAX))]
    pub(crate) values: Option<Vec<String>>,
    /// UCUM code of its unit, such as `s` or `Cel`.
    pub(crate) unit: Option<String>,
    /// The value for devices without a desired value.
    #[schemars(required)]
    pub(crate) default: Option<Scalar>,
    /// Lowest value.
    #[schemars(with = "Option<f64>")]
    pub(crate) min: Option<Finite>,
    /// Highest value.
    #[schemars(with = "Option<f64>")]
    pub(crate) max: Option<Finite>,
    /// Maximum length of a string, in characters.
    #[schemars(range(min = 1, max = TEXT_CHARS_MAX), extend("default" = TEXT_CHARS))]
    pub(crate) max_len: Option<u32>,
    /// The named shadow that it belongs to, one of the device type's `shadows`. Default: the classic shadow.
    pub(crate) shadow: Option<String>,
}

/// A number, a string, or `true` or `false`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Bool(bool),
    Number(Finite),
    Text(String),
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "number", "string"] })
    }
}

/// A setting of a device type.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The values that it takes.
    pub value: ValueType,
    /// The longest string that it accepts, in characters.
    pub text_chars_max: u32,
    /// UCUM code of its unit.
    pub unit: Option<SmolStr>,
    /// The value for devices without a desired value; one that the setting accepts.
    pub default: Value,
    /// The named shadow that it belongs to; `None` for the classic one.
    pub shadow: Option<ShadowName>,
}

impl RawSetting {
    /// Checks a setting of a device type that has these named shadows, if they are known; `None` if it is unclear what
    /// the setting accepts.
    fn check(
        &self,
        id: &SettingId,
        shadows: Option<&[ShadowName]>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Option<Setting> {
        let values = RawValues {
            thing: "setting",
            kind: self.kind.unwrap_or(Kind::Float),
            values: self.values.as_deref(),
            unit: &self.unit,
            min: self.min,
            max: self.max,
            text_chars_max: self.max_len,
        };
        let checked = values.check(at, context);
        let default = self.default.as_ref().map_or(Value::Null, Scalar::to_json);
        let shadow = self
            .shadow
            .as_deref()
            .zip(shadows)
            .and_then(|(name, shadows)| shadow::reference(name, id.as_str(), shadows, &at.key("shadow"), context));
        let (value, unit) = checked?;
        let setting = Setting { value, unit, text_chars_max: self.max_len.unwrap_or(TEXT_CHARS), default, shadow };
        if self.default.is_some() {
            setting.check_default(at, context);
        }
        Some(setting)
    }
}

impl Scalar {
    fn to_json(&self) -> Value {
        match self {
            Self::Bool(value) => json!(value),
            // An integer has no decimal point in JSON, whatever the setting's type.
            Self::Number(value) if value.get().fract() == 0.0 && value.get().abs() < NUMBER_MAX => {
                json!(value.get() as i64)
            }
            Self::Number(value) => json!(value),
            Self::Text(value) => json!(value),
        }
    }
}

impl Setting {
    /// Reports a default that the setting does not accept.
    fn check_default(&self, at: &At<'_>, context: &Context<'_>) {
        let place = at.key("default");
        let wrong_type = |what: &str| {
            let message = format!("the default of this setting is not {what}");
            Diagnostic::new(Code::WrongType, context.value(&place), message).help("write one, or change `type`")
        };
        let diagnostic = match (&self.value, &self.default) {
            (ValueType::Float { min, max }, Value::Number(number)) => self.outside(number, *min, *max, at, context),
            (ValueType::Int { .. }, Value::Number(number)) if number.as_f64().is_some_and(|n| n.fract() != 0.0) => {
                Some(wrong_type("a whole number"))
            }
            (ValueType::Int { min, max }, Value::Number(number)) => self.outside(number, *min, *max, at, context),
            (ValueType::Bool, Value::Bool(_)) => None,
            (ValueType::Enum { values }, Value::String(word)) => {
                (!values.is_empty() && !values.iter().any(|value| value == word)).then(|| {
                    let message = format!("`{}` is none of the setting's `values`", shown(word));
                    let words: Vec<&str> = values.iter().map(SmolStr::as_str).collect();
                    let diagnostic = Diagnostic::new(Code::ValueNotAllowed, context.value(&place), message);
                    diagnostic.help(format!("one of {}", listing(&words)))
                })
            }
            (ValueType::String, Value::String(text)) => {
                (text.chars().count() > self.text_chars_max as usize).then(|| {
                    let message =
                        format!("the default is longer than the {} characters of the setting", self.text_chars_max);
                    Diagnostic::new(Code::OutOfBounds, context.value(&place), message)
                        .help("shorten it, or raise `max_len`")
                })
            }
            (ValueType::Float { .. } | ValueType::Int { .. }, _) => Some(wrong_type("a number")),
            (ValueType::Bool, _) => Some(wrong_type("`true` or `false`")),
            (ValueType::Enum { .. } | ValueType::String, _) => Some(wrong_type("a text")),
        };
        if let Some(diagnostic) = diagnostic {
            context.report(diagnostic);
        }
    }

    fn outside(
        &self,
        default: &Number,
        min: Option<Finite>,
        max: Option<Finite>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Option<Diagnostic> {
        let value = default.as_f64()?;
        let (key, bound) = [("min", min.filter(|min| value < min.get())), ("max", max.filter(|max| value > max.get()))]
            .into_iter()
            .find_map(|(key, bound)| Some((key, bound?)))?;
        let bound = number(bound);
        let message = format!("the default {default} lies outside the setting's `{key}` {bound}");
        let diagnostic = Diagnostic::new(Code::OutOfBounds, context.value(&at.key("default")), message);
        Some(diagnostic.related(context.value(&at.key(key)), "the bound").help("choose a value that the setting takes"))
    }

    /// The maximum size in bytes that it takes in a shadow, including its name.
    fn bytes_max(&self, name: &str) -> usize {
        let value = match &self.value {
            ValueType::Float { .. } | ValueType::Int { .. } => NUMBER_BYTES_MAX,
            ValueType::Bool => "false".len(),
            ValueType::Enum { values } => {
                values.iter().map(|word| json!(word).to_string().len()).max().unwrap_or_default()
            }
            ValueType::String => self.text_chars_max as usize * CHARACTER_BYTES_MAX + "\"\"".len(),
        };
        // Its quotes, a colon and a comma.
        name.len() + value + 4
    }
}

/// Checks the settings of the device type at a location, which has these named shadows.
pub(crate) fn check(
    raw: Option<&Table<SettingId, RawSetting>>,
    shadows: &[ShadowName],
    at: &At<'_>,
    context: &Context<'_>,
) -> BTreeMap<SettingId, Setting> {
    let known = (!context.is_broken(&at.key("shadows"))).then_some(shadows);
    let at = at.key("desired");
    let raw = raw.into_iter().flat_map(|settings| &settings.0);
    let settings: BTreeMap<SettingId, Setting> =
        raw.filter_map(|(id, raw)| Some((id.clone(), raw.check(id, known, &at.key(id.as_str()), context)?))).collect();
    for shadow in std::iter::once(None).chain(shadows.iter().map(Some)) {
        let bytes = shadow_bytes_max(&settings, shadow);
        if bytes > SHADOW_BYTES_MAX {
            let which = shadow.map_or_else(|| "the classic shadow".to_owned(), |name| format!("the shadow `{name}`"));
            context.report(
                Diagnostic::new(
                    Code::ShadowTooLarge,
                    context.key(&at),
                    format!("{which} with these settings may have {bytes} bytes, and AWS IoT takes {SHADOW_BYTES_MAX}"),
                )
                .help(
                    "declare fewer or shorter settings, or let some live in a shadow of their own: each stands in its shadow \
                     twice, as desired and as reported",
                ),
            );
        }
    }
    settings
}

/// The maximum size in bytes of one shadow, with all of its settings both desired and reported.
fn shadow_bytes_max(settings: &BTreeMap<SettingId, Setting>, shadow: Option<&ShadowName>) -> usize {
    const EMPTY: &str = r#"{"state":{"desired":{},"reported":{}}}"#;
    let own = settings.iter().filter(|(_, setting)| setting.shadow.as_ref() == shadow);
    let all: usize = own.map(|(id, setting)| setting.bytes_max(id.as_str())).sum();
    EMPTY.len() + 2 * all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Checked, check};

    /// Checks a valid file with these settings in a device type that has two shadows.
    fn checked(text: &str) -> Checked {
        let text = format!(
            "schema = 1\n[platform]\nname = \"water\"\n[environments.dev]\naccount = \"111111111111\"\n\
             region = \"us-east-1\"\n[zones.zone-a]\ncontacts = [\"oncall\"]\n[contacts.oncall]\n\
             email = [\"oncall@water.example\"]\n[device_types.meter]\nreadings = {{ level = {{}} }}\n\
             shadows = [\"config\", \"firmware\"]\n[device_types.meter.desired]\n{text}\n"
        );
        check("platform.toml", &text)
    }

    fn settings(text: &str) -> BTreeMap<SettingId, Setting> {
        let checked = checked(text);
        let project = checked.project.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics));
        project.environments["dev"].device_types["meter"].desired.clone()
    }

    #[test]
    fn a_setting_has_a_value_that_it_takes() {
        let settings = settings(
            "interval = { type = \"int\", default = 60, min = 5, max = 3600, unit = \"s\" }\n\
             gain = { default = 1.5 }\nled = { type = \"bool\", default = true }\n\
             mode = { type = \"enum\", values = [\"eco\", \"full\"], default = \"eco\" }\n\
             name = { type = \"string\", default = \"\" }",
        );
        let defaults: Vec<String> = settings.values().map(|setting| setting.default.to_string()).collect();
        assert_eq!(defaults, ["1.5", "60", "true", "\"eco\"", "\"\""]);
        assert_eq!(settings["interval"].unit.as_deref(), Some("s"));
        assert_eq!(settings["name"].text_chars_max, TEXT_CHARS);
    }

    #[test]
    fn a_setting_lives_in_a_shadow_of_its_type() {
        let settings = settings("a = { default = 1 }\nb = { default = 1, shadow = \"config\" }");
        let shadows: Vec<_> =
            settings.values().map(|setting| setting.shadow.as_ref().map(ShadowName::as_str)).collect();
        assert_eq!(shadows, [None, Some("config")]);
        for (shadow, help) in [
            ("confg", "did you mean `config`?"),
            ("radio", "name it among the type's: shadows = [\"config\", \"firmware\", \"radio\"]"),
            ("$package", "a shadow's name is 1 to 64 letters"),
        ] {
            let found = checked(&format!("a = {{ default = 1, shadow = \"{shadow}\" }}")).diagnostics;
            assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), [Code::ValueNotAllowed], "{shadow}");
            assert!(found[0].help.as_ref().is_some_and(|found| found.starts_with(help)), "{found:#?}");
        }
    }

    #[test]
    fn each_shadow_is_counted_by_itself() {
        let long = |name: &str, shadow: &str| {
            format!("{name} = {{ type = \"string\", max_len = 600, default = \"\"{shadow} }}\n")
        };
        let in_config = ", shadow = \"config\"";
        let apart = long("a", "") + &long("b", in_config) + &long("c", ", shadow = \"firmware\"");
        assert_eq!(checked(&apart).diagnostics, []);
        let found = checked(&(apart + &long("d", in_config))).diagnostics;
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].message.starts_with("the shadow `config` with these settings may have "), "{found:#?}");
    }

    /// The computed size is at least that of any values.
    #[test]
    fn no_shadow_is_larger_than_it_is_counted() {
        let settings = settings(
            "a = { default = 1.5 }\nb = { type = \"bool\", default = true }\n\
             c = { type = \"enum\", values = [\"eco\", \"full \\\"power\\\"\"], default = \"eco\" }\n\
             d = { type = \"string\", max_len = 10, default = \"\" }",
        );
        let values =
            json!({ "a": -1.234_567_890_123_456_7e-300, "b": false, "c": "full \"power\"", "d": "\u{1}".repeat(10) });
        let shadow = json!({ "state": { "desired": values, "reported": values } }).to_string();
        let counted = shadow_bytes_max(&settings, None);
        assert!((shadow.len()..shadow.len() + 20).contains(&counted), "{counted} for {}", shadow.len());
    }
}
