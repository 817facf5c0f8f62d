//! Diagnostics with the source text around each location, related locations, help and a link to the page about the
//! code.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Level, Origin, Renderer, Snippet};

use super::Findings;
use crate::{
    diagnostic::{Diagnostic, Severity, position::Lines},
    printable::printable,
};

/// Longest line that is shown; a longer one would obscure the message.
const LINE_BYTES_MAX: usize = 400;

/// Locations that are further apart than this are shown separately. It also bounds the text that is read for each
/// diagnostic.
const WINDOW_BYTES_MAX: usize = 16_000;

/// The end of the first and last line of a PEM private key.
const KEY: &str = "PRIVATE KEY-----";
const BEGIN: &str = "-----BEGIN";
const END: &str = "-----END";

pub(super) fn render(&Findings { name, text, diagnostics }: &Findings<'_>) -> String {
    let renderer = Renderer::styled();
    let lines = Lines::new(text);
    let pasted = diagnostics.iter().filter(|diagnostic| diagnostic.code.hides_source());
    let secrets: Vec<Range<usize>> = pasted.map(|diagnostic| diagnostic.span.clone()).chain(keys(text)).collect();
    let name = printable(name);
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&one(&renderer, &name, &lines, diagnostic, &secrets));
        out.push_str("\n\n");
    }
    out
}

/// Finds PEM private keys, from the line on which each begins to its end, anywhere in the file and whatever else is
/// wrong there.
fn keys(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices(KEY).map(|(at, _)| {
        let begin = text[..at].rfind(BEGIN).unwrap_or(at);
        let end = text[at..].find(END).map_or(text.len(), |end| at + end);
        begin..end.max(at + KEY.len())
    })
}

fn one(
    renderer: &Renderer,
    name: &str,
    lines: &Lines<'_>,
    diagnostic: &Diagnostic,
    secrets: &[Range<usize>],
) -> String {
    let level = match diagnostic.code.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&*diagnostic.message).id(diagnostic.code.as_str());
    let windows = windows(lines, diagnostic);
    let showable = windows.iter().all(|(window, places)| {
        places.iter().all(|place| lines.around(place.span).len() <= LINE_BYTES_MAX)
            && !secrets.iter().any(|secret| secret.start < window.end && window.start < secret.end)
    });
    let mut group = if showable {
        let mut group = None;
        for (window, places) in windows {
            let (line, _) = lines.position(window.start);
            let snippet = Snippet::source(&lines.text()[window.clone()])
                .line_start(line)
                .path(name)
                .annotations(places.into_iter().map(|place| place.annotation(lines, window.start)));
            group = Some(match group {
                None => title.clone().element(snippet),
                Some(group) => annotate_snippets::Group::element(group, snippet),
            });
        }
        group.unwrap_or_else(|| title.element(Origin::path(name)))
    } else {
        let (line, column) = lines.position(diagnostic.span.start);
        title.element(Origin::path(name).line(line).char_column(column))
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(&**help));
    }
    group = group.element(Level::NOTE.message(format!("see {}", diagnostic.code.page())));
    renderer.render(&[group])
}

/// One location of a diagnostic.
struct Place<'d> {
    span: &'d Range<usize>,
    label: Option<&'d str>,
    kind: AnnotationKind,
}

impl<'d> Place<'d> {
    /// Annotates the location in a window that begins at `start`. Only its first line is marked: a table that spans
    /// many lines is identified by its beginning.
    fn annotation(&self, lines: &Lines<'_>, start: usize) -> Annotation<'d> {
        let line = lines.around(self.span);
        let from = self.span.start.clamp(line.start, line.end);
        let to = self.span.end.clamp(from, line.end);
        let annotation = self.kind.span(from - start..to - start);
        match self.label {
            Some(label) => annotation.label(label),
            None => annotation,
        }
    }
}

/// Returns the excerpts to show, the one with the primary location first, and the locations in each.
fn windows<'d>(lines: &Lines<'_>, diagnostic: &'d Diagnostic) -> Vec<(Range<usize>, Vec<Place<'d>>)> {
    let primary = Place { span: &diagnostic.span, label: diagnostic.label.as_deref(), kind: AnnotationKind::Primary };
    let mut windows = vec![(lines.around(&diagnostic.span), vec![primary])];
    for related in &diagnostic.related {
        let line = lines.around(&related.span);
        let place = Place { span: &related.span, label: Some(&related.message), kind: AnnotationKind::Context };
        let near = windows.iter_mut().find_map(|(window, places)| {
            let joined = window.start.min(line.start)..window.end.max(line.end);
            (joined.len() <= WINDOW_BYTES_MAX).then_some((window, places, joined))
        });
        match near {
            Some((window, places, joined)) => {
                *window = joined;
                places.push(place);
            }
            None => windows.push((line, vec![place])),
        }
    }
    windows
}
