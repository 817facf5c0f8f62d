//! `type = "anomaly"`: a value too far from what the device's own past predicts.
//!
//! A sample is scored against the samples before it and only then added to them: inside its own window it could never
//! lie further than (n − 1) ÷ √n deviations from the mean. The three methods estimate mean and deviation. This module
//! holds the scale, the warm-up, and the decision on what stays out of the past.

mod ewma;
mod mad;
mod zscore;

use smol_str::{SmolStr, format_smolstr};

pub(crate) use ewma::Ewma;
pub(crate) use mad::{Mad, RING_MAX, ring};
pub(crate) use zscore::{Bucket, Zscore};

use super::{Finding, Seen, memory::Memory};
use crate::{
    effect::Evidence,
    rule_set::{AnomalyMethod, Direction},
    units::{Finite, Millis, Timestamp},
    value::Value,
};

/// After this many windows without a sample, the past no longer predicts anything and is forgotten.
const FORGET_WINDOWS: u64 = 10;

#[derive(Debug)]
pub(crate) struct Anomaly {
    pub(super) method: AnomalyMethod,
    pub(super) window: Millis,
    pub(super) sensitivity: Finite,
    pub(super) min_std: Finite,
    pub(super) min_rel_std: Finite,
    pub(super) min_consecutive: u32,
    pub(super) rebaseline_after: Millis,
    pub(super) direction: Direction,
    /// Samples that the past must hold before anything is scored.
    pub(super) min_samples: u32,
    /// Number of values that the ring keeps.
    pub(super) ring: usize,
}

/// What an anomaly rule remembers of one device.
#[derive(Debug, PartialEq)]
pub(crate) struct Past {
    /// Time of the first sample.
    pub(crate) since: Timestamp,
    /// Time of the newest sample, learned or not.
    pub(crate) newest: Timestamp,
    /// The first value. All others are kept as their distance from it, so that a small spread around a large value
    /// loses no digits.
    pub(crate) origin: Finite,
    /// Number of samples learned since then.
    pub(crate) learned: u32,
    /// The run of outliers that ends with the newest sample, if that sample is one.
    pub(crate) outliers: Option<Outliers>,
    pub(crate) estimate: Estimate,
}

/// Consecutive samples that lie too far away, on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outliers {
    /// Time of the first of them.
    pub(crate) since: Timestamp,
    /// How many of the newest lie on a side that counts.
    pub(crate) anomalous: u32,
    /// Time of the first of those that count.
    pub(crate) anomalous_since: Timestamp,
}

/// Running mean and deviation, by method.
#[derive(Debug, PartialEq)]
pub(crate) enum Estimate {
    Ewma(Ewma),
    Zscore(Zscore),
    Mad(Mad),
}

/// What the past predicts, as a distance from the origin.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Expected {
    mean: f64,
    sigma: f64,
    /// Number of samples that the prediction rests on.
    n: u32,
}

impl Clone for Past {
    fn clone(&self) -> Self {
        Self { estimate: self.estimate.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        let Self { since, newest, origin, learned, outliers, estimate } = self;
        (*since, *newest, *origin) = (source.since, source.newest, source.origin);
        (*learned, *outliers) = (source.learned, source.outliers);
        estimate.clone_from(&source.estimate);
    }
}

impl Clone for Estimate {
    fn clone(&self) -> Self {
        match self {
            Self::Ewma(ewma) => Self::Ewma(*ewma),
            Self::Zscore(zscore) => Self::Zscore(zscore.clone()),
            Self::Mad(mad) => Self::Mad(mad.clone()),
        }
    }

    fn clone_from(&mut self, source: &Self) {
        match (self, source) {
            (Self::Zscore(zscore), Self::Zscore(from)) => {
                zscore.clock = from.clock;
                zscore.buckets.clone_from(&from.buckets);
            }
            (Self::Mad(mad), Self::Mad(from)) => mad.values.clone_from(&from.values),
            (place, source) => *place = source.clone(),
        }
    }
}

impl Anomaly {
    pub(super) fn look(&self, seen: &Seen<'_>, memory: &mut Option<Box<Memory>>) -> Option<Finding> {
        let Value::Number(value) = seen.value else { return None };
        let forget_after = Millis(self.window.0.saturating_mul(FORGET_WINDOWS));
        let known = matches!(
            memory.as_deref(),
            Some(Memory::Anomaly(past)) if seen.at.since(past.newest) < forget_after
        );
        if !known {
            *memory = Some(Box::new(Memory::Anomaly(Past::new(self.method, value, seen.at))));
        }
        let Some(Memory::Anomaly(past)) = memory.as_deref_mut() else { return None };
        Some(self.judge(past, value, seen.at))
    }

    fn judge(&self, past: &mut Past, value: Finite, at: Timestamp) -> Finding {
        // Outliers that are kept out of the past do not age it either: otherwise a long anomaly would in the end be
        // scored against nothing.
        let aged = if self.keeps_out(past.outliers, past.newest) { Millis(0) } else { at.since(past.newest) };
        past.newest = at;
        let distance = value.get() - past.origin.get();
        let expected = past.expected(aged, self.window);
        let full_window = at.since(past.since) >= self.window;
        let Some(expected) = expected.filter(|expected| full_window && expected.n >= self.min_samples) else {
            past.outliers = None;
            past.learn(self, distance, aged);
            return Finding { learned: Some(past.learned), ..Finding::new(false, true, Value::Number(value)) };
        };

        let mean = past.origin.get() + expected.mean;
        let sigma = expected.sigma.max(self.min_std.get()).max(self.min_rel_std.get() * mean.abs());
        let score = (distance - expected.mean) / sigma;
        let counts = match self.direction {
            Direction::Both => true,
            Direction::Up => score > 0.0,
            Direction::Down => score < 0.0,
        };
        let outlies = score.abs() >= self.sensitivity.get();
        past.outliers = outlies.then(|| Outliers::with(past.outliers, counts, at));
        if !self.keeps_out(past.outliers, at) {
            past.learn(self, distance, aged);
        }

        let (anomalous, since) =
            past.outliers.map_or((0, at), |outliers| (outliers.anomalous, outliers.anomalous_since));
        let evidence = Evidence::Anomaly {
            mean: clamped(mean),
            sigma: clamped(sigma),
            score: clamped(score),
            n: u64::from(expected.n),
        };
        Finding {
            since: Some(since),
            evidence: Some(evidence),
            ..Finding::new(anomalous >= self.min_consecutive, anomalous == 0, Value::Number(value))
        }
    }

    /// Whether a sample that ends this run of outliers stays out of the past. It does, unless the run has lasted so
    /// long that it is the new normal.
    fn keeps_out(&self, outliers: Option<Outliers>, at: Timestamp) -> bool {
        outliers.is_some_and(|outliers| at.since(outliers.since) < self.rebaseline_after)
            && !mutant!(AnomalyLearnsOutliers)
    }

    pub(super) fn limit(&self) -> SmolStr {
        let side = match self.direction {
            Direction::Both => "from",
            Direction::Up => "above",
            Direction::Down => "below",
        };
        format_smolstr!("{} deviations {side} the mean", self.sensitivity)
    }
}

impl Outliers {
    /// Adds one outlier to the run before it.
    fn with(before: Option<Self>, counts: bool, at: Timestamp) -> Self {
        let before = before.unwrap_or(Self { since: at, anomalous: 0, anomalous_since: at });
        match (counts, before.anomalous) {
            (false, _) => Self { anomalous: 0, anomalous_since: at, ..before },
            (true, 0) => Self { anomalous: 1, anomalous_since: at, ..before },
            (true, anomalous) => Self { anomalous: anomalous.saturating_add(1), ..before },
        }
    }
}

impl Past {
    fn new(method: AnomalyMethod, origin: Finite, at: Timestamp) -> Self {
        let estimate = match method {
            AnomalyMethod::Ewma => Estimate::Ewma(Ewma::default()),
            AnomalyMethod::Zscore => Estimate::Zscore(Zscore::default()),
            AnomalyMethod::Mad => Estimate::Mad(Mad::default()),
        };
        Self { since: at, newest: at, origin, learned: 0, outliers: None, estimate }
    }

    /// Returns what the past predicts after aging, or `None` while it holds nothing.
    fn expected(&mut self, aged: Millis, window: Millis) -> Option<Expected> {
        match &mut self.estimate {
            Estimate::Ewma(ewma) => ewma.expected(self.learned),
            Estimate::Zscore(zscore) => {
                zscore.age(aged, window);
                zscore.expected()
            }
            Estimate::Mad(mad) => mad.expected(),
        }
    }

    /// Adds a sample to the past, after aging the past by `aged`.
    fn learn(&mut self, rule: &Anomaly, distance: f64, aged: Millis) {
        self.learned = self.learned.saturating_add(1);
        match &mut self.estimate {
            Estimate::Ewma(ewma) => ewma.learn(distance, aged, self.learned, rule.window),
            Estimate::Zscore(zscore) => zscore.learn(distance, rule.window),
            Estimate::Mad(mad) => mad.learn(distance, rule.ring),
        }
    }
}

/// Returns the nearest finite number: a distance divided by a very small deviation may overflow.
fn clamped(value: f64) -> Finite {
    Finite::new(value.clamp(f64::MIN, f64::MAX)).unwrap_or(Finite::ZERO)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
