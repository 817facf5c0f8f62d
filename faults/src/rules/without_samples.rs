//! Rules that read no samples: about silence and presence, about alarms that a device raises, about its other rules,
//! and about zones.

use serde_json::{Value, json};

use super::held;
use crate::random::Random;

/// Returns the rules by id. They name rules that read samples.
pub(super) fn rules(random: &mut Random) -> [(&'static str, Value); 10] {
    let (both, meter, pump) = (&["meter", "pump"][..], &["meter"][..], &["pump"][..]);
    let soon = |random: &mut Random| held(10 * random.between(0, 9), "reset", None);
    let mut offline = rule(json!({ "type": "no_data" }), "high", both, held(0, "reset", None));
    offline["keep_firing_for_ms"] = json!(10_000 * random.between(0, 6));
    let after = |random: &mut Random| json!({ "type": "no_data", "after_ms": random.between(120, 900) * 1_000 });
    let mut by_day = rule(after(random), "low", both, held(0, "reset", None));
    by_day["active"] = hours(random);
    let codes = random.pick::<&[&str]>(&[&[], &["leak"], &["fire", "leak", "tamper"]]).to_vec();
    let mut alarmed = rule(json!({ "type": "device_alarm", "codes": codes }), "critical", both, soon(random));
    alarmed["keep_firing_for_ms"] = json!(10_000 * random.between(0, 6));
    let mut worn = rule(json!({ "type": "device_alarm", "codes": ["worn"] }), "low", pump, held(0, "reset", None));
    worn["active"] = hours(random);
    worn["zones"] = json!(["zone-b"]);
    let pressed =
        json!({ "type": "composite", "all": ["high-pressure"], "any": ["very-hot", "door-open", "low-battery"] });
    let mut unwatched = rule(
        json!({ "type": "composite", "any": ["low-battery", "silent"], "not": ["pump-fault"] }),
        "low",
        both,
        soon(random),
    );
    unwatched["keep_firing_for_ms"] = json!(10_000 * random.between(0, 12));
    let trouble = json!({ "type": "composite", "any": ["alarmed", "pressed-and-hot"], "not": ["temperature-range"] });
    let mut trouble = rule(trouble, "critical", both, held(0, "reset", None));
    // Drawn separately from everything else, so that existing seeds keep their meaning.
    let mut apart = random.clone().fork();
    for rule in [&mut alarmed, &mut trouble, &mut unwatched] {
        if apart.per_mille(300) {
            rule["active"] = hours(&mut apart);
        }
    }
    let counted = *random.pick(&["low-battery", "silent", "low-battery"]);
    let share = json!({ "percent": random.between(10, 60) as f64 });
    let mut many = rule(fleet(&json!({ "rule": counted }), ">=", &share), "critical", both, soon(random));
    many["keep_firing_for_ms"] = json!(10_000 * random.between(0, 12));
    let limit = match random.per_mille(500) {
        true => json!({ "percent": random.between(5, 40) as f64 }),
        false => json!({ "devices": random.between(0, 2) as f64 }),
    };
    let mut many_offline = rule(fleet(&json!("offline"), ">", &limit), "high", both, soon(random));
    if random.per_mille(300) {
        many_offline["active"] = hours(random);
    }
    [
        ("alarmed", alarmed),
        ("many-low", many),
        ("many-offline", many_offline),
        ("offline", offline),
        ("pressed-and-hot", rule(pressed, "high", meter, soon(random))),
        ("silent", rule(after(random), "low", both, held(0, "reset", None))),
        ("silent-by-day", by_day),
        ("trouble", trouble),
        ("unwatched", unwatched),
        ("worn", worn),
    ]
}

fn fleet(of: &Value, operator: &str, threshold: &Value) -> Value {
    json!({ "type": "fleet", "of": of, "operator": operator, "threshold": threshold })
}

fn rule(condition: Value, severity: &str, types: &[&str], hold: Value) -> Value {
    json!({
        "condition": condition, "severity": severity, "device_types": types, "hold": hold, "keep_firing_for_ms": 0,
        "min_samples": 0, "enabled": true, "shadow": false,
    })
}

/// A log starts on a Saturday at half past ten UTC and lasts for a few hours.
pub(super) fn hours(random: &mut Random) -> Value {
    let opens = random.between(9, 17) * 60 + random.between(0, 59);
    json!({
        "days": random.pick(&[&[][..], &["sat"], &["sat", "sun", "mon"], &["fri"]]), "from_minute": opens,
        "to_minute": (opens + random.between(10, 900)) % 1_440,
    })
}
