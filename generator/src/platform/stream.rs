//! `[stream]`: the telemetry stream.

use std::collections::BTreeMap;

use fleetform_engine::{ids::DeviceTypeId, units::Millis};
use schemars::JsonSchema;
use serde::Deserialize;

use super::device_type::DeviceType;
use crate::{
    check::{bounds::Bounds, context::Context},
    diagnostic::{Code, Diagnostic},
    schema::types::Duration,
    source::At,
};

const RETENTION: &str = "48h";

/// The capacity of one shard: 1,000 records and 1 MB per second in, 2 MB per second out to all shared-throughput
/// readers together ("Quotas and limits", Amazon Kinesis Data Streams developer guide).
const SHARD_RECORDS_PER_S: f64 = 1_000.0;
const SHARD_BYTES_IN_PER_S: f64 = 1_000_000.0;
const SHARD_BYTES_OUT_PER_S: f64 = 2_000_000.0;

/// The number of shared-throughput readers that a stream is sized for.
const READERS: f64 = 3.0;

/// Bytes of a record excluding its samples, of a sample excluding its readings, and of a reading, before base64.
const RECORD_BYTES: f64 = 250.0;
const SAMPLE_BYTES: f64 = 80.0;
const READING_BYTES: f64 = 30.0;

/// `[stream]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStream {
    /// `on_demand` scales automatically; `provisioned` uses `shards`.
    #[schemars(extend("default" = "on_demand"))]
    pub(crate) mode: Option<RawMode>,
    /// Shards of a provisioned stream.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) shards: Option<u32>,
    /// How long records are kept, 48h to 365d in whole hours.
    #[schemars(extend("default" = RETENTION))]
    pub(crate) retention: Option<Duration>,
    /// Whether `evaluate` reads with enhanced fan-out.
    #[schemars(extend("default" = false))]
    pub(crate) fan_out: Option<bool>,
    /// The generation of the stream: a higher number replaces the stream with another one, which continues with the
    /// states of the previous one.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1))]
    pub(crate) generation: Option<u32>,
}

/// The scaling mode as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawMode {
    OnDemand,
    Provisioned,
}

/// The telemetry stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// How it scales.
    pub mode: Mode,
    /// How long records are kept, in whole hours: 48 to 8,760.
    pub retention: Millis,
    /// Whether `evaluate` reads with enhanced fan-out.
    pub fan_out: bool,
    /// The generation of the stream: part of its logical id and of every key in the state log.
    pub generation: u32,
}

impl Stream {
    /// Its id in the stack `ingest`. Another id is another resource: the stack creates a stream for the next generation
    /// and releases the previous one.
    pub fn logical_id(&self) -> String {
        match self.generation {
            1 => "TelemetryStream".to_owned(),
            later => format!("TelemetryStream{later}"),
        }
    }
}

/// How the stream scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Automatically.
    OnDemand,
    /// With the number of shards in the file.
    Provisioned {
        /// At least 1.
        shards: u32,
    },
}

impl RawStream {
    /// Checks the table, and its shards against the devices that the file expects.
    pub(crate) fn check(
        &self,
        device_types: &BTreeMap<DeviceTypeId, DeviceType>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Stream {
        let fan_out = self.fan_out.unwrap_or(false);
        let shards_at = at.key("shards");
        let mode = match (self.mode.unwrap_or(RawMode::OnDemand), self.shards) {
            (RawMode::OnDemand, None) => Mode::OnDemand,
            (RawMode::OnDemand, Some(_)) if context.is_broken(&at.key("mode")) => Mode::OnDemand,
            (RawMode::OnDemand, Some(_)) => {
                let message = "an on-demand stream has no `shards`: it scales by itself";
                let mut diagnostic = Diagnostic::new(Code::StreamMode, context.key(&shards_at), message)
                    .help("remove `shards`, or write: mode = \"provisioned\"");
                if context.is_written(&at.key("mode")) {
                    diagnostic = diagnostic.related(context.value(&at.key("mode")), "on-demand here");
                }
                context.report(diagnostic);
                Mode::OnDemand
            }
            (RawMode::Provisioned, Some(shards)) => Mode::Provisioned { shards },
            (RawMode::Provisioned, None) => {
                if !context.is_broken(&shards_at) {
                    let needed = shards_needed(device_types, fan_out).map_or(1, |(needed, _)| needed);
                    context.report(
                        Diagnostic::new(
                            Code::StreamMode,
                            context.value(&at.key("mode")),
                            "a provisioned stream needs `shards`",
                        )
                        .help(format!("add: shards = {needed}")),
                    );
                }
                Mode::OnDemand
            }
        };
        if let Mode::Provisioned { shards } = mode
            && !context.is_broken(&At::root("device_types"))
            && let Some((needed, why)) = shards_needed(device_types, fan_out)
            && shards < needed
        {
            let message = format!("{shards} shards are too few for the devices in the file, which {why}");
            context.report(
                Diagnostic::new(Code::TooFewShards, context.value(&shards_at), message)
                    .replace(format!("write: shards = {needed}"), needed.to_string()),
            );
        }
        Stream {
            mode,
            retention: Bounds::new("48h", "365d").in_whole("1h").check(
                self.retention,
                RETENTION,
                &at.key("retention"),
                context,
            ),
            fan_out,
            generation: self.generation.unwrap_or(1),
        }
    }
}

/// Returns the shards that the counted devices need, and the limit that requires them; `None` if no devices are
/// counted.
fn shards_needed(device_types: &BTreeMap<DeviceTypeId, DeviceType>, fan_out: bool) -> Option<(u32, String)> {
    let mut records = 0.0;
    let mut bytes = 0.0;
    for device_type in device_types.values() {
        let devices: f64 = device_type.count.values().copied().map(f64::from).sum();
        let send_s = device_type.send_every.0.max(1) as f64 / 1_000.0;
        let samples = (device_type.send_every.0 as f64 / device_type.report_every.0.max(1) as f64).max(1.0);
        let sample_bytes = SAMPLE_BYTES + READING_BYTES * device_type.readings.len() as f64;
        // Topic rules carry the message as base64.
        let record_bytes = RECORD_BYTES + samples * sample_bytes * 4.0 / 3.0;
        records += devices / send_s;
        bytes += devices / send_s * record_bytes;
    }
    if records == 0.0 {
        return None;
    }
    let readers = if fan_out { READERS - 1.0 } else { READERS };
    let needs = [
        (records / SHARD_RECORDS_PER_S, format!("send {records:.0} records a second")),
        (bytes / SHARD_BYTES_IN_PER_S, format!("send about {:.1} MB a second", bytes / 1e6)),
        (
            bytes * readers / SHARD_BYTES_OUT_PER_S,
            format!("send about {:.1} MB a second to {readers:.0} readers", bytes / 1e6),
        ),
    ];
    let (needed, why) = needs.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some((needed.ceil().clamp(1.0, f64::from(u32::MAX)) as u32, why))
}
