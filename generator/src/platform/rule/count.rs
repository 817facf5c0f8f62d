//! `type = "count"`: enough samples within a window meet a condition, consecutive or not.

use fleetform_engine::rule_set::{Condition, CountOf};
use serde_json::json;

use super::{
    Kind, Subject,
    hold::check_no_samples,
    limit::check_reach,
    raw::{RawRule, RawThreshold},
    state::{check_state, check_type},
    window,
};
use crate::{
    check::bounds::Bounds,
    diagnostic::{Code, Diagnostic},
};

pub(super) const KIND: Kind = Kind {
    words: &["count", "COUNT"],
    required: &["metric", "window", "at_least"],
    optional: &["operator", "threshold", "equals"],
    // Samples are compared with one number. To count samples against each device's own attribute, use a threshold rule
    // with `samples`.
    shapes: || vec![("threshold", json!({ "type": "number" }))],
    check,
};

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    check_no_samples(raw, subject, "a count rule has `at_least` and `window`");
    let window_ms = Bounds::new("1s", "30d").check_given(raw.window, &subject.at.key("window"), subject.context);
    let of = check_of(raw, subject);
    let (window_ms, at_least) = (window_ms?, raw.at_least?);
    // From the first to the last of them there is one interval fewer than there are samples.
    window::check(subject, window_ms, at_least, "at_least", |window, every| window.0 / every.0.max(1) + 1);
    Some(Condition::Count { of: of?, window_ms, at_least })
}

/// Which samples are counted: those that compare, or those that equal.
fn check_of(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<CountOf> {
    let context = subject.context;
    if let Some(equals) = &raw.equals {
        for (key, given) in [("operator", raw.operator.is_some()), ("threshold", raw.threshold.is_some())] {
            if given {
                context.report(
                    Diagnostic::new(
                        Code::KeysExclude,
                        context.key(&subject.at.key(key)),
                        format!("`{key}` and `equals` exclude each other"),
                    )
                    .related(context.key(&subject.at.key("equals")), "`equals` stands here")
                    .help("numbers are compared, states are equal: remove one"),
                );
            }
        }
        if check_type(subject) {
            check_state(equals, "equals", subject);
        }
        return Some(CountOf::Equal { equals: equals.0.clone() });
    }
    let numeric = subject.check_numeric();
    let missing = |key: &str, example: &str| {
        if context.is_written(&subject.at.key(key)) || context.is_broken(&subject.at.key(key)) {
            return;
        }
        context.report(
            Diagnostic::new(
                Code::MissingKey,
                context.key(subject.at),
                format!("`rules.{}` does not say which samples it counts: it has no `{key}`", subject.id),
            )
            .help(format!("add: {example}")),
        );
    };
    match (&raw.operator, &raw.threshold) {
        (None, None) => missing("operator", "operator = \">\" and threshold = 60.0, or: equals = \"fault\""),
        (None, Some(_)) => missing("operator", "operator = \">\""),
        (Some(_), None) => missing("threshold", "threshold = 60.0"),
        (Some(_), Some(_)) => {}
    }
    let operator = raw.operator.as_ref()?.0;
    let RawThreshold::Fixed(threshold) = *raw.threshold.as_ref()? else { return None };
    if numeric {
        check_reach(
            subject,
            "threshold",
            |numbers| numbers.never(operator, threshold),
            |numbers| numbers.always(operator, threshold),
        );
    }
    Some(CountOf::Compared { operator, threshold })
}
