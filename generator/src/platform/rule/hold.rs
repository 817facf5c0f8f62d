//! How long a condition must hold: `duration` with its gaps, or `samples`.

use fleetform_engine::{
    rule_set::{Hold, OnGap},
    units::Millis,
};

use super::{
    Subject,
    raw::{RawOnGap, RawRule},
};
use crate::{
    check::bounds::Bounds,
    diagnostic::{Code, Diagnostic},
    schema::types::Duration,
    source::At,
};

/// Without a waiting time.
pub(super) const AT_ONCE: Hold = Hold::Duration { duration_ms: Millis(0), on_gap: OnGap::Reset, max_gap_ms: None };

/// Checks `samples`, or `duration`, `on_gap` and `max_gap`.
pub(super) fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Hold> {
    if let Some(samples) = &raw.samples {
        check_exclusive(raw, subject);
        let (breach, of) = (samples.breach?, samples.of?);
        if breach > of {
            let place = subject.at.key("samples");
            subject.context.report(
                Diagnostic::new(
                    Code::BreachAboveOf,
                    subject.context.value(&place.key("breach")),
                    format!("{breach} of the last {of} samples can never breach"),
                )
                .related(subject.context.value(&place.key("of")), "`of` stands here")
                .help(format!("make `breach` at most {of}")),
            );
        }
        return Some(Hold::Samples { breach, of });
    }
    let duration_at = subject.at.key("duration");
    let duration = Bounds::new("0s", "30d").check(raw.duration, "0s", &duration_at, subject.context);
    let max_gap = Bounds::new("1s", "30d").check_given(raw.max_gap, &subject.at.key("max_gap"), subject.context);
    let on_gap = match raw.on_gap {
        None | Some(RawOnGap::Reset) => OnGap::Reset,
        Some(RawOnGap::Hold) => OnGap::Hold,
    };
    if let Some(max_gap) = max_gap
        && on_gap == OnGap::Reset
        && duration > Millis(0)
    {
        check_gap(duration, max_gap, &duration_at, subject);
    }
    Some(Hold::Duration { duration_ms: duration, on_gap, max_gap_ms: max_gap })
}

/// Reports `samples` in a rule of a kind that has its own way to count. `instead` names it.
pub(super) fn check_no_samples(raw: &RawRule, subject: &Subject<'_, '_>, instead: &str) {
    if raw.samples.is_none() {
        return;
    }
    let context = subject.context;
    context.report(
        Diagnostic::new(
            Code::KeysExclude,
            context.key(&subject.at.key("samples")),
            "a rule of this type has no `samples`",
        )
        .related(context.value(&subject.at.key("type")), "the rule's type")
        .help(format!("remove it: {instead}")),
    );
}

/// Reports sample keys in a rule of a kind that reads no samples.
pub(super) fn check_no_sample_keys(raw: &RawRule, subject: &Subject<'_, '_>) {
    let keys = [
        ("samples", raw.samples.is_some()),
        ("on_gap", raw.on_gap.is_some()),
        ("max_gap", raw.max_gap.is_some()),
        ("min_samples", raw.min_samples.is_some()),
    ];
    for (key, _) in keys.iter().filter(|(_, given)| *given) {
        let context = subject.context;
        context.report(
            Diagnostic::new(
                Code::KeysExclude,
                context.key(&subject.at.key(key)),
                format!("a rule of this type has no `{key}`"),
            )
            .related(context.value(&subject.at.key("type")), "the rule's type")
            .help("remove it: the rule reads no samples"),
        );
    }
}

/// Reports keys that have no meaning in combination with `samples`.
fn check_exclusive(raw: &RawRule, subject: &Subject<'_, '_>) {
    let keys =
        [("duration", raw.duration.is_some()), ("on_gap", raw.on_gap.is_some()), ("max_gap", raw.max_gap.is_some())];
    for (key, given) in keys {
        if given {
            subject.context.report(
                Diagnostic::new(
                    Code::KeysExclude,
                    subject.context.key(&subject.at.key(key)),
                    format!("`{key}` and `samples` exclude each other"),
                )
                .related(subject.context.key(&subject.at.key("samples")), "`samples` stands here")
                .help("a rule waits for a time or counts samples: remove one"),
            );
        }
    }
}

/// Reports a duration that restarts with every sample, because samples are further apart than `max_gap`.
fn check_gap(duration: Millis, max_gap: Millis, duration_at: &At<'_>, subject: &Subject<'_, '_>) {
    let slow = subject
        .timed()
        .find_map(|(id, device_type)| (device_type.report_every > max_gap).then_some((id, device_type.report_every)));
    let Some((id, report_every)) = slow else { return };
    let types = At::root("device_types");
    let table = types.key(id.as_str());
    let context = subject.context;
    let mut diagnostic = Diagnostic::new(
        Code::DurationOutOfReach,
        context.value(duration_at),
        format!(
            "`{}` is never reached by `{id}`: each of its samples comes after a gap, and a gap starts the time again",
            Duration::write(duration)
        ),
    )
    .related(context.value(&subject.at.key("max_gap")), "a longer time than this is a gap");
    if context.is_written(&table.key("report_every")) {
        diagnostic = diagnostic.related(context.value(&table.key("report_every")), "samples come this often");
    }
    context.report(
        diagnostic.help(format!("raise `max_gap` to more than `{}`, or remove it", Duration::write(report_every))),
    );
}
