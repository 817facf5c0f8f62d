//! TOML text as a document: its contents, the location of each part, and its syntax errors.
//!
//! Knows nothing about platforms. No recursive parser sees a text that nests more deeply than a limit: the reader of
//! sound texts gives up long before it, and a text that it rejects is scanned before any other parser reads it.

mod limits;
mod place;
mod places;
mod sound;
mod syntax;
mod value;

pub(crate) use limits::{DEPTH_MAX, FILE_BYTES_MAX};
pub(crate) use place::{At, Document, Overlay, Step, escape};
pub(crate) use value::{Unusable, UnusableReason};

use std::ops::Range;

use places::Places;
use serde_json::Value;
use toml::de::DeTable;

use crate::diagnostic::Diagnostic;

/// A parsed text.
pub(crate) struct Source {
    /// The contents as JSON, with `null` for values that JSON cannot represent.
    pub(crate) value: Value,
    /// The location of every key and value.
    places: Places,
    /// Values that JSON cannot represent.
    pub(crate) unusable: Vec<Unusable>,
}

/// Why the contents of a text are unknown.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    /// It is longer than [`FILE_BYTES_MAX`].
    TooLarge,
    /// It is not valid UTF-8 from this byte on.
    NotText(usize),
    /// Tables or arrays nest deeper than [`DEPTH_MAX`]; the span is where the limit is exceeded.
    TooDeep(Range<usize>),
    /// It is not valid TOML, for these reasons. Its intended contents are not guessed.
    Syntax(Vec<Diagnostic>),
}

impl Source {
    /// Parses a file.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        Self::parse(str::from_utf8(bytes).map_err(|error| Refused::NotText(error.valid_up_to()))?)
    }

    /// Parses a text that is within the size limit.
    pub(crate) fn parse(text: &str) -> Result<Self, Refused> {
        // This reader gives up long before a text nests too deeply.
        if let Some(source) = sound::read(text) {
            return Ok(source);
        }
        match limits::too_deep(text) {
            Some(span) => {
                // Brackets that are not closed before the next expression add up.
                let mistakes = if syntax::is_flat(text) { syntax::mistakes(text) } else { Vec::new() };
                Err(if mistakes.is_empty() { Refused::TooDeep(span) } else { Refused::Syntax(mistakes) })
            }
            None => Self::parse_whole(text).map_err(Refused::Syntax),
        }
    }

    /// Parses a text that may contain errors.
    fn parse_whole(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let mistakes = syntax::mistakes(text);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        // Even if every line is valid TOML, the text may define something twice.
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(syntax::doubles(&errors, text));
        }
        let (mut places, mut unusable) = (Places::default(), Vec::new());
        let value = value::document(table.get_ref(), &mut places, &mut unusable);
        Ok(Self { value, places, unusable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_over_the_limit_is_not_parsed() {
        let text = " ".repeat(FILE_BYTES_MAX + 1);
        assert_eq!(Source::read(text.as_bytes()).err(), Some(Refused::TooLarge));
    }

    #[test]
    fn many_lists_that_are_not_closed_are_no_deep_one() {
        let open = |text: &str| match Source::read(text.as_bytes()).err() {
            Some(Refused::Syntax(mistakes)) => mistakes.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(open(&"a = [1\n".repeat(100)), 100);
        let deep = format!("a = {}\n", "[".repeat(100));
        assert!(matches!(Source::read(deep.as_bytes()).err(), Some(Refused::TooDeep(_))));
        let sum = format!("[a{}]\nx = {}{}\n", ".a".repeat(39), "[".repeat(30), "]".repeat(30));
        assert!(matches!(Source::read(sum.as_bytes()).err(), Some(Refused::TooDeep(_))), "together they are too deep");
    }

    #[test]
    fn what_is_not_text_is_not_parsed() {
        assert_eq!(Source::read(b"a = \"\xfc\"").err(), Some(Refused::NotText(5)));
    }
}
