//! `fleetform devices add`.

use clap::Args;
use fleetform_generator::{Registration, platform::Platform};

use crate::{
    deployed::now,
    input::{self, DEFAULT_FILE},
    stream::{self, Stream},
    terminal::{Stop, print, tell},
};

/// Register a device, or change its type, zone or attributes
///
/// Puts a record on the platform's telemetry stream. From that record on, the device's messages are evaluated.
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
    /// A value of its own for an attribute of its device type; may be given for each attribute
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = name_and_value)]
    attributes: Vec<(String, String)>,
    /// The stream; unless given, the one that the environment's stack made
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// The record's revision: of two records the higher one holds; unless given, milliseconds since 1970
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
    /// The environment; unless given, the file's default
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The platform file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: camino::Utf8PathBuf,
    /// Print the record and put it nowhere
    #[arg(long)]
    dry_run: bool,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Add {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = input::project(&self.file)?;
        let platform = input::platform(&project, self.env.as_deref())?;
        let registration = self.registration(platform)?;
        let now = now();
        let record = registration.record(self.revision.unwrap_or(now.0.unsigned_abs()), now);
        if self.dry_run {
            let mut line = String::from_utf8_lossy(&record).into_owned();
            line.push('\n');
            return print(&line);
        }
        let put = stream::put(platform, self.stream.as_deref(), registration.device().as_str(), record)?;
        let Stream { name, shard, sequence } = put;
        print(&format!("{shard} {sequence}\n"))?;
        tell(format_args!(
            "{} is registered in {} by a record on {name}",
            registration.device(),
            platform.environment.id
        ));
        Ok(())
    }

    fn registration(&self, platform: &Platform) -> Result<Registration, Stop> {
        Registration::new(platform, &self.device, &self.device_type, &self.zone, &self.attributes).map_err(|errors| {
            let (last, others) = errors.split_last().expect("there is no failure without an error");
            for error in others {
                tell(format_args!("error: {error}"));
            }
            Stop::bad_input(last)
        })
    }
}
