//! Text that other systems could interpret, anywhere in the file.

use serde_json::Value;

use super::context::Context;
use crate::{
    diagnostic::{Code, Diagnostic},
    printable::misleads,
    source::{At, Step},
};

/// Checks every string in a file, except those that are passed to CloudFormation and those in `set`, which are checked
/// where they are overlaid.
pub(super) fn check(value: &Value, context: &Context<'_>) {
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        if key == "overrides" {
            continue;
        }
        if key == "environments" {
            for (name, environment) in value.as_object().into_iter().flatten() {
                let environments = At::root(key);
                let table = environments.key(name);
                for (key, value) in environment.as_object().into_iter().flatten().filter(|(key, _)| *key != "set") {
                    walk(value, &table.key(key), context);
                }
            }
            continue;
        }
        walk(value, &At::root(key), context);
    }
}

fn walk(value: &Value, at: &At<'_>, context: &Context<'_>) {
    match value {
        Value::String(text) => check_text(text, at, context),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &at.index(index), context);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let place = at.key(key);
                if let Some(problem) = problem(key, false) {
                    report(problem, context.key(&place), context);
                }
                walk(value, &place, context);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn check_text(text: &str, at: &At<'_>, context: &Context<'_>) {
    if is_plain(text) {
        return;
    }
    let prose = match at.steps().as_slice() {
        [Step::Key("platform"), Step::Key("description")] => true,
        // A PEM certificate has several lines, and is parsed where it is declared.
        [Step::Key("identity"), Step::Key("authorities"), _, Step::Key("certificate")] => true,
        _ => false,
    };
    if let Some(problem) = problem(text, prose) {
        report(problem, context.value(at), context);
    }
}

/// Whether there is nothing to look for, as in nearly all strings.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'$' | b'{') || byte == b' ')
}

/// What is wrong with a string. Prose may have more than one line.
fn problem(text: &str, prose: bool) -> Option<&'static str> {
    if is_plain(text) {
        return None;
    }
    if text.contains("{{resolve:") {
        return Some("CloudFormation would replace `{{resolve:` by a secret");
    }
    if text.contains("${") {
        return Some("CloudFormation and AWS IoT would replace what begins with `${`");
    }
    let control = |c: char| c.is_control() && !(prose && matches!(c, '\n' | '\r' | '\t'));
    if text.chars().any(control) {
        return Some("it has a control character");
    }
    text.chars().any(misleads).then_some("it has an invisible character or one that turns the direction of text")
}

fn report(problem: &str, span: std::ops::Range<usize>, context: &Context<'_>) {
    context.report(
        Diagnostic::new(Code::UnsafeText, span, format!("this text cannot be used: {problem}"))
            .help("write it without"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_others_act_on_is_refused() {
        for bad in ["{{resolve:ssm:x}}", "a ${b}", "a\u{7}", "a\nb", "\u{202e}abc", "a\u{200b}b"] {
            assert!(problem(bad, false).is_some(), "{bad:?}");
        }
        for good in ["Zürich", "{device} in {zone}", "100 $", "東京"] {
            assert_eq!(problem(good, false), None, "{good}");
        }
        assert_eq!(problem("first\nsecond", true), None);
    }
}
