//! One test on the engine: its samples one after the other, time passing in between, and every expectation held
//! against where the rule stands at its time.

use std::iter::Peekable;

use fleetform_engine::{
    compiled::Compiled,
    effect::{Alert, AlertState, NoticeKind, Observed},
    ids::{DeviceId, MetricId},
    rule_set::RuleSet,
    session::{Answer, Session},
    state::Registration,
    units::{Millis, Timestamp},
    verdict::{Judgement, Standing},
};
use fleetform_generator::platform::rule_test::{Expectation, ExpectedState, RuleTest};

use crate::timeline::{self, Clock, Reason, Row};

/// The device of every test.
const DEVICE: &str = "test-device";

/// A test that was run.
pub(crate) struct Ran {
    /// Every step.
    pub(crate) rows: Vec<Row>,
    /// How it ended.
    pub(crate) end: End,
}

/// How a test ended.
pub(crate) enum End {
    /// Everything was as expected.
    Passed,
    /// Something was not.
    Failed(Vec<Failure>),
    /// It was not run, since its rule is disabled here.
    Skipped,
}

/// An expectation that was not met.
pub(crate) struct Failure {
    /// Its time, from the first sample on.
    pub(crate) at: Millis,
    /// What was expected and what was found instead, as a sentence.
    pub(crate) text: String,
}

/// What the world has heard of the rule so far.
#[derive(Default)]
struct Heard {
    alert: Option<Alert>,
    /// Somebody was told of that alert.
    told: bool,
    /// Somebody was told that it is over.
    told_of_end: bool,
}

/// Runs a test. The set is the one that `rules` was compiled from.
pub(crate) fn run(set: &RuleSet, rules: &Compiled, test: &RuleTest) -> Ran {
    if !set.rules.get(&test.rule).is_some_and(|rule| rule.enabled) {
        return Ran { rows: Vec::new(), end: End::Skipped };
    }
    let mut trial = Trial {
        session: Session::new(set, rules),
        test,
        device: DeviceId::new(DEVICE).expect("a name of letters"),
        heard: Heard::default(),
        rows: Vec::new(),
        failures: Vec::new(),
    };
    let registration = Registration {
        id: trial.device.clone(),
        revision: 1,
        device_type: test.device_type.clone(),
        zone: test.zone.clone(),
        attributes: test.attributes.clone(),
        retired: false,
    };
    trial.session.register(&registration, test.start);
    let mut expected = test.expect.iter().peekable();
    let mut series: Vec<_> = test.series.iter().map(|(metric, series)| (metric, series.values())).collect();
    for number in 0..test.samples() {
        let at = Millis(number * test.every.0);
        trial.expect_before(&mut expected, at);
        let values: Vec<(MetricId, Observed)> = series
            .iter_mut()
            .filter_map(|(metric, values)| values.next().flatten().map(|value| ((*metric).clone(), value)))
            .collect();
        trial.step(at, &values);
        trial.expect_at(&mut expected, at);
    }
    // A time behind the last sample is at most one `every` away: the check has seen to it.
    trial.expect_before(&mut expected, Millis(u64::MAX));
    let end = if trial.failures.is_empty() { End::Passed } else { End::Failed(trial.failures) };
    Ran { rows: trial.rows, end }
}

struct Trial<'t> {
    session: Session<'t>,
    test: &'t RuleTest,
    device: DeviceId,
    heard: Heard,
    rows: Vec<Row>,
    failures: Vec<Failure>,
}

impl<'t> Trial<'t> {
    fn moment(&self, at: Millis) -> Timestamp {
        self.test.start.after(at)
    }

    /// A sample, or nothing but time where no metric has a value.
    fn step(&mut self, at: Millis, values: &[(MetricId, Observed)]) {
        let moment = self.moment(at);
        let answer = if values.is_empty() {
            self.session.tick(moment)
        } else {
            self.session.sample(&self.device, moment, values)
        };
        let said: Vec<String> =
            values.iter().map(|(metric, value)| format!("{metric}={}", timeline::value(value))).collect();
        let came = if said.is_empty() { "nothing".to_owned() } else { said.join(" ") };
        self.follow(moment, came, values.is_empty(), answer);
    }

    /// Holds everything that is expected before a time against where the rule stands when it comes.
    fn expect_before(&mut self, expected: &mut Peekable<std::slice::Iter<'t, Expectation>>, before: Millis) {
        while let Some(next) = expected.next_if(|next| next.at < before) {
            self.step(next.at, &[]);
            self.check(next);
            self.expect_at(expected, next.at);
        }
    }

    fn expect_at(&mut self, expected: &mut Peekable<std::slice::Iter<'t, Expectation>>, at: Millis) {
        while let Some(next) = expected.next_if(|next| next.at == at) {
            self.check(next);
        }
    }

    /// Notes what a record did to the rule.
    fn follow(&mut self, at: Timestamp, came: String, is_time_alone: bool, answer: Answer) {
        let (by_timer, by_sample): (Vec<&Judgement>, Vec<&Judgement>) = (answer.judgements.iter())
            .filter(|judgement| judgement.rule == self.test.rule)
            .partition(|judgement| judgement.by_timer);
        for judgement in &by_timer {
            self.rows.push(Row {
                at: judgement.at,
                line: None,
                came: timeline::TIME_ALONE.to_owned(),
                standing: Some(judgement.standing),
                reason: Reason::Judged(judgement.verdict),
                marks: Vec::new(),
            });
        }
        let reason = match (by_sample.last(), answer.effects.quarantined.first()) {
            (Some(judgement), _) => Some(Reason::Judged(judgement.verdict)),
            (None, Some(row)) => Some(Reason::Unjudged {
                word: "set_aside",
                text: format!("set aside as {}: {}", row.reason, row.detail),
            }),
            // A timer has said already what time did.
            (None, None) if is_time_alone && !by_timer.is_empty() => None,
            (None, None) => Some(Reason::Unjudged { word: "not_evaluated", text: String::new() }),
        };
        if let Some(reason) = reason {
            let standing = self.session.place(&self.device, &self.test.rule).map(|place| place.standing);
            self.rows.push(Row { at, line: None, came, standing, reason, marks: Vec::new() });
        }
        for alert in answer.effects.alerts.into_iter().filter(|alert| alert.rule == self.test.rule) {
            if alert.state == AlertState::Firing {
                self.heard = Heard::default();
            }
            self.heard.alert = Some(alert);
        }
        for notice in answer.effects.notifications {
            let about = self.heard.alert.as_ref().map(|alert| &alert.episode);
            if about != Some(&notice.alert.episode) {
                continue;
            }
            match notice.kind {
                NoticeKind::Firing | NoticeKind::Repeat | NoticeKind::Flapping => self.heard.told = true,
                NoticeKind::Resolved => self.heard.told_of_end = true,
            }
        }
    }

    fn check(&mut self, expected: &Expectation) {
        let differences = self.differences(expected);
        if differences.is_empty() {
            return;
        }
        let text = differences.join("; ");
        if let Some(row) = self.rows.last_mut() {
            let at = timeline::length(expected.at);
            row.marks.push(format!("at {at}: {text}"));
        }
        self.failures.push(Failure { at: expected.at, text });
    }

    /// In what way the rule does not stand where it must.
    fn differences(&self, expected: &Expectation) -> Vec<String> {
        let clock = Clock::From(self.test.start);
        let place = self.session.place(&self.device, &self.test.rule);
        let over = self.heard.alert.as_ref().filter(|alert| alert.state != AlertState::Firing);
        let (state, value, told) = match place.as_ref().map(|place| place.standing) {
            None => return vec!["the rule does not cover the device".to_owned()],
            Some(Standing::Pending { .. }) => (ExpectedState::Pending, None, false),
            Some(Standing::Firing { .. }) => {
                (ExpectedState::Firing, place.as_ref().and_then(|place| place.value.as_ref()), self.heard.told)
            }
            Some(Standing::Inactive) => match over {
                Some(alert) => (ExpectedState::Resolved, Some(&alert.value), self.heard.told_of_end),
                None => (ExpectedState::Inactive, None, false),
            },
        };
        let same = match expected.state {
            ExpectedState::Inactive => matches!(state, ExpectedState::Inactive | ExpectedState::Resolved),
            ExpectedState::Pending | ExpectedState::Firing | ExpectedState::Resolved => state == expected.state,
        };
        if !same {
            let since = place.as_ref().and_then(|place| timeline::since(&place.standing));
            let since = since.map(|since| format!(" since {}", clock.time(since))).unwrap_or_default();
            return vec![format!("expected {}, but it is {}{since}", expected.state.as_str(), state.as_str())];
        }
        let mut differences = Vec::new();
        let mut differ = |what: &str, expected: String, found: String| {
            differences.push(format!("expected {what} {expected}, but it is {found}"));
        };
        let severity = self.heard.alert.as_ref().map(|alert| &alert.severity);
        if let (Some(expected), Some(found)) = (&expected.severity, severity)
            && expected != found
        {
            differ("severity", expected.to_string(), found.to_string());
        }
        if let (Some(expected), Some(found)) = (&expected.value, value)
            && !is_same(expected, found)
        {
            differ("value", timeline::value(expected), timeline::value(found));
        }
        if let Some(expected) = expected.notified
            && expected != told
        {
            let words = |told: bool| if told { "somebody was told" } else { "nobody was told" };
            differences.push(format!("expected that {}, but {}", words(expected), words(told)));
        }
        differences
    }
}

/// Numbers that differ by their last digits only are the same: a rate is a quotient.
fn is_same(expected: &Observed, found: &Observed) -> bool {
    match (expected, found) {
        (Observed::Number(expected), Observed::Number(found)) => {
            let (expected, found) = (expected.get(), found.get());
            (expected - found).abs() <= 1e-9 * expected.abs().max(found.abs())
        }
        (expected, found) => expected == found,
    }
}
