//! One line per diagnostic: `file:line:column: severity[code]: message`.

use std::fmt::Write as _;

use super::Findings;
use crate::{diagnostic::position::Lines, printable::printable};

pub(super) fn render(&Findings { name, text, diagnostics }: &Findings<'_>) -> String {
    let (lines, name) = (Lines::new(text), printable(name));
    let mut out = String::new();
    for diagnostic in diagnostics {
        let (line, column) = lines.position(diagnostic.span.start);
        let severity = diagnostic.code.severity().as_str();
        let _ = writeln!(out, "{name}:{line}:{column}: {severity}[{}]: {}", diagnostic.code, diagnostic.message);
    }
    out
}
