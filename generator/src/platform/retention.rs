//! `[retention]`: how long data is kept.

use std::collections::BTreeMap;

use fleetform_engine::{ids::DeviceTypeId, units::Millis};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    device_type::DeviceType,
    downsample::{Downsample, RawDownsample},
    storage::RawEngine,
};
use crate::{
    check::{bounds::Bounds, context::Context},
    diagnostic::{Code, Diagnostic},
    schema::types::Duration,
    source::At,
};

/// How long the alert history is kept unless the file sets it.
const ALERTS: &str = "400d";

/// How long a row of the hot table is kept unless the file sets it.
const HOT: &str = "24h";

/// How long a sample stays in the table unless the file sets it.
const WARM: &str = "30d";

/// How long an exported day is kept unless the file sets it.
const COLD: &str = "7y";

/// The longest retention of a sample in Timestream's memory store, and in its magnetic store ("Quotas", Amazon
/// Timestream developer guide). The minimum there is one day; with two, a day can end and be exported.
const MEMORY_MAX: &str = "8766h";
const MAGNETIC_MAX: &str = "73000d";

/// The age at which objects may move to S3 Standard-IA ("Transitioning objects using Amazon S3 Lifecycle", Amazon S3
/// user guide).
pub(crate) const STANDARD_IA_AFTER: Millis = Millis::from_secs(30 * 86_400);

/// `[retention]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRetention {
    /// How long the alert history is kept, 1d to 10y.
    #[schemars(extend("default" = ALERTS))]
    pub(crate) alerts: Option<Duration>,
    /// How long the hot table keeps a sample, 1h to 30d in whole seconds; only with `storage.hot = "dynamodb"`. With
    /// the engine `timestream`: how long its memory store keeps a sample, 1h to 8766h in whole hours.
    #[schemars(extend("default" = HOT))]
    pub(crate) hot: Option<Duration>,
    /// How long a day of samples stays in its table, 2d to 10y in whole days. It is removed once it has been exported.
    /// With the engine `timestream`: how long its magnetic store keeps a sample, 2d to 73000d in whole days, exported
    /// or not.
    #[schemars(extend("default" = WARM))]
    pub(crate) warm: Option<Duration>,
    /// How long the exported files of a day are kept, 30d to 100y in whole days.
    #[schemars(extend("default" = COLD))]
    pub(crate) cold: Option<Duration>,
    /// Storage class of exported files: `intelligent_tiering` costs less the longer a file is not read; `glacier_ir`
    /// costs least for files kept 90 days or longer, but more per read. Files in every class can be read immediately.
    #[schemars(extend("default" = "intelligent_tiering"))]
    pub(crate) cold_class: Option<ColdClass>,
    /// Aggregates of each device's samples over intervals, as files that are kept longer than exported samples: count,
    /// minimum, maximum, sum and last value of each numeric or boolean reading.
    pub(crate) downsample: Option<RawDownsample>,
}

/// An Amazon S3 storage class that can be read within milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ColdClass {
    /// S3 Intelligent-Tiering, from the first day.
    #[default]
    IntelligentTiering,
    /// S3 Standard.
    Standard,
    /// S3 Standard-Infrequent Access, after 30 days.
    StandardIa,
    /// S3 Glacier Instant Retrieval, from the first day.
    GlacierIr,
}

/// How long samples are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// In their table, from the end of their day, in whole days.
    pub warm: Millis,
    /// As exported files, from their export, in whole days.
    pub cold: Millis,
    /// The storage class of the exported files.
    pub cold_class: ColdClass,
    /// The aggregates that are kept longer.
    pub downsample: Option<Downsample>,
}

impl RawRetention {
    /// Returns the lifetime of a row of the alert history.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> Millis {
        Bounds::new("1d", "10y").check(self.alerts, ALERTS, &at.key("alerts"), context)
    }

    /// Returns how long samples are kept, and checks that each tier starts before the previous one ends.
    pub(crate) fn check_samples(
        &self,
        engine: RawEngine,
        hot: Option<Millis>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Retention {
        let (hot_at, warm_at, cold_at) = (at.key("hot"), at.key("warm"), at.key("cold"));
        let warm = match engine {
            RawEngine::Iceberg => Bounds::new("2d", "10y"),
            RawEngine::Timestream => Bounds::new("2d", MAGNETIC_MAX),
        };
        let warm = warm.in_whole("1d").check(self.warm, WARM, &warm_at, context);
        let cold = Bounds::new("30d", "100y").in_whole("1d").check(self.cold, COLD, &cold_at, context);
        let order = |(shorter, shorter_at, is): (Millis, &At<'_>, &str),
                     (longer, longer_at, than): (Millis, &At<'_>, &str)| {
            if shorter <= longer {
                return;
            }
            let message =
                format!("{is} for `{}`, and {than} for `{}`", Duration::write(shorter), Duration::write(longer));
            // The defaults are in order, so at least one of the two is written.
            let places = if context.is_written(shorter_at) { (shorter_at, longer_at) } else { (longer_at, shorter_at) };
            let mut diagnostic = Diagnostic::new(Code::TimesOutOfOrder, context.value(places.0), message);
            if context.is_written(places.1) {
                diagnostic = diagnostic.related(context.value(places.1), "the other one");
            }
            context.report(diagnostic.help("keep samples in each tier at least as long as in the one before"));
        };
        if let Some(hot) = hot {
            let (hot_is, warm_than) = match engine {
                RawEngine::Iceberg => ("the hot table keeps samples", "the table of all samples"),
                RawEngine::Timestream => ("the memory store keeps samples", "the magnetic store"),
            };
            order((hot, &hot_at, hot_is), (warm, &warm_at, warm_than));
        }
        let warm_is = match engine {
            RawEngine::Iceberg => "the table keeps samples",
            RawEngine::Timestream => "the magnetic store keeps samples",
        };
        order((warm, &warm_at, warm_is), (cold, &cold_at, "exported files are kept"));
        let cold_class = self.cold_class.unwrap_or_default();
        if cold_class == ColdClass::StandardIa && cold <= STANDARD_IA_AFTER {
            let message = format!(
                "objects move to S3 Standard-IA after 30 days, and exported files are kept for `{}`",
                Duration::write(cold)
            );
            let mut diagnostic = Diagnostic::new(Code::TimesOutOfOrder, context.value(&at.key("cold_class")), message);
            if context.is_written(&cold_at) {
                diagnostic = diagnostic.related(context.value(&cold_at), "how long they are kept");
            }
            context.report(diagnostic.help("keep them longer, or remove `cold_class`"));
        }
        let downsample = self.downsample.as_ref();
        let downsample = downsample.map(|raw| raw.check((cold, &cold_at), &at.key("downsample"), context));
        Retention { warm, cold, cold_class, downsample }
    }

    /// Reports aggregates whose intervals contain at most one sample of some device types.
    pub(crate) fn check_types(
        &self,
        retention: &Retention,
        types: &BTreeMap<DeviceTypeId, DeviceType>,
        at: &At<'_>,
        context: &Context<'_>,
    ) {
        if let (Some(raw), Some(Downsample { every, .. })) = (&self.downsample, retention.downsample) {
            raw.check_types(every, types, &at.key("downsample"), context);
        }
    }

    /// Returns the lifetime of a sample in Timestream's memory store.
    pub(crate) fn check_memory(&self, at: &At<'_>, context: &Context<'_>) -> Millis {
        Bounds::new("1h", MEMORY_MAX).in_whole("1h").check(self.hot, HOT, at, context)
    }

    /// Returns the lifetime of a row of the hot table.
    pub(crate) fn check_hot(&self, at: &At<'_>, context: &Context<'_>) -> Millis {
        Bounds::new("1h", "30d").in_whole("1s").check(self.hot, HOT, at, context)
    }
}
