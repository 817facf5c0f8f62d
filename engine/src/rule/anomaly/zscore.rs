//! `method = "zscore"`: mean and deviation of the samples in a sliding window, kept as twelve buckets of time.
//! Buckets are aligned to the first sample rather than to the clock, so the time of day changes nothing.

use super::Expected;
use crate::units::Millis;

/// Number of parts in the window. The oldest is dropped as a whole, so between eleven and twelve of them count.
const BUCKETS: usize = 12;

/// The buckets of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Zscore {
    /// Time by which the past has aged since its first sample.
    pub(crate) clock: Millis,
    /// Each bucket is stored at its number, counted from the first sample, modulo [`BUCKETS`].
    pub(crate) buckets: Box<[Bucket; BUCKETS]>,
}

/// Count, mean and sum of squared distances from the mean (Welford).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) n: u32,
    pub(crate) mean: f64,
    pub(crate) m2: f64,
}

impl Zscore {
    /// Drops the buckets that have left the window by now.
    pub(super) fn age(&mut self, aged: Millis, window: Millis) {
        let before = self.number(window);
        self.clock = Millis(self.clock.0.saturating_add(aged.0));
        let number = self.number(window);
        let passed = (number - before).min(BUCKETS as u64);
        for back in (0..passed).filter(|_| !mutant!(ZscoreForgetsNothing)) {
            *self.bucket(number - back) = Bucket::default();
        }
    }

    /// Returns the number of the newest bucket.
    fn number(&self, window: Millis) -> u64 {
        self.clock.0 / (window.0 / BUCKETS as u64).max(1)
    }

    fn bucket(&mut self, number: u64) -> &mut Bucket {
        &mut self.buckets[(number % BUCKETS as u64) as usize]
    }

    pub(super) fn expected(&self) -> Option<Expected> {
        let all = self.buckets.iter().fold(Bucket::default(), |all, bucket| all.merged(*bucket));
        let sigma = if all.n > 1 { (all.m2 / f64::from(all.n - 1)).sqrt() } else { 0.0 };
        (all.n > 0).then_some(Expected { mean: all.mean, sigma, n: all.n })
    }

    pub(super) fn learn(&mut self, distance: f64, window: Millis) {
        let number = self.number(window);
        let bucket = self.bucket(number);
        *bucket = bucket.merged(Bucket { n: 1, mean: distance, m2: 0.0 });
    }
}

impl Bucket {
    /// Merges two buckets (Chan, Golub and LeVeque).
    fn merged(self, other: Self) -> Self {
        if self.n == 0 {
            return other;
        }
        if other.n == 0 {
            return self;
        }
        let n = self.n.saturating_add(other.n);
        let (own, others, all) = (f64::from(self.n), f64::from(other.n), f64::from(n));
        let delta = other.mean - self.mean;
        Self {
            n,
            mean: self.mean + delta * (others / all),
            m2: self.m2 + other.m2 + delta * delta * (own * others / all),
        }
    }
}
