//! Paths into a document, and the places in its text that they lead to.
//!
//! A path is a chain on the stack, so a check can carry one for every value at no cost; only a problem pays for the
//! walk to its place.

use std::ops::Range;

use serde_json::Value;

use super::{Source, places::Path};

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
    source: &'t Source,
    overlays: Vec<Overlay<'t>>,
}

/// A value laid over the one at a path.
pub(crate) struct Overlay<'t> {
    /// The path, all keys.
    pub(crate) path: Vec<&'t str>,
    /// Where in the document it is written: the keys that lead there.
    pub(crate) written: Vec<&'t str>,
    /// The value.
    pub(crate) value: &'t Value,
}

impl Overlay<'_> {
    fn written(&self) -> impl Iterator<Item = Step<'_>> {
        self.written.iter().map(|key| Step::Key(key))
    }
}

impl<'t> Document<'t> {
    /// A document as it stands in its text.
    pub(crate) fn plain(source: &'t Source) -> Self {
        Self { source, overlays: Vec::new() }
    }

    /// A document with values laid over it.
    pub(crate) fn overlaid(source: &'t Source, overlays: Vec<Overlay<'t>>) -> Self {
        Self { source, overlays }
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
        let (value, rest) = match self.overlay(steps) {
            Some((overlay, rest)) => (overlay.value, rest),
            None => (&self.source.value, steps),
        };
        let found = rest.iter().try_fold(value, |value, step| match step {
            Step::Key(key) => value.as_object()?.get(*key),
            Step::Index(index) => value.as_array()?.get(*index),
        });
        found.is_some()
    }

    /// The spans of a path's last key and its value.
    fn spans(&self, steps: &[Step<'_>]) -> (Range<usize>, Range<usize>) {
        match self.overlay(steps) {
            Some((overlay, rest)) => self.source.spans(overlay.written().chain(rest.iter().copied())),
            None => self.source.spans(steps.iter().copied()),
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

impl Source {
    /// Where the key that keys lead to is written.
    pub(crate) fn key_span(&self, keys: &[&str]) -> Range<usize> {
        self.spans(keys.iter().map(|key| Step::Key(key))).0
    }

    /// The spans of a path's last key and its value; for what is missing, the key of what it is missing from twice.
    fn spans<'a>(&self, steps: impl Iterator<Item = Step<'a>>) -> (Range<usize>, Range<usize>) {
        let mut path = Path::ROOT;
        let mut last = (0..0, 0..0);
        for step in steps {
            path = path.then(step);
            match self.places.get(path) {
                Some(spans) => last = spans,
                None => return (last.0.clone(), last.0),
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn a_path_leads_to_its_key_and_its_value() {
        let text = "[rules.high]\nzones = [\"a\", \"b\"]\n";
        let source = Source::parse(text).expect("small enough");
        let document = Document::plain(&source);
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
        let document = Document::plain(&source);
        let steps = [Step::Key("rules"), Step::Key("high"), Step::Key("metric")];
        assert!(!document.has(&steps));
        assert_eq!(&text[document.value_span(&steps)], "high");
    }
}
