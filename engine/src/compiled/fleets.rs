//! The fleets that a device belongs to, by its type and zone: those of its own zone and of every enclosing zone.

use std::collections::BTreeSet;

use super::{Compiled, Home, Plan};
use crate::{
    ids::{DeviceTypeId, RuleId, ZoneId},
    rule_set::{FleetOf, Rule},
};

/// A fleet rule, as the devices that it counts meet it.
#[derive(Debug)]
pub(super) struct FleetRule {
    id: RuleId,
    of: FleetOf,
    device_types: BTreeSet<DeviceTypeId>,
    /// Ids of its zones; empty for everywhere.
    zones: BTreeSet<ZoneId>,
}

/// A fleet that devices of one type in one zone belong to.
#[derive(Debug)]
pub(crate) struct Belonging {
    pub(crate) rule: RuleId,
    pub(crate) zone: ZoneId,
    pub(crate) of: FleetOf,
    /// Slot of the rule that is counted; `None` where silence is counted, or where the devices do not meet that rule.
    pub(crate) slot: Option<u32>,
}

impl FleetRule {
    pub(super) fn new(id: &RuleId, rule: &Rule, of: &FleetOf) -> Self {
        let (device_types, zones) = (rule.device_types.clone(), rule.zones.clone());
        Self { id: id.clone(), of: of.clone(), device_types, zones }
    }
}

impl Compiled {
    /// Returns the fleets that devices of a type in a zone belong to, in the order of rule and zone.
    pub(super) fn belonging(&self, home: Home, plan: &Plan) -> Vec<Belonging> {
        let device_type = self.device_type(home);
        let slot_of = |of: &FleetOf| match of {
            FleetOf::Offline => None,
            FleetOf::Rule(id) => {
                let is_it = |rule: &u32| device_type.rules[*rule as usize].id == *id;
                plan.rules.iter().position(is_it).map(|slot| slot as u32)
            }
        };
        let around = std::iter::successors(Some(home.zone), |zone| self.parents[usize::from(*zone)]);
        // An unchecked set might hold a cycle of zones.
        let around = around.take(self.zones.len()).map(|zone| &self.zones[usize::from(zone)]);
        let zones: BTreeSet<&ZoneId> = around.collect();
        let fleets = self.fleets.iter().filter(|fleet| fleet.device_types.contains(&device_type.id));
        fleets
            .flat_map(|fleet| {
                let covered = zones.iter().filter(|zone| fleet.zones.is_empty() || fleet.zones.contains(**zone));
                covered.map(|zone| Belonging {
                    rule: fleet.id.clone(),
                    zone: (*zone).clone(),
                    of: fleet.of.clone(),
                    slot: slot_of(&fleet.of),
                })
            })
            .collect()
    }
}
