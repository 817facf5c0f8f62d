//! `type = "flatline"`: a value that has not changed for some time, such as that of a stuck sensor.

use fleetform_engine::{
    rule_set::Condition,
    units::{Finite, Millis},
};

use super::{Kind, Subject, hold::check_no_samples, limit::check_reach, raw::RawRule};
use crate::diagnostic::{Code, Diagnostic};

pub(super) const KIND: Kind =
    Kind { words: &["flatline", "FLATLINE"], required: &["metric"], optional: &["tolerance"], shapes: Vec::new, check };

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    let numeric = subject.check_numeric();
    check_no_samples(raw, subject, "a flat line is as long as its `duration`");
    let context = subject.context;
    let duration = subject.at.key("duration");
    let is_said = context.is_written(&duration) || context.is_broken(&duration);
    match raw.duration {
        None if raw.samples.is_none() && !is_said => context.report(
            Diagnostic::new(
                Code::MissingKey,
                context.key(subject.at),
                format!("`rules.{}` has no `duration`", subject.id),
            )
            .help("add the time for which a good sensor never stands still: duration = \"6h\""),
        ),
        Some(duration) if duration.0 == Millis(0) => context.report(
            Diagnostic::new(
                Code::OutOfBounds,
                context.value(&subject.at.key("duration")),
                "any value stands still for no time at all",
            )
            .replace("write the time for which a good sensor never stands still: \"6h\"", "\"6h\""),
        ),
        None | Some(_) => {}
    }
    let tolerance = raw.tolerance.unwrap_or(Finite::ZERO);
    if numeric && raw.tolerance.is_some() {
        let spans = |min: Finite, max: Finite| (0.0..=tolerance.get()).contains(&(max.get() - min.get()));
        check_reach(
            subject,
            "tolerance",
            |_| false,
            |numbers| numbers.min.zip(numbers.max).is_some_and(|(min, max)| spans(min, max)),
        );
    }
    Some(Condition::Flatline { tolerance })
}
