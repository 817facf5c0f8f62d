use super::*;

fn finite(value: f64) -> Finite {
    Finite::new(value).unwrap()
}

/// A rule that scores after thirty samples and a window of twenty minutes, three in a row.
fn rule(method: AnomalyMethod) -> Anomaly {
    Anomaly {
        method,
        window: Millis::from_secs(1_200),
        sensitivity: finite(6.0),
        min_std: finite(0.5),
        min_rel_std: finite(0.0),
        min_consecutive: 3,
        rebaseline_after: Millis::from_secs(1_800),
        direction: Direction::Both,
        min_samples: 30,
        ring: 31,
    }
}

const METHODS: [AnomalyMethod; 3] = [AnomalyMethod::Ewma, AnomalyMethod::Zscore, AnomalyMethod::Mad];

/// A rule on one device.
struct Watched {
    rule: Anomaly,
    memory: Option<Box<Memory>>,
}

impl Watched {
    fn new(rule: Anomaly) -> Self {
        Self { rule, memory: None }
    }

    fn look(&mut self, second: i64, value: f64) -> Finding {
        let at = Timestamp(second * 1_000);
        let seen = Seen { value: Value::Number(finite(value)), at, previous: None, attributes: &[] };
        self.rule.look(&seen, &mut self.memory).unwrap()
    }

    fn score(&mut self, second: i64, value: f64) -> f64 {
        explained(&self.look(second, value)).2
    }

    fn past(&self) -> &Past {
        match self.memory.as_deref() {
            Some(Memory::Anomaly(past)) => past,
            Some(Memory::Alarms(_) | Memory::Flatline(_) | Memory::Count(_) | Memory::Stepped) | None => {
                panic!("an anomaly rule has a past")
            }
        }
    }
}

/// Mean, deviation, score and n.
fn explained(finding: &Finding) -> (f64, f64, f64, u64) {
    match finding.evidence {
        Some(Evidence::Anomaly { mean, sigma, score, n }) => (mean.get(), sigma.get(), score.get(), n),
        _ => panic!("every score explains itself: {finding:?}"),
    }
}

/// Pseudo-random numbers between −1 and 1.
fn noise() -> impl FnMut() -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

#[test]
fn case_31_a_constant_series_then_a_step_is_silent_and_then_breaches_after_so_many_in_a_row() {
    for method in METHODS {
        let mut watched = Watched::new(rule(method));
        for sample in 0..120 {
            let finding = watched.look(sample * 30, 100.0);
            assert!(!finding.breach && finding.clear, "{method:?}, {sample}");
        }
        let found: Vec<_> = (120..124).map(|sample| watched.look(sample * 30, 104.0)).collect();
        assert_eq!(found.iter().map(|finding| finding.breach).collect::<Vec<_>>(), [false, false, true, true]);
        assert!(found.iter().all(|finding| !finding.clear));
        assert_eq!(found[2].since, Some(Timestamp(3_600_000)), "{method:?}: since the first of them");
        let (mean, sigma, score, n) = explained(&found[2]);
        assert_eq!((mean, sigma, score), (100.0, 0.5, 8.0), "{method:?}: a step of d scores d ÷ min_std");
        assert!(n >= 30, "{method:?}: {n}");
    }
}

#[test]
fn a_sample_is_not_scored_against_itself() {
    // Of n values of which one differs, that one lies (n − 1) ÷ √n deviations from the mean of all, whatever its
    // size.
    for method in METHODS {
        let mut watched = Watched::new(rule(method));
        for sample in 0..40 {
            watched.look(sample * 30, 100.0 + f64::from(sample as i32 % 3));
        }
        let score = watched.score(1_200, 1e6);
        assert!(score > 100_000.0, "{method:?}: {score}");
    }
}

#[test]
fn nothing_is_scored_before_enough_samples_and_a_full_window() {
    for method in METHODS {
        let mut few = Watched::new(Anomaly { min_samples: 3, ..rule(method) });
        for (samples, second) in (1..).zip([0, 300, 600, 900, 1_199]) {
            assert_eq!(few.look(second, 5.0).learned, Some(samples), "{method:?}, {second}");
        }
        assert_eq!(few.look(1_200, 5.0).learned, None, "{method:?}: a full window");
        let mut many = Watched::new(Anomaly { min_samples: 25, ..rule(method) });
        let scored: Vec<i64> = (0..30).filter(|sample| many.look(sample * 60, 5.0).learned.is_none()).collect();
        match method {
            // A window holds twenty samples at a time.
            AnomalyMethod::Zscore => assert!(scored.is_empty(), "{scored:?}"),
            AnomalyMethod::Ewma | AnomalyMethod::Mad => assert_eq!(scored, [25, 26, 27, 28, 29]),
        }
    }
}

#[test]
fn a_silence_of_ten_windows_begins_anew() {
    for method in METHODS {
        let mut watched = Watched::new(Anomaly { min_samples: 5, ..rule(method) });
        for sample in 0..60 {
            watched.look(sample * 30, 5.0);
        }
        let last = 59 * 30;
        let mut interrupted =
            Watched { memory: watched.memory.clone(), ..Watched::new(Anomaly { min_samples: 5, ..rule(method) }) };
        interrupted.look(last + 11_999, 5.0);
        assert_eq!(interrupted.past().since, Timestamp(0), "{method:?}");
        let finding = watched.look(last + 12_000, 500.0);
        assert_eq!((finding.learned, finding.clear), (Some(1), true), "{method:?}");
        assert_eq!(watched.past().origin, finite(500.0), "{method:?}");
    }
}

#[test]
fn a_window_that_has_become_empty_learns_again() {
    let mut watched = Watched::new(rule(AnomalyMethod::Zscore));
    for sample in 0..60 {
        watched.look(sample * 30, 5.0);
    }
    assert_eq!(watched.look(59 * 30 + 1_200, 50.0).learned, Some(61));
    assert!(watched.look(59 * 30 + 1_230, 5.0).learned.is_some());
}

#[test]
fn outliers_stay_out_of_the_past_until_they_are_the_new_normal() {
    for method in METHODS {
        let mut watched = Watched::new(rule(method));
        let mut noise = noise();
        for sample in 0..120 {
            watched.look(sample * 30, 100.0 + noise());
        }
        let learned = watched.past().learned;
        // Thirty minutes of another level: 61 samples, of which the last is the first to enter.
        for sample in 120..180 {
            let finding = watched.look(sample * 30, 150.0 + noise());
            assert!(!finding.clear, "{method:?}, {sample}");
        }
        assert_eq!(watched.past().learned, learned, "{method:?}");
        watched.look(180 * 30, 150.0);
        assert_eq!(watched.past().learned, learned + 1, "{method:?}");
        for sample in 181..400 {
            watched.look(sample * 30, 150.0 + noise());
        }
        let finding = watched.look(400 * 30, 150.0);
        assert!(!finding.breach && finding.clear, "{method:?}: {finding:?}");
        assert!((explained(&finding).0 - 150.0).abs() < 1.0, "{method:?}: {finding:?}");
    }
}

#[test]
fn one_good_sample_ends_a_run_and_a_run_counts_only_the_side_that_is_asked_for() {
    let mut watched = Watched::new(Anomaly { direction: Direction::Up, ..rule(AnomalyMethod::Ewma) });
    for sample in 0..60 {
        watched.look(sample * 30, 100.0);
    }
    let learned = watched.past().learned;
    let breaches = |watched: &mut Watched, from: i64, values: &[f64]| -> Vec<bool> {
        (from..).zip(values).map(|(sample, value)| watched.look(sample * 30, *value).breach).collect()
    };
    let (up, down) = (200.0, 0.0);
    assert_eq!(breaches(&mut watched, 60, &[up, up, 100.0, up, up, up]), [false, false, false, false, false, true]);
    assert_eq!(breaches(&mut watched, 66, &[down, down, down, up, up, up]), [false, false, false, false, false, true]);
    assert_eq!(watched.past().learned, learned + 1, "values far below are outliers, too");
    let mut low = Watched::new(Anomaly { direction: Direction::Down, ..rule(AnomalyMethod::Ewma) });
    for sample in 0..60 {
        low.look(sample * 30, 100.0);
    }
    assert_eq!(breaches(&mut low, 60, &[up, up, up, down, down, down]), [false, false, false, false, false, true]);
}

#[test]
fn the_deviation_has_two_floors() {
    for method in METHODS {
        let mut watched = Watched::new(Anomaly { min_rel_std: finite(0.01), ..rule(method) });
        for sample in 0..60 {
            watched.look(sample * 30, -200.0);
        }
        let (mean, sigma, score, _) = explained(&watched.look(1_800, -190.0));
        assert_eq!((mean, sigma, score), (-200.0, 2.0, 5.0), "{method:?}");
        let mut tiny = Watched::new(Anomaly { min_std: finite(f64::MIN_POSITIVE), ..rule(method) });
        for sample in 0..60 {
            tiny.look(sample * 30, 0.0);
        }
        assert_eq!(tiny.score(1_800, -1e15), f64::MIN, "{method:?}: as far as numbers go");
    }
}

/// Mean and deviation in two passes over weighted values.
fn two_passes(values: &[f64], weights: &[f64], count: f64) -> (f64, f64) {
    // Around the first value, so that the oracle itself loses nothing.
    let origin = values[0];
    let weight: f64 = weights.iter().sum();
    let mean = values.iter().zip(weights).map(|(value, w)| (value - origin) * w).sum::<f64>() / weight;
    let squares: f64 = values.iter().zip(weights).map(|(value, w)| w * (value - origin - mean).powi(2)).sum();
    (origin + mean, (squares / count).sqrt())
}

fn check_close(found: f64, expected: f64, what: &str) {
    let error = ((found - expected) / expected).abs();
    assert!(error <= 1e-9, "{what}: {found} instead of {expected}, off by {error:e}");
}

#[test]
fn zscore_agrees_with_two_passes_at_any_offset() {
    for offset in [0.0, 1.0, 1e3, -1e6, 1e9, -1e9] {
        let mut watched = Watched::new(Anomaly { min_std: finite(1e-12), ..rule(AnomalyMethod::Zscore) });
        let mut noise = noise();
        let mut values = Vec::new();
        for sample in 0..500_i64 {
            let (second, value) = (sample * 7, offset + noise());
            let finding = watched.look(second, value);
            if finding.evidence.is_some() {
                // Twelve buckets of a hundred seconds, the newest still in progress.
                let from = (second / 100 - 11) * 100;
                let past: Vec<f64> =
                    values.iter().filter(|(second, _)| *second >= from).map(|(_, value)| *value).collect();
                let (mean, sigma) = two_passes(&past, &vec![1.0; past.len()], past.len() as f64 - 1.0);
                let found = explained(&finding);
                assert_eq!(found.3, past.len() as u64);
                check_close(found.1, sigma, &format!("deviation at {offset}"));
                assert!((found.0 - mean).abs() <= 1e-9 * mean.abs().max(1.0), "mean at {offset}");
            }
            values.push((second, value));
        }
        assert!(values.len() > 400);
    }
}

#[test]
fn ewma_agrees_with_two_passes_at_any_offset() {
    for offset in [0.0, 1.0, 1e3, -1e6, 1e9, -1e9] {
        let mut watched = Watched::new(Anomaly { min_std: finite(1e-12), ..rule(AnomalyMethod::Ewma) });
        let mut noise = noise();
        let (mut values, mut weights) = (Vec::<f64>::new(), Vec::<f64>::new());
        let mut second = 0;
        for sample in 0..500_i64 {
            let elapsed = if sample == 0 { 0 } else { 5 + sample % 11 };
            second += elapsed;
            let value = offset + noise();
            let finding = watched.look(second, value);
            if finding.evidence.is_some() {
                let found = explained(&finding);
                let (mean, sigma) = two_passes(&values, &weights, 1.0);
                check_close(found.1, sigma, &format!("deviation at {offset}"));
                assert!((found.0 - mean).abs() <= 1e-9 * mean.abs().max(1.0), "mean at {offset}");
            }
            let weight = (1.0 - (-(elapsed as f64) / 1_200.0).exp()).max(1.0 / (sample + 1) as f64);
            weights.iter_mut().for_each(|older| *older *= 1.0 - weight);
            values.push(value);
            weights.push(weight);
        }
    }
}

#[test]
fn a_silence_does_not_leave_ewma_with_a_single_sample() {
    let mut watched = Watched::new(rule(AnomalyMethod::Ewma));
    let mut noise = noise();
    for sample in 0..120 {
        watched.look(sample * 30, 100.0 + 10.0 * noise());
    }
    let before = explained(&watched.look(3_600, 100.0)).1;
    watched.look(3_600 + 9 * 1_200, 100.0);
    let after = explained(&watched.look(3_630 + 9 * 1_200, 100.0)).1;
    assert!(after > before / 2.0, "{after} after {before}");
}

#[test]
fn mad_is_the_median_and_the_scaled_median_distance() {
    let check = |values: &[f64], expected: (f64, f64)| {
        let mut mad = Mad::default();
        values.iter().for_each(|value| mad.learn(*value, 31));
        let found = mad.expected().unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(close(found.mean, expected.0) && close(found.sigma, expected.1), "{values:?}: {found:?}");
    };
    check(&[1.0, 2.0, 3.0, 4.0, 100.0], (3.0, 1.4826));
    check(&[4.0, 1.0, 2.0, 3.0], (2.5, 1.4826));
    // More than half of the values are equal: the mean distance takes over, and then the floor.
    check(&[5.0, 5.0, 5.0, 5.0, 10.0], (5.0, 1.2533));
    check(&[5.0, 5.0, 5.0], (5.0, 0.0));
    assert_eq!(Mad::default().expected(), None);
}

#[test]
fn a_ring_holds_a_window_of_values_within_its_bounds() {
    let minutes = |minutes: u64| Millis::from_secs(60 * minutes);
    assert_eq!(ring(minutes(10), minutes(1)), 31);
    assert_eq!(ring(minutes(60), minutes(1)), 61);
    assert_eq!(ring(minutes(600), minutes(1)), 101);
    let mut mad = Mad::default();
    for value in 0..100 {
        mad.learn(f64::from(value), 31);
    }
    assert_eq!(mad.values.len(), 31);
    assert_eq!(mad.values.front(), Some(&69.0));
    mad.learn(100.0, 33);
    assert_eq!(mad.values.len(), 32, "a larger ring fills up");
}

#[test]
fn a_memory_is_small() {
    for method in METHODS {
        let mut watched = Watched::new(Anomaly { ring: RING_MAX, ..rule(method) });
        let mut noise = noise();
        for sample in 0..200 {
            watched.look(sample * 30, noise());
        }
        let memory = watched.memory.as_deref().unwrap();
        let held = match &watched.past().estimate {
            Estimate::Ewma(_) => 0,
            Estimate::Zscore(zscore) => size_of_val(&*zscore.buckets),
            Estimate::Mad(mad) => 4 * mad.values.len(),
        };
        assert!(size_of::<Memory>() + held <= 600, "{method:?}: {}", size_of::<Memory>() + held);
        assert!(memory.encoded_bytes() <= 600, "{method:?}");
    }
}
