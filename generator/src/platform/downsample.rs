//! `retention.downsample`: aggregates of samples over intervals, kept longer than the samples themselves.

use std::collections::BTreeMap;

use fleetform_engine::{ids::DeviceTypeId, units::Millis};
use schemars::JsonSchema;
use serde::Deserialize;

use super::device_type::{DeviceType, is_timed};
use crate::{
    check::{bounds::Bounds, context::Context},
    diagnostic::{Code, Diagnostic},
    schema::types::Duration,
    source::At,
};

/// Length of an interval unless the file sets it.
const EVERY: &str = "1h";

/// How long aggregates are kept unless the file sets it.
const KEEP: &str = "10y";

const DAY_S: u64 = 86_400;
const LEAST_S: u64 = 60;

/// `retention.downsample` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct RawDownsample {
    /// Length of an interval, 1m to 1d. It must divide a day, so that each interval lies in one UTC day.
    #[schemars(extend("default" = EVERY))]
    pub(crate) every: Option<Duration>,
    /// How long aggregates are kept, 31d to 100y in whole days, and longer than `retention.cold`.
    #[schemars(extend("default" = KEEP))]
    pub(crate) keep: Option<Duration>,
}

/// How aggregates are computed and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Downsample {
    /// Length of an interval: whole seconds that divide a day.
    pub every: Millis,
    /// How long aggregates are kept after their export, in whole days: longer than samples.
    pub keep: Millis,
}

impl RawDownsample {
    /// Checks the table, and that aggregates outlive exported samples.
    pub(crate) fn check(&self, (cold, cold_at): (Millis, &At<'_>), at: &At<'_>, context: &Context<'_>) -> Downsample {
        let (every_at, keep_at) = (at.key("every"), at.key("keep"));
        let every = Bounds::new("1m", "1d").in_whole("1s").check(self.every, EVERY, &every_at, context);
        if !DAY_S.is_multiple_of(every.as_secs().max(1)) {
            let nearest = Duration::write(Millis::from_secs(nearest(every.as_secs())));
            let message = format!(
                "`{}` does not divide a day, so an interval would lie in two days, which are exported apart",
                Duration::write(every)
            );
            context.report(
                Diagnostic::new(Code::UnevenInterval, context.value(&every_at), message)
                    .replace(format!("write \"{nearest}\""), format!("\"{nearest}\"")),
            );
        }
        let keep = Bounds::new("31d", "100y").in_whole("1d").check(self.keep, KEEP, &keep_at, context);
        if keep <= cold {
            let message = format!(
                "aggregates are kept for `{}`, and the exported samples that they are made of for `{}`: they would say \
                 nothing that the samples do not say",
                Duration::write(keep),
                Duration::write(cold)
            );
            let (place, other) = if context.is_written(&keep_at) { (&keep_at, cold_at) } else { (cold_at, &keep_at) };
            let mut diagnostic = Diagnostic::new(Code::TimesOutOfOrder, context.value(place), message);
            if context.is_written(other) {
                diagnostic = diagnostic.related(context.value(other), "the other one");
            }
            context.report(diagnostic.help("keep them for longer than the samples, or remove `downsample`"));
        }
        Downsample { every, keep }
    }

    /// Reports intervals that contain at most one sample of a device.
    pub(crate) fn check_types(
        &self,
        every: Millis,
        types: &BTreeMap<DeviceTypeId, DeviceType>,
        at: &At<'_>,
        context: &Context<'_>,
    ) {
        let all = At::root("device_types");
        let slow: Vec<String> = types
            .iter()
            .filter(|(id, _)| is_timed(&all.key(id.as_str()), context))
            .filter(|(_, device_type)| device_type.report_every >= every)
            .map(|(id, device_type)| {
                format!("`{id}`, which reports every `{}`", Duration::write(device_type.report_every))
            })
            .collect();
        let Some((last, others)) = slow.split_last() else { return };
        let who = if others.is_empty() { last.clone() } else { format!("{}, and {last}", others.join(", ")) };
        let every_at = at.key("every");
        let place = if context.is_written(&every_at) { context.value(&every_at) } else { context.key(at) };
        let message = format!(
            "an interval of `{}` holds one sample at most of {who}: an aggregate of it takes more room than the sample",
            Duration::write(every)
        );
        context.report(
            Diagnostic::new(Code::SparseInterval, place, message).help("make the intervals several samples long"),
        );
    }
}

/// The length closest to the given one that divides a day.
fn nearest(every_s: u64) -> u64 {
    let lengths = (1..=DAY_S / LEAST_S).filter(|parts| DAY_S.is_multiple_of(*parts)).map(|parts| DAY_S / parts);
    lengths.min_by_key(|length| length.abs_diff(every_s)).unwrap_or(DAY_S)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    const PLATFORM: &str = include_str!("../../../tests/fixtures/valid/minimal/platform.toml");

    /// The problems found in a platform with this table, and the number of related locations of each.
    fn found(retention: &str) -> Vec<(Code, usize)> {
        let checked = check("platform.toml", format!("{PLATFORM}\n[retention]\n{retention}"));
        checked.diagnostics.into_iter().map(|found| (found.code, found.related.len())).collect()
    }

    #[test]
    fn an_interval_divides_a_day() {
        for every in ["1m", "90s", "15m", "1h", "8h", "1d", "1440m"] {
            let found = found(&format!("downsample = {{ every = \"{every}\" }}"));
            assert!(found.iter().all(|(code, _)| *code == Code::SparseInterval), "{every}: {found:?}");
        }
        for (every, code) in [
            ("7h", Code::UnevenInterval),
            ("61s", Code::UnevenInterval),
            ("59s", Code::OutOfBounds),
            ("2d", Code::OutOfBounds),
            ("90500ms", Code::OutOfBounds),
        ] {
            let found = found(&format!("downsample = {{ every = \"{every}\" }}"));
            assert!(found.contains(&(code, 0)), "{every}: {found:?}");
        }
        assert_eq!([7 * 3_600, 61, 50_000, 80_000].map(nearest), [8 * 3_600, 60, 43_200, 86_400]);
    }

    #[test]
    fn aggregates_outlive_samples() {
        let order = Code::TimesOutOfOrder;
        assert_eq!(found("downsample = {}"), []);
        assert_eq!(found("cold = \"5y\"\ndownsample = { keep = \"1826d\" }"), []);
        assert_eq!(found("cold = \"5y\"\ndownsample = { keep = \"5y\" }"), [(order, 1)]);
        // If the other one is a default, there is only one location.
        assert_eq!(found("downsample = { keep = \"1y\" }"), [(order, 0)]);
        assert_eq!(found("cold = \"20y\"\ndownsample = { every = \"1d\" }"), [(order, 0)]);
    }
}
