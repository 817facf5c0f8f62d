//! `type = "range"`: a value must lie between two numbers.

use fleetform_engine::rule_set::{Condition, Operator};

use super::{Kind, RawRule, Subject, limit::check_reach};
use crate::platform::values::empty_range;

pub(super) const KIND: Kind =
    Kind { words: &["range", "RANGE"], required: &["metric", "min", "max"], optional: &[], shapes: Vec::new, check };

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    let numeric = subject.check_numeric();
    let (min, max) = (raw.min?, raw.max?);
    if min >= max {
        subject.context.report(empty_range(min, max, subject.at, subject.context));
    } else if numeric {
        check_reach(
            subject,
            "min",
            |numbers| numbers.always(Operator::AtLeast, min) && numbers.always(Operator::AtMost, max),
            |numbers| numbers.none_within(min, max),
        );
    }
    Some(Condition::Range { min, max })
}
