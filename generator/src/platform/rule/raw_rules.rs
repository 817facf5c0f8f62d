//! `[rules]` as written; each rule is parsed on demand.
//!
//! There may be ten thousand rules; parsed all at once, they would dominate the memory use of a check.

use fleetform_engine::ids::RuleId;
use serde_json::{Map, Value};

use super::RawRule;
use crate::{check::context::Context, schema::raw, source::Step};

/// The rules of a file that conforms to the schema.
pub(crate) struct RawRules<'f>(Option<&'f Map<String, Value>>);

impl<'f> RawRules<'f> {
    /// Returns the rules of a file.
    pub(crate) fn of(file: &'f Value) -> Self {
        Self(file.get("rules").and_then(Value::as_object))
    }

    /// Returns the number of rules.
    pub(crate) fn len(&self) -> usize {
        self.0.map_or(0, Map::len)
    }

    /// Returns all rules, in the order of their ids.
    pub(crate) fn all(&self, context: &Context<'_>) -> impl Iterator<Item = (RuleId, RawRule)> {
        self.those(context, |_| true)
    }

    /// Returns the rules that have a key.
    pub(crate) fn with(&self, key: &str, context: &Context<'_>) -> impl Iterator<Item = (RuleId, RawRule)> {
        self.those(context, move |rule| rule.get(key).is_some())
    }

    /// Returns one rule.
    pub(crate) fn get(&self, id: &RuleId) -> Option<RawRule> {
        raw::read(self.0?.get(id.as_str())?).ok()
    }

    fn those(&self, context: &Context<'_>, wanted: impl Fn(&Value) -> bool) -> impl Iterator<Item = (RuleId, RawRule)> {
        self.0.into_iter().flatten().filter(move |(_, rule)| wanted(rule)).filter_map(move |(name, rule)| {
            // An invalid name has been reported along with the shape.
            let id = RuleId::new(name).ok()?;
            let read = raw::read(rule).map_err(|error| {
                context.report_unreadable(&[Step::Key("rules"), Step::Key(name)], &error);
            });
            Some((id, read.ok()?))
        })
    }
}
