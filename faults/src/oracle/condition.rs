//! What a rule of an artifact finds in the samples of one metric, and which devices it covers. Read from the JSON
//! each time.

use serde_json::Value;

/// What a rule finds in the newest sample.
pub(super) struct Found {
    pub(super) breach: bool,
    pub(super) clear: bool,
    pub(super) value: Value,
    /// Since when it breaches, if the condition itself determines that.
    pub(super) since: Option<i64>,
    /// Evidence that explains the value, as in the history; null for none.
    pub(super) evidence: Value,
}

impl Found {
    /// Creates the finding of a condition that is clear exactly when it does not hold.
    pub(super) fn plain(breach: bool) -> Self {
        Self { breach, clear: !breach, value: breach.into(), since: None, evidence: Value::Null }
    }
}

/// Returns whether a number meets an operator, and whether it is clear.
pub(super) fn compare(condition: &Value, value: f64, threshold: f64) -> (bool, bool) {
    let clear = condition["clear"].as_f64().unwrap_or(threshold);
    match condition["operator"].as_str() {
        Some(">") => (value > threshold, value <= clear),
        Some(">=") => (value >= threshold, value < clear),
        Some("<") => (value < threshold, value >= clear),
        operator => unreachable!("no rule of the workload has {operator:?}"),
    }
}

/// Evaluates the newest of a metric's samples. `None` if there is nothing to compare it with. `past` are the samples
/// that the rule has seen.
pub(super) fn judge(
    rule: &Value,
    series: &[(i64, Value)],
    past: &[(i64, Value)],
    registration: &Value,
) -> Option<Found> {
    let condition = &rule["condition"];
    let (t, value) = series.last()?;
    let before = series.len().checked_sub(2).map(|index| &series[index]);
    let compare = |value: f64, threshold: f64| compare(condition, value, threshold);
    let ((breach, clear), value) = match condition["type"].as_str()? {
        "threshold" => {
            let attribute = condition["threshold"]["attribute"].as_str().unwrap_or_default();
            let own = || registration["attributes"].get(attribute).and_then(Value::as_f64).unwrap_or(60.0);
            let threshold = condition["threshold"].as_f64().unwrap_or_else(own);
            (compare(number(value), threshold), value.clone())
        }
        "range" => {
            let outside = number(value) < number(&condition["min"]) || number(value) > number(&condition["max"]);
            ((outside, !outside), value.clone())
        }
        "rate_of_change" => {
            let (t_before, before) = before?;
            let rate = (number(value) - number(before)) * number(&condition["per_ms"]) / (t - t_before) as f64;
            (compare(rate, number(&condition["threshold"])), rate.into())
        }
        _ => {
            let stays = past.iter().rev().take_while(|(_, value)| *value == condition["equals"]).count();
            let came = condition
                .get("from")
                .is_none_or(|from| series.len().checked_sub(stays + 1).is_some_and(|before| series[before].1 == *from));
            let breach = *value == condition["equals"] && came;
            ((breach, !breach), value.clone())
        }
    };
    Some(Found { breach, clear: clear && !breach, value, since: None, evidence: Value::Null })
}

/// Whether a set knows a device's type and zone, and the device is in service. A fleet has no type.
pub(super) fn is_at_home(set: &Value, registration: &Value) -> bool {
    let known = |of: &str, key: &str| set[of].get(registration[key].as_str().unwrap_or_default()).is_some();
    let of_type = registration["fleet"].is_string() || known("device_types", "type");
    registration["retired"] != true && known("zones", "zone") && of_type
}

/// Whether a rule is in force for a device, or for a fleet.
pub(super) fn covers(id: &str, rule: &Value, registration: &Value) -> bool {
    let has = |key: &str, value: &Value| rule[key].as_array().is_none_or(|of| of.contains(value));
    let is_fleet = rule["condition"]["type"] == "fleet";
    let of_kind = match registration["fleet"].as_str() {
        Some(fleet) => is_fleet && fleet == id,
        None => !is_fleet && has("device_types", &registration["type"]),
    };
    rule["enabled"] == true && of_kind && has("zones", &registration["zone"])
}

pub(super) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Returns when a rule that fired at these times is stable again, if it flaps now. It starts to flap at more firings
/// than its limit in the limit's time, and is stable after that time without any.
pub(super) fn stable_at(firings: &[i64], rule: &Value, now: i64) -> Option<i64> {
    let limit = &rule["flap_limit"];
    let (limit, per) = (limit["firings"].as_u64()? as usize, limit["per_ms"].as_i64()?);
    let (mut recent, mut flaps) = (Vec::new(), false);
    for firing in firings {
        if flaps && recent.last().is_some_and(|last| *firing >= last + per) {
            (recent, flaps) = (Vec::new(), false);
        }
        recent.retain(|earlier| firing - earlier < per);
        recent.push(*firing);
        flaps |= recent.len() > limit;
    }
    recent.last().map(|last| last + per).filter(|stable| flaps && now < *stable)
}

/// Formats a row: the record that wrote it, its subject, and its contents.
pub(crate) fn row(
    (sequence, t, ingest): (&str, i64, i64),
    (rule, device, zone): (&str, &str, &str),
    (severity, state, since): (&str, &str, i64),
    (value, evidence): (&Value, &Value),
) -> String {
    let value = value.as_f64().map_or_else(|| value.to_string(), |number| format!("{number}"));
    let because = explained(evidence);
    format!(
        "{sequence} {rule} {device} {zone} {severity} {state} t={t} ingest={ingest} since={since} value={value}{because}"
    )
}

/// Formats evidence.
fn explained(evidence: &Value) -> String {
    let fields = evidence.as_object().into_iter().flatten().filter(|(key, _)| *key != "kind");
    let field = |(key, value): (&String, &Value)| match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => format!(" {key}={}", rounded(number)),
        None => format!(" {key}={value}"),
    };
    fields.map(field).collect()
}

/// Rounds a number to about six digits. Sums may differ in their last digits, so the edges between steps must lie
/// where no number of the workload does: no edge is a simple fraction.
fn rounded(number: f64) -> String {
    const STEPS: f64 = 3e5;
    let step = ((number * 1e6).asinh() * STEPS + 0.5234).floor();
    format!("{:.6}", (step / STEPS).sinh() / 1e6)
}
