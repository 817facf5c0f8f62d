//! Diagnostics with the text around each place, related places, help and the page to read on.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity};

/// Longest line that is shown; a longer one would hide the message.
const LINE_BYTES_MAX: usize = 400;

pub(super) fn render(name: &str, text: &str, diagnostics: &[Diagnostic]) -> String {
    let renderer = Renderer::styled();
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&renderer.render(&report(name, text, diagnostic)));
        out.push_str("\n\n");
    }
    out
}

fn report<'a>(name: &'a str, text: &'a str, diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
    let level = match diagnostic.code.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&*diagnostic.message).id(diagnostic.code.as_str());
    let mut groups = Vec::new();
    let places = std::iter::once(&diagnostic.span).chain(diagnostic.related.iter().map(|related| &related.span));
    let mut group = if places.clone().all(|span| showable(text, span)) {
        let mut snippet = Snippet::source(text).path(name).annotation({
            let primary = AnnotationKind::Primary.span(clamp(text, &diagnostic.span));
            match &diagnostic.label {
                Some(label) => primary.label(&**label),
                None => primary,
            }
        });
        for related in &diagnostic.related {
            let span = clamp(text, &related.span);
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(&*related.message));
        }
        title.element(snippet)
    } else {
        let (line, column) = crate::diagnostic::position::Lines::new(text).position(diagnostic.span.start);
        title.element(annotate_snippets::Origin::path(name).line(line).char_column(column))
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(&**help));
    }
    group = group.element(Level::NOTE.message(format!("see {}", diagnostic.code.page())));
    groups.push(group);
    groups
}

/// Whether the line of a place is short enough to be shown.
fn showable(text: &str, span: &std::ops::Range<usize>) -> bool {
    let start = span.start.min(text.len());
    let bytes = text.as_bytes();
    let from = bytes[..start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let to = bytes[start..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| start + at);
    to - from <= LINE_BYTES_MAX
}

/// A span inside the text, and on its first line only: a table that spans many lines is named by its beginning.
fn clamp(text: &str, span: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    let start = span.start.min(text.len());
    let end = span.end.clamp(start, text.len());
    let line = text.as_bytes()[start..end].iter().position(|byte| *byte == b'\n').map_or(end, |at| start + at);
    start..line.max(start)
}
