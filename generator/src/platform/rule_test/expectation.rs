//! `expect` in a test: the expected state of its rule at a time.

use std::collections::BTreeMap;

use fleetform_engine::{
    effect::Observed,
    ids::SeverityId,
    rule_set::{Condition, Rule},
    units::Millis,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Length, raw::RawItem, subject::Subject};
use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    platform::severity,
    schema::types::Duration,
    source::At,
};

/// Maximum number of missing gaps for which the help proposes to add them. A test that lacks more is probably a
/// different one.
const MORE_MAX: u64 = 1_000;

/// An item of `expect` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawExpectation {
    /// The time, from the first sample on. A sample at exactly that time counts.
    #[schemars(required)]
    pub(crate) at: Option<Duration>,
    /// The expected state of the rule. `resolved` is inactive after an episode.
    #[schemars(required)]
    pub(crate) state: Option<RawExpectedState>,
    /// The severity of the alert.
    pub(crate) severity: Option<String>,
    /// The value that the alert reports: the one compared last, or the one that ended it.
    pub(crate) value: Option<RawItem>,
    /// Whether a notice had been sent by then: of the episode, or of its end if it is resolved.
    pub(crate) notified: Option<bool>,
}

/// A state as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawExpectedState {
    Inactive,
    Pending,
    Firing,
    Resolved,
}

/// The expected state of a rule at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// The time, from the first sample on.
    pub at: Millis,
    /// The state.
    pub state: ExpectedState,
    /// The alert's severity, if it is checked.
    pub severity: Option<SeverityId>,
    /// The alert's value, if it is checked.
    pub value: Option<Observed>,
    /// Whether a notice was sent, if it is checked.
    pub notified: Option<bool>,
}

/// A state that a test can expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedState {
    /// Neither pending nor firing, whatever came before.
    Inactive,
    /// The condition holds, but not for long enough yet.
    Pending,
    /// An episode is in progress.
    Firing,
    /// Inactive, and the last episode is over.
    Resolved,
}

impl ExpectedState {
    /// The state's word in a platform file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }

    /// Whether the state has an alert with properties to check.
    const fn has_alert(self) -> bool {
        match self {
            Self::Firing | Self::Resolved => true,
            Self::Inactive | Self::Pending => false,
        }
    }
}

impl RawExpectedState {
    fn state(self) -> ExpectedState {
        match self {
            Self::Inactive => ExpectedState::Inactive,
            Self::Pending => ExpectedState::Pending,
            Self::Firing => ExpectedState::Firing,
            Self::Resolved => ExpectedState::Resolved,
        }
    }
}

impl RawExpectation {
    pub(super) fn check(&self, subject: &Subject<'_>, at: &At<'_>, context: &Context<'_>) -> Option<Expectation> {
        let state = self.state.map(RawExpectedState::state);
        let impossible = |key: &str, message: String| {
            Diagnostic::new(Code::ImpossibleExpectation, context.value(&at.key(key)), message)
        };
        for (key, is_written) in [
            ("severity", self.severity.is_some()),
            ("value", self.value.is_some()),
            ("notified", self.notified.is_some()),
        ] {
            if let Some(state) = state.filter(|state| is_written && !state.has_alert()) {
                context.report(
                    Diagnostic::new(
                        Code::KeysExclude,
                        context.key(&at.key(key)),
                        format!("`{key}` is said of an alert, and there is none where a rule is {}", state.as_str()),
                    )
                    .related(context.value(&at.key("state")), "the state")
                    .help("remove it, or expect `firing` or `resolved`"),
                );
            }
        }
        let severity_at = at.key("severity");
        let user = || "an expectation".to_owned();
        let severity = self.severity.as_deref().and_then(|name| severity::reference(name, &severity_at, user, context));
        if let (Some(severity), Some((rule_id, Rule { severity: own, .. }))) = (&severity, subject.rule)
            && severity != own
        {
            let message = format!("an alert of rule `{rule_id}` is never `{severity}`");
            let rules = At::root("rules");
            let rule = rules.key(rule_id.as_str());
            context.report(
                impossible("severity", message)
                    .related(context.value(&rule.key("severity")), "the rule's severity")
                    .replace(format!("it is `{own}`"), format!("\"{own}\"")),
            );
        }
        let value = self.value.as_ref().and_then(|value| check_value(value, subject, &at.key("value"), context));
        Some(Expectation { at: self.at?.0, state: state?, severity, value, notified: self.notified })
    }
}

/// Reports the last expectation after the end of a test: if the test covers that one, it covers all of them.
pub(super) fn check_end(expect: &[RawExpectation], length: Length, at: &At<'_>, context: &Context<'_>) {
    let Length { every, samples } = length;
    let timed = expect.iter().enumerate().filter_map(|(index, raw)| Some((raw.at?.0, index)));
    let Some((time, index)) = timed.max_by_key(|(time, _)| *time) else { return };
    let end = Millis(samples.saturating_mul(every.0));
    if samples == 0 || time < end {
        return;
    }
    let last = Duration::write(Millis(end.0 - every.0));
    let more = (time.0 - end.0) / every.0 + 1;
    let message = format!("the series ends with its sample at `{last}`, before `{}`", Duration::write(time));
    let expectation = at.index(index);
    let place = context.value(&expectation.key("at"));
    context.report(Diagnostic::new(Code::ImpossibleExpectation, place, message).help(if more <= MORE_MAX {
        format!("add `_x{more}` to a series for as much silence, or ask earlier")
    } else {
        format!("ask at `{last}` or earlier, or let samples come further apart: `every`")
    }));
}

/// Reports an expectation that contradicts an earlier one at the same time.
pub(super) fn check_together(expect: &[RawExpectation], at: &At<'_>, context: &Context<'_>) {
    let mut first = BTreeMap::new();
    for (index, raw) in expect.iter().enumerate() {
        let (Some(time), Some(state)) = (&raw.at, raw.state) else { continue };
        let (state, place) = (state.state(), at.index(index));
        let (other, before) = *first.entry(time.0).or_insert((state, index));
        // After an episode, the rule is inactive.
        let quiet = |state| matches!(state, ExpectedState::Inactive | ExpectedState::Resolved);
        if state == other || (quiet(state) && quiet(other)) {
            continue;
        }
        let message = format!("no rule is {} and {} at `{}`", other.as_str(), state.as_str(), Duration::write(time.0));
        let earlier = at.index(before);
        context.report(
            Diagnostic::new(Code::ImpossibleExpectation, context.value(&place.key("state")), message)
                .related(context.value(&earlier.key("state")), "expected at the same time")
                .help("remove one of them, or ask at another time"),
        );
    }
}

/// Returns the expected value, if the rule can ever compare such a value.
fn check_value(value: &RawItem, subject: &Subject<'_>, at: &At<'_>, context: &Context<'_>) -> Option<Observed> {
    let (rule_id, rule) = subject.rule?;
    if let (Condition::Fleet { .. }, RawItem::Number(number)) = (&rule.condition, value) {
        return Some(Observed::Number(*number));
    }
    let Some(metric) = &rule.metric else {
        let message = format!("rule `{rule_id}` reads no samples, so its alerts have no value to expect");
        context.report(Diagnostic::new(Code::ImpossibleExpectation, context.value(at), message).help("remove `value`"));
        return None;
    };
    let values = subject.values(metric.as_str())?;
    match value.read(values) {
        Ok(Some(value)) => Some(value),
        Ok(None) => {
            context.report(
                Diagnostic::new(Code::ImpossibleExpectation, context.value(at), "a gap is no value")
                    .help("write the value, or remove `value`"),
            );
            None
        }
        Err(problem) => {
            let (code, message) = if problem.is_word {
                (Code::ImpossibleState, format!("{} {}", subject.shown(metric.as_str()), problem.message))
            } else {
                (Code::ImpossibleExpectation, problem.message)
            };
            let diagnostic = Diagnostic::new(code, context.value(at), message);
            context.report(match problem.instead {
                Some(instead) => diagnostic.replace(problem.help, format!("\"{instead}\"")),
                None => diagnostic.help(problem.help),
            });
            None
        }
    }
}
