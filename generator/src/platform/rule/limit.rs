//! What the kinds that compare numbers have in common: a limit within reach, and a value at which alerts clear.

use fleetform_engine::{
    rule_set::{Operator, Threshold, ValueType},
    units::Finite,
};

use super::subject::Subject;
use crate::{
    check::context::number,
    diagnostic::{Code, Diagnostic},
    platform::device_type::Reading,
};

/// The lower and the upper bound of a reading's values.
type Bounds = (Option<Finite>, Option<Finite>);

/// How the value of a fixed threshold stands to the bounds of readings: which it can never pass, or always does.
pub(crate) fn check_reach(
    subject: &Subject<'_, '_>,
    key: &str,
    never: impl Fn(Option<Finite>, Option<Finite>) -> bool,
    always: impl Fn(Option<Finite>, Option<Finite>) -> bool,
) {
    let what = if within(subject, never) {
        "can never be met"
    } else if within(subject, always) {
        "is always met"
    } else {
        return;
    };
    let message = format!("the condition of rule `{}` {what} by `{}`", subject.id, subject.metric());
    report_reach(subject, key, message);
}

/// Reports a `clear` that the readings never come back to.
pub(crate) fn check_clear_reach(subject: &Subject<'_, '_>, operator: Operator, clear: Option<Finite>) {
    let Some(clear) = clear else { return };
    if within(subject, |min, max| never(opposite(operator), clear, min, max)) {
        let message = format!("alerts of rule `{}` never clear: `{}` cannot come so far", subject.id, subject.metric());
        report_reach(subject, "clear", message);
    }
}

/// Whether the bounds of all readings pass a test, of which there is at least one.
fn within(subject: &Subject<'_, '_>, test: impl Fn(Option<Finite>, Option<Finite>) -> bool) -> bool {
    let mut readings = subject.readings().peekable();
    readings.peek().is_some() && readings.all(|(_, reading)| bounds(reading).is_some_and(|(min, max)| test(min, max)))
}

fn bounds(reading: &Reading) -> Option<Bounds> {
    match reading.value {
        ValueType::Float { min, max } | ValueType::Int { min, max } => Some((min, max)),
        ValueType::Bool | ValueType::Enum { .. } | ValueType::String => None,
    }
}

/// Reports a number of a rule that does not go together with the bounds of its readings.
fn report_reach(subject: &Subject<'_, '_>, key: &str, message: String) {
    let Some((device_type, reading)) = subject.readings().next() else { return };
    let (min, max) = bounds(reading).unwrap_or((None, None));
    let shown = |bound: Option<Finite>| bound.map_or("no bound".to_owned(), |bound| format!("`{}`", number(bound)));
    let related = if max.is_some() { "max" } else { "min" };
    subject.context.report(
        Diagnostic::new(Code::ThresholdOutOfReach, subject.context.value(&subject.at.key(key)), message)
            .related(subject.reading_span(device_type, related), format!("bounds of `{device_type}`"))
            .help(format!("its values lie between {} and {}", shown(min), shown(max))),
    );
}

/// Whether no value between the bounds meets the condition.
pub(crate) fn never(operator: Operator, limit: Finite, min: Option<Finite>, max: Option<Finite>) -> bool {
    match operator {
        Operator::Above => max.is_some_and(|max| max <= limit),
        Operator::AtLeast => max.is_some_and(|max| max < limit),
        Operator::Below => min.is_some_and(|min| min >= limit),
        Operator::AtMost => min.is_some_and(|min| min > limit),
        Operator::Equal => max.is_some_and(|max| max < limit) || min.is_some_and(|min| min > limit),
        Operator::NotEqual => min == Some(limit) && max == Some(limit),
    }
}

/// The operator that holds exactly where this one does not.
pub(crate) fn opposite(operator: Operator) -> Operator {
    match operator {
        Operator::Above => Operator::AtMost,
        Operator::AtLeast => Operator::Below,
        Operator::Below => Operator::AtLeast,
        Operator::AtMost => Operator::Above,
        Operator::Equal => Operator::NotEqual,
        Operator::NotEqual => Operator::Equal,
    }
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
    let limit_at = subject.at.key("threshold");
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
        let limit = number(threshold);
        let side = if matches!(operator, Operator::Above | Operator::AtLeast) { "less" } else { "more" };
        subject.context.report(
            Diagnostic::new(
                Code::ClearOnWrongSide,
                subject.context.value(&place),
                format!("`clear` {} lies on the alerting side of the threshold {limit}", number(clear)),
            )
            .related(subject.context.value(&limit_at), "the threshold")
            .help(format!("with the operator `{}` an alert clears at {limit} or {side}", operator.as_str())),
        );
    }
}
