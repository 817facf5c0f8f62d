//! `type = "threshold"`: a value is compared with a number or with each device's own attribute.

use fleetform_engine::{
    ids::{AttributeId, DeviceTypeId},
    rule_set::{Condition, Threshold},
};
use serde_json::json;

use super::{
    Kind, Subject,
    limit::{check_clear, check_clear_reach, check_reach, fixed},
    raw::{RawRule, RawThreshold},
};
use crate::{
    diagnostic::{Code, Diagnostic},
    source::At,
};

pub(super) const KIND: Kind = Kind {
    words: &["threshold", "THRESHOLD"],
    required: &["metric", "operator", "threshold"],
    optional: &["clear"],
    // Percentages are of devices; only fleet rules compare them.
    shapes: || vec![("threshold", json!({ "type": ["number", "object"] }))],
    check,
};

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    let numeric = subject.check_numeric();
    let operator = raw.operator.as_ref()?.0;
    let threshold = match raw.threshold.as_ref()? {
        RawThreshold::Fixed(value) => Threshold::Fixed(*value),
        RawThreshold::Share(_) => return None,
        RawThreshold::Attribute { attribute, default } => {
            check_attribute(attribute.as_deref()?, subject);
            Threshold::Attribute { attribute: AttributeId::new(attribute.as_deref()?).ok()?, default: (*default)? }
        }
    };
    let limit = fixed(&threshold);
    check_clear(subject, operator, limit, raw.clear);
    if numeric {
        check_clear_reach(subject, operator, raw.clear);
    }
    if numeric && matches!(threshold, Threshold::Fixed(_)) {
        check_reach(
            subject,
            "threshold",
            |numbers| numbers.never(operator, limit),
            |numbers| numbers.always(operator, limit),
        );
    }
    Some(Condition::Threshold { operator, threshold, clear: raw.clear })
}

/// Reports an attribute that none of the rule's device types has.
fn check_attribute(name: &str, subject: &Subject<'_, '_>) {
    let context = subject.context;
    let all = || {
        let types = subject.types.iter().filter_map(|id| subject.scope.device_types.get(id));
        types.flat_map(|device_type| device_type.attributes.keys().map(AttributeId::as_str))
    };
    let types = At::root("device_types");
    let known = |id: &DeviceTypeId| {
        let table = types.key(id.as_str());
        let attributes = table.key("attributes");
        let attribute = attributes.key(name);
        let is_name = |key: &str| AttributeId::new(key).is_ok();
        context.is_written(&attribute)
            || context.is_broken(&attribute)
            || context.is_misspelt(&attributes, name, is_name)
    };
    if subject.types.iter().any(known) {
        return;
    }
    let place = subject.at.key("threshold");
    let message = format!("rule `{}` uses attribute `{name}`, which none of its device types has", subject.id);
    let diagnostic = Diagnostic::new(Code::UnknownAttribute, context.value(&place.key("attribute")), message);
    context.report(match context.nearest(name, all()) {
        Some(near) => diagnostic.replace(format!("did you mean `{near}`?"), format!("\"{near}\"")),
        None => diagnostic
            .help(format!("add to the device type: attributes = {{ {name} = {{ type = \"float\", default = 0.0 }} }}")),
    });
}
