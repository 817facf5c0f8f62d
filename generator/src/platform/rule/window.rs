//! Checks `window` against the number of samples that a rule waits for in it.

use fleetform_engine::units::Millis;

use super::subject::Subject;
use crate::{
    diagnostic::{Code, Diagnostic},
    schema::types::Duration,
    source::At,
};

/// Reports a window in which some device type can never send as many samples as the rule waits for. `holds` returns the
/// number of samples in a window at a given interval.
pub(super) fn check(
    subject: &Subject<'_, '_>,
    window: Millis,
    samples: u32,
    samples_key: &str,
    holds: impl Fn(Millis, Millis) -> u64,
) {
    let slow = subject.timed().find_map(|(id, device_type)| {
        let every = device_type.report_every;
        let held = holds(window, every);
        (held < u64::from(samples)).then_some((id, every, held))
    });
    let Some((id, every, held)) = slow else { return };
    let context = subject.context;
    let (window_at, samples_at) = (subject.at.key("window"), subject.at.key(samples_key));
    let mut diagnostic = Diagnostic::new(
        Code::WindowTooShort,
        context.value(&window_at),
        format!(
            "`{}` holds at most {held} samples of `{id}`, and rule `{}` waits for {samples}",
            Duration::write(window),
            subject.id
        ),
    );
    if context.is_written(&samples_at) {
        diagnostic = diagnostic.related(context.value(&samples_at), "it waits for so many");
    }
    let types = At::root("device_types");
    let table = types.key(id.as_str());
    if context.is_written(&table.key("report_every")) {
        diagnostic = diagnostic.related(context.value(&table.key("report_every")), "samples come this often");
    }
    // Tries whole intervals in increasing order: the shortest window that suffices is usually close.
    let enough = (1..=u64::from(samples) * 2)
        .map(|intervals| Millis(intervals.saturating_mul(every.0)))
        .find(|window| holds(*window, every) >= u64::from(samples));
    let longer =
        enough.map_or(String::new(), |enough| format!("make `window` at least `{}`, or ", Duration::write(enough)));
    context.report(diagnostic.help(format!("{longer}lower `{samples_key}`")));
}
