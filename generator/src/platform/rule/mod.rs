//! `[rules.X]`: the condition of an alert. The form in the rule set is the checked form.
//!
//! The keys that all kinds share are here; each kind has a file for its own keys and is listed once in [`KINDS`].

pub(crate) mod active;
mod anomaly;
pub(crate) mod composite;
mod count;
pub(crate) mod device_alarm;
mod false_alerts;
pub(crate) mod flap_limit;
mod flatline;
pub(crate) mod fleet;
mod hold;
mod limit;
mod no_data;
mod range;
mod rate_of_change;
mod raw;
mod raw_rules;
pub(crate) mod shadow;
mod state;
mod subject;
mod summary;
mod threshold;
mod window;

use std::collections::BTreeSet;

use fleetform_engine::{
    ids::{ContactId, DeviceTypeId, MetricId, RuleId, ZoneId},
    rule_set::{Condition, FlapLimit, Rule},
};
use serde_json::Value;
use smol_str::SmolStr;

pub(crate) use raw::{RawNotifications, RawRule};
pub(crate) use raw_rules::RawRules;
pub(crate) use subject::Scope;
use subject::Subject;

use super::{contact::RawContact, device_type::is_broken_reading, severity};
use crate::{
    check::{
        bounds::Bounds,
        context::{Context, listing, shown},
    },
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// A kind of rule: its words, and which of the optional keys belong to it.
pub(crate) struct Kind {
    /// Its name, followed by the source system's names.
    pub(crate) words: &'static [&'static str],
    /// Required keys.
    pub(crate) required: &'static [&'static str],
    /// Optional keys.
    pub(crate) optional: &'static [&'static str],
    /// Keys for which this kind accepts fewer shapes than other kinds do.
    pub(crate) shapes: fn() -> Vec<(&'static str, Value)>,
    /// Turns the raw form into the condition.
    check: fn(&RawRule, &Subject<'_, '_>) -> Option<Condition>,
}

impl Kind {
    /// Whether a key belongs to this kind.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.required.contains(&key) || self.optional.contains(&key)
    }

    /// Whether it reads the samples of a metric.
    fn reads_samples(&self) -> bool {
        self.required.contains(&"metric")
    }
}

/// Every kind of rule.
pub(crate) const KINDS: [Kind; 11] = [
    threshold::KIND,
    range::KIND,
    rate_of_change::KIND,
    state::KIND,
    anomaly::KIND,
    flatline::KIND,
    count::KIND,
    no_data::KIND,
    device_alarm::KIND,
    composite::KIND,
    fleet::KIND,
];

impl RawRule {
    /// Checks a rule; `None` if it cannot be evaluated.
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
        let kind = self.kind.as_ref().map(|kind| &KINDS[kind.0]);
        let (metric, types) = if kind.is_none_or(Kind::reads_samples) {
            let metric = self.metric.as_deref();
            let types = metric.and_then(|metric| self.check_metric(id, metric, named, scope, at, context));
            (Some(metric.and_then(|metric| MetricId::new(metric).ok())), types)
        } else {
            let all = || scope.device_types.keys().cloned().collect();
            let types: Vec<DeviceTypeId> = if self.device_types.is_none() { all() } else { named };
            (None, (!types.is_empty()).then_some(types))
        };
        let (condition, hold) = match (&metric, &types) {
            (Some(Some(_)) | None, Some(types)) => {
                let metric = metric.as_ref().and_then(Option::as_ref);
                let subject = Subject::new(id, metric, types, &zones, scope, at, context);
                let condition = kind.and_then(|kind| (kind.check)(self, &subject));
                // The silence itself is the waiting time.
                let is_silence = matches!(condition, Some(Condition::NoData { .. }));
                (condition, if is_silence { Some(hold::AT_ONCE) } else { hold::check(self, &subject) })
            }
            (Some(None), _) | (_, None) => (None, None),
        };
        let learns = matches!(condition, Some(Condition::Anomaly { .. }));
        let min_samples = self.min_samples.unwrap_or(if learns { anomaly::MIN_SAMPLES } else { 1 });
        let types: BTreeSet<DeviceTypeId> = types?.into_iter().collect();
        self.check_presence(id, &zones, &types, scope, at, context);
        Some(Rule {
            metric: metric.map_or(Some(None), |metric| metric.map(Some))?,
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
            min_samples,
            active: self.active.as_ref().and_then(|active| active::check(active, &at.key("active"), context)),
            flap_limit: Some(self.flap_limit.map_or(FlapLimit::DEFAULT, |limit| limit.0)),
            enabled: self.enabled.unwrap_or(true),
            shadow: self.shadow.unwrap_or(false),
            notify,
            summary: self.summary.as_deref().map(SmolStr::new),
            runbook: self.runbook.as_deref().map(SmolStr::new),
            owner: self.owner.as_deref().map(SmolStr::new),
        })
    }

    /// Returns the device types that a rule reads: those it names, or all that have its metric. If the metric is
    /// unclear in one of them, the rule is marked as broken.
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
        let is_broken_health = context.is_broken(&At::root("message").key("health").key(metric));
        if scope.message.health.contains_key(metric) || is_broken_health {
            if is_broken_health {
                context.mark_broken(&place);
            }
            let all = || scope.device_types.keys().cloned().collect();
            return Some(if self.device_types.is_none() { all() } else { named });
        }
        let broken = context.declared("device_types").filter(|name| is_broken_reading(name, metric, context));
        let broken: BTreeSet<DeviceTypeId> = broken.filter_map(|name| name.parse().ok()).collect();
        let whole = scope.metrics.get(metric).into_iter().flatten().map(|(id, _)| (*id).clone());
        let reporters: BTreeSet<DeviceTypeId> = whole.chain(broken.iter().cloned()).collect();
        if reporters.is_empty() {
            self.report_unknown(id, metric, scope, &place, context);
            return None;
        }
        let kept = if self.device_types.is_none() {
            reporters.into_iter().collect()
        } else {
            self.check_named(id, named, &reporters, at, context)
        };
        if kept.iter().any(|device_type| broken.contains(device_type)) {
            context.mark_broken(&place);
        }
        (!kept.is_empty()).then_some(kept)
    }

    /// Returns the named device types that report its metric.
    fn check_named(
        &self,
        id: &RuleId,
        named: Vec<DeviceTypeId>,
        reporters: &BTreeSet<DeviceTypeId>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Vec<DeviceTypeId> {
        let types_at = at.key("device_types");
        let metric = self.metric.as_deref().unwrap_or_default();
        let (kept, others): (Vec<_>, Vec<_>) = named.into_iter().partition(|id| reporters.contains(id));
        for device_type in others {
            let index = self.device_types.iter().flatten().position(|name| *name == device_type.as_str()).unwrap_or(0);
            let names: Vec<&str> = reporters.iter().map(DeviceTypeId::as_str).collect();
            context.report(
                Diagnostic::new(
                    Code::UnknownMetric,
                    context.value(&types_at.index(index)),
                    format!("rule `{id}` uses metric `{metric}`, which device type `{device_type}` does not report"),
                )
                .related(context.value(&at.key("metric")), "the metric")
                .help(format!("reported by {}", listing(&names))),
            );
        }
        kept
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

    /// Warns of a rule whose device types have counts, but none in the rule's zones.
    fn check_presence(
        &self,
        id: &RuleId,
        zones: &BTreeSet<ZoneId>,
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

/// The name of the contact that is created for a rule's inline `notifications`.
pub(crate) fn implicit_contact(id: &RuleId) -> Option<ContactId> {
    ContactId::new(&format!("{id}-notifications")).ok()
}

/// The raw contact that is created for a rule's inline `notifications`.
pub(crate) fn implicit_raw(notifications: &RawNotifications) -> RawContact {
    RawContact {
        sms: notifications.sms.clone(),
        email: notifications.email.clone(),
        webhook: notifications.webhook.clone(),
    }
}
