//! `fleetform devices rotate`.

use camino::Utf8PathBuf;
use clap::Args;

use super::registering::{Registering, request};
use crate::terminal::Stop;

/// Give a device a second certificate; with `--finish`, once it has connected with it, take the first one away
///
/// The first one is inactive from then on, and is deleted by the same command a week later.
#[derive(Args, Debug)]
pub(crate) struct Rotate {
    /// The device
    #[arg(value_name = "DEVICE")]
    device: String,
    /// A request that the device made itself; unless given, its key is made here
    #[arg(long, value_name = "FILE", conflicts_with = "finish")]
    csr: Option<Utf8PathBuf>,
    /// Take the first certificate away
    #[arg(long)]
    finish: bool,
    #[command(flatten)]
    registering: Registering,
}

impl Rotate {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = self.registering.project()?;
        let platform = self.registering.platform(&project)?;
        let request = request(self.csr.as_deref())?;
        self.registering.with(platform, async |registrar| {
            if self.finish {
                registrar.finish(&self.device).await
            } else {
                registrar.rotate(&self.device, request.as_deref()).await
            }
        })
    }
}
