//! `fleetform devices revoke`.

use clap::Args;

use super::registering::Registering;
use crate::terminal::Stop;

/// Withdraw all certificates of a device, and end its alerts
///
/// An open connection ends within minutes. The certificates stay, inactive, until the device is removed.
#[derive(Args, Debug)]
pub(crate) struct Revoke {
    /// The device
    #[arg(value_name = "DEVICE")]
    device: String,
    #[command(flatten)]
    registering: Registering,
}

impl Revoke {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = self.registering.project()?;
        let platform = self.registering.platform(&project)?;
        self.registering.with(platform, async |registrar| registrar.revoke(&self.device).await.map(drop))
    }
}
