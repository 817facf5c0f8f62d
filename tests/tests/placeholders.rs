//! The placeholders of a `summary` are defined in the generator, which checks them, and in the notifier, which fills
//! them. The two share no code, so this test compares them.

use std::collections::BTreeSet;

use fleetform_generator::{check, diagnostic::Code};

const MINIMAL: &str = include_str!("../fixtures/valid/minimal/platform.toml");

/// The words that the notifier knows: the arms of its `word`.
fn filled() -> BTreeSet<&'static str> {
    let source = include_str!("../../runtime/src/notify/message.rs");
    let body = source.split_once("fn word(&self, name: &str)").expect("the function that fills a gap").1;
    let body = body.split_once("\n    }\n").expect("its end").0;
    let arms = body.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>"));
    arms.map(|(name, _)| name).collect()
}

/// The errors in a summary.
fn found(summary: &str) -> Vec<(Code, String)> {
    let diagnostics = check("platform.toml", format!("{MINIMAL}summary = \"{summary}\"\n")).diagnostics;
    diagnostics.into_iter().map(|found| (found.code, found.help.unwrap_or_default())).collect()
}

#[test]
fn what_a_summary_may_say_is_what_a_notice_fills_in() {
    let [(code, help)] = found("{zzzzzzzzzzzz}").try_into().expect("one problem");
    assert_eq!(code, Code::UnknownPlaceholder);
    let list = help.strip_prefix("placeholders: ").expect("a list of all of them");
    let allowed: BTreeSet<&str> = list.split(", ").map(|name| name.trim_matches('`')).collect();
    assert_eq!(allowed, filled());
    for name in allowed {
        assert_eq!(found(&format!("{{{name}}}")), [], "{name}");
    }
}
