//! Values of one reading of one device during a run. All lie within the reading's bounds.

use fleetform_engine::{rule_set::ValueType, units::Timestamp};
use serde_json::{Value, json};

use crate::profile::Profile;

const DAY_MS: i64 = 86_400_000;

/// Range of the values of a reading without bounds.
const SPAN: f64 = 100.0;

/// One reading of a device.
#[derive(Clone, Debug)]
pub(crate) struct Signal {
    /// The device's own level between the bounds, from 0 to 1.
    base: f64,
    /// The time of day at which its values are highest, as a fraction of a day.
    phase: f64,
    /// The last word or boolean.
    word: usize,
    /// The value that it is stuck at.
    stuck: Option<Value>,
}

/// The inputs of a value.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) profile: Profile,
    pub(crate) at: Timestamp,
    /// How far the run has progressed, from 0 to 1.
    pub(crate) share: f64,
    /// Whether the device is in a burst.
    pub(crate) is_burst: bool,
}

impl Signal {
    pub(crate) fn new(chance: &mut fastrand::Rng) -> Self {
        Self { base: 0.35 + 0.3 * chance.f64(), phase: chance.f64(), word: 0, stuck: None }
    }

    /// Returns the next value.
    pub(crate) fn value(&mut self, kind: &ValueType, moment: Moment, chance: &mut fastrand::Rng) -> Value {
        if let Some(value) = self.stuck.as_ref().filter(|_| moment.share >= 1.0 / 3.0) {
            return value.clone();
        }
        let value = self.fresh(kind, moment, chance);
        if moment.profile == Profile::Stuck {
            self.stuck = Some(value.clone());
        }
        value
    }

    fn fresh(&mut self, kind: &ValueType, moment: Moment, chance: &mut fastrand::Rng) -> Value {
        match kind {
            ValueType::Float { min, max } => {
                let (min, max) = bounds(min.map(|min| min.get()), max.map(|max| max.get()));
                let value = min + (max - min) * self.level(moment, chance);
                json!(rounded(value, max - min).clamp(min, max))
            }
            ValueType::Int { min, max } => {
                let (min, max) = bounds(min.map(|min| min.get()), max.map(|max| max.get()));
                let value = (min + (max - min) * self.level(moment, chance)).round();
                // Bounds need not be whole numbers, and between them there may be none: then the nearest is as good as
                // any.
                json!(value.min(max.floor()).max(min.ceil()) as i64)
            }
            ValueType::Bool => json!(self.next_word(2, chance) == 1),
            ValueType::Enum { values } => json!(values[self.next_word(values.len(), chance)]),
            ValueType::String => json!("simulated"),
        }
    }

    /// Returns where between the bounds a value lies, from 0 to 1.
    fn level(&self, moment: Moment, chance: &mut fastrand::Rng) -> f64 {
        let noise = 0.01 * (chance.f64() + chance.f64() - 1.0);
        let shift = match moment.profile {
            Profile::Daily => {
                let day = moment.at.0.rem_euclid(DAY_MS) as f64 / DAY_MS as f64;
                0.25 * wave((day + self.phase).fract())
            }
            Profile::Step if moment.share >= 0.5 => 0.3,
            Profile::Drift => 0.34 * moment.share,
            Profile::Burst if moment.is_burst => 0.98 - self.base,
            Profile::Step
            | Profile::Burst
            | Profile::Steady
            | Profile::Stuck
            | Profile::Silence
            | Profile::Skew
            | Profile::Duplicates
            | Profile::Disorder
            | Profile::Malformed => 0.0,
        };
        (self.base + shift + noise).clamp(0.0, 1.0)
    }

    /// Returns the index of the next of `count` words: usually the last one again.
    fn next_word(&mut self, count: usize, chance: &mut fastrand::Rng) -> usize {
        if chance.u8(0..20) == 0 {
            self.word = chance.usize(0..count);
        }
        self.word
    }
}

fn bounds(min: Option<f64>, max: Option<f64>) -> (f64, f64) {
    match (min, max) {
        (Some(min), Some(max)) => (min, max),
        (Some(min), None) => (min, min + SPAN),
        (None, Some(max)) => (max - SPAN, max),
        (None, None) => (0.0, SPAN),
    }
}

/// Returns a wave of period 1 that resembles a sine, in arithmetic that gives the same bits everywhere.
fn wave(part: f64) -> f64 {
    let half = |x: f64| 8.0 * x * (1.0 - 2.0 * x);
    if part < 0.5 { half(part) } else { -half(part - 0.5) }
}

/// Rounds to four digits of the range, about the resolution of a sensor.
fn rounded(value: f64, span: f64) -> f64 {
    let mut scale = 1.0;
    while span * scale < 10_000.0 && scale < 1e9 {
        scale *= 10.0;
    }
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use fleetform_engine::units::Finite;

    use super::*;

    #[test]
    fn every_value_lies_within_its_bounds() {
        let finite = |value| Finite::new(value);
        let kinds = [
            ValueType::Float { min: finite(-0.5), max: finite(0.25) },
            ValueType::Float { min: finite(1e-7), max: finite(2e-7) },
            ValueType::Float { min: None, max: finite(-1e12) },
            ValueType::Int { min: finite(0.5), max: finite(2.5) },
            ValueType::Int { min: finite(-3.0), max: None },
        ];
        for (kind, profile) in kinds.iter().flat_map(|kind| Profile::ALL.map(|profile| (kind, profile))) {
            let mut chance = fastrand::Rng::with_seed(7);
            let mut signal = Signal::new(&mut chance);
            for step in 0..500_i64 {
                let share = step as f64 / 500.0;
                let moment = Moment { profile, at: Timestamp(step * 600_000), share, is_burst: step % 7 == 0 };
                let value = signal.value(kind, moment, &mut chance).as_f64().unwrap();
                let (ValueType::Float { min, max } | ValueType::Int { min, max }) = kind else { unreachable!() };
                assert!(
                    min.is_none_or(|min| value >= min.get()) && max.is_none_or(|max| value <= max.get()),
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn a_stuck_value_moves_no_more() {
        let kind = ValueType::Float { min: None, max: None };
        let mut chance = fastrand::Rng::with_seed(7);
        let mut signal = Signal::new(&mut chance);
        let mut value = |share| {
            let moment = Moment { profile: Profile::Stuck, at: Timestamp(0), share, is_burst: false };
            signal.value(&kind, moment, &mut chance)
        };
        assert_ne!(value(0.1), value(0.2));
        let stuck = value(0.4);
        assert_eq!(stuck, value(0.9));
    }

    #[test]
    fn a_wave_comes_back_to_where_it_began() {
        assert_eq!([0.0, 0.25, 0.5, 0.75].map(wave), [0.0, 1.0, -0.0, -1.0]);
    }
}
