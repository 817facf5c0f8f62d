//! What `check` reports about a file: a code, a location, a message and the next step, in several output formats.
//!
//! Everything here maps text to text: nothing prints, and nothing knows how a problem was found.

mod code;
mod position;
mod render;

use std::ops::Range;

pub use code::{Code, Severity};
pub use render::{Findings, Format, render, render_all};

/// One problem in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind of problem, which determines its severity and its page.
    pub code: Code,
    /// What is wrong: a lowercase fragment, literals in backticks.
    pub message: String,
    /// The location, in bytes of the text.
    pub span: Range<usize>,
    /// A label for the location itself.
    pub label: Option<String>,
    /// Other locations that explain this one.
    pub related: Vec<Related>,
    /// The next step.
    pub help: Option<String>,
    /// Text that can be pasted over `span` to fix the problem.
    pub replacement: Option<String>,
}

/// A location that explains another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The location, in bytes of the text.
    pub span: Range<usize>,
    /// Why it is relevant.
    pub message: String,
}

impl Diagnostic {
    /// Creates a diagnostic with a message at a location.
    pub fn new(code: Code, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span, label: None, related: Vec::new(), help: None, replacement: None }
    }

    /// Sets the label of the location itself.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Sets the next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the next step and the text that can be pasted over the location.
    #[must_use]
    pub fn replace(mut self, help: impl Into<String>, replacement: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self.replacement = Some(replacement.into());
        self
    }

    /// Adds another location.
    #[must_use]
    pub fn related(mut self, span: Range<usize>, message: impl Into<String>) -> Self {
        self.related.push(Related { span, message: message.into() });
        self
    }

    /// Shifts every location by a number of bytes, for text that starts that much further on.
    #[must_use]
    pub(crate) fn moved(mut self, bytes: usize) -> Self {
        let related = self.related.iter_mut().map(|related| &mut related.span);
        for span in related.chain([&mut self.span]) {
            *span = span.start + bytes..span.end + bytes;
        }
        self
    }

    /// Whether the problem makes the file unusable.
    pub fn is_error(&self) -> bool {
        self.code.severity() == Severity::Error
    }
}

/// Sorts by location and removes duplicates.
pub(crate) fn tidy(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by(|a, b| {
        (a.span.start, a.span.end, a.code, &a.message).cmp(&(b.span.start, b.span.end, b.code, &b.message))
    });
    diagnostics.dedup_by(|a, b| a.span == b.span && a.code == b.code && a.message == b.message);
    diagnostics
}
