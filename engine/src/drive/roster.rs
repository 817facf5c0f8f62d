//! Reads what the chain of a shard knows about its devices. Read-only: it decides nothing.

use std::sync::Arc;

use super::{Broken, Driver, Failure, RuleSets, Settings, StateLog, survey::Sound};
use crate::{
    compiled::Compiled,
    effect::Observed,
    ids::{MetricId, RuleId},
    state::{Device, Phase, Registration, ShardState},
    units::Timestamp,
};

/// A device as a shard knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownDevice {
    /// Its latest registration.
    pub registration: Arc<Registration>,
    /// Ingest time of its last message; `None` if there was none.
    pub last_ingest: Option<Timestamp>,
    /// Since when it is offline, by the shard's time; `None` while it is online.
    pub offline_since: Option<Timestamp>,
    /// The newest value of each metric that has one, in the order of its type.
    pub values: Vec<NewestValue>,
    /// Its running alerts, in the order of their rules.
    pub alerts: Vec<RunningAlert>,
}

/// The newest sample of a metric that was evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct NewestValue {
    /// Id of the metric.
    pub metric: MetricId,
    /// Value of the sample.
    pub value: Observed,
    /// Time of the sample, by the device's clock.
    pub at: Timestamp,
}

/// An alert that has started and not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningAlert {
    /// Id of the rule.
    pub rule: RuleId,
    /// Since when its condition holds.
    pub since: Timestamp,
}

/// The devices of a shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    /// Devices in the order of their ids, including retired ones.
    pub devices: Vec<KnownDevice>,
    /// The shard's time at the end of what can be read: the highest ingest time seen.
    pub shard_time: Timestamp,
    /// Whether the chain is sealed, so that the shard's children continue with these devices.
    pub sealed: bool,
    /// Objects of the chain that cannot be read. If there are any, the rest shows the state before them.
    pub broken: Vec<Broken>,
}

/// Returns the devices of a shard, as far as its chain can be read.
///
/// # Errors
/// If the store or a rule set is unavailable.
pub async fn roster<L: StateLog, R: RuleSets>(
    log: &L,
    rule_sets: &R,
    settings: &Settings,
    shard: &str,
) -> Result<Roster, Failure> {
    let found = Driver::new(settings.clone()).find(log, rule_sets, shard).await?;
    let Some(Sound { shard, .. }) = found.sound else {
        return Ok(Roster { broken: found.broken, ..Roster::default() });
    };
    let mut devices = known(&shard.state, &shard.rules);
    devices.sort_by(|a, b| a.registration.id.cmp(&b.registration.id));
    Ok(Roster { devices, shard_time: shard.state.shard_time(), sealed: shard.sealed, broken: found.broken })
}

fn known(state: &ShardState, rules: &Compiled) -> Vec<KnownDevice> {
    // The pseudo-device that represents a zone under a fleet rule is not a device.
    let devices = state.devices.iter().filter(|device| device.fleet.is_none());
    devices
        .map(|device| KnownDevice {
            registration: device.registration.clone(),
            last_ingest: device.last_ingest,
            offline_since: device.presence.offline_since,
            values: values(device, rules),
            alerts: alerts(device, rules),
        })
        .collect()
}

fn values(device: &Device, rules: &Compiled) -> Vec<NewestValue> {
    let Some(home) = device.home else { return Vec::new() };
    let metrics = rules.device_type(home).metrics.iter().zip(&device.metrics);
    metrics
        .filter_map(|(metric, state)| {
            let (value, at) = state.value().zip(state.newest())?;
            Some(NewestValue { metric: metric.id.clone(), value: value.observed(metric.words()), at })
        })
        .collect()
}

fn alerts(device: &Device, rules: &Compiled) -> Vec<RunningAlert> {
    let Some(home) = device.home else { return Vec::new() };
    let (plan, device_type) = (rules.plan(home), rules.device_type(home));
    let mut running: Vec<RunningAlert> = device
        .instances
        .iter()
        .filter_map(|(slot, instance)| {
            let Phase::Firing(firing) = &instance.phase else { return None };
            let rule = device_type.rules.get(*plan.rules.get(slot)? as usize)?;
            Some(RunningAlert { rule: rule.id.clone(), since: firing.since })
        })
        .collect();
    running.sort_by(|a, b| a.rule.cmp(&b.rule));
    running
}
