//! `[storage]`: where samples are stored.
//!
//! How a sample becomes a row and columns is up to the engine; this module checks that the readings of a file fit into
//! one table.

use std::collections::BTreeMap;

use fleetform_engine::{
    ids::DeviceTypeId,
    rows::columns::{ColumnType, DAY, EXPORT_NUMBER, FIXED, SAMPLED_ON, is_reserved},
    rule_set::METRICS_MAX,
    units::Millis,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    device_type::DeviceType,
    export::{Export, RawExport},
    message::Message,
    region::Service,
    retention::{RawRetention, Retention},
};
use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    schema::types::Size,
    source::At,
};

/// Maximum number of different names of readings and health values; each is a column. In one Lambda event, which is
/// limited to 256 KB, CloudFormation passes all of them to the function that creates columns, both the old and the new
/// ones ("Lambda quotas", AWS Lambda developer guide).
const COLUMNS_MAX: usize = 1_000;

/// Timestream has room for as many: in a record, for the metrics of a device type and three columns of its own; in a
/// table, for all metrics ("Quotas", Amazon Timestream developer guide).
const _: () = assert!(METRICS_MAX + 3 <= 256 && COLUMNS_MAX + 3 <= 1_024);

/// Columns that Timestream defines itself, and the prefixes that it reserves ("Quotas", Amazon Timestream developer
/// guide; "TimestreamDimension", AWS IoT API reference).
const TIMESTREAM_NAMES: [&str; 4] = ["measure_name", "time", "time_series_name", "ts_non_existent_col"];
const TIMESTREAM_PREFIXES: [&str; 2] = ["measure_value", "ts_"];
/// How much a query may scan unless the file sets it.
const SCAN_LIMIT: &str = "100GiB";
/// The smallest limit that Athena accepts, in whole MiB: 10 MB ("Configure per-query and per-workgroup data usage
/// controls", Amazon Athena user guide).
const SCAN_BYTES_MIN: u64 = 10 << 20;
/// One terabyte; a higher limit is most likely a typo.
const SCAN_BYTES_MAX: u64 = 1_024 << 30;

/// Prefixes that the name of a table bucket must not have ("Table bucket naming rules", Amazon S3 user guide).
const TABLE_BUCKET_PREFIXES: [&str; 4] = ["aws", "xn--", "sthree-", "amzn-s3-demo-"];

/// Reports a name prefix that S3 Tables does not accept for a bucket.
pub(crate) fn check_bucket_name(raw: &RawStorage, prefix: &str, at: &At<'_>, context: &Context<'_>) {
    let reserved = TABLE_BUCKET_PREFIXES.into_iter().find(|reserved| prefix.starts_with(reserved));
    let Some(reserved) = reserved.filter(|_| raw.engine() == RawEngine::Iceberg) else { return };
    let message = format!("the table of samples cannot be made: S3 Tables takes no names that begin with `{reserved}`");
    context.report(
        Diagnostic::new(Code::InvalidAwsName, context.value(at), message)
            .help("let `deploy.prefix` begin otherwise; it is `platform.name` unless set"),
    );
}

/// `[storage]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStorage {
    /// Where samples are stored: `iceberg` is an Amazon S3 Tables table; `timestream` is Amazon Timestream for
    /// LiveAnalytics, for accounts that used it before 2025-06-20.
    #[schemars(extend("default" = "iceberg"))]
    pub(crate) engine: Option<RawEngine>,
    /// Where the newest samples are read: `same` is that table; `dynamodb` is a separate table for reads within
    /// milliseconds, which costs extra per message. Not available with `timestream`, which has a memory store.
    #[schemars(extend("default" = "same"))]
    pub(crate) hot: Option<RawHot>,
    /// Confirms that the account was a customer of Timestream for LiveAnalytics before 2025-06-20, when it was closed
    /// to new customers.
    #[schemars(extend("default" = false))]
    pub(crate) existing_customer: Option<bool>,
    /// How much data a query about samples may scan, 10MiB to 1024GiB. Amazon Athena stops it there; at list prices,
    /// 100GiB cost $0.54.
    #[schemars(extend("default" = SCAN_LIMIT))]
    pub(crate) scan_limit: Option<Size>,
}

/// The storage engine as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawEngine {
    Iceberg,
    Timestream,
}

impl RawEngine {
    /// The service that a region must offer for it.
    pub(crate) const fn service(self) -> Service {
        match self {
            Self::Iceberg => Service::SampleTables,
            Self::Timestream => Service::Timestream,
        }
    }
}

/// The storage of the newest samples as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawHot {
    Same,
    Dynamodb,
}

/// Where samples are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// What stores them.
    pub engine: Engine,
    /// Where the newest ones are read.
    pub hot: Hot,
    /// How long they are kept.
    pub retention: Retention,
    /// How they are exported from the table to files.
    pub export: Export,
    /// Bytes that a query about them may scan.
    pub scan_limit: u64,
}

/// What keeps samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// An Amazon S3 Tables table.
    Iceberg,
    /// Amazon Timestream for LiveAnalytics.
    Timestream {
        /// How long a sample stays in its memory store, in whole hours.
        memory: Millis,
    },
}

/// Where the newest samples are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hot {
    /// In the same place as all others.
    Same,
    /// In a separate table.
    Table {
        /// How long a row stays there, in whole seconds.
        retention: Millis,
    },
}

impl RawStorage {
    /// The engine, with its default.
    pub(crate) fn engine(&self) -> RawEngine {
        self.engine.unwrap_or(RawEngine::Iceberg)
    }

    /// Checks the table, and those keys of `[retention]` and `[export]` that depend on it.
    pub(crate) fn check(
        &self,
        retention: &RawRetention,
        export: &RawExport,
        message: &Message,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Storage {
        let retention_table = At::root("retention");
        let retention_at = retention_table.key("hot");
        let engine = match self.engine() {
            RawEngine::Iceberg => Engine::Iceberg,
            RawEngine::Timestream => {
                self.check_timestream(at, context);
                Engine::Timestream { memory: retention.check_memory(&retention_at, context) }
            }
        };
        let hot = match self.hot.unwrap_or(RawHot::Same) {
            _ if engine != Engine::Iceberg => Hot::Same,
            RawHot::Dynamodb => Hot::Table { retention: retention.check_hot(&retention_at, context) },
            RawHot::Same => {
                if context.is_written(&retention_at) {
                    context.report(
                        Diagnostic::new(
                            Code::HotRetention,
                            context.key(&retention_at),
                            "`retention.hot` is for the hot table, and `storage.hot` asks for none",
                        )
                        .related(context.value(&at.key("hot")), "no hot table")
                        .help("remove the key, or write in the table [storage]: hot = \"dynamodb\""),
                    );
                }
                Hot::Same
            }
        };
        let kept_hot = match (engine, hot) {
            (Engine::Timestream { memory }, _) => Some(memory),
            (Engine::Iceberg, Hot::Same) => None,
            (Engine::Iceberg, Hot::Table { retention }) => Some(retention),
        };
        let retention = retention.check_samples(self.engine(), kept_hot, &retention_table, context);
        let export = export.check(self.engine(), message, &retention, &At::root("export"), context);
        let scan_limit = self.check_scan_limit(&at.key("scan_limit"), context);
        Storage { engine, hot, retention, export, scan_limit }
    }

    /// Reports settings that are incompatible with Timestream.
    fn check_timestream(&self, at: &At<'_>, context: &Context<'_>) {
        if self.existing_customer != Some(true) {
            let message = "`storage.engine` is `timestream`, and AWS has taken no new customers for Amazon Timestream for \
                           LiveAnalytics since 2025-06-20: an account that was none before is refused at deployment";
            let diagnostic = Diagnostic::new(Code::ClosedService, context.value(&at.key("engine")), message);
            let said = at.key("existing_customer");
            let diagnostic = match self.existing_customer {
                Some(_) => diagnostic.related(context.value(&said), "this account was none"),
                None => diagnostic,
            };
            context.report(diagnostic.help(
                "keep the default, engine = \"iceberg\"; or, of an account that had Timestream before, say so: \
                 existing_customer = true",
            ));
        }
        if self.hot == Some(RawHot::Dynamodb) {
            context.report(
                Diagnostic::new(
                    Code::KeysExclude,
                    context.value(&at.key("hot")),
                    "Timestream has the newest samples in its memory store, so no hot table is made beside it",
                )
                .related(context.value(&at.key("engine")), "the engine")
                .help("remove `hot`; `retention.hot` says how long the memory store keeps a sample"),
            );
        }
    }

    fn check_scan_limit(&self, at: &At<'_>, context: &Context<'_>) -> u64 {
        let bytes = self.scan_limit.or_else(|| Size::parse(SCAN_LIMIT)).map_or(0, |size| size.0);
        if !(SCAN_BYTES_MIN..=SCAN_BYTES_MAX).contains(&bytes) {
            context.report(
                Diagnostic::new(Code::OutOfBounds, context.value(at), "a question cannot be limited to this").replace(
                    format!("it may be `10MiB` to `1024GiB`; write \"{SCAN_LIMIT}\""),
                    format!("\"{SCAN_LIMIT}\""),
                ),
            );
        }
        bytes
    }
}

/// Reports readings and health values that cannot have their own column in the single table of all samples.
pub(crate) fn check_columns(
    engine: RawEngine,
    message: &Message,
    device_types: &BTreeMap<DeviceTypeId, DeviceType>,
    context: &Context<'_>,
) {
    let root = At::root("message");
    let health = root.key("health");
    for id in message.health.keys() {
        check_reserved(engine, id.as_str(), "health value", &health.key(id.as_str()), context);
    }
    let types_at = At::root("device_types");
    let mut first: BTreeMap<&str, (&DeviceTypeId, ColumnType)> = BTreeMap::new();
    for (type_id, device_type) in device_types {
        let type_at = types_at.key(type_id.as_str());
        let readings_at = type_at.key("readings");
        for (id, reading) in &device_type.readings {
            let place = readings_at.key(id.as_str());
            check_reserved(engine, id.as_str(), "reading", &place, context);
            let column = ColumnType::of(&reading.value);
            let Some((other, known)) = first.get(id.as_str()).copied() else {
                first.insert(id.as_str(), (type_id, column));
                continue;
            };
            if let Some(joined) = known.join(column) {
                first.insert(id.as_str(), (other, joined));
                continue;
            }
            let other_type = types_at.key(other.as_str());
            let other_readings = other_type.key("readings");
            let message = format!(
                "`{id}` holds {} here and {} in device type `{other}`, and samples of all types are in one table",
                words(column),
                words(known)
            );
            context.report(
                Diagnostic::new(Code::MixedReading, context.key(&place), message)
                    .related(context.key(&other_readings.key(id.as_str())), "the other reading")
                    .help(format!("rename one of them; with key = \"{}\" its message stays the same", reading.key)),
            );
        }
    }
    check_count(message.health.len() + first.len(), context);
}

/// Reports more columns than a table of samples can have.
fn check_count(count: usize, context: &Context<'_>) {
    if count > COLUMNS_MAX {
        let message = format!(
            "the readings have {count} different names, and samples of all device types are in one table of at most \
             {COLUMNS_MAX} columns"
        );
        context.report(
            Diagnostic::new(Code::OutOfBounds, context.key(&At::root("device_types")), message)
                .help("give readings that mean the same one name, or split the fleet into several platforms"),
        );
    }
}

fn check_reserved(engine: RawEngine, id: &str, thing: &str, at: &At<'_>, context: &Context<'_>) {
    let begins = TIMESTREAM_PREFIXES.into_iter().any(|prefix| id.starts_with(prefix));
    if engine == RawEngine::Timestream && (begins || TIMESTREAM_NAMES.contains(&id)) {
        let message = format!("the {thing} `{id}` has a name that Timestream needs for itself");
        let names = TIMESTREAM_NAMES.map(|name| format!("`{name}`")).join(", ");
        let prefixes = TIMESTREAM_PREFIXES.map(|prefix| format!("`{prefix}`")).join(" or ");
        context.report(
            Diagnostic::new(Code::ReservedReading, context.key(at), message)
                .help(format!("give it another name than {names}, and one that does not begin with {prefixes}")),
        );
        return;
    }
    if !is_reserved(id) {
        return;
    }
    let names = FIXED.into_iter().map(|column| column.name).chain([SAMPLED_ON, DAY, EXPORT_NUMBER].map(Into::into));
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let message = format!("the {thing} `{id}` has a name that the table of samples needs for itself");
    context.report(
        Diagnostic::new(Code::ReservedReading, context.key(at), message)
            .help(format!("give it another name than {}", names.join(", "))),
    );
}

/// Describes the contents of a column for a message.
pub(crate) const fn words(column: ColumnType) -> &'static str {
    match column {
        ColumnType::Text => "words",
        ColumnType::Float => "numbers",
        ColumnType::Int => "whole numbers",
        ColumnType::Bool => "true or false",
        ColumnType::Time => "moments",
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::check;

    const PLATFORM: &str = include_str!("../../../tests/fixtures/valid/minimal/platform.toml");

    /// The problems found when `types` additional device types have 50 readings each.
    fn found(types: usize) -> Vec<Code> {
        let mut text = PLATFORM.to_owned();
        for number in 0..types {
            writeln!(text, "[device_types.type-{number}]\nreport_every = \"60s\"").unwrap();
            writeln!(text, "[device_types.type-{number}.readings]").unwrap();
            (0..50).for_each(|reading| writeln!(text, "value_{number}_{reading} = {{}}").unwrap());
        }
        check("platform.toml", &text).diagnostics.into_iter().map(|diagnostic| diagnostic.code).collect()
    }

    #[test]
    fn timestream_takes_not_every_name() {
        for (name, found) in [
            ("level", vec![]),
            ("timing", vec![]),
            ("time", vec![Code::ReservedReading]),
            ("measure_name", vec![Code::ReservedReading]),
            ("ts_level", vec![Code::ReservedReading]),
        ] {
            let mut text = format!("{PLATFORM}\n[storage]\nengine = \"timestream\"\nexisting_customer = true\n");
            writeln!(text, "[device_types.type-1]\nreport_every = \"60s\"\nreadings = {{ {name} = {{}} }}").unwrap();
            let checked = check("platform.toml", &text).diagnostics.into_iter();
            assert_eq!(checked.map(|diagnostic| diagnostic.code).collect::<Vec<_>>(), found, "{name}");
        }
    }

    #[test]
    fn the_stores_of_timestream_have_bounds_of_their_own() {
        let found = |tables: &str| -> Vec<(Code, String)> {
            let text = format!("{PLATFORM}\n[storage]\nengine = \"timestream\"\nexisting_customer = true\n{tables}");
            let found = check("platform.toml", &text).diagnostics.into_iter();
            found.map(|found| (found.code, found.message)).collect()
        };
        let codes = |tables: &str| found(tables).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
        assert_eq!(codes("[retention]\nhot = \"8766h\"\nwarm = \"36500d\"\ncold = \"100y\""), []);
        assert_eq!(codes("[retention]\nhot = \"90m\""), [Code::OutOfBounds]);
        assert_eq!(codes("[retention]\nhot = \"8767h\"\nwarm = \"400d\""), [Code::OutOfBounds]);
        assert_eq!(codes("[retention]\nwarm = \"73001d\""), [Code::OutOfBounds]);
        assert_eq!(codes("[retention]\nhot = \"72h\"\nwarm = \"2d\""), [Code::TimesOutOfOrder; 2]);
        // The first sample of a day is removed two days after it was taken, which is one day after the end of its day.
        let [(code, message)] = &found("[retention]\nwarm = \"2d\"")[..] else { panic!("one finding") };
        assert_eq!(*code, Code::TimesOutOfOrder);
        assert!(message.ends_with("`retention.warm` is `2d`, counted from each sample"), "{message}");
    }

    #[test]
    fn a_table_has_at_most_a_thousand_columns_of_readings() {
        assert_eq!(found(19), []);
        assert_eq!(found(20), [Code::OutOfBounds]);
    }
}
