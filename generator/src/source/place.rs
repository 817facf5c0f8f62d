//! Paths into a document, and the places in its text that they lead to.
//!
//! A path is a chain on the stack, so a check can carry one for every value at no cost; only a problem pays for the
//! walk to its place.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step<'a> {
    /// Into a table.
    Key(&'a str),
    /// Into an array.
    Index(usize),
}

/// A path from the document's root.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

impl<'a> At<'a> {
    /// A table of the root.
    pub(crate) const fn root(key: &'a str) -> Self {
        At { parent: None, step: Step::Key(key) }
    }

    /// A key of the table that this path leads to.
    pub(crate) const fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        At { parent: Some(self), step: Step::Key(key) }
    }

    /// An item of the array that this path leads to.
    pub(crate) const fn index(&self, index: usize) -> At<'_> {
        At { parent: Some(self), step: Step::Index(index) }
    }

    /// Its steps from the root on.
    pub(crate) fn steps(&self) -> Vec<Step<'a>> {
        let mut steps = self.parent.map_or_else(Vec::new, |parent| parent.steps());
        steps.push(self.step);
        steps
    }
}

/// A document with values laid over it, as an environment's `set` does.
pub(crate) struct Document<'t> {
    table: &'t Spanned<DeTable<'t>>,
    overlays: Vec<Overlay<'t>>,
}

/// A value laid over the one at a path.
pub(crate) struct Overlay<'t> {
    /// The path, all keys.
    pub(crate) path: Vec<&'t str>,
    /// Where the path is written.
    pub(crate) key: Range<usize>,
    /// The value.
    pub(crate) value: &'t Spanned<DeValue<'t>>,
}

impl<'t> Document<'t> {
    /// A document as it stands in its text.
    pub(crate) fn plain(table: &'t Spanned<DeTable<'t>>) -> Self {
        Self { table, overlays: Vec::new() }
    }

    /// A document with values laid over it.
    pub(crate) fn overlaid(table: &'t Spanned<DeTable<'t>>, overlays: Vec<Overlay<'t>>) -> Self {
        Self { table, overlays }
    }

    /// Where the key at a path stands; for an array's item the item; for what is missing, what it is missing from.
    pub(crate) fn key_span(&self, steps: &[Step<'_>]) -> Range<usize> {
        self.spans(steps).0
    }

    /// Where the value at a path stands; the header where a table was opened by one; for what is missing, the key of
    /// what it is missing from.
    pub(crate) fn value_span(&self, steps: &[Step<'_>]) -> Range<usize> {
        self.spans(steps).1
    }

    /// Whether there is anything at a path.
    pub(crate) fn has(&self, steps: &[Step<'_>]) -> bool {
        self.find(steps).is_ok()
    }

    fn spans(&self, steps: &[Step<'_>]) -> (Range<usize>, Range<usize>) {
        match self.find(steps) {
            Ok(spans) => spans,
            Err(nearest) => (nearest.clone(), nearest),
        }
    }

    /// The spans of a path's last key and its value, or where the path ends early.
    fn find(&self, steps: &[Step<'_>]) -> Result<(Range<usize>, Range<usize>), Range<usize>> {
        match self.overlay(steps) {
            Some((overlay, rest)) => walk(Spot::Value(overlay.value), overlay.key.clone(), rest),
            None => walk(Spot::Table(self.table.get_ref()), 0..0, steps),
        }
    }

    /// The overlay that a path leads into, and the rest of the path.
    fn overlay<'s, 'a>(&self, steps: &'s [Step<'a>]) -> Option<(&Overlay<'t>, &'s [Step<'a>])> {
        let covers = |overlay: &&Overlay<'t>| {
            overlay.path.len() <= steps.len()
                && overlay.path.iter().zip(steps).all(|(key, step)| matches!(step, Step::Key(other) if other == key))
        };
        let overlay = self.overlays.iter().filter(covers).max_by_key(|overlay| overlay.path.len())?;
        Some((overlay, &steps[overlay.path.len()..]))
    }
}

/// A place during a walk.
enum Spot<'t> {
    Table(&'t DeTable<'t>),
    Value(&'t Spanned<DeValue<'t>>),
}

/// Follows steps: the spans of the last key and its value, or where the walk had to stop.
fn walk<'t>(
    start: Spot<'t>,
    key: Range<usize>,
    steps: &[Step<'_>],
) -> Result<(Range<usize>, Range<usize>), Range<usize>> {
    let mut spot = start;
    let mut last_key = key;
    for step in steps {
        let table = match &spot {
            Spot::Table(table) => Some(*table),
            Spot::Value(value) => value.get_ref().as_table(),
        };
        match step {
            Step::Key(name) => {
                let (key, value) = table.and_then(|table| table.get_key_value(*name)).ok_or(last_key.clone())?;
                last_key = key.span();
                spot = Spot::Value(value);
            }
            Step::Index(index) => {
                let array = match &spot {
                    Spot::Table(_) => None,
                    Spot::Value(value) => value.get_ref().as_array(),
                };
                let value = array.and_then(|array| array.get(*index)).ok_or(last_key.clone())?;
                last_key = value.span();
                spot = Spot::Value(value);
            }
        }
    }
    let value = match spot {
        Spot::Table(_) => last_key.clone(),
        Spot::Value(value) => value.span(),
    };
    Ok((last_key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn a_path_leads_to_its_key_and_its_value() {
        let text = "[rules.high]\nzones = [\"a\", \"b\"]\n";
        let source = Source::parse(text).expect("small enough");
        let document = Document::plain(&source.table);
        let rules = At::root("rules");
        let rule = rules.key("high");
        let zones = rule.key("zones");
        let second = zones.index(1);
        assert_eq!(&text[document.key_span(&rule.steps())], "high");
        assert_eq!(&text[document.key_span(&zones.steps())], "zones");
        assert_eq!(&text[document.value_span(&second.steps())], "\"b\"");
    }

    #[test]
    fn what_is_missing_is_placed_at_what_it_is_missing_from() {
        let text = "[rules.high]\nzones = [\"a\", \"b\"]\n";
        let source = Source::parse(text).expect("small enough");
        let document = Document::plain(&source.table);
        let steps = [Step::Key("rules"), Step::Key("high"), Step::Key("metric")];
        assert!(!document.has(&steps));
        assert_eq!(&text[document.value_span(&steps)], "high");
    }
}
