//! `[[tests]]`, in the platform file and in files `*.test.toml` beside it: what a device sends, and where a rule must
//! stand then. A test says nothing about the platform that is generated, so nothing of it is rendered.

mod expectation;
mod raw;
mod series;

use std::collections::{BTreeMap, BTreeSet};

use fleetform_engine::{
    ids::{AttributeId, DeviceTypeId, MetricId, RuleId, ZoneId},
    rule_set::{AlarmCode, Condition, Rule, ValueType},
    units::{Finite, Millis, Timestamp},
};
use smol_str::SmolStr;

pub use expectation::{Expectation, ExpectedState};
pub(crate) use raw::{RawRuleTest, TESTS_MAX};
use raw::{RawSeries, RawTestDevice};
pub use series::Series;
use series::{SAMPLES_MAX, Values};

use super::{
    Platform,
    device_type::{DeviceType, is_broken_reading},
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

/// The first moment of a test unless it says another: noon of a Monday, when most hours of `active` hold.
pub(crate) const START: &str = "2026-01-05T12:00:00Z";

/// The moments between which a test may start: 2000 and 2100.
const STARTS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

/// What a device sends, and where a rule must stand then.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTest {
    /// What it shows; no two tests of a file have one name.
    pub name: SmolStr,
    /// The rule.
    pub rule: RuleId,
    /// The device's type, which the rule reads.
    pub device_type: DeviceTypeId,
    /// The device's zone, in which the rule holds.
    pub zone: ZoneId,
    /// The device's own attributes.
    pub attributes: Vec<(AttributeId, Finite)>,
    /// When the first sample is taken.
    pub start: Timestamp,
    /// Time between two samples.
    pub every: Millis,
    /// What the device sends, by metric. A metric whose series is over is left out from there on.
    pub series: BTreeMap<MetricId, Series>,
    /// Alarms of the device by code: the words [`ALARM_ON`] and [`ALARM_OFF`].
    pub alarms: BTreeMap<AlarmCode, Series>,
    /// More devices of the type in the zone, for a fleet rule: how many, and what each of them sends.
    pub others: Vec<(u32, BTreeMap<MetricId, Series>)>,
    /// Where the rule must stand, by rising time.
    pub expect: Vec<Expectation>,
    /// Where the test begins in its file, in bytes: a report points there.
    pub place: usize,
}

impl RuleTest {
    /// How many samples there are, gaps included: the longest series counts.
    pub fn samples(&self) -> u64 {
        longest(&self.series, &self.alarms, &self.others)
    }
}

/// The word for an alarm that is raised.
pub const ALARM_ON: &str = "on";
/// The word for an alarm that is over.
pub const ALARM_OFF: &str = "off";

/// What an alarm does in a test.
static ALARM_WORDS: [SmolStr; 2] = [SmolStr::new_static(ALARM_ON), SmolStr::new_static(ALARM_OFF)];

fn longest(
    series: &BTreeMap<MetricId, Series>,
    alarms: &BTreeMap<AlarmCode, Series>,
    others: &[(u32, BTreeMap<MetricId, Series>)],
) -> u64 {
    let all = others.iter().flat_map(|(_, series)| series.values()).chain(series.values()).chain(alarms.values());
    all.map(Series::samples).max().unwrap_or(0)
}

/// Checks all tests of a file against the platform of one environment.
pub(crate) fn check(
    raw: Option<&Vec<RawRuleTest>>,
    platform: &Platform,
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
        tests.extend(raw.check(platform, &place, context));
    }
    tests
}

/// How long a test lasts.
#[derive(Clone, Copy)]
struct Length {
    every: Millis,
    samples: u64,
}

/// What a test is about, once it is known: the rest of it is checked against these.
struct Subject<'p> {
    rule_id: RuleId,
    rule: &'p Rule,
    type_id: DeviceTypeId,
    device_type: &'p DeviceType,
    platform: &'p Platform,
}

impl<'p> Subject<'p> {
    /// What values a metric of the device takes; nothing for a metric that it does not have, or that is text.
    fn values(&self, metric: &str) -> Option<Values<'p>> {
        if self.platform.message.health.contains_key(metric) {
            return Some(Values::Numbers);
        }
        match &self.device_type.readings.get(metric)?.value {
            ValueType::Float { .. } | ValueType::Int { .. } => Some(Values::Numbers),
            ValueType::Bool => Some(Values::Truth),
            ValueType::Enum { values } => Some(Values::Words(values)),
            ValueType::String => None,
        }
    }
}

impl RawRuleTest {
    fn check(&self, platform: &Platform, at: &At<'_>, context: &Context<'_>) -> Option<RuleTest> {
        let name = self.name.as_deref()?;
        let user = || format!("test `{}`", shown(name));
        let rule: Option<RuleId> = self
            .rule
            .as_deref()
            .and_then(|rule| context.reference(&at.key("rule"), "rules", rule, Code::UnknownRule, user));
        let device_at = at.key("device");
        let device = self.device.as_ref()?;
        let type_id: Option<DeviceTypeId> = device.kind.as_deref().and_then(|id| {
            context.reference(&device_at.key("type"), "device_types", id, Code::UnknownDeviceType, user)
        });
        let zone: Option<ZoneId> = device
            .zone
            .as_deref()
            .and_then(|id| context.reference(&device_at.key("zone"), "zones", id, Code::UnknownZone, user));
        let start = self.check_start(&at.key("start"), context);
        let (rule_id, type_id, zone) = (rule?, type_id?, zone?);
        // What is declared and not here is broken, and was reported with its own place.
        let (rule, device_type) = (platform.rules.get(&rule_id)?, platform.device_types.get(&type_id)?);
        let every = self.check_every(&type_id, device_type, &at.key("every"), context);
        let subject = Subject { rule_id, rule, type_id, device_type, platform };
        let covered = check_covered(&subject, &zone, at, context);
        let attributes = device.check_attributes(&subject, &device_at.key("attributes"), context);
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
        let mut expect: Vec<Expectation> = (self.expect.iter().flatten().enumerate())
            .filter_map(|(index, raw)| raw.check(&subject, &expect_at.index(index), context))
            .collect();
        // Stable: of one time, the order of the file.
        expect.sort_by_key(|expectation| expectation.at);
        let (series, others, alarms, every) = (series?, others?, alarms?, every?);
        covered.then(|| RuleTest {
            name: name.into(),
            rule: subject.rule_id,
            device_type: subject.type_id,
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

    /// Time between two samples, if the test or its device type says it.
    fn check_every(
        &self,
        type_id: &DeviceTypeId,
        device_type: &DeviceType,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Option<Millis> {
        let given = Bounds::new("100ms", "7d").check_given(self.every, at, context);
        let types = At::root("device_types");
        let table = types.key(type_id.as_str());
        match given {
            None if context.is_broken(at) || context.is_broken(&table.key("report_every")) => None,
            None => Some(device_type.report_every),
            given => given,
        }
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
        if self.others.is_some() && !matches!(subject.rule.condition, Condition::Fleet { .. }) {
            let message = format!("rule `{}` is about one device, and no other changes it", subject.rule_id);
            let rules = At::root("rules");
            let rule_at = rules.key(subject.rule_id.as_str());
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

/// Reports a test whose device the rule never meets.
fn check_covered(subject: &Subject<'_>, zone: &ZoneId, at: &At<'_>, context: &Context<'_>) -> bool {
    let Subject { rule_id, rule, type_id, .. } = subject;
    let rules = At::root("rules");
    let rule_at = rules.key(rule_id.as_str());
    let device = at.key("device");
    let report = |place: &At<'_>, message: String, help: String| {
        context.report(
            Diagnostic::new(Code::TestMissesRule, context.value(place), message)
                .related(context.key(&rule_at), "the rule")
                .help(help),
        );
        false
    };
    if !rule.device_types.contains(type_id) {
        let types: Vec<&str> = rule.device_types.iter().map(DeviceTypeId::as_str).collect();
        let message = format!("rule `{rule_id}` does not read devices of type `{type_id}`");
        return report(&device.key("type"), message, format!("it reads {}", listing(&types)));
    }
    if !rule.zones.is_empty() && !rule.zones.contains(zone) {
        let zones: Vec<&str> = rule.zones.iter().map(ZoneId::as_str).collect();
        let message = format!("rule `{rule_id}` does not hold in zone `{zone}`");
        return report(&device.key("zone"), message, format!("it holds in {}", listing(&zones)));
    }
    true
}

/// What values a metric takes; a report of one that no sample of the device can have.
fn check_metric<'p>(metric: &str, subject: &Subject<'p>, at: &At<'_>, context: &Context<'_>) -> Option<Values<'p>> {
    let Subject { type_id, device_type, platform, .. } = subject;
    if let Some(values) = subject.values(metric) {
        return Some(values);
    }
    if is_broken_reading(type_id.as_str(), metric, context) {
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
    let known: BTreeSet<&str> = readings.chain(platform.message.health.keys().map(MetricId::as_str)).collect();
    let message = format!("device type `{type_id}` does not report `{}`", shown(metric));
    let diagnostic = Diagnostic::new(Code::UnknownMetric, context.key(at), message);
    // The key of a message is what people write by mistake.
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
                (Code::ImpossibleState, format!("`{metric}` of `{}` {}", subject.type_id, problem.message))
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
                // Between the quotes stands the text itself, unless it is written with escapes.
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

impl RawTestDevice {
    fn check_attributes(
        &self,
        subject: &Subject<'_>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Vec<(AttributeId, Finite)> {
        let declared = &subject.device_type.attributes;
        let (types, mut attributes) = (At::root("device_types"), Vec::new());
        let table = types.key(subject.type_id.as_str());
        let attributes_at = table.key("attributes");
        for (name, value) in self.attributes.iter().flatten() {
            if let Some((id, _)) = declared.get_key_value(name.as_str()) {
                attributes.push((id.clone(), *value));
                continue;
            }
            let is_name = |key: &str| AttributeId::new(key).is_ok();
            if context.is_broken(&attributes_at.key(name)) || context.is_misspelt(&attributes_at, name, is_name) {
                continue;
            }
            let message = format!("device type `{}` has no attribute `{}`", subject.type_id, shown(name));
            let diagnostic = Diagnostic::new(Code::UnknownAttribute, context.key(&at.key(name)), message);
            let known: Vec<&str> = declared.keys().map(AttributeId::as_str).collect();
            context.report(match context.nearest(name, known.iter().copied()) {
                Some(near) => diagnostic.replace(format!("did you mean `{near}`?"), near),
                None if known.is_empty() => diagnostic.help("it has none: remove it"),
                None => diagnostic.help(format!("it has {}", listing(&known))),
            });
        }
        attributes
    }
}
