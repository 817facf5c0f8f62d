//! What is normal for a device, derived from every sample that a rule has seen on it: see Anomalies in
//! `docs/semantics.md`. Only the scores are remembered, since each was computed once, from what was known then. Sums
//! are computed in two passes, so that they agree with any other order of summation except for their last digits.

use serde_json::{Value, json};

use super::condition::{Found, number};

/// What the past predicts, as distances from its first value.
struct Expected {
    mean: f64,
    sigma: f64,
    n: usize,
}

/// A sample that is part of the past.
struct Learned {
    distance: f64,
    /// How much the past had aged when the sample arrived: in total, and since the previous sample.
    clock: i64,
    aged: i64,
}

/// Scores the newest sample of a past whose other samples have these scores; `None` as the score while the past is
/// being learned.
pub(super) fn anomaly(
    rule: &Value,
    past: &[(i64, Value)],
    scores: &[Option<f64>],
    report_every: i64,
) -> Option<(Found, Option<f64>)> {
    let condition = &rule["condition"];
    let window = condition["window_ms"].as_i64()?;
    // Samples before ten windows of silence no longer predict anything.
    let silence = past.windows(2).rposition(|pair| pair[1].0 - pair[0].0 >= 10 * window).map_or(0, |before| before + 1);
    let (past, scores) = (&past[silence..], &scores[silence..]);
    let ((first, origin), (now, value)) = (past.first()?, past.last()?);
    let outlies = |score: f64| score.abs() >= number(&condition["sensitivity"]);

    let mut learned: Vec<Learned> = Vec::new();
    let (mut clock, mut run, mut kept_out) = (0, None, false);
    for (index, (t, value)) in past.iter().enumerate() {
        // A sample that is kept out of the past does not age it.
        let aged = if kept_out || index == 0 { 0 } else { t - past[index - 1].0 };
        clock += aged;
        let Some(score) = scores.get(index) else { break };
        run = score.filter(|score| outlies(*score)).map(|_| run.unwrap_or(*t));
        kept_out = run.is_some_and(|since| t - since < condition["rebaseline_after_ms"].as_i64().unwrap_or(0));
        if !kept_out {
            learned.push(Learned { distance: number(value) - number(origin), clock, aged });
        }
    }

    let expected = match condition["method"].as_str()? {
        "ewma" => ewma(&learned, window),
        "zscore" => zscore(&learned, clock, window),
        _ => mad(&learned, ((window / report_every).clamp(31, 101) | 1) as usize),
    };
    let enough = |expected: &Expected| expected.n as u64 >= rule["min_samples"].as_u64().unwrap_or(0);
    let Some(Expected { mean, sigma, n }) = expected.filter(enough).filter(|_| now - first >= window) else {
        let found = Found { breach: false, clear: true, value: value.clone(), since: None, evidence: Value::Null };
        return Some((found, None));
    };
    let around = number(origin) + mean;
    let floor = number(&condition["min_std"]).max(number(&condition["min_rel_std"]) * around.abs());
    let sigma = sigma.max(floor);
    let score = (number(value) - number(origin) - mean) / sigma;

    let counts = |score: f64| match condition["direction"].as_str() {
        Some("up") => score > 0.0,
        Some("down") => score < 0.0,
        _ => true,
    };
    let is_anomalous = |score: &Option<f64>| score.is_some_and(|score| outlies(score) && counts(score));
    let newest_first = [Some(score)].into_iter().chain(scores.iter().rev().copied());
    let anomalous = newest_first.take_while(is_anomalous).count();
    let found = Found {
        breach: anomalous as u64 >= condition["min_consecutive"].as_u64()?,
        clear: anomalous == 0,
        value: value.clone(),
        since: Some(past[past.len() - anomalous.max(1)].0),
        evidence: json!({ "kind": "anomaly", "mean": around, "sigma": sigma, "score": score, "n": n }),
    };
    Some((found, Some(score)))
}

/// Each sample moves the mean by a fraction of its distance. The final weight of a sample is that fraction times what
/// the fractions of all later samples have left of it.
fn ewma(learned: &[Learned], window: i64) -> Option<Expected> {
    let mut left = 1.0;
    let mut weights = Vec::new();
    for (index, Learned { aged, .. }) in learned.iter().enumerate().rev() {
        let faded = 1.0 - (-((*aged).min(window) as f64) / window as f64).exp();
        let part = faded.max(1.0 / (index + 1) as f64);
        weights.push(left * part);
        left *= 1.0 - part;
    }
    weights.reverse();
    let weighted = |of: &dyn Fn(f64) -> f64| -> f64 {
        learned.iter().zip(&weights).map(|(learned, weight)| weight * of(learned.distance)).sum()
    };
    let mean = weighted(&|distance| distance);
    let variance = weighted(&|distance| (distance - mean) * (distance - mean));
    (!learned.is_empty()).then(|| Expected { mean, sigma: variance.sqrt(), n: learned.len() })
}

/// The samples in the newest twelve parts of the window, the last of which has just started.
fn zscore(learned: &[Learned], clock: i64, window: i64) -> Option<Expected> {
    let part = (window / 12).max(1);
    let within: Vec<f64> =
        learned.iter().filter(|it| it.clock / part + 12 > clock / part).map(|it| it.distance).collect();
    let n = within.len();
    let mean = within.iter().sum::<f64>() / n.max(1) as f64;
    let squares: f64 = within.iter().map(|distance| (distance - mean) * (distance - mean)).sum();
    (n > 0).then(|| Expected { mean, sigma: (squares / (n - 1).max(1) as f64).sqrt(), n })
}

/// The values of the workload are multiples of a quarter, so that single precision holds their distances.
fn mad(learned: &[Learned], ring: usize) -> Option<Expected> {
    let last: Vec<f64> = learned.iter().rev().take(ring).map(|it| it.distance).collect();
    let middle = median(last.clone())?;
    let away: Vec<f64> = last.iter().map(|distance| (distance - middle).abs()).collect();
    let mean_away = away.iter().sum::<f64>() / away.len() as f64;
    let median_away = median(away)?;
    let sigma = if median_away > 0.0 { 1.4826 * median_away } else { 1.2533 * mean_away };
    Some(Expected { mean: middle, sigma, n: last.len() })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (lower, upper) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*lower, *upper))
}
