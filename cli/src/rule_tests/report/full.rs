//! Results for people: a line for each test, and the timeline of one that failed with its failed expectations.

use std::fmt::Write as _;

use crate::{
    rule_tests::{End, Results, Tested},
    timeline::{self, Clock},
};

/// Columns before a timeline.
const INDENT: usize = 6;

/// The results as text.
pub(crate) fn full(results: &Results) -> String {
    let mut text = String::new();
    for Tested { file, line, test, ran } in &results.tests {
        match &ran.end {
            End::Passed => {
                let _ = writeln!(text, "ok    {} ({})", test.name, test.rule);
            }
            End::Skipped => {
                let _ = writeln!(text, "skip  {} ({}): the rule is disabled here", test.name, test.rule);
            }
            End::Failed(_) => {
                let _ = writeln!(text, "FAIL  {} ({})\n      {file}:{line}", test.name, test.rule);
                text.push_str(&timeline::table(&ran.rows, Clock::From(test.start), INDENT));
            }
        }
    }
    let failed = results.count(|end| matches!(end, End::Failed(_)));
    let passed = results.count(|end| matches!(end, End::Passed));
    let skipped = results.count(|end| matches!(end, End::Skipped));
    let all = results.tests.len();
    let tests = if all == 1 { "test" } else { "tests" };
    let _ = write!(text, "{all} {tests}: {passed} passed, {failed} failed");
    if skipped > 0 {
        let _ = write!(text, ", {skipped} skipped");
    }
    text.push('\n');
    text
}
