//! Reads rendered CloudFormation templates as trees, and follows every reference in them.
//!
//! It shares no code with the generator, so it cannot share its mistakes.

use std::collections::BTreeMap;

use fleetform_generator::Tree;
use serde_json::Value;

/// The templates of each environment, by file name.
pub type Templates = BTreeMap<String, BTreeMap<String, Value>>;

/// Every template of a rendering.
///
/// # Panics
/// If one is not YAML.
pub fn templates(tree: &Tree) -> Templates {
    let mut templates = Templates::new();
    for (path, bytes) in tree.iter() {
        let parts: Vec<_> = path.components().map(|part| part.as_str()).collect();
        if let [environment, "cloudformation", file] = parts[..] {
            let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
            let template = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
            templates.entry(environment.to_owned()).or_default().insert(file.to_owned(), template);
        }
    }
    templates
}

/// Every reference in an environment's templates that cannot be resolved.
pub fn unresolved(templates: &BTreeMap<String, Value>) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, template) in templates {
        let mut walk = Walk { file, template, templates, faults: &mut faults };
        for section in ["Resources", "Outputs", "Conditions"] {
            walk.value(&template[section]);
        }
        for resource in template["Resources"].as_object().into_iter().flatten() {
            walk.resource(resource.0, resource.1);
        }
    }
    faults
}

struct Walk<'a> {
    file: &'a str,
    template: &'a Value,
    templates: &'a BTreeMap<String, Value>,
    faults: &'a mut Vec<String>,
}

impl Walk<'_> {
    fn fault(&mut self, text: String) {
        self.faults.push(format!("{}: {text}", self.file));
    }

    fn has(&self, section: &str, name: &str) -> bool {
        self.template[section].get(name).is_some()
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.value(item)),
            Value::Object(keys) => {
                for (key, value) in keys {
                    match key.as_str() {
                        "Ref" => self.reference(value.as_str().unwrap_or_default()),
                        "Fn::GetAtt" => self.attribute(value),
                        "Fn::Sub" => self.substitution(value),
                        "Condition" if value.is_string() && !self.has("Conditions", value.as_str().unwrap_or("")) => {
                            // In a policy document, this key has a different meaning, and its value is not a string.
                            self.fault(format!("condition {value}"));
                        }
                        _ => self.value(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn reference(&mut self, name: &str) {
        let pseudo = name.starts_with("AWS::");
        if !pseudo && !self.has("Resources", name) && !self.has("Parameters", name) {
            self.fault(format!("Ref {name}"));
        }
    }

    fn attribute(&mut self, value: &Value) {
        let path = match value {
            Value::String(text) => text.split_once('.').map(|(id, attribute)| (id.to_owned(), attribute.to_owned())),
            Value::Array(parts) => match &parts[..] {
                [Value::String(id), Value::String(attribute)] => Some((id.clone(), attribute.clone())),
                _ => None,
            },
            _ => None,
        };
        let Some((id, attribute)) = path else {
            self.fault(format!("Fn::GetAtt {value}"));
            return;
        };
        self.attribute_of(&id, &attribute);
    }

    fn attribute_of(&mut self, id: &str, attribute: &str) {
        if !self.has("Resources", id) {
            self.fault(format!("Fn::GetAtt {id}.{attribute}"));
            return;
        }
        if let Some(output) = attribute.strip_prefix("Outputs.") {
            match self.nested(id) {
                Some(nested) if nested["Outputs"].get(output).is_some() => {}
                _ => self.fault(format!("nested stack {id} has no output {output}")),
            }
        }
    }

    fn substitution(&mut self, value: &Value) {
        let (text, own) = match value {
            Value::Array(parts) => (parts.first().and_then(Value::as_str), parts.get(1)),
            other => (other.as_str(), None),
        };
        for part in text.unwrap_or_default().split("${").skip(1).filter(|part| !part.starts_with('!')) {
            let name = part.split('}').next().unwrap_or_default();
            if own.is_some_and(|own| own.get(name).is_some()) {
                continue;
            }
            match name.split_once('.') {
                Some((id, attribute)) => self.attribute_of(id, attribute),
                None => self.reference(name),
            }
        }
        if let Some(own) = own {
            self.value(own);
        }
    }

    /// Checks a resource's attributes other than its properties, and the parameters of a nested stack.
    fn resource(&mut self, id: &str, resource: &Value) {
        let depends = match &resource["DependsOn"] {
            Value::String(one) => vec![one.as_str()],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        for other in depends {
            if !self.has("Resources", other) {
                self.fault(format!("{id} depends on {other}"));
            }
        }
        if resource["Type"] != "AWS::CloudFormation::Stack" {
            return;
        }
        let Some(nested) = self.nested(id) else {
            self.fault(format!("nested stack {id} has no template"));
            return;
        };
        let given = resource["Properties"]["Parameters"].as_object().cloned().unwrap_or_default();
        let taken = nested["Parameters"].as_object().cloned().unwrap_or_default();
        for name in given.keys().filter(|name| !taken.contains_key(*name)) {
            self.fault(format!("nested stack {id} takes no parameter {name}"));
        }
        for (name, _) in
            taken.iter().filter(|(name, taken)| taken.get("Default").is_none() && !given.contains_key(*name))
        {
            self.fault(format!("nested stack {id} is not given {name}"));
        }
    }

    /// The template of a nested stack, whose file has the stack's name.
    fn nested(&self, id: &str) -> Option<&Value> {
        let plain = |text: &str| text.replace('-', "").to_lowercase();
        let found = self.templates.iter().find(|(file, _)| plain(file.trim_end_matches(".yaml")) == plain(id));
        found.map(|(_, template)| template)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(template: Value, wanted: &[&str]) {
        let nested = json!({ "Parameters": { "Needed": {} }, "Outputs": { "Name": {} } });
        let templates = BTreeMap::from([("root.yaml".to_owned(), template), ("ingest-2.yaml".to_owned(), nested)]);
        assert_eq!(unresolved(&templates), wanted);
    }

    #[test]
    fn what_is_there_resolves() {
        check(
            json!({
                "Parameters": { "Given": {} },
                "Resources": {
                    "Key": { "Type": "AWS::KMS::Key", "Properties": { "Id": { "Fn::Sub": "${Given} ${AWS::Region} ${!iot:X}" } } },
                    "Ingest2": {
                        "Type": "AWS::CloudFormation::Stack",
                        "DependsOn": "Key",
                        "Properties": { "Parameters": { "Needed": { "Fn::GetAtt": ["Key", "Arn"] } } },
                    },
                },
                "Outputs": { "Shown": { "Value": { "Fn::GetAtt": "Ingest2.Outputs.Name" } } },
            }),
            &[],
        );
    }

    #[test]
    fn what_is_not_there_is_named() {
        check(
            json!({
                "Resources": {
                    "Key": {
                        "DependsOn": ["Gone"],
                        "Properties": { "A": { "Ref": "Nothing" }, "B": { "Fn::Sub": ["${Own} ${Lost.Arn}", { "Own": 1 }] } },
                    },
                    "Ingest2": { "Type": "AWS::CloudFormation::Stack", "Properties": { "Parameters": { "Other": 1 } } },
                },
                "Outputs": { "Shown": { "Value": { "Fn::GetAtt": ["Ingest2", "Outputs.Absent"] } } },
            }),
            &[
                "root.yaml: Ref Nothing",
                "root.yaml: Fn::GetAtt Lost.Arn",
                "root.yaml: nested stack Ingest2 has no output Absent",
                "root.yaml: nested stack Ingest2 takes no parameter Other",
                "root.yaml: nested stack Ingest2 is not given Needed",
                "root.yaml: Key depends on Gone",
            ],
        );
    }
}
