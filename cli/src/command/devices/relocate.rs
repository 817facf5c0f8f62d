//! `fleetform devices move`.

use clap::Args;

use super::registering::Registering;
use crate::terminal::Stop;

/// Put a device into another zone
///
/// Its attributes and its certificate stay. The stream is told, and the thing is put into the zone's thing group.
#[derive(Args, Debug)]
pub(crate) struct Move {
    /// The device
    #[arg(value_name = "DEVICE")]
    device: String,
    /// The zone
    #[arg(long, value_name = "ZONE")]
    zone: String,
    #[command(flatten)]
    registering: Registering,
}

impl Move {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = self.registering.project()?;
        let platform = self.registering.platform(&project)?;
        self.registering.with(platform, async |registrar| registrar.relocate(platform, &self.device, &self.zone).await)
    }
}
