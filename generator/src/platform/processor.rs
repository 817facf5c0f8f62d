//! `[processor]`: the function that evaluates the stream.

use fleetform_engine::units::Millis;
use schemars::JsonSchema;
use serde::Deserialize;

use super::stream::Stream;
use crate::{
    check::{bounds::Bounds, context::Context},
    diagnostic::{Code, Diagnostic},
    schema::types::{Duration, Size},
    source::At,
};

const MEMORY: &str = "256MiB";
const BATCH_SIZE: u32 = 500;
const BATCH_WINDOW: &str = "2s";
const MAX_RECORD_AGE: &str = "6h";
const CHECKPOINT_EVERY: &str = "2m";
const SWEEP_EVERY: &str = "1m";
const MAX_ALERT_DELAY: &str = "15m";

/// Memory of a function, in MiB ("Lambda quotas", AWS Lambda developer guide).
const MEMORY_MIB_MIN: u64 = 128;
const MEMORY_MIB_MAX: u64 = 10_240;

/// `[processor]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProcessor {
    /// Memory, 128MiB to 10240MiB.
    #[schemars(extend("default" = MEMORY))]
    pub(crate) memory: Option<Size>,
    /// Processor architecture.
    #[schemars(extend("default" = "x86_64"))]
    pub(crate) arch: Option<Arch>,
    /// Records per batch.
    #[schemars(range(min = 1, max = 10_000), extend("default" = BATCH_SIZE))]
    pub(crate) batch_size: Option<u32>,
    /// Longest wait for a batch to fill, 0s to 300s in whole seconds.
    #[schemars(extend("default" = BATCH_WINDOW))]
    pub(crate) batch_window: Option<Duration>,
    /// Age at which the event source discards a record, 1m to 7d.
    #[schemars(extend("default" = MAX_RECORD_AGE))]
    pub(crate) max_record_age: Option<Duration>,
    /// Longest time between two full copies of a shard's state, 10s to 24h.
    #[schemars(extend("default" = CHECKPOINT_EVERY))]
    pub(crate) checkpoint_every: Option<Duration>,
    /// How often silent shards receive the current time, which offline detection and `no_data` rules depend on: 1m to
    /// 1h in whole minutes.
    #[schemars(extend("default" = SWEEP_EVERY))]
    pub(crate) sweep_every: Option<Duration>,
    /// A firing detected later than this goes to the history only.
    #[schemars(extend("default" = MAX_ALERT_DELAY))]
    pub(crate) max_alert_delay: Option<Duration>,
    /// Reserved concurrency. Default: none is reserved.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) reserved: Option<u32>,
}

/// The function that evaluates the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Processor {
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Processor architecture.
    pub arch: Arch,
    /// Records per batch.
    pub batch_size: u32,
    /// Longest wait for a batch to fill, in whole seconds.
    pub batch_window: Millis,
    /// Age at which the event source discards a record.
    pub max_record_age: Millis,
    /// Longest time between two bases of a shard's state.
    pub checkpoint_every: Millis,
    /// How often silent shards receive the current time, in whole minutes.
    pub sweep_every: Millis,
    /// A firing detected later than this goes to the history only.
    pub max_alert_delay: Millis,
    /// Reserved concurrency.
    pub reserved: Option<u32>,
}

/// Processor architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Arch {
    /// 64-bit x86.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    #[serde(rename = "arm64")]
    Arm64,
}

impl Arch {
    /// Its CloudFormation name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

impl RawProcessor {
    /// Checks how often silent shards receive the current time. A rate schedule counts whole minutes ("Schedule types
    /// in EventBridge Scheduler", Amazon EventBridge Scheduler user guide).
    pub(crate) fn check_sweep_every(&self, at: &At<'_>, context: &Context<'_>) -> Millis {
        Bounds::new("1m", "1h").in_whole("1m").check(self.sweep_every, SWEEP_EVERY, &at.key("sweep_every"), context)
    }

    /// Checks the rest of the table, and its times against those of the stream.
    pub(crate) fn check(&self, stream: &Stream, sweep_every: Millis, at: &At<'_>, context: &Context<'_>) -> Processor {
        let length = |key: &str, value, default, least, most, whole| {
            Bounds::new(least, most).in_whole(whole).check(value, default, &at.key(key), context)
        };
        // "CreateEventSourceMapping", AWS Lambda API: MaximumRecordAgeInSeconds and MaximumBatchingWindowInSeconds.
        let max_record_age = length("max_record_age", self.max_record_age, MAX_RECORD_AGE, "1m", "7d", "1s");
        if max_record_age > stream.retention {
            let stream_at = At::root("stream");
            let message = "records would leave the stream before the processor gives them up";
            context.report(
                Diagnostic::new(Code::TimesOutOfOrder, context.value(&at.key("max_record_age")), message)
                    .related(context.value(&stream_at.key("retention")), "the stream keeps records this long")
                    .help(format!(
                        "make it at most `{}`, or raise `stream.retention`",
                        Duration::write(stream.retention)
                    )),
            );
        }
        Processor {
            memory_mib: self.check_memory(&at.key("memory"), context),
            arch: self.arch.unwrap_or_default(),
            batch_size: self.batch_size.unwrap_or(BATCH_SIZE),
            batch_window: length("batch_window", self.batch_window, BATCH_WINDOW, "0s", "300s", "1s"),
            max_record_age,
            checkpoint_every: length("checkpoint_every", self.checkpoint_every, CHECKPOINT_EVERY, "10s", "24h", "1s"),
            sweep_every,
            max_alert_delay: length("max_alert_delay", self.max_alert_delay, MAX_ALERT_DELAY, "10s", "24h", "1ms"),
            reserved: self.reserved,
        }
    }

    fn check_memory(&self, at: &At<'_>, context: &Context<'_>) -> u32 {
        let bytes = self.memory.or_else(|| Size::parse(MEMORY)).map_or(0, |size| size.0);
        let mib = bytes >> 20;
        if !bytes.is_multiple_of(1 << 20) || !(MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&mib) {
            context.report(
                Diagnostic::new(Code::OutOfBounds, context.value(at), "a function cannot have this much memory")
                    .replace("it may be `128MiB` to `10240MiB`, in whole MiB; write \"256MiB\"", "\"256MiB\""),
            );
        }
        u32::try_from(mib).unwrap_or(u32::MAX)
    }
}
