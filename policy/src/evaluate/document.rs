//! An IoT policy as it is read from JSON, from any source.
//!
//! Reading is strict: an element that is not fully understood is an error that names its place, since a policy with a
//! skipped part could seem to allow less than it does.

use serde_json::{Map, Value};

use super::{
    Request,
    condition::Condition,
    pattern::{Pattern, Wildcards, action_covers},
};

/// The version of the policy language that supports variables.
const VERSION: &str = "2012-10-17";

/// A policy whose every part was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    name: String,
    chars: usize,
    statements: Vec<Statement>,
}

/// A part of a policy that was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy `{policy}`, {place}: {problem}")]
pub struct Unreadable {
    /// Name of the policy.
    pub policy: String,
    /// The place in the policy: a statement's `Sid`, or its number.
    pub place: String,
    /// Description of the problem.
    pub problem: String,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    label: String,
    is_deny: bool,
    actions: Actions,
    resources: Resources,
    conditions: Vec<Condition>,
}

/// The actions that a statement covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actions {
    /// `Action`: these.
    Only(Vec<String>),
    /// `NotAction`: all but these.
    AllBut(Vec<String>),
}

/// The resources that a statement covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resources {
    /// `Resource`: these.
    Only(Vec<Pattern>),
    /// `NotResource`: all but these.
    AllBut(Vec<Pattern>),
}

/// The statement that decided, and its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct By<'p> {
    pub(super) policy: &'p str,
    pub(super) statement: &'p str,
}

impl Policy {
    /// Reads a document.
    pub fn read(name: &str, document: &Value) -> Result<Self, Unreadable> {
        let fail =
            |place: &str, problem: String| Unreadable { policy: name.to_owned(), place: place.to_owned(), problem };
        let map = document.as_object().ok_or_else(|| fail("document", "it is not an object".to_owned()))?;
        if let Some(key) = map.keys().find(|key| !["Version", "Id", "Statement"].contains(&key.as_str())) {
            return Err(fail("document", format!("the element `{key}` is not known here")));
        }
        if map.get("Version").and_then(Value::as_str) != Some(VERSION) {
            let problem = format!("its version is not `{VERSION}`, without which variables are plain text");
            return Err(fail("document", problem));
        }
        let statements = match map.get("Statement") {
            Some(Value::Array(statements)) => statements.iter().collect(),
            Some(one) => vec![one],
            None => return Err(fail("document", "it has no statement".to_owned())),
        };
        let statements = statements.into_iter().enumerate().map(|(index, statement)| {
            let sid = statement.get("Sid").and_then(Value::as_str);
            let label = sid.map_or_else(|| format!("statement {}", index + 1), str::to_owned);
            Statement::read(label.clone(), statement).map_err(|problem| fail(&label, problem))
        });
        Ok(Self {
            name: name.to_owned(),
            chars: crate::iot::document_chars(document),
            statements: statements.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the name of the policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its length as AWS IoT counts it, which is limited by [`crate::iot::DOCUMENT_CHARS_MAX`].
    pub fn chars(&self) -> usize {
        self.chars
    }

    pub(crate) fn statements(&self) -> &[Statement] {
        &self.statements
    }
}

impl Statement {
    fn read(label: String, statement: &Value) -> Result<Self, String> {
        const KNOWN: [&str; 7] = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        let map = statement.as_object().ok_or("it is not an object")?;
        if let Some(key) = map.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(format!("the element `{key}` is not known here"));
        }
        let is_deny = match map.get("Effect").and_then(Value::as_str) {
            Some("Allow") => false,
            Some("Deny") => true,
            _ => return Err("`Effect` is neither `Allow` nor `Deny`".to_owned()),
        };
        let actions = match either(map, "Action", "NotAction")? {
            (false, actions) => Actions::Only(actions),
            (true, actions) => Actions::AllBut(actions),
        };
        let (is_not, resources) = either(map, "Resource", "NotResource")?;
        let resources: Vec<Pattern> =
            resources.iter().map(|text| Pattern::parse(text, Wildcards::Active)).collect::<Result<_, _>>()?;
        let resources = if is_not { Resources::AllBut(resources) } else { Resources::Only(resources) };
        let mut conditions = Vec::new();
        if let Some(block) = map.get("Condition") {
            for (operator, keys) in block.as_object().ok_or("`Condition` is not an object")? {
                for (key, values) in keys.as_object().ok_or_else(|| format!("`{operator}` is not an object"))? {
                    conditions.push(Condition::read(operator, key, values)?);
                }
            }
        }
        Ok(Self { label, is_deny, actions, resources, conditions })
    }

    /// Returns its `Sid`, or its number.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn denies(&self) -> bool {
        self.is_deny
    }

    pub(crate) fn actions(&self) -> &Actions {
        &self.actions
    }

    pub(crate) fn resources(&self) -> &Resources {
        &self.resources
    }

    /// Whether it covers an action.
    pub(crate) fn covers_action(&self, action: &str) -> bool {
        let among = |actions: &[String]| actions.iter().any(|pattern| action_covers(pattern, action));
        match &self.actions {
            Actions::Only(actions) => among(actions),
            Actions::AllBut(actions) => !among(actions),
        }
    }

    /// Whether it applies only if the thing is attached to the certificate.
    pub(crate) fn asks_for_attachment(&self) -> bool {
        self.conditions.iter().any(Condition::asks_for_attachment)
    }

    /// Whether it applies to a request.
    pub(super) fn covers(&self, request: &Request<'_>) -> bool {
        let among =
            |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.covers(&request.resource, request.connection));
        if !self.covers_action(request.action) {
            return false;
        }
        let is_resource = match &self.resources {
            Resources::Only(patterns) => among(patterns),
            Resources::AllBut(patterns) => !among(patterns),
        };
        is_resource && self.conditions.iter().all(|condition| condition.holds(request))
    }
}

/// Returns the strings of one of two elements that exclude each other, and whether it is the second.
fn either(map: &Map<String, Value>, these: &str, all_but: &str) -> Result<(bool, Vec<String>), String> {
    let (is_second, value) = match (map.get(these), map.get(all_but)) {
        (Some(value), None) => (false, value),
        (None, Some(value)) => (true, value),
        (Some(_), Some(_)) => return Err(format!("it has both `{these}` and `{all_but}`")),
        (None, None) => return Err(format!("it has no `{these}`")),
    };
    let values = match value {
        Value::Array(values) => values.iter().collect(),
        one => vec![one],
    };
    let texts = values.into_iter().map(|value| match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(format!("`{other}` is not a text, so what it covers cannot be told")),
    });
    Ok((is_second, texts.collect::<Result<_, _>>()?))
}
