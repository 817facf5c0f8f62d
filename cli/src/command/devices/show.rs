//! `fleetform devices show`.

use std::fmt::Write as _;

use clap::Args;
use fleetform_engine::{drive::KnownDevice, effect::Observed, units::Timestamp};

use super::known::{ago, json_of, known, moment, presence};
use crate::{
    deployed::{Deployed, Target, now},
    terminal::{Stop, print},
};

/// Show what a deployed platform knows about one device: registration, presence, newest values, running alerts
///
/// Exits with 1 if the device is not known.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The device
    #[arg(value_name = "DEVICE")]
    device: String,
    #[command(flatten)]
    target: Target,
    /// Print a JSON document
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) fn run(self) -> Result<(), Stop> {
        self.target.with(async |deployed: Deployed| {
            let all = known(&deployed).await?;
            let Some(device) = all.into_iter().find(|device| device.registration.id.as_str() == self.device) else {
                return Err(Stop::failed(format_args!("device `{}` is not known to any shard", self.device)).help(
                    "`fleetform devices list` lists the known devices; register this one with scripts/devices.sh add",
                ));
            };
            if self.json { print(&format!("{:#}\n", json_of(&device))) } else { print(&text(&device, now())) }
        })
    }
}

fn text(device: &KnownDevice, now: Timestamp) -> String {
    let of = &device.registration;
    let mut text = format!("device {}\n", of.id);
    let mut line = |name: &str, value: &str| {
        let _written = writeln!(text, "  {name:<12} {value}");
    };
    line("type", of.device_type.as_str());
    line("zone", of.zone.as_str());
    line("revision", &of.revision.to_string());
    for (attribute, value) in &of.attributes {
        line("attribute", &format!("{attribute} = {value}"));
    }
    let heard = |at| format!("{}, {} ago", moment(at), ago(at, now));
    line("heard", &device.last_ingest.map_or_else(|| "never".to_owned(), heard));
    let since = device.offline_since.map_or_else(String::new, |at| format!(" since {}", moment(at)));
    line("is", &format!("{}{since}", presence(device)));
    for newest in &device.values {
        let value = match &newest.value {
            Observed::Number(number) => number.to_string(),
            Observed::Bool(truth) => truth.to_string(),
            Observed::Word(word) => word.to_string(),
        };
        line("value", &format!("{} = {value} at {}", newest.metric, moment(newest.at)));
    }
    for alert in &device.alerts {
        line("alert", &format!("{} since {}", alert.rule, moment(alert.since)));
    }
    text
}
