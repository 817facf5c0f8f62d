//! `[[tests]]`, in the platform file and in `*.test.toml` files next to it: what a device sends, and the expected state
//! of a rule. Tests do not affect the generated platform, so they are not rendered.

mod expectation;
mod raw;
mod series;
mod subject;

use std::collections::{BTreeMap, BTreeSet};

use fleetform_engine::{
    ids::{AttributeId, DeviceTypeId, MetricId, RuleId, ZoneId},
    rule_set::{AlarmCode, Condition, Rule},
    units::{Finite, Millis, Timestamp},
};
use smol_str::SmolStr;
use subject::Subject;

pub use expectation::{Expectation, ExpectedState};
use raw::RawSeries;
pub(crate) use raw::{RawRuleTest, TESTS_MAX};
pub use series::Series;
use series::{SAMPLES_MAX, Values};

use super::{
    Platform,
    device_type::{DeviceType, is_broken_reading},
    message::Message,
    rule::device_alarm::check_code,
};
use crate::{
    check::{
        bounds::Bounds,
        context::{Context, listing, shown},
    },
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Default start of a test: noon on a Monday, when most `active` hours apply.
pub(crate) const START: &str = "2026-01-05T12:00:00Z";

/// The range in which a test may start: from 2000 to 2100.
const STARTS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

/// What a device sends, and the expected state of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTest {
    /// What it shows; unique within a file.
    pub name: SmolStr,
    /// The rule.
    pub rule: RuleId,
    /// The device's type, which the rule reads.
    pub device_type: DeviceTypeId,
    /// The device's zone, which the rule applies to.
    pub zone: ZoneId,
    /// The device's own attributes.
    pub attributes: Vec<(AttributeId, Finite)>,
    /// When the first sample is taken.
    pub start: Timestamp,
    /// Time between two samples.
    pub every: Millis,
    /// What the device sends, by metric. Once a metric's series has ended, the metric is left out.
    pub series: BTreeMap<MetricId, Series>,
    /// The device's alarms by code: the words [`ALARM_ON`] and [`ALARM_OFF`].
    pub alarms: BTreeMap<AlarmCode, Series>,
    /// More devices of the type in the zone, for a fleet rule: how many, and what each of them sends.
    pub others: Vec<(u32, BTreeMap<MetricId, Series>)>,
    /// The expected states of the rule, in chronological order.
    pub expect: Vec<Expectation>,
    /// Byte offset of the test in its file, for reports.
    pub place: usize,
}

impl RuleTest {
    /// Returns the number of samples, including gaps, in the longest series.
    pub fn samples(&self) -> u64 {
        longest(&self.series, &self.alarms, &self.others)
    }
}

/// The word for an alarm that is raised.
pub const ALARM_ON: &str = "on";
/// The word for an alarm that has ended.
pub const ALARM_OFF: &str = "off";

/// The words for an alarm in a test.
static ALARM_WORDS: [SmolStr; 2] = [SmolStr::new_static(ALARM_ON), SmolStr::new_static(ALARM_OFF)];

fn longest(
    series: &BTreeMap<MetricId, Series>,
    alarms: &BTreeMap<AlarmCode, Series>,
    others: &[(u32, BTreeMap<MetricId, Series>)],
) -> u64 {
    let all = others.iter().flat_map(|(_, series)| series.values()).chain(series.values()).chain(alarms.values());
    all.map(Series::samples).max().unwrap_or(0)
}

/// What tests are checked against.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'p> {
    pub(crate) rules: &'p BTreeMap<RuleId, Rule>,
    pub(crate) device_types: &'p BTreeMap<DeviceTypeId, DeviceType>,
    pub(crate) message: &'p Message,
}

impl<'p> Scope<'p> {
    /// The scope of one environment.
    pub(crate) fn of(platform: &'p Platform) -> Self {
        Self { rules: &platform.rules, device_types: &platform.device_types, message: &platform.message }
    }
}

/// Checks all tests of a file.
pub(crate) fn check(
    raw: Option<&Vec<RawRuleTest>>,
    scope: Scope<'_>,
    at: &At<'_>,
    context: &Context<'_>,
) -> Vec<RuleTest> {
    let mut names = BTreeMap::new();
    let mut tests = Vec::new();
    for (index, raw) in raw.into_iter().flatten().enumerate() {
        let place = at.index(index);
        if let Some(name) = &raw.name
            && let Some(first) = names.insert(name.as_str(), index)
        {
            let first = at.index(first);
            context.report(
                Diagnostic::new(
                    Code::Duplicate,
                    context.value(&place.key("name")),
                    format!("two tests are called `{}`", shown(name)),
                )
                .related(context.value(&first.key("name")), "the other one")
                .help("give each its own name: reports tell them apart by it"),
            );
        }
        tests.extend(raw.check(scope, &place, context));
    }
    tests
}

/// How long a test lasts.
#[derive(Clone, Copy)]
struct Length {
    every: Millis,
    samples: u64,
}

impl RawRuleTest {
    /// Checks a test. Undeclared names do not hide mistakes that are independent of them.
    fn check(&self, scope: Scope<'_>, at: &At<'_>, context: &Context<'_>) -> Option<RuleTest> {
        let subject = Subject::of(self, scope, at, context);
        let start = self.check_start(&at.key("start"), context);
        let every = self.check_every(&subject, &at.key("every"), context);
        let covered = subject.check_covered(at, context);
        let attributes = subject.check_attributes(self.device.as_ref(), &at.key("device"), context);
        let (series_at, alarms_at, others_at) = (at.key("series"), at.key("alarms"), at.key("others"));
        let series = context.whole(&series_at, || check_series(self.series.as_ref(), &subject, &series_at, context));
        let others = context.whole(&others_at, || self.check_others(&subject, &others_at, context));
        let alarms = context.whole(&alarms_at, || self.check_alarms(&subject, &alarms_at, context));
        let expect_at = at.key("expect");
        let expected = self.expect.as_deref().unwrap_or_default();
        expectation::check_together(expected, &expect_at, context);
        if let (Some(series), Some(alarms), Some(others), Some(every)) = (&series, &alarms, &others, every) {
            let length = Length { every, samples: longest(series, alarms, others) };
            expectation::check_end(expected, length, &expect_at, context);
        }
        let mut expect: Vec<Expectation> = (expected.iter().enumerate())
            .filter_map(|(index, raw)| raw.check(&subject, &expect_at.index(index), context))
            .collect();
        // A stable sort: equal times stay in file order.
        expect.sort_by_key(|expectation| expectation.at);
        let (series, others, alarms, every) = (series?, others?, alarms?, every?);
        let ((rule, _), (device_type, _), zone) = (subject.rule?, subject.device_type?, subject.zone?);
        let name = self.name.as_deref()?.into();
        covered.then(|| RuleTest {
            name,
            rule: rule.clone(),
            device_type: device_type.clone(),
            zone,
            attributes,
            start: start.unwrap_or_default(),
            every,
            series,
            alarms,
            others,
            expect,
            place: context.key(at).start,
        })
    }

    /// Returns the time between two samples, if the test or its device type states it.
    fn check_every(&self, subject: &Subject<'_>, at: &At<'_>, context: &Context<'_>) -> Option<Millis> {
        let given = Bounds::new("100ms", "7d").check_given(self.every, at, context);
        if given.is_some() {
            return given;
        }
        let (type_id, device_type) = subject.device_type?;
        let types = At::root("device_types");
        let table = types.key(type_id.as_str());
        let is_open = context.is_broken(at) || context.is_broken(&table.key("report_every"));
        (!is_open).then_some(device_type.report_every)
    }

    fn check_start(&self, at: &At<'_>, context: &Context<'_>) -> Option<Timestamp> {
        let text = self.start.as_deref().unwrap_or(START);
        let moment = Timestamp::parse_rfc3339(text);
        if moment.is_none_or(|moment| !STARTS.contains(&moment.0)) {
            context.report(
                Diagnostic::new(
                    Code::ValueNotAllowed,
                    context.value(at),
                    format!("`{}` is no moment from 2000 to 2099 as RFC 3339 writes it", shown(text)),
                )
                .help(format!("date, `T`, time and offset, such as \"{START}\"")),
            );
        }
        moment
    }

    fn check_alarms(&self, subject: &Subject<'_>, at: &At<'_>, context: &Context<'_>) -> BTreeMap<AlarmCode, Series> {
        let mut alarms = BTreeMap::new();
        for (text, raw) in self.alarms.iter().flatten() {
            let place = at.key(text);
            let Some(code) = check_code(text, context.key(&place), context) else { continue };
            let series = raw.check(text, Values::Words(&ALARM_WORDS), subject, &place, context);
            check_length(text, &series, &place, context);
            alarms.insert(code, series);
        }
        alarms
    }

    fn check_others(
        &self,
        subject: &Subject<'_>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Vec<(u32, BTreeMap<MetricId, Series>)> {
        if self.others.is_some()
            && let Some((rule_id, rule)) = subject.rule
            && !matches!(rule.condition, Condition::Fleet { .. })
        {
            let message = format!("rule `{rule_id}` is about one device, and no other changes it");
            let rules = At::root("rules");
            let rule_at = rules.key(rule_id.as_str());
            context.report(
                Diagnostic::new(Code::KeysExclude, context.key(at), message)
                    .related(context.key(&rule_at), "the rule")
                    .help("remove `others`"),
            );
        }
        let others = self.others.iter().flatten().enumerate();
        others
            .map(|(index, others)| {
                let series_at = at.index(index);
                let series_at = series_at.key("series");
                (others.count.unwrap_or(1), check_series(others.series.as_ref(), subject, &series_at, context))
            })
            .collect()
    }
}

fn check_series(
    raw: Option<&BTreeMap<String, RawSeries>>,
    subject: &Subject<'_>,
    at: &At<'_>,
    context: &Context<'_>,
) -> BTreeMap<MetricId, Series> {
    let mut checked = BTreeMap::new();
    for (metric, raw) in raw.into_iter().flatten() {
        let place = at.key(metric);
        let Some(values) = check_metric(metric, subject, &place, context) else { continue };
        let series = raw.check(metric, values, subject, &place, context);
        check_length(metric, &series, &place, context);
        checked.extend(MetricId::new(metric).ok().map(|metric| (metric, series)));
    }
    checked
}

fn check_length(name: &str, series: &Series, at: &At<'_>, context: &Context<'_>) {
    if series.samples() > u64::from(SAMPLES_MAX) {
        let message =
            format!("the series of `{}` has {} samples; {SAMPLES_MAX} are the most", shown(name), series.samples());
        context.report(
            Diagnostic::new(Code::OutOfBounds, context.value(at), message).help("shorten it, or make `every` longer"),
        );
    }
}

/// Returns the values that a metric takes, if they are known; reports a metric that no sample of the device can have.
fn check_metric<'p>(metric: &str, subject: &Subject<'p>, at: &At<'_>, context: &Context<'_>) -> Option<Values<'p>> {
    if let Some(values) = subject.values(metric) {
        return Some(values);
    }
    let Some((type_id, device_type)) = subject.device_type else {
        context.mark_broken(at);
        return None;
    };
    let (message, is_name) = (At::root("message"), |key: &str| MetricId::new(key).is_ok());
    let health = message.key("health");
    let is_broken_health = context.is_broken(&health.key(metric)) || context.is_misspelt(&health, metric, is_name);
    if is_broken_health || is_broken_reading(type_id.as_str(), metric, context) {
        context.mark_broken(at);
        return None;
    }
    if device_type.readings.contains_key(metric) {
        context.report(
            Diagnostic::new(Code::InvalidSeries, context.key(at), format!("`{metric}` is text, which no rule reads"))
                .help("remove it"),
        );
        return None;
    }
    let readings = device_type.readings.keys().map(MetricId::as_str);
    let known: BTreeSet<&str> = readings.chain(subject.message.health.keys().map(MetricId::as_str)).collect();
    let message = format!("device type `{type_id}` does not report `{}`", shown(metric));
    let diagnostic = Diagnostic::new(Code::UnknownMetric, context.key(at), message);
    // Users often write the message key by mistake.
    let by_key = device_type.readings.iter().find(|(_, reading)| reading.key == metric).map(|(id, _)| id.as_str());
    context.report(match by_key.or_else(|| context.nearest(metric, known.iter().copied())) {
        Some(near) => diagnostic.replace(format!("did you mean `{near}`?"), near),
        None => diagnostic.help(format!("it reports {}", listing(&known.into_iter().collect::<Vec<_>>()))),
    });
    None
}

impl RawSeries {
    fn check(
        &self,
        metric: &str,
        values: Values<'_>,
        subject: &Subject<'_>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Series {
        let report = |span, problem: series::Problem, quoted: bool| {
            let (code, message) = if problem.is_word {
                (Code::ImpossibleState, format!("{} {}", subject.shown(metric), problem.message))
            } else {
                (Code::InvalidSeries, problem.message)
            };
            let diagnostic = Diagnostic::new(code, span, message);
            context.report(match problem.instead {
                Some(instead) if quoted => diagnostic.replace(problem.help, format!("\"{instead}\"")),
                Some(instead) => diagnostic.replace(problem.help, instead),
                None => diagnostic.help(problem.help),
            });
        };
        match self {
            Self::Notation(text) => {
                let (series, problems) = Series::parse(text, values);
                let whole = context.value(at);
                // The quotes contain the text itself, unless it is written with escapes.
                let is_plain = whole.len() == text.len() + 2;
                if text.trim_ascii().is_empty() {
                    context.report(
                        Diagnostic::new(Code::Empty, whole.clone(), format!("the series of `{metric}` has no sample"))
                            .help("write one, such as \"40 65x8\", or remove it"),
                    );
                }
                for (token, problem) in problems {
                    if is_plain {
                        let start = whole.start + 1;
                        report(start + token.start..start + token.end, problem, false);
                    } else {
                        report(whole.clone(), problem, true);
                    }
                }
                series
            }
            Self::Items(items) => {
                let mut series = Series::default();
                for (index, item) in items.iter().enumerate() {
                    match item.read(values) {
                        Ok(value) => series.push(value),
                        Err(problem) => report(context.value(&at.index(index)), problem, true),
                    }
                }
                series
            }
        }
    }
}
