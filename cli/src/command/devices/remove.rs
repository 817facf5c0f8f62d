//! `fleetform devices remove`.

use clap::Args;

use super::registering::Registering;
use crate::terminal::Stop;

/// Revoke a device, and delete its certificates and its entry in the registry
///
/// Its files stay in the folder of `--keys`.
#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// The device
    #[arg(value_name = "DEVICE")]
    device: String,
    #[command(flatten)]
    registering: Registering,
}

impl Remove {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = self.registering.project()?;
        let platform = self.registering.platform(&project)?;
        self.registering.with(platform, async |registrar| registrar.remove(&self.device).await)
    }
}
