//! A shadow of a simulated device: the settings of the device's type that live in it, with the values that the device
//! has, and how the device reacts to the desired ones.

use std::sync::Arc;

use fleetform_engine::rule_set::ValueType;
use serde_json::{Map, Value, json};

/// A setting of a device type.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name in the shadow.
    pub name: String,
    /// Type and bounds of its values.
    pub value: ValueType,
    /// Maximum length of a string value, in characters.
    pub text_chars_max: usize,
    /// Its value in a device without desired values.
    pub default: Value,
}

impl Setting {
    /// Whether a value is valid for the setting.
    pub fn takes(&self, value: &Value) -> bool {
        let within = |number: f64, min: Option<f64>, max: Option<f64>| {
            min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)
        };
        match (&self.value, value) {
            (ValueType::Float { min, max }, Value::Number(number)) => {
                number.as_f64().is_some_and(|number| within(number, min.map(|min| min.get()), max.map(|max| max.get())))
            }
            (ValueType::Int { min, max }, Value::Number(number)) => number.as_f64().is_some_and(|number| {
                number.fract() == 0.0 && within(number, min.map(|min| min.get()), max.map(|max| max.get()))
            }),
            (ValueType::Bool, Value::Bool(_)) => true,
            (ValueType::Enum { values }, Value::String(word)) => values.iter().any(|value| value == word),
            (ValueType::String, Value::String(text)) => text.chars().count() <= self.text_chars_max,
            (
                ValueType::Float { .. }
                | ValueType::Int { .. }
                | ValueType::Bool
                | ValueType::Enum { .. }
                | ValueType::String,
                _,
            ) => false,
        }
    }
}

/// The settings in one shadow of a device.
#[derive(Clone, Debug)]
pub struct Shadow {
    settings: Arc<[Setting]>,
    values: Map<String, Value>,
    /// Version of the last delta that was taken.
    version: u64,
}

impl Shadow {
    /// A device without desired values.
    pub fn new(settings: Arc<[Setting]>) -> Self {
        let values = settings.iter().map(|setting| (setting.name.clone(), setting.default.clone())).collect();
        Self { settings, values, version: 0 }
    }

    /// Returns the device's report of all settings in the shadow: a message for the shadow's `update` topic.
    pub fn report(&self) -> Vec<u8> {
        json!({ "state": { "reported": self.values } }).to_string().into_bytes()
    }

    /// Takes a message of its `update/delta`, and returns what the device reports then; none if the message says
    /// nothing, or less than one that was taken before. What a setting does not take, the device leaves as it was and
    /// reports so, and the difference stays for all to see.
    pub fn take(&mut self, delta: &[u8]) -> Option<Vec<u8>> {
        let delta: Value = serde_json::from_slice(delta).ok()?;
        let (version, state) = (delta["version"].as_u64()?, delta["state"].as_object()?);
        if version <= self.version {
            return None;
        }
        self.version = version;
        let mut reported = Map::new();
        for setting in &*self.settings {
            let Some(desired) = state.get(&setting.name) else { continue };
            let value = self.values.entry(setting.name.clone()).or_insert(Value::Null);
            if setting.takes(desired) {
                value.clone_from(desired);
            }
            reported.insert(setting.name.clone(), value.clone());
        }
        (!reported.is_empty()).then(|| json!({ "state": { "reported": reported } }).to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use fleetform_engine::units::Finite;

    use super::*;

    fn setting(name: &str, value: ValueType, default: Value) -> Setting {
        Setting { name: name.to_owned(), value, text_chars_max: 3, default }
    }

    fn shadow() -> Shadow {
        let bound = |number| Some(Finite::new(number).expect("finite"));
        Shadow::new(Arc::new([
            setting("interval", ValueType::Int { min: bound(5.0), max: bound(60.0) }, json!(30)),
            setting("gain", ValueType::Float { min: None, max: bound(2.0) }, json!(1.5)),
            setting("led", ValueType::Bool, json!(true)),
            setting("mode", ValueType::Enum { values: vec!["eco".into(), "full".into()] }, json!("eco")),
            setting("name", ValueType::String, json!("")),
        ]))
    }

    fn take(shadow: &mut Shadow, version: u64, state: Value) -> Option<Value> {
        let delta = json!({ "version": version, "timestamp": 1, "state": state, "metadata": {} }).to_string();
        shadow.take(delta.as_bytes()).map(|report| serde_json::from_slice(&report).expect("JSON"))
    }

    #[test]
    fn a_device_takes_what_its_settings_take_and_reports_the_rest_as_it_is() {
        let mut shadow = shadow();
        let report = take(&mut shadow, 1, json!({ "interval": 10, "gain": 2.5, "mode": "off", "unheard": 1 }));
        let reported = json!({ "interval": 10, "gain": 1.5, "mode": "eco" });
        assert_eq!(report, Some(json!({ "state": { "reported": reported } })));
        let all: Value = serde_json::from_slice(&shadow.report()).expect("JSON");
        let reported = json!({ "interval": 10, "gain": 1.5, "led": true, "mode": "eco", "name": "" });
        assert_eq!(all, json!({ "state": { "reported": reported } }));
    }

    #[test]
    fn what_comes_late_changes_nothing() {
        let mut shadow = shadow();
        assert!(take(&mut shadow, 7, json!({ "interval": 10 })).is_some());
        assert_eq!(take(&mut shadow, 6, json!({ "interval": 20 })), None);
        assert_eq!(take(&mut shadow, 7, json!({ "interval": 20 })), None);
        assert_eq!(take(&mut shadow, 8, json!({ "unheard": 20 })), None);
        for not_one in [&b"{"[..], b"[]", b"{\"version\":9}", b"{\"version\":-1,\"state\":{}}", b"\xff"] {
            assert_eq!(shadow.take(not_one), None);
        }
        assert_eq!(
            take(&mut shadow, 9, json!({ "interval": 60 })).expect("a report")["state"]["reported"]["interval"],
            60
        );
    }

    #[test]
    fn values_of_other_types_are_not_taken() {
        for setting in &*shadow().settings {
            assert!(setting.takes(&setting.default), "{}", setting.name);
            for other in [json!(null), json!([]), json!({}), json!("longer"), json!(4.5e9)] {
                assert!(!setting.takes(&other), "{} takes {other}", setting.name);
            }
        }
        assert!(!shadow().settings[0].takes(&json!(10.5)), "a whole number");
        assert!(shadow().settings[0].takes(&json!(10.0)), "as JSON has it, that is whole");
    }
}
