//! Diagnostics as SARIF 2.1.0, for code scanning.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Findings;
use crate::diagnostic::{Code, position::Lines};

pub(super) fn render(files: &[Findings<'_>]) -> String {
    let codes: BTreeSet<_> = files.iter().flat_map(|file| file.diagnostics).map(|diagnostic| diagnostic.code).collect();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| {
            json!({
                "id": code.as_str(),
                "name": code.slug(),
                "shortDescription": { "text": code.title() },
                "help": { "text": format!("see {}", code.page()) },
                "defaultConfiguration": { "level": code.severity().as_str() },
            })
        })
        .collect();
    let results: Vec<Value> = files.iter().flat_map(|file| results(file, &codes)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "fleetform", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    let mut out = serde_json::to_string_pretty(&log).unwrap_or_default();
    out.push('\n');
    out
}

/// Returns the results for one file, with each code's index in `codes`.
fn results(&Findings { name, text, diagnostics }: &Findings<'_>, codes: &BTreeSet<Code>) -> Vec<Value> {
    let lines = Lines::new(text);
    let place = |span: &std::ops::Range<usize>| -> Value {
        let (line, column) = lines.position(span.start);
        let (end_line, end_column) = lines.position(span.end);
        json!({
            "artifactLocation": location(name),
            "region": {
                "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column.max(1),
            },
        })
    };
    diagnostics
        .iter()
        .map(|diagnostic| {
            let message = match &diagnostic.help {
                Some(help) => format!("{}\nhelp: {help}", diagnostic.message),
                None => diagnostic.message.clone(),
            };
            let related: Vec<Value> = diagnostic
                .related
                .iter()
                .enumerate()
                .map(|(id, related)| {
                    json!({
                        "id": id, "physicalLocation": place(&related.span), "message": { "text": related.message },
                    })
                })
                .collect();
            json!({
                "ruleId": diagnostic.code.as_str(),
                "ruleIndex": codes.iter().position(|code| *code == diagnostic.code),
                "level": diagnostic.code.severity().as_str(),
                "message": { "text": message },
                "locations": [{ "physicalLocation": place(&diagnostic.span) }],
                "relatedLocations": related,
            })
        })
        .collect()
}

/// Returns the location of a file: within the repository unless its path is absolute.
fn location(name: &str) -> Value {
    match name.strip_prefix('/') {
        Some(rest) => json!({ "uri": format!("file:///{}", uri(rest)) }),
        None => json!({ "uri": uri(name), "uriBaseId": "%SRCROOT%" }),
    }
}

/// Returns a path as a relative URI reference.
fn uri(name: &str) -> String {
    let mut out = String::new();
    for byte in name.trim_start_matches("./").bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            b'\\' => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
