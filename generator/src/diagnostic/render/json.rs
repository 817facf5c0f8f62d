//! Diagnostics as one JSON document, for tools.

use serde_json::{Value, json};

use super::Findings;
use crate::diagnostic::position::Lines;

pub(super) fn render(files: &[Findings<'_>]) -> String {
    let list: Vec<Value> = files.iter().flat_map(list).collect();
    let mut out = serde_json::to_string_pretty(&json!({ "diagnostics": list })).unwrap_or_default();
    out.push('\n');
    out
}

fn list(&Findings { name, text, diagnostics }: &Findings<'_>) -> Vec<Value> {
    let lines = Lines::new(text);
    let place = |span: &std::ops::Range<usize>| -> Value {
        let (line, column) = lines.position(span.start);
        let (end_line, end_column) = lines.position(span.end);
        json!({
            "file": name, "line": line, "column": column, "end_line": end_line, "end_column": end_column,
            "start_byte": span.start, "end_byte": span.end,
        })
    };
    diagnostics
        .iter()
        .map(|diagnostic| {
            let related: Vec<Value> = diagnostic
                .related
                .iter()
                .map(|related| json!({ "at": place(&related.span), "message": related.message }))
                .collect();
            json!({
                "code": diagnostic.code.as_str(),
                "name": diagnostic.code.slug(),
                "severity": diagnostic.code.severity().as_str(),
                "message": diagnostic.message,
                "at": place(&diagnostic.span),
                "label": diagnostic.label,
                "related": related,
                "help": diagnostic.help,
                "replacement": diagnostic.replacement,
                "page": diagnostic.code.page(),
            })
        })
        .collect()
}
