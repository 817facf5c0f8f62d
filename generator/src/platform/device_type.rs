//! `[device_types.X]`: what devices of one type send, and how often.

use std::collections::BTreeMap;

use fleetform_engine::{
    ids::{AttributeId, MetricId, ZoneId},
    rule_set::{Attribute, ValueType},
    units::Millis,
};
use smol_str::SmolStr;

/// What devices of one type send, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceType {
    /// Time between two samples.
    pub report_every: Millis,
    /// Time between two messages.
    pub send_every: Millis,
    /// Silence after which a device counts as offline.
    pub offline_after: Millis,
    /// Expected devices in each zone, from which shards are checked.
    pub count: BTreeMap<ZoneId, u32>,
    /// What it measures; never empty.
    pub readings: BTreeMap<MetricId, Reading>,
    /// What is set for each device when it is registered.
    pub attributes: BTreeMap<AttributeId, Attribute>,
}

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its key in the message's object of readings; unique in the device type.
    pub key: SmolStr,
    /// What values it takes.
    pub value: ValueType,
    /// UCUM code of its unit.
    pub unit: Option<SmolStr>,
    /// Whether a sample must have it.
    pub required: bool,
}
