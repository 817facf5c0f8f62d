//! `type = "anomaly"`: a value that is too far from what the device's own history predicts.

use fleetform_engine::{
    rule_set::{AnomalyMethod, Condition, Direction},
    units::{Finite, Millis},
};

use super::{
    Kind, Subject, false_alerts,
    hold::check_no_samples,
    raw::{RawDirection, RawMethod, RawRule},
    window,
};
use crate::check::bounds::Bounds;

pub(super) const KIND: Kind = Kind {
    words: &["anomaly", "ANOMALY"],
    required: &["metric", "window", "sensitivity", "min_std"],
    optional: &["method", "min_rel_std", "min_consecutive", "rebaseline_after", "direction"],
    shapes: Vec::new,
    check,
};

/// Minimum number of samples in the history, unless the file sets it.
pub(super) const MIN_SAMPLES: u32 = 30;
/// Number of consecutive anomalous samples, unless the file sets it.
const MIN_CONSECUTIVE: u32 = 3;

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    subject.check_numeric();
    check_no_samples(raw, subject, "an anomaly rule counts with `min_consecutive`");
    let method = match raw.method {
        None | Some(RawMethod::Ewma) => AnomalyMethod::Ewma,
        Some(RawMethod::Zscore) => AnomalyMethod::Zscore,
        Some(RawMethod::Mad) => AnomalyMethod::Mad,
    };
    let direction = match raw.direction {
        None | Some(RawDirection::Both) => Direction::Both,
        Some(RawDirection::Up) => Direction::Up,
        Some(RawDirection::Down) => Direction::Down,
    };
    let context = subject.context;
    let window_ms = Bounds::new("1m", "30d").check_given(raw.window, &subject.at.key("window"), context);
    let rebaseline_at = subject.at.key("rebaseline_after");
    let rebaseline_after_ms = Bounds::new("1m", "30d").check(raw.rebaseline_after, "30m", &rebaseline_at, context);
    let min_consecutive = raw.min_consecutive.unwrap_or(MIN_CONSECUTIVE);
    let (window_ms, sensitivity, min_std) = (window_ms?, raw.sensitivity?, raw.min_std?);
    let min_samples = raw.min_samples.unwrap_or(MIN_SAMPLES);
    window::check(subject, window_ms, min_samples, "min_samples", |window, every| held(method, window, every));
    false_alerts::check(raw, subject, sensitivity, min_consecutive, direction);
    Some(Condition::Anomaly {
        method,
        window_ms,
        sensitivity,
        min_std,
        min_rel_std: raw.min_rel_std.unwrap_or(Finite::ZERO),
        min_consecutive,
        rebaseline_after_ms,
        direction,
    })
}

/// The number of samples that a window always holds. The newest of its twelve buckets may have only just started.
fn held(method: AnomalyMethod, window: Millis, every: Millis) -> u64 {
    let kept = match method {
        AnomalyMethod::Zscore => window.0 / 12 * 11,
        AnomalyMethod::Ewma | AnomalyMethod::Mad => window.0,
    };
    kept / every.0.max(1)
}
