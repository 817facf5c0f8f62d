//! Paths into a document, and the corresponding locations in its text.
//!
//! A path is a linked list on the stack, so a check can carry one for every value at no cost; only a problem pays for
//! finding its location.

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

    /// Returns its steps, starting at the root.
    pub(crate) fn steps(&self) -> Vec<Step<'a>> {
        let mut steps = self.parent.map_or_else(Vec::new, |parent| parent.steps());
        steps.push(self.step);
        steps
    }

    /// Returns the path as a JSON pointer.
    pub(crate) fn pointer(&self) -> String {
        let parent = self.parent.map_or_else(String::new, |parent| parent.pointer());
        match self.step {
            Step::Key(key) => format!("{parent}/{}", escape(key)),
            Step::Index(index) => format!("{parent}/{index}"),
        }
    }
}

/// Escapes a key as a step of a JSON pointer.
pub(crate) fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// A document with overlays applied, as in an environment's `set`.
pub(crate) struct Document<'t> {
    source: &'t Source,
    overlays: Vec<Overlay<'t>>,
}

/// A value that replaces the one at a path.
pub(crate) struct Overlay<'t> {
    /// The path, which consists of keys only.
    pub(crate) path: Vec<&'t str>,
    /// The table of the document that it is written in: the keys that lead there.
    pub(crate) table: [&'t str; 3],
    /// The keys that lead to it from there. A quoted key may contain several steps of the path, separated by dots.
    pub(crate) written: Vec<&'t str>,
    /// The value.
    pub(crate) value: &'t Value,
}

impl<'t> Overlay<'t> {
    /// The steps in the document to the value, or to the target of its first `keys` keys.
    fn steps(&self, keys: usize) -> impl Iterator<Item = Step<'t>> {
        self.table.iter().chain(&self.written[..keys]).map(|key| Step::Key(key))
    }

    /// Location of a step of the path: part of a quoted key, or the whole key if it contains escapes.
    pub(crate) fn step_span(&self, step: usize, source: &Source) -> Range<usize> {
        let mut first = 0;
        for (index, key) in self.written.iter().enumerate() {
            let steps = key.split('.').count();
            if step < first + steps {
                return part(self.key_span(index + 1, source), key, step - first);
            }
            first += steps;
        }
        self.key_span(self.written.len(), source)
    }

    /// Location of one of the keys.
    fn key_span(&self, keys: usize, source: &Source) -> Range<usize> {
        source.place(self.steps(keys)).map_or(0..0, |(key, _)| key)
    }
}

/// Location of a part of a dotted key within the key's span. An escape makes the span longer than the key and its
/// quotes.
fn part(span: Range<usize>, key: &str, index: usize) -> Range<usize> {
    let before: usize = key.split('.').take(index).map(|part| part.len() + 1).sum();
    let part = key.split('.').nth(index).unwrap_or_default();
    if part.is_empty() || span.len() != key.len() + 2 {
        return span;
    }
    let start = span.start + 1 + before;
    start..start + part.len()
}

impl<'t> Document<'t> {
    /// Creates a document without overlays.
    pub(crate) fn plain(source: &'t Source) -> Self {
        Self { source, overlays: Vec::new() }
    }

    /// Creates a document with overlays.
    pub(crate) fn overlaid(source: &'t Source, overlays: Vec<Overlay<'t>>) -> Self {
        Self { source, overlays }
    }

    /// Location of the key at a path. For an array item, it is the item; for a missing key, the table that lacks it.
    pub(crate) fn key_span(&self, steps: &[Step<'_>]) -> Range<usize> {
        self.spans(steps).0
    }

    /// Location of the value at a path. For a table opened by a header, it is the header; for a missing value, the key
    /// of the table that lacks it.
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
        found.is_some() || self.overlays.iter().any(|overlay| leads(steps, &overlay.path))
    }

    /// The spans of a path's last key and its value. If it is missing, both are the key of the table that lacks it.
    fn spans(&self, steps: &[Step<'_>]) -> (Range<usize>, Range<usize>) {
        let mut last = (0..0, 0..0);
        for length in 1..=steps.len() {
            match self.place(&steps[..length]) {
                Some(spans) => last = spans,
                None => return (last.0.clone(), last.0),
            }
        }
        last
    }

    /// The spans of a path's last key and its value, if they exist.
    fn place(&self, steps: &[Step<'_>]) -> Option<(Range<usize>, Range<usize>)> {
        let Some((overlay, rest)) = self.overlay(steps) else {
            return self.source.place(steps.iter().copied()).or_else(|| self.laid(steps));
        };
        let (key, value) = self.source.place(overlay.steps(overlay.written.len()).chain(rest.iter().copied()))?;
        let Some(last) = steps.len().checked_sub(1).filter(|_| rest.is_empty()) else { return Some((key, value)) };
        Some((overlay.step_span(last, self.source), value))
    }

    /// Location of a table that exists only in an overlay.
    fn laid(&self, steps: &[Step<'_>]) -> Option<(Range<usize>, Range<usize>)> {
        let overlay = self.overlays.iter().find(|overlay| leads(steps, &overlay.path))?;
        let span = overlay.step_span(steps.len() - 1, self.source);
        Some((span.clone(), span))
    }

    /// The overlay that a path leads into, and the rest of the path.
    fn overlay<'s, 'a>(&self, steps: &'s [Step<'a>]) -> Option<(&Overlay<'t>, &'s [Step<'a>])> {
        let covers = |overlay: &&Overlay<'t>| {
            let length = overlay.path.len();
            length <= steps.len() && leads(&steps[..length], &overlay.path)
        };
        let overlay = self.overlays.iter().filter(covers).max_by_key(|overlay| overlay.path.len())?;
        Some((overlay, &steps[overlay.path.len()..]))
    }
}

/// Whether steps are a prefix of a path of keys.
fn leads(steps: &[Step<'_>], path: &[&str]) -> bool {
    steps.len() <= path.len() && steps.iter().zip(path).all(|(step, key)| *step == Step::Key(key))
}

impl Source {
    /// The spans of a path's last key and its value, if they exist.
    fn place<'a>(&self, steps: impl Iterator<Item = Step<'a>>) -> Option<(Range<usize>, Range<usize>)> {
        self.places.get(steps.fold(Path::ROOT, |path, step| path.then(step)))
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
    fn a_step_that_is_laid_over_is_placed_at_its_part_of_the_key() {
        let written = |line: &str, keys: &[&'static str]| {
            let text = format!("[rules.high]\nlimit = 1\n[e.dev.set]\n{line} = {{}}\n");
            let source = Source::parse(&text).expect("small enough");
            let path: Vec<&str> = keys.iter().flat_map(|key| key.split('.')).collect();
            let steps: Vec<_> = path.iter().map(|key| Step::Key(key)).collect();
            let table = ["e", "dev", "set"];
            let overlay = Overlay { path, table, written: keys.to_vec(), value: &Value::Null };
            let document = Document::overlaid(&source, vec![overlay]);
            assert!((1..=steps.len()).all(|length| document.has(&steps[..length])), "{line}");
            (1..=steps.len()).map(|length| text[document.key_span(&steps[..length])].to_owned()).collect::<Vec<_>>()
        };
        // Locations in the file itself do not change.
        assert_eq!(written("\"rules.high.max\"", &["rules.high.max"]), ["rules", "high", "max"]);
        assert_eq!(written("'stream.é.max'", &["stream.é.max"]), ["stream", "é", "max"]);
        assert_eq!(written("stream.\"a.b\".max", &["stream", "a.b", "max"]), ["stream", "a", "b", "max"]);
        let escaped = "\"stream.m\\u0061x\"";
        assert_eq!(written(escaped, &["stream.max"]), [escaped, escaped]);
        assert_eq!(written("\"\"", &[""]), ["\"\""]);
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
