//! `summary`: the text of a notice, and its placeholders.

use crate::{
    check::context::{Context, listing, nearest, shown},
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// The placeholders that a notice fills in.
pub(crate) const PLACEHOLDERS: [&str; 9] =
    ["device", "zone", "rule", "severity", "metric", "value", "threshold", "duration", "since"];

/// Reports placeholders that a notice does not support.
pub(super) fn check(text: &str, at: &At<'_>, context: &Context<'_>) {
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        rest = &rest[start + 1..];
        let Some(end) = rest.find('}') else {
            context.report(
                Diagnostic::new(Code::UnknownPlaceholder, context.value(at), "a `{` is never closed")
                    .help(format!("placeholders: {}", listing(&PLACEHOLDERS))),
            );
            return;
        };
        let name = &rest[..end];
        if !PLACEHOLDERS.contains(&name) {
            let message = format!("a notice has no placeholder `{{{}}}`", shown(name));
            let diagnostic = Diagnostic::new(Code::UnknownPlaceholder, context.value(at), message);
            context.report(match nearest(name, PLACEHOLDERS.into_iter()) {
                Some(near) => diagnostic.help(format!("did you mean `{{{near}}}`?")),
                None => diagnostic.help(format!("placeholders: {}", listing(&PLACEHOLDERS))),
            });
        }
        rest = &rest[end + 1..];
    }
}
