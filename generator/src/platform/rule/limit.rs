//! What the kinds that compare numbers have in common: a limit within reach, and a value at which alerts clear.

use fleetform_engine::{
    rule_set::{Operator, Threshold, ValueType},
    units::Finite,
};

use super::subject::Subject;
use crate::{
    diagnostic::{Code, Diagnostic},
    platform::device_type::Reading,
};

/// How the value of a fixed threshold stands to the bounds of readings: which it can never pass, or always does.
pub(crate) fn check_reach(
    subject: &Subject<'_, '_>,
    key: &str,
    never: impl Fn(Option<Finite>, Option<Finite>) -> bool,
    always: impl Fn(Option<Finite>, Option<Finite>) -> bool,
) {
    let bounds = |reading: &Reading| match reading.value {
        ValueType::Float { min, max } | ValueType::Int { min, max } => Some((min, max)),
        ValueType::Bool | ValueType::Enum { .. } | ValueType::String => None,
    };
    let mut readings = subject.readings().peekable();
    if readings.peek().is_none() {
        return;
    }
    let all = |test: &dyn Fn(Option<Finite>, Option<Finite>) -> bool| {
        subject.readings().all(|(_, reading)| bounds(reading).is_some_and(|(min, max)| test(min, max)))
    };
    let what = if all(&never) {
        "can never be met"
    } else if all(&always) {
        "is always met"
    } else {
        return;
    };
    let Some((device_type, reading)) = readings.next() else { return };
    let (min, max) = bounds(reading).unwrap_or((None, None));
    let shown = |bound: Option<Finite>| bound.map_or("no bound".to_owned(), |bound| format!("`{bound}`"));
    let related = if max.is_some() { "max" } else { "min" };
    subject.context.report(
        Diagnostic::new(
            Code::ThresholdOutOfReach,
            subject.context.value(&subject.at.key(key)),
            format!("the condition of rule `{}` {what} by `{}`", subject.id, subject.metric()),
        )
        .related(subject.reading_span(device_type, related), format!("bounds of `{device_type}`"))
        .help(format!("its values lie between {} and {}", shown(min), shown(max))),
    );
}

/// The fixed part of a threshold: the number itself, or the attribute's default.
pub(crate) fn fixed(threshold: &Threshold) -> Finite {
    match threshold {
        Threshold::Fixed(value) => *value,
        Threshold::Attribute { default, .. } => *default,
    }
}

/// Reports a `clear` that lies on the alerting side of the threshold.
pub(crate) fn check_clear(subject: &Subject<'_, '_>, operator: Operator, threshold: Finite, clear: Option<Finite>) {
    let Some(clear) = clear else { return };
    let place = subject.at.key("clear");
    let limit = subject.at.key("threshold");
    let wrong = match operator {
        Operator::Above | Operator::AtLeast => clear > threshold,
        Operator::Below | Operator::AtMost => clear < threshold,
        Operator::Equal | Operator::NotEqual => {
            let message = format!("`clear` has no meaning with the operator `{}`", operator.as_str());
            subject.context.report(
                Diagnostic::new(Code::KeysExclude, subject.context.key(&place), message)
                    .related(subject.context.value(&subject.at.key("operator")), "the operator")
                    .help("remove `clear`"),
            );
            return;
        }
    };
    if wrong {
        let side = if matches!(operator, Operator::Above | Operator::AtLeast) { "less" } else { "more" };
        subject.context.report(
            Diagnostic::new(
                Code::ClearOnWrongSide,
                subject.context.value(&place),
                format!("`clear` {clear} lies on the alerting side of the threshold {threshold}"),
            )
            .related(subject.context.value(&limit), "the threshold")
            .help(format!("with the operator `{}` an alert clears at {threshold} or {side}", operator.as_str())),
        );
    }
}
