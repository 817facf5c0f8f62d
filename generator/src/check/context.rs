//! The context that every check of an element receives: locations, declared names, and a place for its findings.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    ops::Range,
};

use fleetform_engine::units::Finite;
use serde_json::{Map, Value};

use super::broken::Broken;
use crate::{
    diagnostic::{Code, Diagnostic},
    printable::printable,
    schema::{raw::Unreadable, types::Name},
    source::{At, Document, Step},
};

/// Maximum number of suggestions per run: each costs a comparison with every declared name.
pub(super) const SUGGESTIONS_MAX: usize = 200;

/// The context that every check of an element receives.
pub(crate) struct Context<'d> {
    document: &'d Document<'d>,
    /// The document's value as written, including what the shape check removed.
    written: &'d Value,
    broken: RefCell<Broken>,
    found: RefCell<Vec<Diagnostic>>,
    suggestions: Cell<usize>,
}

impl<'d> Context<'d> {
    /// Creates a context without findings, for a document that is broken in some locations.
    pub(crate) fn new(document: &'d Document<'d>, written: &'d Value, broken: Broken) -> Self {
        Self { document, written, broken: RefCell::new(broken), found: RefCell::default(), suggestions: Cell::new(0) }
    }

    /// Returns all diagnostics and the broken locations.
    pub(crate) fn into_found(self) -> (Vec<Diagnostic>, Broken) {
        (self.found.into_inner(), self.broken.into_inner())
    }

    /// Whether the meaning of a path is unknown, because an error was found at it, in it or around it.
    pub(crate) fn is_broken(&self, at: &At<'_>) -> bool {
        let broken = self.broken.borrow();
        !broken.is_empty() && broken.touches(&at.pointer())
    }

    /// Records that the meaning of a path is unknown.
    pub(crate) fn mark_broken(&self, at: &At<'_>) {
        self.broken.borrow_mut().add(at.pointer());
    }

    /// Returns the result of a check of a location. Any error that the check finds marks the location as broken.
    pub(crate) fn watched<T>(&self, at: &At<'_>, check: impl FnOnce() -> T) -> T {
        let before = self.found.borrow().len();
        let checked = check();
        if self.found.borrow()[before..].iter().any(Diagnostic::is_error) {
            self.mark_broken(at);
        }
        checked
    }

    /// Returns the result of a check if the location is not broken and the check finds no error.
    pub(crate) fn whole<T>(&self, at: &At<'_>, check: impl FnOnce() -> T) -> Option<T> {
        let checked = self.watched(at, check);
        (!self.is_broken(at)).then_some(checked)
    }

    /// Records a diagnostic.
    pub(crate) fn report(&self, mut diagnostic: Diagnostic) {
        // A default has no location in the file.
        diagnostic.related.retain(|related| related.span != (0..0));
        self.found.borrow_mut().push(diagnostic);
    }

    /// Reports the part of a value that cannot be read. The schema and the raw forms have the same definition, so this
    /// means that they have diverged.
    pub(crate) fn report_unreadable(&self, steps: &[Step<'_>], error: &Unreadable) {
        let place = self.value_at(&[steps, &error.steps()].concat());
        self.report(
            Diagnostic::new(Code::WrongType, place, format!("this cannot be read: {error}"))
                .help("write another value, and please report it: a check is missing"),
        );
    }

    /// Whether no error was found.
    pub(crate) fn is_sound(&self) -> bool {
        !self.found.borrow().iter().any(Diagnostic::is_error)
    }

    /// Location of the key at a path.
    pub(crate) fn key(&self, at: &At<'_>) -> Range<usize> {
        self.document.key_span(&at.steps())
    }

    /// Location of the value at the given steps.
    pub(crate) fn value_at(&self, steps: &[Step<'_>]) -> Range<usize> {
        self.document.value_span(steps)
    }

    /// Location of the value at a path.
    pub(crate) fn value(&self, at: &At<'_>) -> Range<usize> {
        self.document.value_span(&at.steps())
    }

    /// Whether the file contains anything at a path; defaults are not in the file.
    pub(crate) fn is_written(&self, at: &At<'_>) -> bool {
        self.document.has(&at.steps())
    }

    /// The value in the file at a path.
    pub(crate) fn written(&self, at: &At<'_>) -> Option<&'d Value> {
        self.written.pointer(&at.pointer())
    }

    /// The keys of a table of the root as written, including those with broken values.
    pub(crate) fn declared(&self, table: &str) -> impl Iterator<Item = &'d str> + use<'d> {
        self.written.get(table).and_then(Value::as_object).into_iter().flat_map(|map| map.keys().map(String::as_str))
    }

    /// Whether a table of the root has a key, even one with a broken value or name.
    pub(crate) fn is_declared(&self, table: &str, name: &str) -> bool {
        self.written.get(table).and_then(|map| map.get(name)).is_some() || self.is_broken(&At::root(table).key(name))
    }

    /// Whether a table has a key that is not a valid name and was probably intended to be this one.
    pub(crate) fn is_misspelt(&self, table: &At<'_>, name: &str, is_name: impl Fn(&str) -> bool) -> bool {
        if !self.is_broken(table) {
            return false;
        }
        let written = self.written(table).and_then(Value::as_object);
        let keys = written.into_iter().flat_map(Map::keys).map(String::as_str);
        nearest(name, keys.filter(|key| !is_name(key))).is_some()
    }

    /// All strings at the given paths of the file as written; `*` stands for any key or item.
    pub(crate) fn texts(&self, paths: &[&[&str]]) -> BTreeSet<&'d str> {
        fn collect<'d>(value: &'d Value, path: &[&str], out: &mut BTreeSet<&'d str>) {
            match (path.split_first(), value) {
                (None, Value::String(text)) => {
                    out.insert(text);
                }
                (Some((&"*", rest)), Value::Array(items)) => items.iter().for_each(|item| collect(item, rest, out)),
                (Some((&"*", rest)), Value::Object(map)) => map.values().for_each(|item| collect(item, rest, out)),
                (Some((key, rest)), Value::Object(map)) => {
                    if let Some(value) = map.get(*key) {
                        collect(value, rest, out);
                    }
                }
                _ => {}
            }
        }
        let mut out = BTreeSet::new();
        paths.iter().for_each(|path| collect(self.written, path, &mut out));
        out
    }

    /// The declared name closest to a misspelt one.
    pub(crate) fn nearest<'n>(&self, name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
        if self.suggestions.get() >= SUGGESTIONS_MAX {
            return None;
        }
        self.suggestions.set(self.suggestions.get() + 1);
        nearest(name, candidates)
    }

    /// Resolves a reference to a key of a table of the root, or reports that there is none.
    pub(crate) fn reference<N: Name>(
        &self,
        at: &At<'_>,
        table: &str,
        name: &str,
        code: Code,
        user: impl FnOnce() -> String,
    ) -> Option<N> {
        if self.is_declared(table, name) {
            return name.parse().ok();
        }
        if self.is_misspelt(&At::root(table), name, |key| key.parse::<N>().is_ok()) {
            self.mark_broken(at);
            return None;
        }
        let thing = N::THING;
        let message = format!("{} names {thing} `{}`, which is not declared", user(), shown(name));
        let mut diagnostic = Diagnostic::new(code, self.value(at), message).label(format!("no such {thing}"));
        if let Some(near) = self.nearest(name, self.declared(table)) {
            diagnostic = diagnostic.replace(format!("did you mean `{near}`?"), format!("\"{near}\""));
        } else {
            let all: Vec<&str> = self.declared(table).collect();
            diagnostic = diagnostic.help(if all.is_empty() {
                format!("declare it: `[{table}.{}]`", shown(name))
            } else {
                format!("declared: {}", listing(&all))
            });
        }
        self.report(diagnostic);
        self.mark_broken(at);
        None
    }

    /// Resolves a list of references, without duplicates.
    pub(crate) fn references<N: Name>(
        &self,
        at: &At<'_>,
        table: &str,
        names: &Option<Vec<String>>,
        code: Code,
        user: impl Fn() -> String,
    ) -> Vec<N> {
        let mut seen = BTreeSet::new();
        let mut resolved = Vec::new();
        for (index, name) in names.iter().flatten().enumerate() {
            let item = at.index(index);
            if !seen.insert(name.as_str()) {
                let message = format!("{} names `{}` twice", user(), shown(name));
                let first = names.iter().flatten().position(|other| other == name).unwrap_or(0);
                self.report(
                    Diagnostic::new(Code::Duplicate, self.value(&item), message)
                        .related(self.value(&at.index(first)), "first named here")
                        .help("remove one of them"),
                );
                continue;
            }
            resolved.extend(self.reference(&item, table, name, code, &user));
        }
        resolved
    }
}

/// The closest of several names, if it is close enough to be the intended one. Names without letters and digits are
/// close to any other such name, so they never match.
pub(crate) fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if !name.contains(char::is_alphanumeric) {
        return None;
    }
    let name: String = name.chars().take(80).collect();
    let folded = name.to_lowercase();
    let limit = (name.chars().count() / 3).max(1);
    let letters = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    let own = letters(&folded);
    candidates
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit)
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        // Of two equally close names, the one with the same letters wins: swapped letters are more common than wrong
        // ones.
        .min_by_key(|(distance, candidate)| (*distance, letters(&candidate.to_lowercase()) != own, *candidate))
        .map(|(_, candidate)| candidate)
}

/// Formats a text for a message: short, and with control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let end = text.char_indices().nth(80).map_or(text.len(), |(end, _)| end);
    let ellipsis = if end < text.len() { "…" } else { "" };
    format!("{}{ellipsis}", printable(&text[..end]))
}

/// Formats a number for a message: without the zeros of a very large or a very small one.
pub(crate) fn number(value: Finite) -> String {
    match value.get().abs() {
        0.0 | 1e-6..1e16 => value.to_string(),
        _ => format!("{:e}", value.get()),
    }
}

/// Formats a list of names for a message.
pub(crate) fn listing(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["pressure", "temperature", "flow_rate"];
        assert_eq!(nearest("presure", names.into_iter()), Some("pressure"));
        assert_eq!(nearest("Flow_Rate", names.into_iter()), Some("flow_rate"));
        assert_eq!(nearest("voltage", names.into_iter()), None);
        assert_eq!(nearest("<", ["<=", ">"].into_iter()), None);
    }

    #[test]
    fn a_number_is_shown_with_few_digits() {
        for (value, text) in [
            (0.0, "0"),
            (60.0, "60"),
            (-0.25, "-0.25"),
            (1e15, "1000000000000000"),
            (1e300, "1e300"),
            (-1e-308, "-1e-308"),
        ] {
            assert_eq!(number(Finite::new(value).expect("a finite number")), text);
        }
    }
}
