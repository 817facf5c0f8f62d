//! What shards' chains of states know of devices.

use fleetform_engine::{
    drive::{self, PortError, RuleSets, Settings, StateLog},
    state::Registration,
};

use super::Chains;

/// The chains of one generation of the stream.
#[derive(Debug)]
pub struct StateChains<L, R> {
    /// The storage of states.
    pub log: L,
    /// The storage of rule sets.
    pub rule_sets: R,
    /// Which chains to read.
    pub settings: Settings,
}

impl<L: StateLog + Send, R: RuleSets + Send> Chains for StateChains<L, R> {
    async fn registered(&self, shard: &str) -> Result<Vec<Registration>, PortError> {
        let roster = drive::roster(&self.log, &self.rule_sets, &self.settings, shard).await;
        let roster = roster.map_err(|failure| PortError(format!("the states of {shard}: {failure}")))?;
        if let Some(broken) = roster.broken.first() {
            return Err(PortError(format!(
                "the states of {shard} cannot be read at {}: {}",
                broken.key, broken.problem
            )));
        }
        Ok(roster.devices.into_iter().map(|device| Registration::clone(&device.registration)).collect())
    }
}
