//! Medians with their range. Ratios are computed per round, so that changes in the machine's speed cancel out.

use std::fmt;

/// The median of some figures, with the lowest and the highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The lowest.
    pub min: f64,
    /// The middle one; for an even number of figures, the lower of the middle two.
    pub median: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// Computes the spread of at least one figure.
    ///
    /// # Panics
    /// If there are no figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (figures.first(), figures.last()) else { panic!("a median of nothing") };
        Self { min, median: figures[(figures.len() - 1) / 2], max }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median >= 100.0 { 0 } else { 3 };
        write!(f, "{:.digits$} [{:.digits$} – {:.digits$}]", self.median, self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_is_the_middle_figure() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]).median, 1.0);
    }
}
