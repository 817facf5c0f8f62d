//! `[environments.X]`: an account and a region, and what differs there.

use fleetform_engine::ids::EnvironmentId;
use smol_str::SmolStr;

/// An account and a region.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// Its name.
    pub id: EnvironmentId,
    /// AWS account, twelve digits.
    pub account: SmolStr,
    /// AWS region.
    pub region: SmolStr,
    /// Whether stacks get termination protection and a stateless change set is asked for.
    pub protect: bool,
    /// Cost alarm, in US dollars a month.
    pub monthly_budget_usd: Option<u32>,
}
