//! Checks shared by the kinds that compare numbers: whether the limit can be reached, and the value at which alerts
//! clear.

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

/// The numbers that may be compared with a limit.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) min: Option<Finite>,
    pub(crate) max: Option<Finite>,
    /// Whether they are integers.
    pub(crate) whole: bool,
}

impl Numbers {
    /// Whether none of them meets a condition.
    pub(crate) fn never(self, operator: Operator, limit: Finite) -> bool {
        let Self { min, max, whole } = self;
        match operator {
            Operator::Above => max.is_some_and(|max| max <= limit),
            Operator::AtLeast => max.is_some_and(|max| max < limit),
            Operator::Below => min.is_some_and(|min| min >= limit),
            Operator::AtMost => min.is_some_and(|min| min > limit),
            Operator::Equal => {
                let is_part = whole && limit.get().fract() != 0.0;
                is_part || max.is_some_and(|max| max < limit) || min.is_some_and(|min| min > limit)
            }
            Operator::NotEqual => min == Some(limit) && max == Some(limit),
        }
    }

    /// Whether none of them lies in an inclusive range.
    pub(crate) fn none_within(self, from: Finite, to: Finite) -> bool {
        let is_between = self.whole && from.get().ceil() > to.get().floor();
        is_between || self.always(Operator::Above, to) || self.always(Operator::Below, from)
    }

    /// Whether all of them meet a condition.
    pub(crate) fn always(self, operator: Operator, limit: Finite) -> bool {
        self.never(opposite(operator), limit)
    }
}

/// Checks a fixed threshold against the bounds of the readings, and reports one that is never or always exceeded.
pub(crate) fn check_reach(
    subject: &Subject<'_, '_>,
    key: &str,
    never: impl Fn(Numbers) -> bool,
    always: impl Fn(Numbers) -> bool,
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

/// Reports a `clear` value that the readings can never return to.
pub(crate) fn check_clear_reach(subject: &Subject<'_, '_>, operator: Operator, clear: Option<Finite>) {
    let Some(clear) = clear.filter(|_| !matches!(operator, Operator::Equal | Operator::NotEqual)) else { return };
    if within(subject, |numbers| numbers.always(operator, clear)) {
        let message = format!("alerts of rule `{}` never clear: `{}` cannot come so far", subject.id, subject.metric());
        report_reach(subject, "clear", message);
    }
}

/// Whether the numbers of all readings pass a test. There must be at least one reading.
fn within(subject: &Subject<'_, '_>, test: impl Fn(Numbers) -> bool) -> bool {
    let mut readings = subject.readings().peekable();
    readings.peek().is_some() && readings.all(|(_, reading)| numbers(reading).is_some_and(&test))
}

fn numbers(reading: &Reading) -> Option<Numbers> {
    match reading.value {
        ValueType::Float { min, max } => Some(Numbers { min, max, whole: false }),
        ValueType::Int { min, max } => Some(Numbers { min, max, whole: true }),
        ValueType::Bool | ValueType::Enum { .. } | ValueType::String => None,
    }
}

/// Reports a number in a rule that is inconsistent with the bounds of its readings.
fn report_reach(subject: &Subject<'_, '_>, key: &str, message: String) {
    let Some((device_type, reading)) = subject.readings().next() else { return };
    let Some(Numbers { min, max, whole }) = numbers(reading) else { return };
    let shown = |bound: Option<Finite>| bound.map_or("no bound".to_owned(), |bound| format!("`{}`", number(bound)));
    let related = if max.is_some() { "max" } else { "min" };
    let lie = if whole { "are whole numbers" } else { "lie" };
    let what = if min.or(max).is_some() { "bounds" } else { "the reading" };
    let bounds = format!(" between {} and {}", shown(min), shown(max));
    let bounds = if min.or(max).is_some() { bounds.as_str() } else { "" };
    subject.context.report(
        Diagnostic::new(Code::ThresholdOutOfReach, subject.context.value(&subject.at.key(key)), message)
            .related(subject.reading_span(device_type, related), format!("{what} of `{device_type}`"))
            .help(format!("its values {lie}{bounds}")),
    );
}

/// The operator that holds exactly when this one does not.
fn opposite(operator: Operator) -> Operator {
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

/// Reports a `clear` value on the alerting side of the threshold.
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
