//! Resolves a template tree as CloudFormation would, as far as possible before a deployment.
//!
//! The partition, region and account are known from the platform file. References to anything else are left as they
//! are.

use serde_json::{Map, Value};

/// The values of pseudo parameters.
pub(crate) struct Place<'a> {
    pub(crate) partition: &'a str,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
}

impl Place<'_> {
    /// Returns the tree with every string that is known filled in.
    pub(crate) fn fill(&self, tree: &Value) -> Value {
        match tree {
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(map) => match self.text(map) {
                Some(text) => Value::String(text),
                None => map.iter().map(|(key, item)| (key.clone(), self.fill(item))).collect::<Map<_, _>>().into(),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => tree.clone(),
        }
    }

    /// Returns the string that a function produces, if all of its arguments are known.
    fn text(&self, map: &Map<String, Value>) -> Option<String> {
        let (function, argument) = map.iter().next().filter(|_| map.len() == 1)?;
        match (function.as_str(), argument) {
            ("Ref", Value::String(name)) => self.parameter(name).map(str::to_owned),
            ("Fn::Sub", Value::String(template)) => self.substitute(template),
            _ => None,
        }
    }

    fn substitute(&self, template: &str) -> Option<String> {
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}')?;
            text.push_str(before);
            match name.strip_prefix('!') {
                // `Fn::Sub` writes a literal `${x}` as `${!x}`.
                Some(literal) => text.extend(["${", literal, "}"]),
                None => text.push_str(self.parameter(name)?),
            }
            rest = after;
        }
        text.push_str(rest);
        Some(text)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        Some(match name {
            "AWS::Partition" => self.partition,
            "AWS::Region" => self.region,
            "AWS::AccountId" => self.account,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cfn::value::Text;

    const PLACE: Place<'_> = Place { partition: "aws-cn", region: "cn-north-1", account: "111111111111" };

    #[test]
    fn what_is_written_as_a_text_comes_back_as_that_text() {
        for name in ["client/${iot:ClientId}", "a", "$", "${", "x/${!y}/$"] {
            let written = serde_json::to_value(Text::arn("iot", [name.into()])).unwrap();
            // `Fn::Sub` does not accept an unclosed `${`, and no policy has one.
            let expected = match name {
                "${" => written.clone(),
                _ => json!(format!("arn:aws-cn:iot:cn-north-1:111111111111:{name}")),
            };
            assert_eq!(PLACE.fill(&written), expected, "{name}");
        }
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        let tree =
            json!([{ "Ref": "AWS::Region" }, { "Ref": "Key" }, { "Fn::Sub": "${Key}" }, { "a": 1, "Ref": "x" }, 7]);
        let filled = json!(["cn-north-1", { "Ref": "Key" }, { "Fn::Sub": "${Key}" }, { "a": 1, "Ref": "x" }, 7]);
        assert_eq!(PLACE.fill(&tree), filled);
    }
}
