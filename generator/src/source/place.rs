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

    /// The same as a JSON pointer.
    pub(crate) fn pointer(&self) -> String {
        let parent = self.parent.map_or_else(String::new, |parent| parent.pointer());
        match self.step {
            Step::Key(key) => format!("{parent}/{}", escape(key)),
            Step::Index(index) => format!("{parent}/{index}"),
        }
    }
}

/// A key as a step of a JSON pointer.
pub(crate) fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
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
    /// The table of the document that it is written in: the keys that lead there.
    pub(crate) table: [&'t str; 3],
    /// The keys that lead to it from there. A quoted one may hold several steps of the path, with dots between them.
    pub(crate) written: Vec<&'t str>,
    /// The value.
    pub(crate) value: &'t Value,
}

impl<'t> Overlay<'t> {
    /// The steps of the document to the value, or to what the first of its keys lead to.
    fn steps(&self, keys: usize) -> impl Iterator<Item = Step<'t>> {
        self.table.iter().chain(&self.written[..keys]).map(|key| Step::Key(key))
    }

    /// Where a step of the path is written: a part of a quoted key, or all of it where its text is not plain.
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

    /// Where one of the keys is written.
    fn key_span(&self, keys: usize, source: &Source) -> Range<usize> {
        source.place(self.steps(keys)).map_or(0..0, |(key, _)| key)
    }
}

/// Where a part of a dotted key stands in the key's span. An escape makes the span longer than the key and its quotes.
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
        found.is_some() || self.overlays.iter().any(|overlay| leads(steps, &overlay.path))
    }

    /// The spans of a path's last key and its value; for what is missing, the key of what it is missing from twice.
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

    /// The spans of a path's last key and its value, if there are such.
    fn place(&self, steps: &[Step<'_>]) -> Option<(Range<usize>, Range<usize>)> {
        let Some((overlay, rest)) = self.overlay(steps) else {
            return self.source.place(steps.iter().copied()).or_else(|| self.laid(steps));
        };
        let (key, value) = self.source.place(overlay.steps(overlay.written.len()).chain(rest.iter().copied()))?;
        let Some(last) = steps.len().checked_sub(1).filter(|_| rest.is_empty()) else { return Some((key, value)) };
        Some((overlay.step_span(last, self.source), value))
    }

    /// Where a table is written that only an overlay makes.
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

/// Whether steps are the first ones of a path of keys.
fn leads(steps: &[Step<'_>], path: &[&str]) -> bool {
    steps.len() <= path.len() && steps.iter().zip(path).all(|(step, key)| *step == Step::Key(key))
}

impl Source {
    /// The spans of a path's last key and its value, if there are such.
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
        // What the file has itself stays where it is.
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
