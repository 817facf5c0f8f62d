//! `type = "state"`: a value is, or becomes, a word or a truth value.

use fleetform_engine::rule_set::{Condition, StateValue, ValueType};
use smol_str::SmolStr;

use super::{
    Kind, Subject,
    raw::{RawRule, RawState},
};
use crate::{
    check::context::{listing, nearest, shown},
    diagnostic::{Code, Diagnostic},
};

pub(super) const KIND: Kind =
    Kind { words: &["state", "STATE"], required: &["metric", "equals"], optional: &["from"], shapes: Vec::new, check };

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    let comparable = check_type(subject);
    for (key, state) in [("equals", &raw.equals), ("from", &raw.from)] {
        if let Some(state) = state
            && comparable
        {
            check_state(state, key, subject);
        }
    }
    let equals = raw.equals.as_ref()?;
    if raw.from.as_ref() == Some(equals) {
        subject.context.report(
            Diagnostic::new(
                Code::ImpossibleState,
                subject.context.value(&subject.at.key("from")),
                "a value cannot come from the state that it is in",
            )
            .related(subject.context.value(&subject.at.key("equals")), "the same state")
            .help("remove `from`, or name another state"),
        );
    }
    Some(Condition::State { equals: equals.0.clone(), from: raw.from.as_ref().map(|from| from.0.clone()) })
}

/// Whether all values that the rule reads are words or truth values; a report of the first that is not.
pub(super) fn check_type(subject: &Subject<'_, '_>) -> bool {
    let metric = subject.at.key("metric");
    let report = |message: String| {
        subject.context.report(Diagnostic::new(Code::MetricOfWrongType, subject.context.value(&metric), message).help(
            "states are those of `enum` and `bool` readings; a rule of type `threshold` compares numbers, with \
                     `operator` and `threshold` in place of `equals`",
        ));
        false
    };
    if subject.context.is_broken(&metric) {
        return false;
    }
    if subject.readings().next().is_none() {
        return report(format!(
            "rule `{}` compares states, but the health value `{}` is a number",
            subject.id,
            subject.metric()
        ));
    }
    let other =
        subject.readings().find(|(_, reading)| !matches!(reading.value, ValueType::Enum { .. } | ValueType::Bool));
    match other {
        Some((device_type, _)) => report(format!(
            "rule `{}` compares states, but `{}` of `{device_type}` is neither `enum` nor `bool`",
            subject.id,
            subject.metric()
        )),
        None => true,
    }
}

/// Reports a state that one of the readings never takes.
pub(super) fn check_state(state: &RawState, key: &str, subject: &Subject<'_, '_>) {
    let takes = |value: &ValueType| match (value, &state.0) {
        (ValueType::Bool, StateValue::Bool(_)) => true,
        (ValueType::Enum { values }, StateValue::Word(word)) => values.contains(word),
        _ => false,
    };
    let Some((device_type, reading)) = subject.readings().find(|(_, reading)| !takes(&reading.value)) else { return };
    let written = match &state.0 {
        StateValue::Bool(truth) => truth.to_string(),
        StateValue::Word(word) => shown(word),
    };
    let place = subject.at.key(key);
    let message = format!("`{}` of `{device_type}` is never `{written}`", subject.metric());
    let diagnostic = Diagnostic::new(Code::ImpossibleState, subject.context.value(&place), message);
    subject.context.report(match &reading.value {
        ValueType::Enum { values } => {
            let words: Vec<&str> = values.iter().map(SmolStr::as_str).collect();
            let diagnostic = diagnostic.related(subject.reading_span(device_type, "values"), "its states");
            match nearest(&written, words.iter().copied()) {
                Some(near) => diagnostic.replace(format!("did you mean `{near}`?"), format!("\"{near}\"")),
                None => diagnostic.help(format!("it is one of {}", listing(&words))),
            }
        }
        _ if matches!(state.0, StateValue::Word(_)) && ["true", "false"].contains(&written.as_str()) => Diagnostic {
            message: format!("`{}` of `{device_type}` is a truth value, and this is text", subject.metric()),
            ..diagnostic
        }
        .replace(format!("write it without quotes: {written}"), written),
        _ => diagnostic.help(format!("write: {key} = true, or {key} = false")),
    });
}
