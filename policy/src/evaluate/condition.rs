//! One test of a statement's condition block.
//!
//! The operators are the ones of "IAM JSON policy elements: Condition operators" that apply to AWS IoT's own keys.

use serde_json::Value;

use super::{
    Request,
    pattern::{Pattern, Wildcards},
};

/// One test: an operator, a key and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    set: Option<Set>,
    test: Test,
    key: Key,
    values: Vec<Pattern>,
}

/// How the values of a key in a request are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// `ForAllValues`: each of them must pass, which is true if there are none.
    All,
    /// `ForAnyValue`: one of them must pass, which is false if there are none.
    Any,
}

/// How one value of a request is compared with those of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// It is one of them.
    Is,
    /// It is not one of them.
    IsNot,
}

/// The keys that a policy may test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    IsAttached,
    ThingName,
    ClientId,
    ConnectAttributes,
    LastWillTopic,
}

impl Key {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "iot:Connection.Thing.IsAttached" => Self::IsAttached,
            "iot:Connection.Thing.ThingName" => Self::ThingName,
            "iot:ClientId" => Self::ClientId,
            "iot:ConnectAttributes" => Self::ConnectAttributes,
            "iot:LastWillTopic" => Self::LastWillTopic,
            _ => return None,
        })
    }

    /// Returns the values of the key in a request.
    fn found<'r>(self, request: &'r Request<'_>) -> Vec<&'r str> {
        let connection = request.connection;
        match self {
            Self::IsAttached => connection.is_attached().map(|yes| if yes { "true" } else { "false" }),
            Self::ThingName => connection.thing(),
            Self::ClientId => connection.client_id(),
            Self::LastWillTopic => request.connect.as_ref().and_then(|connect| connect.will_topic.as_deref()),
            Self::ConnectAttributes => {
                return request.connect.iter().flat_map(|connect| connect.attributes.iter().copied()).collect();
            }
        }
        .into_iter()
        .collect()
    }
}

impl Condition {
    /// Parses a test. An unknown part is an error.
    pub(super) fn read(operator: &str, key: &str, values: &Value) -> Result<Self, String> {
        let (set, word) = match operator.split_once(':') {
            Some(("ForAllValues", word)) => (Some(Set::All), word),
            Some(("ForAnyValue", word)) => (Some(Set::Any), word),
            Some(_) => return Err(unknown_operator(operator)),
            None => (None, operator),
        };
        let (test, wildcards) = match word {
            "StringEquals" => (Test::Is, Wildcards::Literal),
            "StringNotEquals" => (Test::IsNot, Wildcards::Literal),
            "StringLike" | "ArnLike" | "ArnEquals" => (Test::Is, Wildcards::Active),
            "StringNotLike" => (Test::IsNot, Wildcards::Active),
            "Bool" if set.is_none() => (Test::Is, Wildcards::Literal),
            _ => return Err(unknown_operator(operator)),
        };
        let read = Key::named(key).ok_or_else(|| format!("the condition key `{key}` is not known here"))?;
        if read == Key::ConnectAttributes && set.is_none() {
            return Err(format!("`{key}` has several values: its operator needs ForAllValues or ForAnyValue"));
        }
        if (word == "Bool") != (read == Key::IsAttached) {
            return Err(format!("the operator `{operator}` does not go with the condition key `{key}`"));
        }
        let values = match values {
            Value::Array(values) => values.iter().collect(),
            one => vec![one],
        };
        let values = values.into_iter().map(|value| match value {
            Value::String(text) => Pattern::parse(text, wildcards),
            Value::Bool(truth) if read == Key::IsAttached => Pattern::parse(&truth.to_string(), wildcards),
            other => Err(format!("`{other}` is no value of the condition key `{key}`")),
        });
        Ok(Self { set, test, key: read, values: values.collect::<Result<_, _>>()? })
    }

    /// Whether a request passes.
    pub(super) fn holds(&self, request: &Request<'_>) -> bool {
        let found = self.key.found(request);
        let passes = |value: &&str| {
            let is_one = self.values.iter().any(|pattern| pattern.covers(value, request.connection));
            match self.test {
                Test::Is => is_one,
                Test::IsNot => !is_one,
            }
        };
        match self.set {
            Some(Set::All) => found.iter().all(passes),
            Some(Set::Any) => found.iter().any(passes),
            // A key that is not in the request matches none of the values.
            None => found.first().map_or(self.test == Test::IsNot, passes),
        }
    }

    /// Whether the test requires the thing to be attached to the certificate.
    pub(super) fn asks_for_attachment(&self) -> bool {
        self.key == Key::IsAttached && self.values.iter().all(|value| value.text() == "true") && !self.values.is_empty()
    }
}

fn unknown_operator(operator: &str) -> String {
    format!("the condition operator `{operator}` is not known here")
}
