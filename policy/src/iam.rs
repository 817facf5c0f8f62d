//! Policy documents in the grammar of IAM, which key, bucket, topic, trust and IoT policies share.
//!
//! Responsible for the shape of a document. Does not know what an action does or how an ARN is written.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap};

/// Maximum number of characters in a managed policy, without white space ("IAM and AWS STS quotas").
pub const POLICY_CHARS_MAX: usize = 6_144;

/// Maximum number of managed policies of a role ("IAM and AWS STS quotas").
pub const ROLE_POLICIES_MAX: usize = 10;

/// Number of characters of a document, and of a statement, in addition to what they list.
const DOCUMENT_CHARS: usize = 44;
const STATEMENT_CHARS: usize = 60;

/// A policy document in the current version of the language. `R` is the type of strings that may refer to a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<R> {
    statements: Vec<Statement<R>>,
}

impl<R> Document<R> {
    /// Creates a document of these statements, in this order.
    pub fn new(statements: impl IntoIterator<Item = Statement<R>>) -> Self {
        Self { statements: statements.into_iter().collect() }
    }

    /// Distributes statements over as many documents as needed, each with room for `chars_max` characters:
    /// [`POLICY_CHARS_MAX`] in a managed policy. Statements keep their order, and one that is too long is split into
    /// several. `chars` returns the length of a string.
    pub fn parts(
        statements: impl IntoIterator<Item = Statement<R>>,
        chars_max: usize,
        chars: impl Fn(&R) -> usize,
    ) -> Vec<Self>
    where
        R: Clone,
    {
        let room = chars_max - DOCUMENT_CHARS;
        let mut parts: Vec<(usize, Self)> = Vec::new();
        for statement in statements.into_iter().flat_map(|statement| statement.pieces(room, &chars)) {
            let length = statement.chars(&chars);
            match parts.last_mut().filter(|(taken, _)| taken + length <= room) {
                Some((taken, part)) => {
                    *taken += length;
                    part.statements.push(statement);
                }
                None => parts.push((length, Self::new([statement]))),
            }
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// Returns its statements, in order.
    pub fn statements(&self) -> &[Statement<R>] {
        &self.statements
    }

    /// Returns the same document with every resource and condition value converted by `write`.
    pub fn map<S>(self, write: impl Fn(R) -> S) -> Document<S> {
        Document { statements: self.statements.into_iter().map(|statement| statement.map(&write)).collect() }
    }

    /// Returns each resource that covers more than one thing: the statement's name and the reason.
    pub fn wide_resources(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.statements.iter().flat_map(|statement| {
            let reasons = statement.resources.iter().filter_map(|resource| match resource {
                Target::One(_) => None,
                Target::Many { reason, .. } | Target::Every { reason } => Some(*reason),
            });
            reasons.map(|reason| (statement.sid, reason))
        })
    }
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement<R> {
    sid: &'static str,
    effect: Effect,
    principals: Option<Principals<R>>,
    actions: Vec<&'static str>,
    resources: Vec<Target<R>>,
    conditions: Vec<Condition<R>>,
}

/// Whether a statement allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Allows.
    Allow,
    /// Denies, whatever other statements allow.
    Deny,
}

/// The principals of a statement in a resource's own policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Principals<R> {
    /// Any principal; for statements that deny.
    Anybody,
    /// AWS services, such as `iot.amazonaws.com`.
    Services(Vec<R>),
    /// Accounts and roles, by ARN.
    Aws(Vec<R>),
}

/// What a statement covers.
#[derive(Clone, Debug, PartialEq)]
pub enum Target<R> {
    /// One resource, by its exact ARN.
    One(R),
    /// All resources that match an ARN with `*` or `?` in it.
    Many {
        /// The ARN with wildcards.
        arn: R,
        /// Why an exact ARN is not possible.
        reason: &'static str,
    },
    /// `*`.
    Every {
        /// Why an ARN is not possible.
        reason: &'static str,
    },
}

impl<R> Target<R> {
    fn chars(&self, chars: &impl Fn(&R) -> usize) -> usize {
        match self {
            Self::One(arn) | Self::Many { arn, .. } => chars(arn) + 3,
            Self::Every { .. } => 4,
        }
    }
}

/// One test of a statement's condition block.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition<R> {
    operator: &'static str,
    key: &'static str,
    values: Values<R>,
}

#[derive(Clone, Debug, PartialEq)]
enum Values<R> {
    Truth(bool),
    Words(&'static [&'static str]),
    Texts(Vec<R>),
}

impl<R> Condition<R> {
    /// Creates a test of a boolean key.
    pub fn truth(operator: &'static str, key: &'static str, value: bool) -> Self {
        Self { operator, key, values: Values::Truth(value) }
    }

    /// Creates a test of a key against words that are the same in every platform.
    pub fn words(operator: &'static str, key: &'static str, words: &'static [&'static str]) -> Self {
        Self { operator, key, values: Values::Words(words) }
    }

    /// Creates a test of a key against one string.
    pub fn text(operator: &'static str, key: &'static str, value: R) -> Self {
        Self::texts(operator, key, [value])
    }

    /// Creates a test of a key against several strings.
    pub fn texts(operator: &'static str, key: &'static str, values: impl IntoIterator<Item = R>) -> Self {
        Self { operator, key, values: Values::Texts(values.into_iter().collect()) }
    }
}

impl<R> Statement<R> {
    /// Creates a statement that allows these actions on these resources.
    pub fn allow(
        sid: &'static str,
        actions: impl IntoIterator<Item = &'static str>,
        resources: impl IntoIterator<Item = Target<R>>,
    ) -> Self {
        Self::new(Effect::Allow, sid, actions, resources)
    }

    /// Creates a statement that denies these actions on these resources.
    pub fn deny(
        sid: &'static str,
        actions: impl IntoIterator<Item = &'static str>,
        resources: impl IntoIterator<Item = Target<R>>,
    ) -> Self {
        Self::new(Effect::Deny, sid, actions, resources)
    }

    /// Creates a trust policy's statement: its resource is the role that carries it.
    pub fn trust(sid: &'static str, principals: Principals<R>) -> Self {
        Self::new(Effect::Allow, sid, ["sts:AssumeRole"], []).by(principals)
    }

    fn new(
        effect: Effect,
        sid: &'static str,
        actions: impl IntoIterator<Item = &'static str>,
        resources: impl IntoIterator<Item = Target<R>>,
    ) -> Self {
        let (actions, resources) = (Vec::from_iter(actions), Vec::from_iter(resources));
        assert!(!actions.is_empty(), "statement {sid} names no action");
        Self { sid, effect, principals: None, actions, resources, conditions: Vec::new() }
    }

    /// Limits the statement to these principals.
    #[must_use]
    pub fn by(self, principals: Principals<R>) -> Self {
        Self { principals: Some(principals), ..self }
    }

    /// Adds a condition, which must hold in addition to the others.
    #[must_use]
    pub fn when(mut self, condition: Condition<R>) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Returns its name, the `Sid`.
    pub fn sid(&self) -> &'static str {
        self.sid
    }

    /// Returns whether it allows or denies.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Returns its actions, such as `s3:GetObject`.
    pub fn actions(&self) -> &[&'static str] {
        &self.actions
    }

    /// Returns the resources that it covers.
    pub fn resources(&self) -> &[Target<R>] {
        &self.resources
    }

    /// Splits the statement into equivalent ones, each with at most `chars_max` characters, or with one resource.
    fn pieces(mut self, chars_max: usize, chars: &impl Fn(&R) -> usize) -> Vec<Self>
    where
        R: Clone,
    {
        let targets = std::mem::take(&mut self.resources);
        let own = self.chars(chars);
        let mut pieces = vec![(own, self.clone())];
        for target in targets {
            let length = target.chars(chars);
            match pieces.last_mut().filter(|(taken, piece)| piece.resources.is_empty() || taken + length <= chars_max) {
                Some((taken, piece)) => {
                    *taken += length;
                    piece.resources.push(target);
                }
                None => pieces.push((own + length, Self { resources: vec![target], ..self.clone() })),
            }
        }
        pieces.into_iter().map(|(_, piece)| piece).collect()
    }

    /// Returns the approximate number of characters as IAM counts them, without white space. `chars` returns the
    /// length of a string.
    fn chars(&self, chars: &impl Fn(&R) -> usize) -> usize {
        let words = self.actions.iter().map(|action| action.len() + 3).sum::<usize>();
        let targets = self.resources.iter().map(|target| target.chars(chars)).sum::<usize>();
        let conditions = self.conditions.iter().map(|condition| match &condition.values {
            Values::Truth(_) => 5,
            Values::Words(words) => words.iter().map(|word| word.len() + 3).sum(),
            Values::Texts(texts) => texts.iter().map(|text| chars(text) + 3).sum::<usize>(),
        } + condition.operator.len() + condition.key.len() + 12);
        STATEMENT_CHARS + self.sid.len() + words + targets + conditions.sum::<usize>()
    }

    fn map<S>(self, write: &impl Fn(R) -> S) -> Statement<S> {
        let list = |texts: Vec<R>| texts.into_iter().map(write).collect();
        Statement {
            sid: self.sid,
            effect: self.effect,
            principals: self.principals.map(|principals| match principals {
                Principals::Anybody => Principals::Anybody,
                Principals::Services(names) => Principals::Services(list(names)),
                Principals::Aws(arns) => Principals::Aws(list(arns)),
            }),
            actions: self.actions,
            resources: self
                .resources
                .into_iter()
                .map(|target| match target {
                    Target::One(arn) => Target::One(write(arn)),
                    Target::Many { arn, reason } => Target::Many { arn: write(arn), reason },
                    Target::Every { reason } => Target::Every { reason },
                })
                .collect(),
            conditions: self
                .conditions
                .into_iter()
                .map(|condition| Condition {
                    operator: condition.operator,
                    key: condition.key,
                    values: match condition.values {
                        Values::Truth(truth) => Values::Truth(truth),
                        Values::Words(words) => Values::Words(words),
                        Values::Texts(texts) => Values::Texts(list(texts)),
                    },
                })
                .collect(),
        }
    }
}

impl<R: Serialize> Serialize for Document<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("Version", "2012-10-17")?;
        map.serialize_entry("Statement", &self.statements)?;
        map.end()
    }
}

impl<R: Serialize> Serialize for Statement<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Sid", self.sid)?;
        map.serialize_entry("Effect", if self.effect == Effect::Allow { "Allow" } else { "Deny" })?;
        if let Some(principals) = &self.principals {
            map.serialize_entry("Principal", principals)?;
        }
        map.serialize_entry("Action", &OneOrMany(&self.actions))?;
        // A trust policy has no `Resource` element: it applies to the role that carries it.
        if !self.resources.is_empty() {
            map.serialize_entry("Resource", &OneOrMany(&self.resources))?;
        }
        if !self.conditions.is_empty() {
            let mut operators: BTreeMap<&str, BTreeMap<&str, &Values<R>>> = BTreeMap::new();
            for condition in &self.conditions {
                operators.entry(condition.operator).or_default().insert(condition.key, &condition.values);
            }
            map.serialize_entry("Condition", &operators)?;
        }
        map.end()
    }
}

impl<R: Serialize> Serialize for Principals<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, names) = match self {
            Self::Anybody => return serializer.serialize_str("*"),
            Self::Services(names) => ("Service", names),
            Self::Aws(arns) => ("AWS", arns),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(kind, &OneOrMany(names))?;
        map.end()
    }
}

impl<R: Serialize> Serialize for Target<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(arn) | Self::Many { arn, .. } => arn.serialize(serializer),
            Self::Every { .. } => serializer.serialize_str("*"),
        }
    }
}

impl<R: Serialize> Serialize for Values<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Truth(truth) => serializer.serialize_bool(*truth),
            Self::Words(words) => OneOrMany(words).serialize(serializer),
            Self::Texts(texts) => OneOrMany(texts).serialize(serializer),
        }
    }
}

/// A list that serializes as its element if it has only one, as in handwritten policies; IoT policies have no room to
/// spare.
struct OneOrMany<'a, T>(&'a [T]);

impl<T: Serialize> Serialize for OneOrMany<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_written_as_iam_reads_it() {
        let document = Document::new([
            Statement::allow("Read", ["s3:GetObject", "s3:ListBucket"], [Target::One("arn:a")])
                .when(Condition::text("StringEquals", "aws:SourceAccount", "1"))
                .when(Condition::truth("Bool", "aws:SecureTransport", true)),
            Statement::deny("Write", ["s3:PutObject"], [Target::Every { reason: "a test" }]).by(Principals::Anybody),
        ]);
        assert_eq!(
            serde_json::to_value(&document).unwrap(),
            json!({"Version": "2012-10-17", "Statement": [
                {"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "arn:a",
                 "Condition": {"StringEquals": {"aws:SourceAccount": "1"}, "Bool": {"aws:SecureTransport": true}}},
                {"Sid": "Write", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}]})
        );
        assert_eq!(document.wide_resources().collect::<Vec<_>>(), [("Write", "a test")]);
    }

    #[test]
    fn a_trust_statement_names_no_resource() {
        let trust = Statement::trust("Trust", Principals::Services(vec!["lambda.amazonaws.com"]));
        assert_eq!(
            serde_json::to_value(&trust).unwrap(),
            json!({"Sid": "Trust", "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"})
        );
    }
}
