//! `fleetform devices list`.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use fleetform_engine::{drive::KnownDevice, units::Timestamp};

use super::known::{ago, json_of, known, presence};
use crate::{
    deployed::{Deployed, Target, now},
    terminal::{Stop, counted, print, tell},
};

/// List the devices that a deployed platform knows, with when each was last heard from
///
/// They are read from the states of the stream's shards, which the rules are evaluated with.
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    target: Target,
    /// Only devices of this type
    #[arg(long = "type", value_name = "TYPE")]
    device_type: Option<String>,
    /// Only devices of this zone, without those of the zones in it
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Only devices that are offline
    #[arg(long)]
    offline: bool,
    /// Only devices with a running alert
    #[arg(long)]
    alerting: bool,
    /// Also devices that were taken out of service
    #[arg(long)]
    retired: bool,
    /// How they are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: ListFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// A table
    Text,
    /// One JSON document per device, with everything known about it
    Json,
}

impl List {
    pub(crate) fn run(self) -> Result<(), Stop> {
        self.target.with(async |deployed: Deployed| {
            let all = known(&deployed).await?;
            let (count, now) = (all.len(), now());
            let listed: Vec<KnownDevice> = all.into_iter().filter(|device| self.asks_for(device)).collect();
            match self.format {
                ListFormat::Text => print(&table(&listed, now))?,
                ListFormat::Json => {
                    for device in &listed {
                        print(&format!("{}\n", json_of(device)))?;
                    }
                }
            }
            tell(format_args!("{} of {}", listed.len(), counted(count, "device")));
            Ok(())
        })
    }

    fn asks_for(&self, device: &KnownDevice) -> bool {
        let of = &device.registration;
        self.device_type.as_deref().is_none_or(|only| only == of.device_type.as_str())
            && self.zone.as_deref().is_none_or(|only| only == of.zone.as_str())
            && (!self.offline || device.offline_since.is_some())
            && (!self.alerting || !device.alerts.is_empty())
            && (self.retired || !of.retired)
    }
}

/// The devices under each other, each column as wide as its longest cell.
fn table(devices: &[KnownDevice], now: Timestamp) -> String {
    let head = ["DEVICE", "TYPE", "ZONE", "HEARD", "IS", "ALERTS"].map(str::to_owned);
    let rows = devices.iter().map(|device| {
        let of = &device.registration;
        let alerts: Vec<&str> = device.alerts.iter().map(|alert| alert.rule.as_str()).collect();
        [
            of.id.to_string(),
            of.device_type.to_string(),
            of.zone.to_string(),
            device.last_ingest.map_or_else(|| "never".to_owned(), |at| format!("{} ago", ago(at, now))),
            presence(device).to_owned(),
            alerts.join(", "),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    rows.iter().fold(String::new(), |mut text, row| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _written = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}
