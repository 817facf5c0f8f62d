//! Strings of a template: literals, references and concatenations of the two.
//!
//! Only [`Text::concat`] writes `Fn::Sub`, and it escapes every literal, so text from the platform file can appear in a
//! template but is never interpreted. References are made by [`super::stack`] and by the pseudo parameters here.

use std::fmt::Write;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json};
use smol_str::{SmolStr, format_smolstr};

/// A string property: a literal, or an expression that CloudFormation replaces with a string.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Text(Form);

#[derive(Clone, Debug, PartialEq)]
enum Form {
    Literal(SmolStr),
    /// `Ref` to a resource, a parameter or a pseudo parameter.
    Ref(SmolStr),
    /// `Fn::GetAtt`.
    Attribute(SmolStr, SmolStr),
    /// `Fn::Sub` without variables; its literals are escaped.
    Sub(String),
    /// `Fn::ImportValue` of an export of another stack.
    Import(SmolStr),
    /// The last part of the stack's ARN, which differs for every stack, even one with the same name.
    StackUuid,
}

impl Text {
    /// The stack's region.
    pub(crate) fn region() -> Self {
        Self::reference("AWS::Region")
    }

    /// The stack's account.
    pub(crate) fn account() -> Self {
        Self::reference("AWS::AccountId")
    }

    /// The stack's partition, such as `aws-cn`.
    pub(crate) fn partition() -> Self {
        Self::reference("AWS::Partition")
    }

    /// The partition's domain, such as `amazonaws.com`.
    pub(crate) fn url_suffix() -> Self {
        Self::reference("AWS::URLSuffix")
    }

    /// A string that no other stack has, not even a later one with the same name.
    pub(crate) fn stack_uuid() -> Self {
        Self(Form::StackUuid)
    }

    /// An export of a separately deployed stack.
    pub(crate) fn import(export: impl Into<SmolStr>) -> Self {
        Self(Form::Import(export.into()))
    }

    /// Returns an ARN in this account and region.
    pub(crate) fn arn(service: &'static str, rest: impl IntoIterator<Item = Self>) -> Self {
        let head = ["arn:".into(), Self::partition(), ":".into(), service.into(), ":".into(), Self::region()];
        Self::concat(head.into_iter().chain([":".into(), Self::account(), ":".into()]).chain(rest))
    }

    /// Concatenates the parts.
    pub(crate) fn concat(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut template = String::new();
        // A literal is escaped as a whole run: a `$` at the end of one part and a `{` at the start of the next would
        // otherwise form an unescaped `${`.
        let mut literal = String::new();
        let mut active = false;
        for Self(form) in parts {
            match form {
                Form::Literal(text) => {
                    literal.push_str(&text);
                    continue;
                }
                _ => escape_into(&mut template, &std::mem::take(&mut literal)),
            }
            active = true;
            match form {
                Form::Literal(_) => {}
                Form::Ref(id) => write!(template, "${{{id}}}").expect("a String takes everything"),
                Form::Attribute(id, name) => write!(template, "${{{id}.{name}}}").expect("a String takes everything"),
                Form::Sub(inner) => template.push_str(&inner),
                Form::StackUuid => template.push_str("${StackUuid}"),
                Form::Import(export) => unreachable!("the export {export} is passed on as a parameter of its own"),
            }
        }
        if !active {
            return Self(Form::Literal(literal.into()));
        }
        escape_into(&mut template, &literal);
        Self(Form::Sub(template))
    }

    /// The maximum number of characters in the resolved string. This is an estimate where CloudFormation makes up a
    /// name, because such names have no fixed length.
    pub(crate) fn chars(&self) -> usize {
        const PSEUDO: [(&str, usize); 3] = [("AWS::Partition", 10), ("AWS::Region", 14), ("AWS::AccountId", 12)];
        const MADE: usize = 160;
        let length = |id: &str| PSEUDO.into_iter().find(|(name, _)| *name == id).map_or(MADE, |(_, length)| length);
        match &self.0 {
            Form::Literal(text) => text.len(),
            Form::Ref(id) => length(id),
            Form::Attribute(..) | Form::Import(_) => MADE,
            Form::StackUuid => 36,
            Form::Sub(template) => {
                let mut parts = template.split("${");
                let first = parts.next().map_or(0, str::len);
                let others = parts.map(|part| match part.split_once('}') {
                    Some((id, rest)) if !id.starts_with('!') => length(id) + rest.len(),
                    _ => part.len() + 2,
                });
                first + others.sum::<usize>()
            }
        }
    }

    /// Returns JSON as a string in which references are resolved, for the properties of a widget in a dashboard body.
    pub(crate) fn json(value: &Value) -> Self {
        let mut parts = Vec::new();
        json_parts(value, &mut parts);
        Self::concat(parts)
    }

    /// Only for [`super::stack`], which refers to what it has added.
    pub(super) fn reference(id: &str) -> Self {
        Self(Form::Ref(id.into()))
    }

    /// Only for [`super::stack`], which refers to what it has added.
    pub(super) fn attribute(id: &str, name: &str) -> Self {
        Self(Form::Attribute(id.into(), name.into()))
    }
}

fn escape_into(template: &mut String, literal: &str) {
    // In `Fn::Sub`, `${!x}` is a literal `${x}`.
    let mut rest = literal;
    while let Some(at) = rest.find("${") {
        template.push_str(&rest[..at + 2]);
        template.push('!');
        rest = &rest[at + 2..];
    }
    template.push_str(rest);
}

fn json_parts(value: &Value, parts: &mut Vec<Text>) {
    match value {
        Value::Array(items) => {
            parts.push("[".into());
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    parts.push(",".into());
                }
                json_parts(item, parts);
            }
            parts.push("]".into());
        }
        Value::Object(map) => {
            if let Some(text) = intrinsic(map) {
                parts.extend(["\"".into(), text, "\"".into()]);
                return;
            }
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            parts.push("{".into());
            for (index, (key, item)) in entries.into_iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                parts.push(format!("{comma}{}:", Value::from(key.as_str())).into());
                json_parts(item, parts);
            }
            parts.push("}".into());
        }
        scalar => parts.push(scalar.to_string().into()),
    }
}

/// Returns the [`Text`] that a serialized map came from. The names and ARNs that replace it contain nothing that JSON
/// escapes.
fn intrinsic(map: &serde_json::Map<String, Value>) -> Option<Text> {
    let (key, value) = map.iter().next().filter(|_| map.len() == 1)?;
    match (key.as_str(), value) {
        ("Ref", Value::String(id)) => Some(Text::reference(id)),
        ("Fn::GetAtt", Value::Array(path)) => match path.as_slice() {
            [Value::String(id), Value::String(name)] => Some(Text::attribute(id, name)),
            _ => None,
        },
        ("Fn::Sub", Value::String(template)) => Some(Text(Form::Sub(template.clone()))),
        _ => None,
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Form::Literal(text.into()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Form::Literal(text.into()))
    }
}

impl From<&SmolStr> for Text {
    fn from(text: &SmolStr) -> Self {
        Self(Form::Literal(text.clone()))
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Literal(text) => serializer.serialize_str(text),
            Form::Ref(id) => function(serializer, "Ref", id),
            Form::Attribute(id, name) => function(serializer, "Fn::GetAtt", &[id, name]),
            Form::Import(export) => function(serializer, "Fn::ImportValue", export),
            Form::StackUuid => stack_uuid().serialize(serializer),
            Form::Sub(template) if template.contains("${StackUuid}") => {
                function(serializer, "Fn::Sub", &json!([template, { "StackUuid": stack_uuid() }]))
            }
            Form::Sub(template) => function(serializer, "Fn::Sub", template),
        }
    }
}

fn function<S: Serializer>(serializer: S, name: &str, argument: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, argument)?;
    map.end()
}

/// The stack's ARN ends with `stack/<name>/<uuid>`.
fn stack_uuid() -> Value {
    json!({ "Fn::Select": [2, { "Fn::Split": ["/", { "Ref": "AWS::StackId" }] }] })
}

/// Returns the logical id of something that the platform file names: its id in Pascal case, followed by what it is.
/// Characters that are not allowed in a logical id only separate words.
pub fn logical_id(id: &str, what: &str) -> SmolStr {
    let mut pascal = String::with_capacity(id.len());
    let mut upper = true;
    for character in id.chars() {
        if character.is_ascii_alphanumeric() {
            pascal.push(if upper { character.to_ascii_uppercase() } else { character });
        }
        upper = !character.is_ascii_alphanumeric();
    }
    format_smolstr!("{pascal}{what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &Text) -> Value {
        serde_json::to_value(text).unwrap()
    }

    #[test]
    fn literals_stay_literals() {
        assert_eq!(written(&Text::concat(["a".into(), "${x}".into()])), json!("a${x}"));
    }

    #[test]
    fn user_text_is_never_active() {
        let text = Text::concat(["x-".into(), Text::region(), "-${AWS::AccountId}-$".into(), "{b}".into()]);
        assert_eq!(written(&text), json!({"Fn::Sub": "x-${AWS::Region}-${!AWS::AccountId}-${!b}"}));
    }

    #[test]
    fn policy_variables_survive() {
        let text = Text::arn("iot", ["client/${iot:Connection.Thing.ThingName}".into()]);
        assert_eq!(
            written(&text),
            json!({"Fn::Sub": "arn:${AWS::Partition}:iot:${AWS::Region}:${AWS::AccountId}:client/${!iot:Connection.Thing.ThingName}"})
        );
    }

    #[test]
    fn references_inside_json_are_filled_in() {
        let body = json!({"region": Text::region(), "title": "\"${x}\"", "list": [1, Text::attribute("A", "Arn")]});
        assert_eq!(
            written(&Text::json(&body)),
            json!({"Fn::Sub": r#"{"list":[1,"${A.Arn}"],"region":"${AWS::Region}","title":"\"${!x}\""}"#})
        );
    }

    #[test]
    fn logical_ids_are_pascal_case() {
        assert_eq!(logical_id("north-reservoir-2", "ThingGroup"), "NorthReservoir2ThingGroup");
        assert_eq!(logical_id("a--1", ""), "A1");
        assert_eq!(logical_id("flow_rate", ""), "FlowRate");
    }
}
