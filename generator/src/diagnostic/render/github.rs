//! GitHub Actions workflow commands, which show a diagnostic on its line in a pull request.

use std::fmt::Write as _;

use super::Findings;
use crate::diagnostic::position::Lines;

pub(super) fn render(&Findings { name, text, diagnostics }: &Findings<'_>) -> String {
    let lines = Lines::new(text);
    let mut out = String::new();
    for diagnostic in diagnostics {
        let (line, column) = lines.position(diagnostic.span.start);
        let (end_line, end_column) = lines.position(diagnostic.span.end);
        let _ = write!(
            out,
            "::{} file={},line={line},col={column},endLine={end_line},endColumn={end_column},title={}::",
            diagnostic.code.severity().as_str(),
            property(name),
            property(&format!("{} {}", diagnostic.code, diagnostic.code.slug())),
        );
        let help = diagnostic.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
        let _ = writeln!(out, "{}", message(&format!("{}{help}", diagnostic.message)));
    }
    out
}

/// Escapes the text after `::`.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property value, which `:` and `,` would end.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
