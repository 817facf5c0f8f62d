//! Runs one test on the engine: its samples one after the other, time passing in between, and every expectation
//! compared with the state of the rule at its time.

use std::{collections::BTreeMap, iter::Peekable, sync::Arc};

use fleetform_engine::{
    compiled::Compiled,
    effect::{Alert, AlertState, NoticeKind, Observed},
    ids::{DeviceId, MetricId},
    rule_set::{Condition, RuleSet},
    session::{Answer, Place, Session},
    state::Registration,
    units::{Millis, Timestamp},
    verdict::{Judgement, Standing},
};
use fleetform_generator::platform::rule_test::{ALARM_OFF, ALARM_ON, Expectation, ExpectedState, RuleTest, Series};

use crate::{
    gap::Gaps,
    timeline::{self, Clock, Reason, Row},
};

/// The first device of every test; others have a number behind this.
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

/// The alert and notices of the rule so far.
#[derive(Default)]
struct Heard {
    alert: Option<Alert>,
    /// Whether a notice of that alert was sent.
    told: bool,
    /// Whether a notice of its end was sent.
    told_of_end: bool,
}

/// Runs a test. The set is the one that `rules` was compiled from.
pub(crate) fn run(set: &RuleSet, rules: &Arc<Compiled>, test: &RuleTest) -> Ran {
    if !set.rules.get(&test.rule).is_some_and(|rule| rule.enabled) {
        return Ran { rows: Vec::new(), end: End::Skipped };
    }
    let more = (1..).map(|number: usize| DeviceId::new(&format!("{DEVICE}-{number}")).expect("letters and digits"));
    let others = test.others.iter().flat_map(|(count, series)| std::iter::repeat_n(series, *count as usize));
    let first = (DeviceId::new(DEVICE).expect("letters"), &test.series);
    let devices: Vec<(DeviceId, &BTreeMap<MetricId, Series>)> =
        std::iter::once(first).chain(more.zip(others)).collect();
    let mut trial = Trial {
        session: Session::new(set, rules.clone()),
        test,
        device: devices[0].0.clone(),
        is_fleet: set.rules.get(&test.rule).is_some_and(|rule| matches!(rule.condition, Condition::Fleet { .. })),
        gaps: Gaps::new(&set.rules[&test.rule], set.device_types.get(&test.device_type)),
        heard: Heard::default(),
        rows: Vec::new(),
        failures: Vec::new(),
    };
    for (id, _) in &devices {
        let registration = Registration {
            id: id.clone(),
            revision: 1,
            device_type: test.device_type.clone(),
            zone: test.zone.clone(),
            attributes: test.attributes.clone(),
            retired: false,
        };
        trial.session.register(&registration, test.start);
    }
    let mut expected = test.expect.iter().peekable();
    let mut sent: Vec<_> = devices
        .iter()
        .map(|(id, series)| (id, series.iter().map(|(metric, series)| (metric, series.values())).collect::<Vec<_>>()))
        .collect();
    let mut alarms: Vec<_> = test.alarms.iter().map(|(code, series)| (code, series.values())).collect();
    for number in 0..test.samples() {
        let at = Millis(number * test.every.0);
        trial.expect_before(&mut expected, at);
        let samples: Vec<Sample<'_>> = (sent.iter_mut())
            .map(|(id, series)| {
                let values = series
                    .iter_mut()
                    .filter_map(|(metric, values)| values.next().flatten().map(|value| ((*metric).clone(), value)));
                (&**id, values.collect())
            })
            .filter(|(_, values): &Sample<'_>| !values.is_empty())
            .collect();
        let changes: Vec<(&str, bool)> = (alarms.iter_mut())
            .filter_map(|(code, words)| Some((code.as_str(), is_raised(&words.next().flatten()?))))
            .collect();
        trial.step(at, &samples, &changes);
        trial.expect_at(&mut expected, at);
    }
    // A time after the last sample is at most one `every` away: the check guarantees it.
    trial.expect_before(&mut expected, Millis(u64::MAX));
    let end = if trial.failures.is_empty() { End::Passed } else { End::Failed(trial.failures) };
    Ran { rows: trial.rows, end }
}

/// Whether the word of an alarm raises it.
fn is_raised(word: &Observed) -> bool {
    matches!(word, Observed::Word(word) if word == ALARM_ON)
}

/// What one device sends at one time.
type Sample<'d> = (&'d DeviceId, Vec<(MetricId, Observed)>);

struct Trial<'t> {
    session: Session<'t>,
    test: &'t RuleTest,
    device: DeviceId,
    /// Whether the rule is evaluated for a zone instead of a device.
    is_fleet: bool,
    gaps: Gaps,
    heard: Heard,
    rows: Vec<Row>,
    failures: Vec<Failure>,
}

impl<'t> Trial<'t> {
    fn moment(&self, at: Millis) -> Timestamp {
        self.test.start.after(at)
    }

    /// The samples and alarms of a time, or nothing but time where there are none.
    fn step(&mut self, at: Millis, samples: &[Sample<'_>], alarms: &[(&str, bool)]) {
        let moment = self.moment(at);
        let is_time_alone = samples.is_empty() && alarms.is_empty();
        let mut answer = if is_time_alone { self.session.tick(moment) } else { Answer::default() };
        let mut said = Vec::new();
        let mut add = |Answer { judgements, effects, .. }: Answer| {
            answer.judgements.extend(judgements);
            answer.effects.alerts.extend(effects.alerts);
            answer.effects.notifications.extend(effects.notifications);
            answer.effects.quarantined.extend(effects.quarantined);
        };
        for (device, values) in samples {
            add(self.session.sample(device, moment, values));
            if **device == self.device {
                said.extend(values.iter().map(|(metric, value)| format!("{metric}={}", timeline::value(value))));
            }
        }
        for (code, active) in alarms {
            add(self.session.alarm(&self.device, moment, code, *active));
            said.push(format!("alarm {code} {}", if *active { ALARM_ON } else { ALARM_OFF }));
        }
        let others = samples.iter().filter(|(device, _)| **device != self.device).count();
        match (said.is_empty(), others) {
            (true, 0) => said.push("nothing".to_owned()),
            (_, 0) => {}
            (true, others) => said.push(format!("{others} others")),
            (false, others) => said.push(format!("and {others} others")),
        }
        self.follow(moment, said.join(" "), is_time_alone, answer);
    }

    /// The state of the rule: on the device, or in its zone.
    fn place(&self) -> Option<Place> {
        if self.is_fleet {
            self.session.fleet(&self.test.zone, &self.test.rule)
        } else {
            self.session.place(&self.device, &self.test.rule)
        }
    }

    /// Checks every expectation before a time against the state of the rule at its own time.
    fn expect_before(&mut self, expected: &mut Peekable<std::slice::Iter<'t, Expectation>>, before: Millis) {
        while let Some(next) = expected.next_if(|next| next.at < before) {
            self.step(next.at, &[], &[]);
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
        let is_here = |judgement: &&Judgement| judgement.rule == self.test.rule && judgement.device == self.device;
        let gaps = answer.judgements.iter().filter(is_here).filter_map(|judgement| self.gaps.take(judgement));
        let gaps: Vec<String> = gaps.collect();
        let (by_timer, by_sample): (Vec<&Judgement>, Vec<&Judgement>) = (answer.judgements.iter())
            .filter(|judgement| judgement.rule == self.test.rule)
            .filter(|judgement| judgement.zone().is_none_or(|zone| zone == self.test.zone))
            .partition(|judgement| judgement.by_timer);
        for judgement in &by_timer {
            self.rows.push(Row {
                at: judgement.at,
                line: None,
                came: timeline::TIME_ALONE.to_owned(),
                standing: Some(judgement.standing),
                reason: Reason::Judged(judgement.verdict),
                notes: Vec::new(),
                marks: Vec::new(),
            });
        }
        let reason = match (by_sample.last(), answer.effects.quarantined.first()) {
            (Some(judgement), _) => Some(Reason::Judged(judgement.verdict)),
            (None, Some(row)) => Some(Reason::Unjudged {
                word: "set_aside",
                text: format!("set aside as {}: {}", row.reason, row.detail),
            }),
            // A row of the timer already shows what time did.
            (None, None) if is_time_alone && !by_timer.is_empty() => None,
            (None, None) => Some(Reason::Unjudged { word: "not_evaluated", text: String::new() }),
        };
        if let Some(reason) = reason {
            let standing = self.place().map(|place| place.standing);
            self.rows.push(Row { at, line: None, came, standing, reason, notes: gaps, marks: Vec::new() });
        }
        // A fleet rule is evaluated for the zones around the test's as well.
        let is_here = |alert: &Alert| alert.rule == self.test.rule && alert.zone == self.test.zone;
        for alert in answer.effects.alerts.into_iter().filter(is_here) {
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

    /// How the state of the rule differs from what is expected.
    fn differences(&self, expected: &Expectation) -> Vec<String> {
        let clock = Clock::From(self.test.start);
        let place = self.place();
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
            return vec![format!("expected {}, but the rule is {}{since}", expected.state.as_str(), state.as_str())];
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
            let difference =
                if expected { "expected a notice, but none was sent" } else { "expected no notice, but one was sent" };
            differences.push(difference.to_owned());
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
