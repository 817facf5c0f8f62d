//! `fleetform devices move`.

use clap::Args;

use super::registering::Registering;
use crate::terminal::Stop;

/// Move a device to another zone
///
/// Its attributes and its certificate stay. A record on the stream states the new zone, and the thing moves to the
/// zone's thing group.
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
