//! `type = "rate_of_change"`: how fast a value changes from one sample to the next.

use fleetform_engine::rule_set::Condition;
use serde_json::json;

use super::{
    Kind, Subject,
    limit::check_clear,
    raw::{OPERATORS, RawRule, RawThreshold},
};
use crate::check::bounds::Bounds;

pub(super) const KIND: Kind = Kind {
    words: &["rate_of_change", "RATE_OF_CHANGE"],
    required: &["metric", "operator", "threshold", "per"],
    optional: &["clear"],
    shapes: || {
        // A rate hardly ever equals a number exactly, and is not compared with an attribute.
        let ordered = &OPERATORS[..4];
        let signs = ordered.iter().map(|(operator, _)| operator.as_str());
        let words: Vec<&str> = signs.chain(ordered.iter().map(|(_, alias)| *alias)).collect();
        vec![("threshold", json!({ "type": "number" })), ("operator", json!({ "enum": words }))]
    },
    check,
};

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    subject.check_numeric();
    let per = Bounds::new("1s", "1d").check_given(raw.per, &subject.at.key("per"), subject.context);
    let operator = raw.operator.as_ref()?.0;
    let RawThreshold::Fixed(threshold) = *raw.threshold.as_ref()? else { return None };
    check_clear(subject, operator, threshold, raw.clear);
    Some(Condition::RateOfChange { operator, threshold, per_ms: per?, clear: raw.clear })
}
