//! `[rules]` as it is written, each rule read when somebody asks for it.
//!
//! There may be ten thousand of them: all at once they would be the most that a check holds.

use fleetform_engine::ids::RuleId;
use serde_json::{Map, Value};

use super::RawRule;
use crate::{check::context::Context, schema::raw, source::Step};

/// The rules of a file whose shape is right.
pub(crate) struct RawRules<'f>(Option<&'f Map<String, Value>>);

impl<'f> RawRules<'f> {
    /// Those of a file.
    pub(crate) fn of(file: &'f Value) -> Self {
        Self(file.get("rules").and_then(Value::as_object))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.map_or(0, Map::len)
    }

    /// All of them, in the order of their ids.
    pub(crate) fn all(&self, context: &Context<'_>) -> impl Iterator<Item = (RuleId, RawRule)> {
        self.those(context, |_| true)
    }

    /// Those that have a key.
    pub(crate) fn with(&self, key: &str, context: &Context<'_>) -> impl Iterator<Item = (RuleId, RawRule)> {
        self.those(context, move |rule| rule.get(key).is_some())
    }

    /// One of them.
    pub(crate) fn get(&self, id: &RuleId) -> Option<RawRule> {
        raw::read(self.0?.get(id.as_str())?).ok()
    }

    fn those(&self, context: &Context<'_>, wanted: impl Fn(&Value) -> bool) -> impl Iterator<Item = (RuleId, RawRule)> {
        self.0.into_iter().flatten().filter(move |(_, rule)| wanted(rule)).filter_map(move |(name, rule)| {
            // A name that is none is told of where the shape is.
            let id = RuleId::new(name).ok()?;
            let read = raw::read(rule).map_err(|error| {
                context.report_unreadable(&[Step::Key("rules"), Step::Key(name)], &error);
            });
            Some((id, read.ok()?))
        })
    }
}
