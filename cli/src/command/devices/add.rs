//! `fleetform devices add`.

use camino::Utf8PathBuf;
use clap::Args;
use fleetform_generator::{Registration, platform::Platform};

use super::registering::{Registering, ServerKeys, request, wrong};
use crate::{
    deployed::now,
    registry::{plan::Wanted, registrar::KeyMaker},
    stream::{self, Stream},
    terminal::{Stop, print, tell},
};

/// Register a device, or change its type, zone or attributes, and give it a certificate
///
/// The device's record is on the stream before its certificate becomes active. A run that was interrupted is continued by the next; running a finished one again changes nothing.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// The device's id, which is its thing name and the device level of its topics
    #[arg(value_name = "DEVICE")]
    device: String,
    /// Its device type
    #[arg(long = "type", value_name = "TYPE")]
    device_type: String,
    /// Its zone
    #[arg(long, value_name = "ZONE")]
    zone: String,
    /// The device's own value for an attribute of its type; may be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = name_and_value)]
    attributes: Vec<(String, String)>,
    /// A certificate signing request that the device made itself; without it, the key is made here
    #[arg(long, value_name = "FILE", conflicts_with = "insecure_server_keys")]
    csr: Option<Utf8PathBuf>,
    #[command(flatten)]
    server_keys: ServerKeys,
    /// Put a revoked device back into service
    #[arg(long)]
    reinstate: bool,
    /// Put the record on the stream and do nothing else: no thing, no certificate
    #[arg(long, conflicts_with_all = ["csr", "insecure_server_keys", "reinstate", "keys"])]
    record_only: bool,
    /// The record's revision: of two records the one with the higher revision counts; defaults to the milliseconds
    /// since 1970
    #[arg(long, value_name = "NUMBER", requires = "record_only")]
    revision: Option<u64>,
    #[command(flatten)]
    registering: Registering,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Add {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = self.registering.project()?;
        let platform = self.registering.platform(&project)?;
        if self.record_only {
            return self.record(platform);
        }
        let Self { device, device_type, zone, attributes, .. } = &self;
        let wanted = Wanted::new(platform, device, device_type, zone, attributes);
        let wanted = wanted.map_err(|problems| wrong(device, &problems))?;
        let request = request(self.csr.as_deref())?;
        let maker = KeyMaker::of(request.as_deref(), self.server_keys.of(platform)?);
        self.registering.with(platform, async |registrar| registrar.add(&wanted, maker, self.reinstate).await)
    }

    fn record(&self, platform: &Platform) -> Result<(), Stop> {
        let Self { device, device_type, zone, attributes, .. } = self;
        let registration = Registration::new(platform, device, device_type, zone, attributes).map_err(|errors| {
            let problems: Vec<String> = errors.iter().map(ToString::to_string).collect();
            wrong(device, &problems)
        })?;
        let now = now();
        let record = registration.record(self.revision.unwrap_or(now.0.unsigned_abs()), now);
        if self.registering.dry_run {
            let mut line = String::from_utf8_lossy(&record).into_owned();
            line.push('\n');
            return print(&line);
        }
        let put = stream::put(platform, self.registering.stream.as_deref(), device, record)?;
        let Stream { name, shard, sequence } = put;
        print(&format!("{shard} {sequence}\n"))?;
        tell(format_args!("{device} is registered in {} by a record on {name}", platform.environment.id));
        Ok(())
    }
}
