//! What `check` says about a file: a code, a place, a message and the next step; and the formats that say it.
//!
//! Everything here is text from text: nothing prints, and nothing knows how a problem was found.

mod code;
mod position;
mod render;

use std::ops::Range;

pub use code::{Code, Severity};
pub use render::{Findings, Format, render, render_all};

/// One problem of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of problem. Its severity and its page follow from it.
    pub code: Code,
    /// What is wrong here: a lowercase fragment, literals in backticks.
    pub message: String,
    /// The place, in bytes of the text.
    pub span: Range<usize>,
    /// What to say at the place itself.
    pub label: Option<String>,
    /// Other places that explain this one.
    pub related: Vec<Related>,
    /// The next step.
    pub help: Option<String>,
    /// Text that can be pasted over `span` and mends the problem.
    pub replacement: Option<String>,
}

/// A place that explains another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The place, in bytes of the text.
    pub span: Range<usize>,
    /// Why it matters.
    pub message: String,
}

impl Diagnostic {
    /// A problem with a message at a place.
    pub fn new(code: Code, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span, label: None, related: Vec::new(), help: None, replacement: None }
    }

    /// Says something at the place itself.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Says the next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says the next step as text that can be pasted over the place.
    #[must_use]
    pub fn replace(mut self, help: impl Into<String>, replacement: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self.replacement = Some(replacement.into());
        self
    }

    /// Points at another place.
    #[must_use]
    pub fn related(mut self, span: Range<usize>, message: impl Into<String>) -> Self {
        self.related.push(Related { span, message: message.into() });
        self
    }

    /// The same of a text that stands so many bytes further behind.
    #[must_use]
    pub(crate) fn moved(mut self, bytes: usize) -> Self {
        let related = self.related.iter_mut().map(|related| &mut related.span);
        for span in related.chain([&mut self.span]) {
            *span = span.start + bytes..span.end + bytes;
        }
        self
    }

    /// Whether it keeps the file from being used.
    pub fn is_error(&self) -> bool {
        self.code.severity() == Severity::Error
    }
}

/// Sorts by place and drops what is said twice.
pub(crate) fn tidy(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by(|a, b| {
        (a.span.start, a.span.end, a.code, &a.message).cmp(&(b.span.start, b.span.end, b.code, &b.message))
    });
    diagnostics.dedup_by(|a, b| a.span == b.span && a.code == b.code && a.message == b.message);
    diagnostics
}
