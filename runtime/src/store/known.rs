//! What an environment knows of its shards' devices. It is loaded once, and again when another environment has changed
//! it. For each batch, only the shard's version is read while nothing has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fleetform_engine::drive::PortError;
use smol_str::SmolStr;

use super::{
    Chains, Registry,
    history::{History, Registered},
};

/// Maximum devices held in memory before all are dropped. With their histories, they take about forty megabytes.
const DEVICES_MAX: usize = 100_000;

/// Everything that is known, by shard id.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<String, Shard>);

/// What is known of a shard.
#[derive(Debug, Default)]
struct Shard {
    version: u64,
    devices: HashMap<SmolStr, History>,
}

impl Known {
    /// The histories of these devices of a shard. The shard's chain of states is read once, since it knows devices from
    /// before anything was stored.
    pub async fn of<'k>(
        &'k mut self,
        registry: &impl Registry,
        chains: &impl Chains,
        shard: &str,
        devices: &BTreeSet<SmolStr>,
    ) -> Result<&'k mut HashMap<SmolStr, History>, PortError> {
        let mut part = registry.part(shard).await?;
        if !part.begun {
            let registered = chains.registered(shard).await?;
            // A chain that has not started knows no device yet.
            if !registered.is_empty() {
                tracing::info!(shard, devices = registered.len(), "what the shard's states know of devices");
                let named = registered
                    .iter()
                    .map(|device| (device.id.as_str().into(), History::beginning(Registered::before(device))));
                registry.begin(&named.collect::<Vec<_>>()).await?;
                part.version = registry.change(shard, true).await?;
            }
        }
        if self.0.values().map(|known| known.devices.len()).sum::<usize>() > DEVICES_MAX {
            self.0.clear();
        }
        let known = self.0.entry(shard.to_owned()).or_default();
        if known.version != part.version {
            *known = Shard { version: part.version, devices: HashMap::new() };
        }
        let missing: Vec<SmolStr> =
            devices.iter().filter(|device| !known.devices.contains_key(*device)).cloned().collect();
        if !missing.is_empty() {
            known.devices.extend(registry.load(&missing).await?);
        }
        Ok(&mut known.devices)
    }

    /// Saves what a shard's batch has changed of these devices, before anything of the batch is handed over.
    pub async fn save(
        &mut self,
        registry: &impl Registry,
        shard: &str,
        changed: &BTreeSet<SmolStr>,
    ) -> Result<(), PortError> {
        if changed.is_empty() {
            return Ok(());
        }
        // The entry is removed first: after a failure, memory could hold more than what was saved.
        let Some(mut known) = self.0.remove(shard) else { return Ok(()) };
        let history = |device: &SmolStr| Some((device.clone(), known.devices.get(device)?.clone()));
        registry.save(&changed.iter().filter_map(history).collect::<Vec<_>>()).await?;
        known.version = registry.change(shard, false).await?;
        self.0.insert(shard.to_owned(), known);
        Ok(())
    }
}
