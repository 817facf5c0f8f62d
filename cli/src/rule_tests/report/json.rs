//! Results as one JSON document, for tools. Every step of every test is in it.

use serde_json::{Value, json};

use crate::{
    rule_tests::{End, Results, Tested},
    timeline::{self, Clock},
};

/// The results as JSON, with a line break at the end.
pub(crate) fn json(results: &Results) -> String {
    let tests: Vec<Value> = results
        .tests
        .iter()
        .map(|Tested { file, line, test, ran }| {
            let (result, failures) = match &ran.end {
                End::Passed => ("passed", &[][..]),
                End::Skipped => ("skipped", &[][..]),
                End::Failed(failures) => ("failed", failures.as_slice()),
            };
            let failures = failures.iter().map(|failure| json!({ "after_ms": failure.at, "text": failure.text }));
            json!({
                "name": test.name,
                "rule": test.rule,
                "file": file,
                "line": line,
                "result": result,
                "failures": failures.collect::<Vec<_>>(),
                "steps": timeline::json(&ran.rows, Clock::From(test.start)),
            })
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&json!({
        "environment": results.environment,
        "passed": results.count(|end| matches!(end, End::Passed)),
        "failed": results.count(|end| matches!(end, End::Failed(_))),
        "skipped": results.count(|end| matches!(end, End::Skipped)),
        "rules_without_test": results.untested,
        "tests": tests,
    }))
    .unwrap_or_default();
    text.push('\n');
    text
}
