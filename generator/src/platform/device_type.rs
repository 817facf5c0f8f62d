//! `[device_types.X]`: what devices of one type send, and how often.

use std::collections::BTreeMap;

use fleetform_engine::{
    ids::{AttributeId, CommandId, DeviceTypeId, MetricId, SettingId, ShadowName, ZoneId},
    rule_set::{Attribute, METRICS_MAX, ValueType},
    units::{Finite, Millis},
};
use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{
    command::{self, Command, RawCommand},
    message::Message,
    reading::RawReading,
    setting::{self, RawSetting, Setting},
    shadow, unit,
};
use crate::{
    check::{bounds::Bounds, context::Context},
    diagnostic::{Code, Diagnostic},
    schema::types::{Duration, SHADOW_PATTERN, Table},
    source::At,
};

/// Time between two samples unless the file sets it.
const REPORT_EVERY: &str = "60s";

/// The number of missed messages after which a device counts as offline, unless the file sets the time.
const MISSED_MESSAGES: u64 = 3;

/// `[device_types.X]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDeviceType {
    /// Time between two samples, 100ms to 7d.
    #[schemars(extend("default" = REPORT_EVERY))]
    pub(crate) report_every: Option<Duration>,
    /// Time between two messages; longer than `report_every` if messages carry several samples. Default:
    /// `report_every`.
    pub(crate) send_every: Option<Duration>,
    /// Silence after which a device counts as offline. Default: three times `send_every`, and at least twice
    /// `send_every` plus `processor.sweep_every`.
    pub(crate) offline_after: Option<Duration>,
    /// Expected devices in each zone, used to check the number of shards.
    pub(crate) count: Option<BTreeMap<String, u32>>,
    /// What it measures, by metric.
    #[schemars(required, extend("minProperties" = 1, "maxProperties" = 64))]
    pub(crate) readings: Option<Table<MetricId, RawReading>>,
    /// Values that are set for each device when it is registered.
    #[schemars(extend("maxProperties" = 40))]
    pub(crate) attributes: Option<Table<AttributeId, RawAttribute>>,
    /// Named shadows that a device has in addition to its classic one. A platform has at most seven names of them.
    #[schemars(inner(regex(pattern = SHADOW_PATTERN)))]
    pub(crate) shadows: Option<Vec<String>>,
    /// Settings that a device reads from its shadows and reports there.
    #[schemars(extend("maxProperties" = 100))]
    pub(crate) desired: Option<Table<SettingId, RawSetting>>,
    /// Commands that operators can send to it.
    #[schemars(extend("maxProperties" = 32))]
    pub(crate) commands: Option<Table<CommandId, RawCommand>>,
}

/// `device_types.X.attributes.Y` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAttribute {
    /// Attributes are numbers.
    #[serde(rename = "type")]
    #[schemars(extend("default" = "float"))]
    pub(crate) kind: Option<AttributeType>,
    /// UCUM code of its unit.
    pub(crate) unit: Option<String>,
    /// The value for devices that are registered without one.
    #[schemars(required, with = "f64")]
    pub(crate) default: Option<Finite>,
}

/// The types of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum AttributeType {
    Float,
    Int,
}

/// What devices of one type send, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceType {
    /// Time between two samples.
    pub report_every: Millis,
    /// Time between two messages.
    pub send_every: Millis,
    /// Silence after which a device counts as offline.
    pub offline_after: Millis,
    /// Expected devices in each zone, used to check the number of shards.
    pub count: BTreeMap<ZoneId, u32>,
    /// What it measures, by metric; never empty.
    pub readings: BTreeMap<MetricId, Reading>,
    /// Values that are set for each device when it is registered.
    pub attributes: BTreeMap<AttributeId, Attribute>,
    /// Named shadows that a device has in addition to its classic one, in file order.
    pub shadows: Vec<ShadowName>,
    /// Settings that a device reads from its shadows and reports there.
    pub desired: BTreeMap<SettingId, Setting>,
    /// Commands that operators can send to it.
    pub commands: BTreeMap<CommandId, Command>,
}

impl DeviceType {
    /// Returns the settings by the shadow that they belong to, the classic one first; shadows without settings are left
    /// out.
    pub fn settings_by_shadow(&self) -> BTreeMap<Option<&ShadowName>, BTreeMap<&SettingId, &Setting>> {
        let mut shadows: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (id, setting) in &self.desired {
            shadows.entry(setting.shadow.as_ref()).or_default().insert(id, setting);
        }
        shadows
    }
}

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its key in the message's readings object; unique within the device type.
    pub key: SmolStr,
    /// The values that it takes.
    pub value: ValueType,
    /// UCUM code of its unit.
    pub unit: Option<SmolStr>,
    /// Whether every sample must contain it.
    pub required: bool,
}

/// Whether the reporting and sending intervals of the device type at a location are known.
pub(crate) fn is_timed(at: &At<'_>, context: &Context<'_>) -> bool {
    !context.is_broken(&at.key("report_every")) && !context.is_broken(&at.key("send_every"))
}

/// Whether it is unclear what a reading of a device type looks like.
pub(crate) fn is_broken_reading(device_type: &str, metric: &str, context: &Context<'_>) -> bool {
    let types = At::root("device_types");
    let table = types.key(device_type);
    let readings = table.key("readings");
    let is_name = |key: &str| MetricId::new(key).is_ok();
    context.is_broken(&readings.key(metric)) || context.is_misspelt(&readings, metric, is_name)
}

/// The shortest silence that is meaningful: two messages may be late or lost, and a sweep must then notice.
pub(crate) fn least_silence(sweep_every: Millis, send_every: Millis) -> Millis {
    Millis(sweep_every.0 + 2 * send_every.0)
}

impl RawDeviceType {
    /// Checks a device type.
    pub(crate) fn check(
        &self,
        id: &DeviceTypeId,
        message: &Message,
        sweep_every: Millis,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> DeviceType {
        let report_every =
            Bounds::new("100ms", "7d").check(self.report_every, REPORT_EVERY, &at.key("report_every"), context);
        let send_every = self.check_send_every(report_every, at, context);
        let shadows = shadow::names(self.shadows.as_ref(), &at.key("shadows"), context);
        DeviceType {
            report_every,
            send_every,
            offline_after: self.check_offline_after(send_every, sweep_every, at, context),
            count: self.check_count(id, &at.key("count"), context),
            readings: self.check_readings(message, &at.key("readings"), context),
            attributes: self.check_attributes(&at.key("attributes"), context),
            desired: setting::check(self.desired.as_ref(), &shadows, at, context),
            shadows,
            commands: command::check(self.commands.as_ref(), &at.key("commands"), context),
        }
    }

    fn check_send_every(&self, report_every: Millis, at: &At<'_>, context: &Context<'_>) -> Millis {
        let place = at.key("send_every");
        let Some(send_every) = Bounds::new("100ms", "7d").check_given(self.send_every, &place, context) else {
            return report_every;
        };
        let reported = at.key("report_every");
        if context.is_broken(&reported) {
            return send_every;
        }
        if send_every < report_every {
            let mut diagnostic = Diagnostic::new(
                Code::TimesOutOfOrder,
                context.value(&place),
                "`send_every` is shorter than `report_every`: a device has nothing to send in between",
            );
            if context.is_written(&reported) {
                diagnostic = diagnostic.related(context.value(&reported), "samples are taken this often");
            }
            context.report(diagnostic.help(format!("make it at least `{}`", Duration::write(report_every))));
        } else if send_every > report_every
            && !context.is_written(&At::root("message").key("batch"))
            && !context.is_broken(&At::root("message").key("batch"))
        {
            context.report(
                Diagnostic::new(
                    Code::MissingKey,
                    context.value(&place),
                    "messages of several samples need `message.batch`, the path of their array",
                )
                .help("add to [message]: batch = \"records\""),
            );
        }
        send_every
    }

    fn check_offline_after(
        &self,
        send_every: Millis,
        sweep_every: Millis,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Millis {
        let place = at.key("offline_after");
        let least = least_silence(sweep_every, send_every);
        let default = Millis((MISSED_MESSAGES * send_every.0).max(least.0));
        let Some(given) = Bounds::new("1s", "365d").check_given(self.offline_after, &place, context) else {
            return default;
        };
        if given < least && is_timed(at, context) && !context.is_broken(&At::root("processor").key("sweep_every")) {
            let needed = Duration::write(least);
            let message = format!(
                "a device that sends every `{}` cannot be told to be offline after `{}`",
                Duration::write(send_every),
                Duration::write(given)
            );
            let processor = At::root("processor");
            let swept = processor.key("sweep_every");
            let mut diagnostic = Diagnostic::new(Code::OfflineTooSoon, context.value(&place), message);
            if context.is_written(&swept) {
                diagnostic = diagnostic.related(context.value(&swept), "silence is seen this often");
            }
            context.report(diagnostic.replace(
                format!(
                    "it takes {} until silence is seen, and two messages; write: offline_after = \"{needed}\"",
                    Duration::write(sweep_every)
                ),
                format!("\"{needed}\""),
            ));
        }
        given
    }

    fn check_count(&self, id: &DeviceTypeId, at: &At<'_>, context: &Context<'_>) -> BTreeMap<ZoneId, u32> {
        let user = || format!("the count of device type `{id}`");
        let counts = self.count.iter().flatten();
        counts
            .filter_map(|(zone, count)| {
                let place = at.key(zone);
                if context.is_declared("zones", zone) {
                    return ZoneId::new(zone).ok().map(|zone| (zone, *count));
                }
                let near = context.nearest(zone, context.declared("zones"));
                let mut diagnostic = Diagnostic::new(
                    Code::UnknownZone,
                    context.key(&place),
                    format!("{} names zone `{}`, which is not declared", user(), crate::check::context::shown(zone)),
                )
                .label("no such zone");
                if let Some(near) = near {
                    diagnostic = diagnostic.replace(format!("did you mean `{near}`?"), near);
                }
                context.report(diagnostic);
                None
            })
            .collect()
    }

    fn check_readings(&self, message: &Message, at: &At<'_>, context: &Context<'_>) -> BTreeMap<MetricId, Reading> {
        let mut keys: BTreeMap<SmolStr, &MetricId> = BTreeMap::new();
        let mut readings = BTreeMap::new();
        for (id, raw) in self.readings.iter().flat_map(|readings| &readings.0) {
            let place = at.key(id.as_str());
            let Some(reading) = raw.check(id, &place, context) else { continue };
            if let Some(first) = keys.get(&reading.key) {
                let first_at = at.key(first.as_str());
                context.report(
                    Diagnostic::new(
                        Code::Duplicate,
                        context.key(&place),
                        format!("two readings have the key `{}` in a message", reading.key),
                    )
                    .related(context.key(&first_at), "the other reading")
                    .help("give each its own `key`"),
                );
            } else {
                keys.insert(reading.key.clone(), id);
            }
            if message.health.contains_key(id) {
                let root = At::root("message");
                let health = root.key("health");
                context.report(
                    Diagnostic::new(
                        Code::Duplicate,
                        context.key(&place),
                        format!("`{id}` is a reading here and a health value of every device"),
                    )
                    .related(context.key(&health.key(id.as_str())), "the health value")
                    .help("rename one of them"),
                );
            }
            readings.insert(id.clone(), reading);
        }
        let metrics = readings.len() + message.health.len();
        if metrics > METRICS_MAX {
            context.report(
                Diagnostic::new(
                    Code::OutOfBounds,
                    context.key(at),
                    format!("a sample has at most {METRICS_MAX} values; with the health values this one has {metrics}"),
                )
                .help("declare the readings that rules and queries need, or split the device type"),
            );
        }
        readings
    }

    fn check_attributes(&self, at: &At<'_>, context: &Context<'_>) -> BTreeMap<AttributeId, Attribute> {
        let raw = self.attributes.iter().flat_map(|attributes| &attributes.0);
        raw.filter_map(|(id, raw)| {
            let place = at.key(id.as_str());
            let unit = unit::check(&raw.unit, &place.key("unit"), context).unwrap_or_default();
            let default = raw.default?;
            if raw.kind == Some(AttributeType::Int) && default.get().fract() != 0.0 {
                let value = context.value(&place.key("default"));
                context.report(
                    Diagnostic::new(Code::WrongType, value, format!("`{default}` is not a whole number"))
                        .help("write a whole number, or: type = \"float\""),
                );
            }
            Some((id.clone(), Attribute { default, unit }))
        })
        .collect()
    }
}
