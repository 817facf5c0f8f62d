//! Rules about what is normal for a device, one for each method.

use serde_json::{Value, json};

use super::{held, rule};
use crate::random::Random;

/// Returns the rules by id.
pub(super) fn rules(random: &mut Random) -> [(&'static str, Value); 3] {
    let mut one = |metric: &str, method: &str, types: &[&str], (window, low): (i64, i64)| {
        let condition = json!({
            "type": "anomaly", "method": method, "window_ms": 1_000 * random.between(window / 4, window),
            // No score lies on such a limit: one that did might lie on either side, depending on the order of
            // summation.
            "sensitivity": 0.1 * random.between(low, low + 12) as f64 + 0.03171,
            "min_std": 0.0713 * random.between(1, 20) as f64, "min_rel_std": 0.00391 * random.between(0, 20) as f64,
            "min_consecutive": 1 + random.below(2) * random.below(2),
            "rebaseline_after_ms": 1_000 * random.between(60, 1_200),
            "direction": random.pick(&["both", "up", "down"]),
        });
        let hold =
            held(10 * random.between(0, 3) * random.between(0, 1), random.pick::<&str>(&["reset", "hold"]), None);
        let mut rule = rule(metric, condition, random.pick::<&str>(&["high", "low"]), types, hold);
        rule["min_samples"] = json!(random.between(2, 12));
        rule["keep_firing_for_ms"] = json!(10_000 * random.between(0, 3));
        rule
    };
    [
        ("odd-pressure", one("pressure", "ewma", &["meter"], (1_200, 10))),
        ("odd-temperature", one("temperature", "mad", &["meter"], (1_200, 10))),
        ("odd-vibration", one("vibration", "zscore", &["pump"], (1_800, 10))),
    ]
}
