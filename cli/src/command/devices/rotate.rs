//! `fleetform devices rotate`.

use camino::Utf8PathBuf;
use clap::Args;

use super::registering::{Registering, ServerKeys, request};
use crate::{registry::registrar::KeyMaker, terminal::Stop};

/// Give a device a second certificate; with `--finish`, once it has connected with it, withdraw the first one
///
/// The first one is then inactive. The same command deletes it a week later.
#[derive(Args, Debug)]
pub(crate) struct Rotate {
    /// The device
    #[arg(value_name = "DEVICE")]
    device: String,
    /// A certificate signing request that the device made itself; without it, the key is made here
    #[arg(long, value_name = "FILE", conflicts_with_all = ["finish", "insecure_server_keys"])]
    csr: Option<Utf8PathBuf>,
    #[command(flatten)]
    server_keys: ServerKeys,
    /// Withdraw the first certificate
    #[arg(long, conflicts_with = "insecure_server_keys")]
    finish: bool,
    #[command(flatten)]
    registering: Registering,
}

impl Rotate {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = self.registering.project()?;
        let platform = self.registering.platform(&project)?;
        let request = request(self.csr.as_deref())?;
        let maker = KeyMaker::of(request.as_deref(), self.server_keys.of(platform)?);
        self.registering.with(platform, async |registrar| {
            if self.finish { registrar.finish(&self.device).await } else { registrar.rotate(&self.device, maker).await }
        })
    }
}
