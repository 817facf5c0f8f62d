//! `[severities.X]`: how urgent an alert is. The form in the rule set is the checked form.

use std::collections::BTreeMap;

use fleetform_engine::{ids::SeverityId, units::Millis};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    check::{
        bounds::Bounds,
        context::{Context, listing, shown},
    },
    diagnostic::{Code, Diagnostic},
    schema::types::{Duration, Table},
    source::At,
};

/// Cooldown of ranks 1 and 2.
const COOLDOWN_URGENT: Millis = Millis::from_secs(5 * 60);

/// Cooldown of the other ranks.
const COOLDOWN_OTHER: Millis = Millis::from_secs(15 * 60);

/// The severities of a file that declares none, with their ranks.
pub(crate) const DEFAULT: [(&str, u32); 4] = [("critical", 1), ("high", 2), ("medium", 3), ("low", 4)];

/// `[severities.X]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSeverity {
    /// 1 is the most urgent.
    #[schemars(required, range(min = 1, max = 100))]
    pub(crate) rank: Option<u32>,
    /// Minimum time between two notices of one rule on one device. Default: 5m for ranks 1 and 2, otherwise 15m.
    pub(crate) cooldown: Option<Duration>,
    /// Time between two notices of an alert that keeps firing. Default: only one notice is sent.
    pub(crate) repeat_every: Option<Duration>,
}

/// How urgent an alert is.
pub type Severity = fleetform_engine::rule_set::Severity;

/// Returns the declared severities, or the four defaults if there are none.
pub(crate) fn check(
    raw: Option<&Table<SeverityId, RawSeverity>>,
    context: &Context<'_>,
) -> BTreeMap<SeverityId, Severity> {
    let make = |rank: u32, cooldown: Option<Millis>, repeat_every: Option<Millis>| Severity {
        rank,
        cooldown_ms: cooldown.unwrap_or(if rank <= 2 { COOLDOWN_URGENT } else { COOLDOWN_OTHER }),
        repeat_every_ms: repeat_every,
    };
    let Some(raw) = raw else {
        let named = |(name, rank): &(&str, u32)| SeverityId::new(name).ok().map(|id| (id, make(*rank, None, None)));
        return DEFAULT.iter().filter_map(named).collect();
    };
    let all = At::root("severities");
    raw.0
        .iter()
        .map(|(id, raw)| {
            let table = all.key(id.as_str());
            let repeat_every =
                Bounds::new("1m", "30d").check_given(raw.repeat_every, &table.key("repeat_every"), context);
            let cooldown = Bounds::new("0s", "10y").check_given(raw.cooldown, &table.key("cooldown"), context);
            (id.clone(), make(raw.rank.unwrap_or(1), cooldown, repeat_every))
        })
        .collect()
}

/// The names of all severities, including those with broken values.
pub(crate) fn names<'d>(context: &Context<'d>) -> Vec<&'d str> {
    let declared: Vec<&str> = context.declared("severities").collect();
    if declared.is_empty() { DEFAULT.iter().map(|(name, _)| *name).collect() } else { declared }
}

/// Resolves a severity name, ignoring case; reports an unknown one.
pub(crate) fn reference(
    name: &str,
    at: &At<'_>,
    user: impl FnOnce() -> String,
    context: &Context<'_>,
) -> Option<SeverityId> {
    let folded = name.to_ascii_lowercase();
    let names = names(context);
    let is_misspelt = || context.is_misspelt(&At::root("severities"), &folded, |key| SeverityId::new(key).is_ok());
    if names.contains(&folded.as_str()) || context.is_declared("severities", &folded) || is_misspelt() {
        return SeverityId::new(&folded).ok();
    }
    let message = format!("{} has severity `{}`, which is not declared", user(), shown(name));
    let allowed = format!("allowed: {}", listing(&names));
    let diagnostic = Diagnostic::new(Code::UnknownSeverity, context.value(at), message).label("no such severity");
    context.report(match context.nearest(&folded, names.iter().copied()) {
        Some(near) => diagnostic.replace(format!("did you mean `{near}`? ({allowed})"), format!("\"{near}\"")),
        None => diagnostic.help(allowed),
    });
    context.mark_broken(at);
    None
}
