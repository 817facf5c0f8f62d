//! `method = "mad"`: the median of the last values and their median distance from it (Hampel). Up to half of the values
//! may be outliers without moving either.

use std::collections::VecDeque;

use super::Expected;
use crate::units::Millis;

/// Minimum and maximum number of values kept. Both are odd: the median of a full ring is one of its values.
const RING_MIN: usize = 31;
pub(crate) const RING_MAX: usize = 101;

/// Ratio of the standard deviation of a normal distribution to its median absolute deviation, and to its mean
/// absolute deviation.
const MEDIAN_TO_SIGMA: f64 = 1.4826;
const MEAN_TO_SIGMA: f64 = 1.2533;

/// The last values, oldest first. Single precision is enough for distances that are sorted and averaged.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mad {
    pub(crate) values: VecDeque<f32>,
}

/// Returns how many values a ring keeps: those of a window, within the bounds.
pub(crate) fn ring(window: Millis, report_every: Millis) -> usize {
    let samples = usize::try_from(window.0 / report_every.0.max(1)).unwrap_or(RING_MAX);
    samples.clamp(RING_MIN, RING_MAX) | 1
}

impl Mad {
    pub(super) fn expected(&self) -> Option<Expected> {
        let mut buffer = [0.0; RING_MAX];
        let values = buffer.get_mut(..self.values.len())?;
        if values.is_empty() {
            return None;
        }
        values.iter_mut().zip(&self.values).for_each(|(place, value)| *place = *value);
        let median = median(values);
        values.iter_mut().for_each(|value| *value = (*value - median).abs());
        let sum: f64 = values.iter().copied().map(f64::from).sum();
        let mean_deviation = sum / values.len() as f64;
        let median_deviation = f64::from(self::median(values));
        let sigma =
            if median_deviation > 0.0 { MEDIAN_TO_SIGMA * median_deviation } else { MEAN_TO_SIGMA * mean_deviation };
        Some(Expected { mean: f64::from(median), sigma, n: values.len() as u32 })
    }

    pub(super) fn learn(&mut self, distance: f64, ring: usize) {
        let ring = if mutant!(MadRingUnbounded) { RING_MAX } else { ring };
        while self.values.len() >= ring {
            self.values.pop_front();
        }
        // Values are bounded by 1e15, far below the range of single precision.
        self.values.push_back(distance as f32);
    }
}

/// Returns the middle value, or the mean of the two in the middle. Reorders the values.
fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    let upper = *upper;
    if odd {
        return upper;
    }
    let lower = below.iter().copied().max_by(f32::total_cmp).unwrap_or(upper);
    lower + (upper - lower) / 2.0
}
