//! The subject of a rule while it is checked: which device types report which metrics, and which of these the rule
//! reads.

use std::collections::{BTreeMap, BTreeSet};

use fleetform_engine::{
    ids::{DeviceTypeId, MetricId, RuleId, ZoneId},
    rule_set::ValueType,
    units::Millis,
};

use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    platform::{
        device_type::{DeviceType, Reading, is_timed},
        message::Message,
        zone::Zones,
    },
    source::At,
};

/// What rules refer to.
pub(crate) struct Scope<'p> {
    pub(crate) zones: &'p Zones,
    pub(crate) device_types: &'p BTreeMap<DeviceTypeId, DeviceType>,
    pub(crate) message: &'p Message,
    /// How often silence is detected.
    pub(crate) sweep_every: Millis,
    /// The device types that report a metric, in order.
    pub(super) metrics: BTreeMap<&'p str, Vec<(&'p DeviceTypeId, &'p Reading)>>,
}

impl<'p> Scope<'p> {
    /// Collects which device types report which metrics.
    pub(crate) fn new(
        zones: &'p Zones,
        device_types: &'p BTreeMap<DeviceTypeId, DeviceType>,
        message: &'p Message,
        sweep_every: Millis,
    ) -> Self {
        let mut metrics: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, device_type) in device_types {
            for (metric, reading) in &device_type.readings {
                metrics.entry(metric.as_str()).or_default().push((id, reading));
            }
        }
        Self { zones, device_types, message, sweep_every, metrics }
    }
}

/// The subject of a rule while it is checked.
pub(crate) struct Subject<'s, 'd> {
    pub(crate) id: &'s RuleId,
    /// `None` for kinds that read no samples.
    pub(crate) metric: Option<&'s MetricId>,
    /// The device types that it reads.
    pub(crate) types: &'s [DeviceTypeId],
    /// The zones that it applies to; empty for everywhere.
    pub(crate) zones: &'s BTreeSet<ZoneId>,
    pub(crate) scope: &'s Scope<'s>,
    pub(crate) at: &'s At<'s>,
    pub(crate) context: &'s Context<'d>,
    /// The readings that it reads. Health values have none; if one of the readings is broken, the list is empty.
    readings: Vec<(&'s DeviceTypeId, &'s Reading)>,
}

impl<'s, 'd> Subject<'s, 'd> {
    /// Determines the subject of a rule. `types` must be those of the scope.
    pub(crate) fn new(
        id: &'s RuleId,
        metric: Option<&'s MetricId>,
        types: &'s [DeviceTypeId],
        zones: &'s BTreeSet<ZoneId>,
        scope: &'s Scope<'s>,
        at: &'s At<'s>,
        context: &'s Context<'d>,
    ) -> Self {
        let reading = |id: &'s DeviceTypeId| Some((id, scope.device_types.get(id)?.readings.get(metric?)?));
        let is_known = !context.is_broken(&at.key("metric"));
        let readings = types.iter().filter(|_| is_known).filter_map(reading).collect();
        Self { id, metric, types, zones, scope, at, context, readings }
    }

    /// The name of its metric. Only for kinds that read one.
    pub(crate) fn metric(&self) -> &'s str {
        self.metric.map_or("", MetricId::as_str)
    }

    /// The readings that it reads. Health values have none; if one of the readings is broken, there are none.
    pub(crate) fn readings(&self) -> impl Iterator<Item = (&'s DeviceTypeId, &'s Reading)> {
        self.readings.iter().copied()
    }

    /// The device types that it reads, limited to those whose reporting and sending intervals are known.
    pub(crate) fn timed(&self) -> impl Iterator<Item = (&'s DeviceTypeId, &'s DeviceType)> {
        let all = At::root("device_types");
        let timed = self.types.iter().filter(move |id| is_timed(&all.key(id.as_str()), self.context));
        timed.filter_map(|id| Some((id, self.scope.device_types.get(id)?)))
    }

    /// The location of a key of a reading, for use as a related location.
    pub(crate) fn reading_span(&self, device_type: &DeviceTypeId, key: &str) -> std::ops::Range<usize> {
        let types = At::root("device_types");
        let table = types.key(device_type.as_str());
        let readings = table.key("readings");
        let reading = readings.key(self.metric());
        self.context.value(&reading.key(key))
    }

    /// Whether all values that it reads are numbers; reports the first that is not.
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
                    self.id,
                    self.metric()
                ),
            )
            .related(self.reading_span(device_type, "type"), "its type")
            .help(
                "choose a metric with numbers; a rule of type `state` compares words and truth values, with `equals`",
            ),
        );
        false
    }
}
