//! `[rules.X]`: what must hold for an alert. The artifact's form is the checked form.
//!
//! Here are the keys that all kinds have; each kind's own are in a file of its own, listed once in [`KINDS`].

pub(crate) mod hold;
mod range;
mod rate_of_change;
pub(crate) mod shadow;
mod state;
mod summary;
mod threshold;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use fleetform_engine::{
    ids::{ContactId, DeviceTypeId, MetricId, RuleId},
    rule_set::{Condition, Operator, Rule, SAMPLES_OF_MAX, StateValue, Threshold, ValueType},
    units::Finite,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use smol_str::SmolStr;

use super::{
    contact::RawWebhook,
    device_type::{DeviceType, Reading},
    message::Message,
    severity,
    zone::Zones,
};
use crate::{
    check::{
        bounds::Bounds,
        context::{Context, listing, shown},
    },
    diagnostic::{Code, Diagnostic},
    schema::types::Duration,
    source::At,
};

/// A kind of rule: its words, and which of the keys that only some kinds have are its own.
pub(crate) struct Kind {
    /// Its name, then the source system's.
    pub(crate) words: &'static [&'static str],
    /// Keys that it must have.
    pub(crate) required: &'static [&'static str],
    /// Keys that it may have.
    pub(crate) optional: &'static [&'static str],
    /// Keys whose values this kind takes in fewer shapes than others do.
    pub(crate) shapes: fn() -> Vec<(&'static str, Value)>,
    /// From the raw form to the condition.
    check: fn(&RawRule, &Subject<'_, '_>) -> Option<Condition>,
}

/// Every kind of rule.
pub(crate) const KINDS: [Kind; 4] = [threshold::KIND, range::KIND, rate_of_change::KIND, state::KIND];

/// `[rules.X]` as it is written, with the keys of all kinds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRule {
    /// The kind of rule.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(crate) kind: Option<KindWord>,
    /// What it reads: a reading of a device type, or a health value of `message.health`.
    #[schemars(required)]
    pub(crate) metric: Option<String>,
    /// How urgent its alerts are.
    #[schemars(required)]
    pub(crate) severity: Option<String>,
    /// Where it holds, with what lies in these zones. Default: everywhere.
    #[schemars(length(min = 1))]
    pub(crate) zones: Option<Vec<String>>,
    /// Device types that it reads. Default: all that have the metric.
    #[schemars(length(min = 1))]
    pub(crate) device_types: Option<Vec<String>>,
    /// How long the condition must hold before the rule fires.
    #[schemars(extend("default" = "0s"))]
    pub(crate) duration: Option<Duration>,
    /// Instead of `duration`: the condition must hold in so many of the last samples.
    pub(crate) samples: Option<RawSamples>,
    /// How long the value must be clear before an alert resolves.
    #[schemars(extend("default" = "0s"))]
    pub(crate) keep_firing_for: Option<Duration>,
    /// What a gap in the samples does to `duration`: `reset` starts it again, `hold` lets it run on.
    #[schemars(extend("default" = "reset"))]
    pub(crate) on_gap: Option<RawOnGap>,
    /// The longest time between two samples that is no gap. Default: three times the type's `report_every`.
    pub(crate) max_gap: Option<Duration>,
    /// Samples of a device that are seen before the first evaluation.
    #[schemars(range(min = 1, max = 10_000), extend("default" = 1))]
    pub(crate) min_samples: Option<u32>,
    /// Contacts that are told as well as those of the routes.
    #[schemars(length(max = 50))]
    pub(crate) notify: Option<Vec<String>>,
    /// Addresses that are told of this rule alone.
    pub(crate) notifications: Option<RawNotifications>,
    /// Text of a notice, with `{device}`, `{zone}`, `{value}`, `{threshold}`, `{duration}` and the like.
    #[schemars(length(min = 1, max = 300))]
    pub(crate) summary: Option<String>,
    /// Where an operator reads on.
    #[schemars(regex(pattern = "^https://"), length(max = 500))]
    pub(crate) runbook: Option<String>,
    /// Who answers for the rule.
    #[schemars(length(min = 1, max = 200))]
    pub(crate) owner: Option<String>,
    /// Whether it is evaluated.
    #[schemars(extend("default" = true))]
    pub(crate) enabled: Option<bool>,
    /// Whether it is evaluated without ever notifying.
    #[schemars(extend("default" = false))]
    pub(crate) shadow: Option<bool>,
    /// How a value is compared with the threshold.
    pub(crate) operator: Option<OperatorWord>,
    /// What a value is compared with: a number, or each device's own attribute.
    pub(crate) threshold: Option<RawThreshold>,
    /// The value at whose far side an alert clears. Default: the threshold.
    #[schemars(with = "Option<f64>")]
    pub(crate) clear: Option<Finite>,
    /// Lowest good value.
    #[schemars(with = "Option<f64>")]
    pub(crate) min: Option<Finite>,
    /// Highest good value.
    #[schemars(with = "Option<f64>")]
    pub(crate) max: Option<Finite>,
    /// The time that the threshold of a rate is given for.
    pub(crate) per: Option<Duration>,
    /// The word or truth value that raises an alert.
    pub(crate) equals: Option<RawState>,
    /// The value that it must have come from.
    pub(crate) from: Option<RawState>,
}

/// `samples` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSamples {
    /// So many samples.
    #[schemars(required, range(min = 1, max = SAMPLES_OF_MAX))]
    pub(crate) breach: Option<u32>,
    /// Of the last this many.
    #[schemars(required, range(min = 1, max = SAMPLES_OF_MAX))]
    pub(crate) of: Option<u32>,
}

/// What a gap in the samples does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawOnGap {
    Reset,
    Hold,
}

/// The source system's form of contacts, inside a rule.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNotifications {
    /// Phones, E.164.
    #[schemars(length(max = 100), inner(regex(pattern = super::contact::PHONE_PATTERN)))]
    pub(crate) sms: Option<Vec<String>>,
    /// E-mail addresses.
    #[schemars(length(max = 100))]
    pub(crate) email: Option<Vec<String>>,
    /// A system that is told by HTTPS.
    pub(crate) webhook: Option<RawWebhook>,
}

/// The word for a kind of rule.
#[derive(Debug)]
pub(crate) struct KindWord(usize);

impl<'de> Deserialize<'de> for KindWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        let index = KINDS.iter().position(|kind| kind.words.contains(&&*word));
        index.map(Self).ok_or_else(|| de::Error::custom("no such kind of rule"))
    }
}

impl JsonSchema for KindWord {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "KindWord".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = KINDS.iter().flat_map(|kind| kind.words).copied().collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

/// Operators with the source system's words for them.
pub(crate) const OPERATORS: [(Operator, &str); 6] = [
    (Operator::Above, "GREATER_THAN"),
    (Operator::AtLeast, "GREATER_THAN_OR_EQUAL"),
    (Operator::Below, "LESS_THAN"),
    (Operator::AtMost, "LESS_THAN_OR_EQUAL"),
    (Operator::Equal, "EQUAL"),
    (Operator::NotEqual, "NOT_EQUAL"),
];

/// An operator as it is written.
#[derive(Debug)]
pub(crate) struct OperatorWord(pub(crate) Operator);

impl<'de> Deserialize<'de> for OperatorWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        let found = OPERATORS.iter().find(|(operator, alias)| operator.as_str() == word || *alias == word);
        found.map(|(operator, _)| Self(*operator)).ok_or_else(|| de::Error::custom("no such operator"))
    }
}

impl JsonSchema for OperatorWord {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "OperatorWord".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let signs = OPERATORS.iter().map(|(operator, _)| operator.as_str());
        let words: Vec<&str> = signs.chain(OPERATORS.iter().map(|(_, alias)| *alias)).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

/// A threshold as it is written.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawThreshold {
    /// The same for all devices.
    Fixed(Finite),
    /// Each device's own.
    Attribute {
        /// The attribute.
        attribute: Option<String>,
        /// For devices and device types without it.
        default: Option<Finite>,
    },
}

impl JsonSchema for RawThreshold {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Threshold".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["number", "object"],
            "properties": {
                "attribute": { "type": "string", "description": "An attribute of the device types." },
                "default": { "type": "number", "description": "For devices and device types without it." },
            },
            "required": ["attribute", "default"],
            "additionalProperties": false,
        })
    }
}

/// A value of an enum or bool reading, as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct RawState(pub(crate) StateValue);

impl JsonSchema for RawState {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "State".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "boolean"] })
    }
}

/// What rules refer to.
pub(crate) struct Scope<'p> {
    pub(crate) zones: &'p Zones,
    pub(crate) device_types: &'p BTreeMap<DeviceTypeId, DeviceType>,
    pub(crate) message: &'p Message,
    metrics: BTreeMap<&'p str, Vec<(&'p DeviceTypeId, &'p Reading)>>,
}

impl<'p> Scope<'p> {
    /// Collects who reports what.
    pub(crate) fn new(
        zones: &'p Zones,
        device_types: &'p BTreeMap<DeviceTypeId, DeviceType>,
        message: &'p Message,
    ) -> Self {
        let mut metrics: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, device_type) in device_types {
            for (metric, reading) in &device_type.readings {
                metrics.entry(metric.as_str()).or_default().push((id, reading));
            }
        }
        Self { zones, device_types, message, metrics }
    }
}

/// A rule during its check: what it is about.
pub(crate) struct Subject<'s, 'd> {
    pub(crate) id: &'s RuleId,
    pub(crate) metric: &'s MetricId,
    /// The device types that it reads.
    pub(crate) types: &'s [DeviceTypeId],
    pub(crate) scope: &'s Scope<'s>,
    pub(crate) at: &'s At<'s>,
    pub(crate) context: &'s Context<'d>,
}

impl<'s> Subject<'s, '_> {
    /// The readings that it reads; health values have none.
    pub(crate) fn readings(&self) -> impl Iterator<Item = (&'s DeviceTypeId, &'s Reading)> {
        self.types.iter().filter_map(|id| {
            let reading = self.scope.device_types.get(id)?.readings.get(self.metric)?;
            Some((id, reading))
        })
    }

    /// Where a reading's key stands, for a second place.
    pub(crate) fn reading_span(&self, device_type: &DeviceTypeId, key: &str) -> std::ops::Range<usize> {
        let types = At::root("device_types");
        let table = types.key(device_type.as_str());
        let readings = table.key("readings");
        let reading = readings.key(self.metric.as_str());
        self.context.value(&reading.key(key))
    }

    /// Whether all values that it reads are numbers; a report of the first that is not.
    pub(crate) fn check_numeric(&self) -> bool {
        let other = self
            .readings()
            .find(|(_, reading)| !matches!(reading.value, ValueType::Float { .. } | ValueType::Int { .. }));
        let Some((device_type, _)) = other else { return true };
        self.context.report(
            Diagnostic::new(
                Code::MetricOfWrongType,
                self.context.value(&self.at.key("metric")),
                format!(
                    "rule `{}` compares numbers, but `{}` of `{device_type}` is not a number",
                    self.id, self.metric
                ),
            )
            .related(self.reading_span(device_type, "type"), "its type")
            .help("write: type = \"state\", or choose a metric with numbers"),
        );
        false
    }
}

impl RawRule {
    /// Checks a rule; nothing if it cannot be evaluated.
    pub(crate) fn check(&self, id: &RuleId, scope: &Scope<'_>, at: &At<'_>, context: &Context<'_>) -> Option<Rule> {
        let user = || format!("rule `{id}`");
        let severity =
            self.severity.as_deref().and_then(|name| severity::reference(name, &at.key("severity"), user, context));
        let zones = context.references(&at.key("zones"), "zones", &self.zones, Code::UnknownZone, user);
        let zones = scope.zones.with_children(zones);
        let named = context.references(
            &at.key("device_types"),
            "device_types",
            &self.device_types,
            Code::UnknownDeviceType,
            user,
        );
        let mut notify: Vec<ContactId> =
            context.references(&at.key("notify"), "contacts", &self.notify, Code::UnknownContact, user);
        if self.notifications.is_some() {
            notify.extend(implicit_contact(id));
        }
        if let Some(summary) = &self.summary {
            summary::check(summary, &at.key("summary"), context);
        }
        let metric = self.metric.as_deref();
        let types = metric.and_then(|metric| self.check_metric(id, metric, named, scope, at, context));
        let metric = metric.and_then(|metric| MetricId::new(metric).ok());
        let (condition, hold) = match (&metric, &types) {
            (Some(metric), Some(types)) => {
                let subject = Subject { id, metric, types, scope, at, context };
                let condition = self.kind.as_ref().and_then(|kind| (KINDS[kind.0].check)(self, &subject));
                (condition, hold::check(self, &subject))
            }
            _ => (None, None),
        };
        let types: BTreeSet<DeviceTypeId> = types?.into_iter().collect();
        self.check_presence(id, &zones, &types, scope, at, context);
        Some(Rule {
            metric: metric?,
            condition: condition?,
            severity: severity?,
            zones,
            device_types: types,
            hold: hold?,
            keep_firing_for_ms: Bounds::new("0s", "30d").check(
                self.keep_firing_for,
                "0s",
                &at.key("keep_firing_for"),
                context,
            ),
            min_samples: self.min_samples.unwrap_or(1),
            enabled: self.enabled.unwrap_or(true),
            shadow: self.shadow.unwrap_or(false),
            notify,
            summary: self.summary.as_deref().map(SmolStr::new),
            runbook: self.runbook.as_deref().map(SmolStr::new),
            owner: self.owner.as_deref().map(SmolStr::new),
        })
    }

    /// The device types that a rule reads: those it names, or all that have its metric.
    fn check_metric(
        &self,
        id: &RuleId,
        metric: &str,
        named: Vec<DeviceTypeId>,
        scope: &Scope<'_>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Option<Vec<DeviceTypeId>> {
        let place = at.key("metric");
        if scope.message.health.contains_key(metric) {
            let all = || scope.device_types.keys().cloned().collect();
            return Some(if self.device_types.is_none() { all() } else { named });
        }
        let Some(reporters) = scope.metrics.get(metric) else {
            if !context.is_reading(metric) {
                self.report_unknown(id, metric, scope, &place, context);
            }
            return None;
        };
        if self.device_types.is_none() {
            return Some(reporters.iter().map(|(id, _)| (*id).clone()).collect());
        }
        let types_at = at.key("device_types");
        let mut kept = Vec::new();
        for device_type in named {
            if reporters.iter().any(|(id, _)| **id == device_type) {
                kept.push(device_type);
                continue;
            }
            let index = self.device_types.iter().flatten().position(|name| *name == device_type.as_str()).unwrap_or(0);
            let names: Vec<&str> = reporters.iter().map(|(id, _)| id.as_str()).collect();
            context.report(
                Diagnostic::new(
                    Code::UnknownMetric,
                    context.value(&types_at.index(index)),
                    format!("rule `{id}` uses metric `{metric}`, which device type `{device_type}` does not report"),
                )
                .related(context.value(&place), "the metric")
                .help(format!("reported by {}", listing(&names))),
            );
        }
        (!kept.is_empty()).then_some(kept)
    }

    fn report_unknown(&self, id: &RuleId, metric: &str, scope: &Scope<'_>, place: &At<'_>, context: &Context<'_>) {
        let everywhere = match self.zones.as_deref() {
            Some([zone]) => format!(" in `{}`", shown(zone)),
            Some([_, ..]) => " in its zones".to_owned(),
            _ => String::new(),
        };
        let message = format!("rule `{id}` uses metric `{}`, which no device type{everywhere} reports", shown(metric));
        let candidates = scope.metrics.keys().copied().chain(scope.message.health.keys().map(MetricId::as_str));
        let near = context.nearest(metric, candidates.clone());
        let diagnostic = Diagnostic::new(Code::UnknownMetric, context.value(place), message);
        context.report(match near {
            Some(near) => {
                let reporters = scope.metrics.get(near);
                let names: Vec<&str> = reporters.into_iter().flatten().map(|(id, _)| id.as_str()).collect();
                let by = if names.is_empty() {
                    "a health value".to_owned()
                } else {
                    format!("reported by {}", listing(&names))
                };
                diagnostic.replace(format!("did you mean `{near}`? ({by})"), format!("\"{near}\""))
            }
            None => {
                let all: Vec<&str> = candidates.collect();
                diagnostic.help(format!("reported: {}", listing(&all)))
            }
        });
    }

    /// Warns of a rule whose device types are counted, and counted nowhere in its zones.
    fn check_presence(
        &self,
        id: &RuleId,
        zones: &BTreeSet<fleetform_engine::ids::ZoneId>,
        types: &BTreeSet<DeviceTypeId>,
        scope: &Scope<'_>,
        at: &At<'_>,
        context: &Context<'_>,
    ) {
        if zones.is_empty() {
            return;
        }
        let present = types.iter().filter_map(|id| scope.device_types.get(id)).any(|device_type| {
            device_type.count.is_empty()
                || device_type.count.iter().any(|(zone, count)| *count > 0 && zones.contains(zone))
        });
        if !present {
            let names: Vec<&str> = types.iter().map(DeviceTypeId::as_str).collect();
            context.report(
                Diagnostic::new(
                    Code::RuleMatchesNothing,
                    context.value(&at.key("zones")),
                    format!("rule `{id}` holds in zones where no device of its types is counted: {}", listing(&names)),
                )
                .help("name other zones, or add these to the `count` of the device type"),
            );
        }
    }
}

/// The name of the contact that a rule's inline `notifications` make.
pub(crate) fn implicit_contact(id: &RuleId) -> Option<ContactId> {
    ContactId::new(&format!("{id}-notifications")).ok()
}

/// The raw contact that a rule's inline `notifications` make.
pub(crate) fn implicit_raw(notifications: &RawNotifications) -> super::contact::RawContact {
    super::contact::RawContact {
        sms: notifications.sms.clone(),
        email: notifications.email.clone(),
        webhook: notifications.webhook.clone(),
    }
}

/// How the value of a fixed threshold stands to the bounds of readings: which it can never pass, or always does.
pub(crate) fn check_reach(
    subject: &Subject<'_, '_>,
    key: &str,
    never: impl Fn(Option<Finite>, Option<Finite>) -> bool,
    always: impl Fn(Option<Finite>, Option<Finite>) -> bool,
) {
    let bounds = |reading: &Reading| match reading.value {
        ValueType::Float { min, max } | ValueType::Int { min, max } => Some((min, max)),
        ValueType::Bool | ValueType::Enum { .. } | ValueType::String => None,
    };
    let mut readings = subject.readings().peekable();
    if readings.peek().is_none() {
        return;
    }
    let all = |test: &dyn Fn(Option<Finite>, Option<Finite>) -> bool| {
        subject.readings().all(|(_, reading)| bounds(reading).is_some_and(|(min, max)| test(min, max)))
    };
    let what = if all(&never) {
        "can never be met"
    } else if all(&always) {
        "is always met"
    } else {
        return;
    };
    let Some((device_type, reading)) = readings.next() else { return };
    let (min, max) = bounds(reading).unwrap_or((None, None));
    let shown = |bound: Option<Finite>| bound.map_or("no bound".to_owned(), |bound| format!("`{bound}`"));
    let related = if max.is_some() { "max" } else { "min" };
    subject.context.report(
        Diagnostic::new(
            Code::ThresholdOutOfReach,
            subject.context.value(&subject.at.key(key)),
            format!("the condition of rule `{}` {what} by `{}`", subject.id, subject.metric),
        )
        .related(subject.reading_span(device_type, related), format!("bounds of `{device_type}`"))
        .help(format!("its values lie between {} and {}", shown(min), shown(max))),
    );
}

/// The fixed part of a threshold: the number itself, or the attribute's default.
pub(crate) fn fixed(threshold: &Threshold) -> Finite {
    match threshold {
        Threshold::Fixed(value) => *value,
        Threshold::Attribute { default, .. } => *default,
    }
}

/// Reports a `clear` that lies on the alerting side of the threshold.
pub(crate) fn check_clear(subject: &Subject<'_, '_>, operator: Operator, threshold: Finite, clear: Option<Finite>) {
    let Some(clear) = clear else { return };
    let place = subject.at.key("clear");
    let limit = subject.at.key("threshold");
    let wrong = match operator {
        Operator::Above | Operator::AtLeast => clear > threshold,
        Operator::Below | Operator::AtMost => clear < threshold,
        Operator::Equal | Operator::NotEqual => {
            let message = format!("`clear` has no meaning with the operator `{}`", operator.as_str());
            subject.context.report(
                Diagnostic::new(Code::KeysExclude, subject.context.key(&place), message)
                    .related(subject.context.value(&subject.at.key("operator")), "the operator")
                    .help("remove `clear`"),
            );
            return;
        }
    };
    if wrong {
        let side = if matches!(operator, Operator::Above | Operator::AtLeast) { "less" } else { "more" };
        subject.context.report(
            Diagnostic::new(
                Code::ClearOnWrongSide,
                subject.context.value(&place),
                format!("`clear` {clear} lies on the alerting side of the threshold {threshold}"),
            )
            .related(subject.context.value(&limit), "the threshold")
            .help(format!("with the operator `{}` an alert clears at {threshold} or {side}", operator.as_str())),
        );
    }
}
