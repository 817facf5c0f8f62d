//! TOML text as a document: what it says, where each part of it stands, and what is wrong with its syntax.
//!
//! Nothing here knows what a platform is. No recursive parser sees a text that nests more deeply than a limit: the reader of
//! sound texts gives up long before it, and what it has given up is scanned before anybody else reads it.

mod limits;
mod place;
mod places;
mod sound;
mod value;

pub(crate) use limits::{DEPTH_MAX, FILE_BYTES_MAX};
pub(crate) use place::{At, Document, Overlay, Step};
pub(crate) use value::{Unusable, UnusableReason};

use std::ops::Range;

use places::Places;
use serde_json::Value;
use toml::de::DeTable;

/// A parsed text. After a syntax error it holds what could be recovered.
pub(crate) struct Source {
    /// What it says as JSON, with `null` where a value cannot be said in JSON.
    pub(crate) value: Value,
    /// Where every key and value stands.
    places: Places,
    /// Values that cannot be said in JSON.
    pub(crate) unusable: Vec<Unusable>,
    /// Syntax errors, in the order in which the parser met them.
    pub(crate) syntax: Vec<SyntaxError>,
}

/// A place where the text is not TOML.
#[derive(Debug, PartialEq)]
pub(crate) struct SyntaxError {
    /// Where.
    pub(crate) span: Range<usize>,
    /// What the parser expected.
    pub(crate) message: String,
}

/// Why a text is not parsed at all.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    /// It is longer than [`FILE_BYTES_MAX`].
    TooLarge,
    /// Tables or arrays nest deeper than [`DEPTH_MAX`]; the span is where the limit is passed.
    TooDeep(Range<usize>),
}

impl Source {
    /// Parses a text, recovering from syntax errors.
    pub(crate) fn parse(text: &str) -> Result<Self, Refused> {
        if text.len() > FILE_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        // It gives up long before anything nests too deeply.
        if let Some(source) = sound::read(text) {
            return Ok(source);
        }
        match limits::too_deep(text) {
            Some(span) => Err(Refused::TooDeep(span)),
            None => Ok(Self::recover(text)),
        }
    }

    /// Parses a text with whatever is wrong with it.
    fn recover(text: &str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let syntax = errors
            .iter()
            .map(|error| SyntaxError {
                span: error.span().unwrap_or(text.len()..text.len()),
                message: error.message().to_owned(),
            })
            .collect();
        let (mut places, mut unusable) = (Places::default(), Vec::new());
        let value = value::document(table.get_ref(), &mut places, &mut unusable);
        Self { value, places, unusable, syntax }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_syntax_error_is_found() {
        let source = Source::parse("a = \nb = 1\nc = [1,,2]\nd = \"x\n").expect("small enough");
        assert!(source.syntax.len() >= 3, "{:?}", source.syntax);
        assert_eq!(source.value["b"], 1);
    }

    #[test]
    fn a_text_over_the_limit_is_not_parsed() {
        let text = " ".repeat(FILE_BYTES_MAX + 1);
        assert_eq!(Source::parse(&text).err(), Some(Refused::TooLarge));
    }
}
