//! `method = "ewma"`: mean and variance with exponentially fading weights. A value that is one window old counts e
//! times less.

use super::Expected;
use crate::units::Millis;

/// Mean and variance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ewma {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl Ewma {
    pub(super) fn expected(&self, learned: u32) -> Option<Expected> {
        (learned > 0).then(|| Expected { mean: self.mean, sigma: self.variance.sqrt(), n: learned })
    }

    /// Adds a value. The weight of a sample is 1 − e^(−Δt/τ), with two bounds. While it is below 1 ÷ n, the plain
    /// mean of the few samples is the better estimate. And a silence counts as one window at most: otherwise the
    /// first sample after it would make up the whole past, with no spread at all, and the second one would be an
    /// anomaly.
    pub(super) fn learn(&mut self, distance: f64, aged: Millis, learned: u32, window: Millis) {
        let counted = if mutant!(EwmaSilenceUnbounded) { aged } else { aged.min(window) };
        let faded = -libm::expm1(-(counted.0 as f64 / window.0 as f64));
        let weight = faded.max(1.0 / f64::from(learned));
        let delta = distance - self.mean;
        self.mean += weight * delta;
        self.variance = (1.0 - weight) * (self.variance + weight * delta * delta);
    }
}
