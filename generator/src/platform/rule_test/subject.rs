//! The subject of a test, as far as it is known. Unknown parts have been reported at their own locations, and problems
//! that would only follow from them are not reported.

use fleetform_engine::{
    ids::{AttributeId, DeviceTypeId, RuleId, ZoneId},
    rule_set::{Rule, ValueType},
    units::Finite,
};

use super::{
    Scope,
    raw::{RawRuleTest, RawTestDevice},
    series::Values,
};
use crate::{
    check::context::{Context, listing, shown},
    diagnostic::{Code, Diagnostic},
    platform::{device_type::DeviceType, message::Message},
    source::At,
};

/// A rule, and a device that sends data.
pub(super) struct Subject<'p> {
    pub(super) rule: Option<(&'p RuleId, &'p Rule)>,
    pub(super) device_type: Option<(&'p DeviceTypeId, &'p DeviceType)>,
    pub(super) zone: Option<ZoneId>,
    pub(super) message: &'p Message,
}

impl<'p> Subject<'p> {
    /// Looks up the names in a test and reports those that are not declared.
    pub(super) fn of(raw: &RawRuleTest, scope: Scope<'p>, at: &At<'_>, context: &Context<'_>) -> Self {
        let user = || raw.name.as_deref().map_or_else(|| "a test".to_owned(), |name| format!("test `{}`", shown(name)));
        let device_at = at.key("device");
        let device = raw.device.as_ref();
        let rule = raw
            .rule
            .as_deref()
            .and_then(|id| context.reference::<RuleId>(&at.key("rule"), "rules", id, Code::UnknownRule, user));
        let device_type = device.and_then(|device| device.kind.as_deref()).and_then(|id| {
            let place = device_at.key("type");
            context.reference::<DeviceTypeId>(&place, "device_types", id, Code::UnknownDeviceType, user)
        });
        let zone = device
            .and_then(|device| device.zone.as_deref())
            .and_then(|id| context.reference(&device_at.key("zone"), "zones", id, Code::UnknownZone, user));
        Self {
            // A rule that is declared but missing here is broken, and has been reported at its own location.
            rule: rule.and_then(|id| scope.rules.get_key_value(&id)),
            device_type: device_type.and_then(|id| scope.device_types.get_key_value(&id)),
            zone,
            message: scope.message,
        }
    }

    /// Returns the values that a metric of the device takes; `None` for a metric that it does not have, or that is
    /// text.
    pub(super) fn values(&self, metric: &str) -> Option<Values<'p>> {
        if self.message.health.contains_key(metric) {
            return Some(Values::Numbers);
        }
        match &self.device_type?.1.readings.get(metric)?.value {
            ValueType::Float { .. } | ValueType::Int { .. } => Some(Values::Numbers),
            ValueType::Bool => Some(Values::Truth),
            ValueType::Enum { values } => Some(Values::Words(values)),
            ValueType::String => None,
        }
    }

    /// Lists the device's metrics or alarms for a message.
    pub(super) fn shown(&self, name: &str) -> String {
        match self.device_type {
            Some((type_id, _)) => format!("`{name}` of `{type_id}`"),
            None => format!("`{name}`"),
        }
    }

    /// Reports a test whose device the rule does not apply to.
    pub(super) fn check_covered(&self, at: &At<'_>, context: &Context<'_>) -> bool {
        let Some((rule_id, rule)) = self.rule else { return true };
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
        if let Some((type_id, _)) = self.device_type
            && !rule.device_types.contains(type_id)
        {
            let types: Vec<&str> = rule.device_types.iter().map(DeviceTypeId::as_str).collect();
            let message = format!("rule `{rule_id}` does not read devices of type `{type_id}`");
            return report(&device.key("type"), message, format!("it reads {}", listing(&types)));
        }
        if let Some(zone) = &self.zone
            && !rule.zones.is_empty()
            && !rule.zones.contains(zone)
        {
            let zones: Vec<&str> = rule.zones.iter().map(ZoneId::as_str).collect();
            let message = format!("rule `{rule_id}` does not hold in zone `{zone}`");
            return report(&device.key("zone"), message, format!("it holds in {}", listing(&zones)));
        }
        true
    }

    /// Returns the device's own values for its type's attributes.
    pub(super) fn check_attributes(
        &self,
        device: Option<&RawTestDevice>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Vec<(AttributeId, Finite)> {
        let Some((type_id, DeviceType { attributes: declared, .. })) = self.device_type else { return Vec::new() };
        let (types, mut attributes) = (At::root("device_types"), Vec::new());
        let table = types.key(type_id.as_str());
        let attributes_at = table.key("attributes");
        let written = device.and_then(|device| device.attributes.as_ref());
        for (name, value) in written.into_iter().flatten() {
            if let Some((id, _)) = declared.get_key_value(name.as_str()) {
                attributes.push((id.clone(), *value));
                continue;
            }
            let is_name = |key: &str| AttributeId::new(key).is_ok();
            if context.is_broken(&attributes_at.key(name)) || context.is_misspelt(&attributes_at, name, is_name) {
                continue;
            }
            let message = format!("device type `{type_id}` has no attribute `{}`", shown(name));
            let place = context.key(&at.key("attributes").key(name));
            let diagnostic = Diagnostic::new(Code::UnknownAttribute, place, message);
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
