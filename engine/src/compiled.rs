//! A rule set in the form that evaluation needs: everything a sample can meet is found by index, and a device meets
//! only the rules of its own type, zone and metrics, however many the set holds.

mod fleets;
mod plan;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use jiff::tz::TimeZone;
use smol_str::SmolStr;

use crate::{
    active,
    ids::{AttributeId, ContactId, DeviceTypeId, MetricId, RuleId, SeverityId, ZoneId},
    overrides::{Override, Overrides},
    rule::{Test, composite},
    rule_set::{self, Condition, Hold, OnGap, RuleSet, RuleSetError, UnknownReading, ValueType},
    sample::{layout::Layout, spelling::Spelling},
    units::{Finite, Millis, Timestamp},
};

pub(crate) use fleets::Belonging;
use fleets::FleetRule;
pub(crate) use plan::Plan;

/// A rule set, ready to evaluate.
#[derive(Debug)]
pub struct Compiled {
    /// SHA-256 of the artifact, in hexadecimal.
    pub(crate) sha256: SmolStr,
    /// The set as the artifact has it, for recompiling when its overrides change.
    set: Arc<RuleSet>,
    /// The overrides in force.
    pub(crate) overrides: Arc<Overrides>,
    /// When the first of those overrides ends.
    pub(crate) overrides_end: Option<Timestamp>,
    pub(crate) layout: Layout,
    /// Path of the device id in a message.
    pub(crate) device_id_path: SmolStr,
    pub(crate) max_future_skew: Millis,
    pub(crate) max_past: Millis,
    pub(crate) unknown_reading: UnknownReading,
    pub(crate) max_alert_delay: Millis,
    pub(crate) types: Vec<DeviceType>,
    type_index: HashMap<DeviceTypeId, u16>,
    zones: Vec<ZoneId>,
    timezones: Vec<TimeZone>,
    zone_index: HashMap<ZoneId, u16>,
    /// For each zone, the index of its enclosing zone.
    parents: Vec<Option<u16>>,
    /// In the order of rule ids.
    fleets: Vec<FleetRule>,
    /// By type, then zone. Most pairs have no device in a shard, so each plan is built when it is first needed.
    plans: Vec<OnceLock<Plan>>,
}

/// What all devices of one type share.
#[derive(Debug)]
pub(crate) struct DeviceType {
    pub(crate) id: DeviceTypeId,
    /// Readings, then health values. A metric index always refers to this list.
    pub(crate) metrics: Vec<Metric>,
    pub(crate) reading_by_key: HashMap<SmolStr, u16>,
    /// Spelling of its messages; `None` if only the parser reads them.
    pub(crate) spelling: Option<Spelling>,
    /// Index of the first health value.
    pub(crate) health_from: u16,
    /// One bit for each required reading.
    pub(crate) required: u64,
    pub(crate) attributes: Vec<(AttributeId, Finite)>,
    /// Silence after which a device counts as offline.
    pub(crate) offline_after: Millis,
    /// By metric, then by id. Among those without a metric, composite rules come last, each after the ones it reads.
    pub(crate) rules: Vec<Rule>,
}

/// One metric of a device type.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) id: MetricId,
    /// Key in the object of readings, or the path of a health value.
    pub(crate) key: SmolStr,
    pub(crate) kind: Kind,
}

/// The type of a metric's values.
#[derive(Debug)]
pub(crate) enum Kind {
    Float { min: Finite, max: Finite },
    Int { min: Finite, max: Finite },
    Bool,
    Enum { words: Vec<SmolStr>, index: HashMap<SmolStr, u16> },
    Text,
}

/// One rule, as devices of one type meet it.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    /// Index of the metric that it reads; `None` for kinds that read no samples.
    pub(crate) metric: Option<u16>,
    /// The condition as the set has it. Together with metric and detector it defines the rule's meaning.
    pub(crate) condition: rule_set::Condition,
    pub(crate) test: Test,
    pub(crate) duration: Duration,
    pub(crate) keep_firing_for: Millis,
    pub(crate) min_samples: u32,
    pub(crate) shadow: bool,
    pub(crate) severity: SeverityId,
    pub(crate) cooldown: Millis,
    /// Time between two notices of an ongoing episode.
    pub(crate) repeat_every: Option<Millis>,
    pub(crate) active: Option<rule_set::Active>,
    pub(crate) flap_limit: Option<rule_set::FlapLimit>,
    /// Moment before which no notice of a firing is sent.
    pub(crate) muted_until: Option<Timestamp>,
    /// Contacts that are notified instead of those that the routes name.
    pub(crate) contacts: Option<Arc<[ContactId]>>,
    /// Indexes of its zones, sorted; `None` for everywhere.
    zones: Option<Vec<u16>>,
}

/// A rule in force, with the override that applies to it.
type RuleInForce<'a> = (&'a RuleId, &'a rule_set::Rule, Option<&'a Override>);

/// How long a condition must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Duration {
    Time {
        length: Millis,
        on_gap: OnGap,
        max_gap: Millis,
        /// Silence of a device after which the start of a breach is forgotten.
        forget_after: Millis,
    },
    Samples {
        breach: u32,
        of: u32,
    },
}

impl Rule {
    fn new(
        set: &RuleSet,
        (id, rule, row): RuleInForce<'_>,
        metric: Option<(u16, &Kind)>,
        attributes: &[(AttributeId, Finite)],
        device_type: &rule_set::DeviceType,
        zone_index: &HashMap<ZoneId, u16>,
    ) -> Self {
        let severity = &set.severities[&rule.severity];
        Self {
            id: id.clone(),
            metric: metric.map(|(index, _)| index),
            condition: rule.condition.clone(),
            test: Test::new(rule, metric.map(|(_, kind)| kind), attributes, device_type.report_every_ms),
            duration: match rule.hold {
                Hold::Duration { duration_ms, on_gap, max_gap_ms } => {
                    let max_gap = max_gap_ms.unwrap_or(rule_set::default_max_gap(device_type.report_every_ms));
                    let forget_after = Millis(max_gap.0.saturating_add(device_type.send_every_ms.0));
                    Duration::Time { length: duration_ms, on_gap, max_gap, forget_after }
                }
                Hold::Samples { breach, of } => Duration::Samples { breach, of },
            },
            keep_firing_for: rule.keep_firing_for_ms,
            min_samples: rule.min_samples,
            shadow: rule.shadow,
            severity: rule.severity.clone(),
            cooldown: severity.cooldown_ms,
            repeat_every: severity.repeat_every_ms,
            active: rule.active.clone(),
            flap_limit: rule.flap_limit,
            muted_until: row.and_then(|row| row.muted_until),
            contacts: row.and_then(|row| row.contacts.clone()),
            zones: (!rule.zones.is_empty()).then(|| {
                let mut zones: Vec<u16> = rule.zones.iter().map(|zone| zone_index[zone]).collect();
                zones.sort_unstable();
                zones
            }),
        }
    }

    /// Whether a rule of another set is still the same one. How long the condition must hold, urgency, recipients and
    /// text do not matter: a change to those keeps running episodes.
    pub(crate) fn means_the_same(&self, metric: Option<&Metric>, other: &Self, other_metric: Option<&Metric>) -> bool {
        metric.map(|metric| &metric.id) == other_metric.map(|metric| &metric.id)
            && self.condition == other.condition
            && std::mem::discriminant(&self.duration) == std::mem::discriminant(&other.duration)
    }
}

impl Duration {
    pub(crate) fn length(self) -> Millis {
        match self {
            Self::Time { length, .. } => length,
            Self::Samples { .. } => Millis(0),
        }
    }
}

/// The place of a device in a compiled set: its type and zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) device_type: u16,
    pub(crate) zone: u16,
}

impl Compiled {
    /// Reads and compiles an artifact; its address is computed from the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RuleSetError> {
        let set = RuleSet::from_bytes(bytes)?;
        Ok(Self::build(set.into(), RuleSet::sha256(bytes), Arc::default()))
    }

    /// Compiles a set that has passed its checks.
    pub fn new(set: &RuleSet, sha256: SmolStr) -> Self {
        Self::build(Arc::new(set.clone()), sha256, Arc::default())
    }

    /// Returns the same set under other overrides.
    pub(crate) fn under(self: &Arc<Self>, overrides: &Arc<Overrides>) -> Arc<Self> {
        if self.overrides == *overrides {
            return self.clone();
        }
        Self::build(self.set.clone(), self.sha256.clone(), overrides.clone()).into()
    }

    /// Returns the set as its artifact has it.
    pub(crate) fn set(&self) -> &RuleSet {
        &self.set
    }

    /// Whether both are the same set under the same overrides.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.sha256 == other.sha256 && self.overrides == other.overrides
    }

    fn build(source: Arc<RuleSet>, sha256: SmolStr, overrides: Arc<Overrides>) -> Self {
        let set = &*source;
        let in_force = overrides.in_force(set);
        let rules = set.rules.iter().map(|(id, rule)| match in_force.get(id) {
            Some((row, rule)) => (id, rule, Some(*row)),
            None => (id, rule, None),
        });
        let zones: Vec<ZoneId> = set.zones.keys().cloned().collect();
        let zone_index: HashMap<ZoneId, u16> = (0..).zip(&zones).map(|(index, id)| (id.clone(), index)).collect();
        let mut rules_by_type: HashMap<&DeviceTypeId, Vec<RuleInForce<'_>>> = HashMap::new();
        let mut of_fleets = Vec::new();
        let mut fleets = Vec::new();
        for rule in rules.filter(|(_, rule, _)| rule.enabled) {
            let (id, meant, _) = rule;
            if let Condition::Fleet { of, .. } = &meant.condition {
                fleets.push(FleetRule::new(id, meant, of));
                of_fleets.push(rule);
                continue;
            }
            for device_type in &meant.device_types {
                rules_by_type.entry(device_type).or_default().push(rule);
            }
        }
        let layout = Layout::new(&set.message);
        let mut types: Vec<DeviceType> = set
            .device_types
            .iter()
            .map(|(id, device_type)| {
                let rules = rules_by_type.get(id).map_or(&[][..], Vec::as_slice);
                DeviceType::new(set, &layout, id, device_type, rules, &zone_index)
            })
            .collect();
        types.push(DeviceType::of_fleets(set, &layout, &of_fleets, &zone_index));
        let mut plans = Vec::new();
        plans.resize_with(types.len() * zones.len(), OnceLock::new);
        Self {
            sha256,
            set: source.clone(),
            overrides_end: overrides.first_end(),
            overrides: overrides.clone(),
            layout,
            device_id_path: set.message.device_id.clone(),
            max_future_skew: set.message.max_future_skew_ms,
            max_past: set.message.max_past_ms,
            unknown_reading: set.message.unknown_reading,
            max_alert_delay: set.max_alert_delay_ms,
            type_index: (0..).zip(&types).map(|(index, device_type)| (device_type.id.clone(), index)).collect(),
            types,
            parents: set.zones.values().map(|zone| zone_index.get(zone.parent.as_ref()?).copied()).collect(),
            fleets,
            timezones: set.zones.values().map(|zone| active::timezone(&zone.timezone)).collect(),
            zones,
            zone_index,
            plans,
        }
    }

    /// Returns the SHA-256 of the artifact, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn type_of(&self, id: &DeviceTypeId) -> Option<u16> {
        self.type_index.get(id).copied()
    }

    pub(crate) fn zone_of(&self, id: &ZoneId) -> Option<u16> {
        self.zone_index.get(id).copied()
    }

    pub(crate) fn home(&self, device_type: &DeviceTypeId, zone: &ZoneId) -> Option<Home> {
        Some(Home { device_type: self.type_of(device_type)?, zone: self.zone_of(zone)? })
    }

    /// Returns a home of each device type, in the first zone. The type that represents fleets comes last, and sends
    /// no messages.
    #[cfg(feature = "probes")]
    pub(crate) fn homes(&self) -> impl Iterator<Item = Home> {
        (0..self.types.len() as u16 - 1).map(|device_type| Home { device_type, zone: 0 })
    }

    pub(crate) fn device_type(&self, home: Home) -> &DeviceType {
        &self.types[usize::from(home.device_type)]
    }

    pub(crate) fn zone(&self, home: Home) -> &ZoneId {
        &self.zones[usize::from(home.zone)]
    }

    pub(crate) fn timezone(&self, home: Home) -> &TimeZone {
        &self.timezones[usize::from(home.zone)]
    }

    pub(crate) fn plan(&self, home: Home) -> &Plan {
        let index = usize::from(home.device_type) * self.zones.len() + usize::from(home.zone);
        self.plans[index].get_or_init(|| {
            let mut plan = Plan::new(self.device_type(home), home.zone);
            plan.fleets = self.belonging(home, &plan);
            plan
        })
    }
}

impl DeviceType {
    fn new(
        set: &RuleSet,
        layout: &Layout,
        id: &DeviceTypeId,
        device_type: &rule_set::DeviceType,
        rules: &[RuleInForce<'_>],
        zone_index: &HashMap<ZoneId, u16>,
    ) -> Self {
        let readings = device_type.readings.iter().map(|(id, reading)| Metric {
            id: id.clone(),
            key: reading.key.clone(),
            kind: Kind::new(&reading.value),
        });
        let health = set.message.health.iter().map(|(id, path)| Metric {
            id: id.clone(),
            key: path.clone(),
            kind: Kind::new(&ValueType::Float { min: None, max: None }),
        });
        let metrics: Vec<Metric> = readings.chain(health).collect();
        let attributes: Vec<(AttributeId, Finite)> =
            device_type.attributes.iter().map(|(id, attribute)| (id.clone(), attribute.default)).collect();
        let required = (0..).zip(device_type.readings.values()).filter(|(_, reading)| reading.required);
        let mut compiled: Vec<Rule> = rules
            .iter()
            .filter_map(|in_force| {
                let metric = match &in_force.1.metric {
                    Some(id) => Some(metrics.iter().position(|metric| metric.id == *id)?),
                    None => None,
                };
                let metric = metric.map(|index| (index as u16, &metrics[index].kind));
                Some(Rule::new(set, *in_force, metric, &attributes, device_type, zone_index))
            })
            .collect();
        // The sort is stable, and the rules arrive in the order of their ids.
        compiled.sort_by_cached_key(|rule| (rule.metric.unwrap_or(u16::MAX), composite::depth(&rule.id, &set.rules)));
        Self {
            id: id.clone(),
            reading_by_key: (0..).zip(device_type.readings.values()).map(|(i, r)| (r.key.clone(), i)).collect(),
            spelling: Spelling::new(layout, device_type.readings.values().map(|reading| reading.key.as_str())),
            health_from: device_type.readings.len() as u16,
            required: required.fold(0, |mask, (index, _): (u32, _)| mask | 1 << index),
            metrics,
            attributes,
            offline_after: device_type.offline_after_ms,
            rules: compiled,
        }
    }

    /// The type of the pseudo-device that represents a fleet rule in a zone.
    fn of_fleets(set: &RuleSet, layout: &Layout, rules: &[RuleInForce<'_>], zone_index: &HashMap<ZoneId, u16>) -> Self {
        let nothing = rule_set::DeviceType {
            report_every_ms: Millis(0),
            send_every_ms: Millis(0),
            offline_after_ms: Millis(0),
            readings: BTreeMap::new(),
            attributes: BTreeMap::new(),
        };
        let fleets = Self::new(set, layout, &DeviceTypeId::FLEET, &nothing, rules, zone_index);
        Self { metrics: Vec::new(), ..fleets }
    }

    /// Returns the metric that a rule reads.
    pub(crate) fn metric(&self, rule: &Rule) -> Option<&Metric> {
        rule.metric.map(|index| &self.metrics[usize::from(index)])
    }

    pub(crate) fn metric_of(&self, id: &str) -> Option<usize> {
        self.metrics.iter().position(|metric| metric.id.as_str() == id)
    }
}

impl Metric {
    /// Returns the words of an enum; empty for any other kind.
    pub(crate) fn words(&self) -> &[SmolStr] {
        match &self.kind {
            Kind::Enum { words, .. } => words,
            Kind::Float { .. } | Kind::Int { .. } | Kind::Bool | Kind::Text => &[],
        }
    }
}

impl Kind {
    fn new(value: &ValueType) -> Self {
        let lowest = Finite::new(f64::MIN).unwrap_or(Finite::ZERO);
        let highest = Finite::new(f64::MAX).unwrap_or(Finite::ZERO);
        match value {
            ValueType::Float { min, max } => Self::Float { min: min.unwrap_or(lowest), max: max.unwrap_or(highest) },
            ValueType::Int { min, max } => Self::Int { min: min.unwrap_or(lowest), max: max.unwrap_or(highest) },
            ValueType::Bool => Self::Bool,
            ValueType::Enum { values } => Self::Enum {
                words: values.clone(),
                index: (0..).zip(values).map(|(index, word)| (word.clone(), index)).collect(),
            },
            ValueType::String => Self::Text,
        }
    }
}
