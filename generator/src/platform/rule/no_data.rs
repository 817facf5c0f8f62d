//! `type = "no_data"`: a device has sent nothing for too long.

use fleetform_engine::{rule_set::Condition, units::Millis};

use super::{Kind, RawRule, Subject, hold::check_no_sample_keys};
use crate::{
    check::bounds::Bounds,
    diagnostic::{Code, Diagnostic},
    platform::device_type::least_silence,
    schema::types::Duration,
    source::At,
};

pub(super) const KIND: Kind =
    Kind { words: &["no_data", "NO_DATA"], required: &[], optional: &[], shapes: Vec::new, check };

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    check_no_sample_keys(raw, subject);
    let place = subject.at.key("duration");
    let after_ms = Bounds::new("1s", "365d").check_given(raw.duration, &place, subject.context);
    if let Some(after) = after_ms {
        check_not_too_soon(after, subject, &place);
    }
    Some(Condition::NoData { after_ms })
}

/// Reports a silence that is normal for a healthy device, in the same way as for `offline_after`.
fn check_not_too_soon(after: Millis, subject: &Subject<'_, '_>, place: &At<'_>) {
    let context = subject.context;
    let sweep_every = subject.scope.sweep_every;
    let slowest = subject.timed().max_by_key(|(_, device_type)| device_type.send_every);
    let Some((id, device_type)) = slowest else { return };
    let least = least_silence(sweep_every, device_type.send_every);
    if after >= least {
        return;
    }
    let needed = Duration::write(least);
    let types = At::root("device_types");
    let table = types.key(id.as_str());
    let mut diagnostic = Diagnostic::new(
        Code::OfflineTooSoon,
        context.value(place),
        format!(
            "`{}` is no silence for `{id}`, which sends every `{}`",
            Duration::write(after),
            Duration::write(device_type.send_every)
        ),
    );
    for sent in [table.key("send_every"), table.key("report_every")] {
        if context.is_written(&sent) {
            diagnostic = diagnostic.related(context.value(&sent), "it sends this often");
            break;
        }
    }
    context.report(diagnostic.replace(
        format!(
            "it takes {} until silence is seen, and two messages; write: duration = \"{needed}\"",
            Duration::write(sweep_every)
        ),
        format!("\"{needed}\""),
    ));
}
