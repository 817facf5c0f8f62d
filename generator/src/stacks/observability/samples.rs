//! What is monitored if samples are stored.

use super::{
    Keeper, Silence, StorageNames,
    watches::{Watch, five_minutes, lambda, metric, own_metric},
};
use fleetform_engine::units::Millis;

use crate::{
    cfn::{resource::cloudwatch::Metric, value::Text},
    platform::storage::Storage,
    stacks::{site::Site, storage::timestream::TABLE},
};

/// Age of the oldest sample in the delivery stream, in seconds, that needs attention: the maximum buffering interval
/// ("Implement best practices with CloudWatch Alarms", Amazon Data Firehose developer guide).
const DELIVERY_AGE_MAX_S: u64 = 900;

/// Samples per hour that may fail to be stored, unless `observe.quarantine` sets how many records may be bad.
const UNSTORED_MAX_PER_HOUR: u32 = 100;

/// Partitions of Timestream's magnetic store that accept samples at the same time, out of the 250 that it allows per
/// database ("Quotas", Amazon Timestream developer guide). Above that limit, late samples are throttled for hours.
const MAGNETIC_PARTITIONS_MAX: u64 = 200;

/// How long late samples may take to reach the magnetic store, in milliseconds ("Writes", Amazon Timestream developer
/// guide).
const MAGNETIC_LATE_MAX_MS: u64 = 6 * 3_600_000;

/// What is monitored in addition to every function and table.
pub(super) fn watches(site: &Site<'_>, names: &StorageNames, kept: &Storage) -> Vec<Watch> {
    // Halfway to the time at which a day should have left its table.
    let export_behind_max = Millis(kept.export.after.0.midpoint(kept.retention.warm.0));
    let quarantine = site.platform.observe.quarantine.as_ref();
    let unstored_max = quarantine.map_or(UNSTORED_MAX_PER_HOUR, |quarantine| quarantine.max_per_hour);
    let (mut watches, behind) = match &names.by {
        Keeper::Iceberg { delivery_stream } => (
            of_delivery(delivery_stream),
            "Days of samples are not exported in time: they stay in their table until they are",
        ),
        Keeper::Timestream { database } => (
            of_timestream(site, database),
            "Days of samples are not exported in time: Timestream deletes them when their retention is over",
        ),
    };
    watches.extend([
        five_minutes(
            "ColumnsErrorsAlarm",
            "A deployment had no answer whether samples have their columns",
            vec![lambda("Errors", &names.columns)],
        ),
        five_minutes(
            "ExportErrorsAlarm",
            "A run of export did not do all that was due",
            vec![lambda("Errors", &names.export)],
        ),
        Watch {
            stat: "Maximum",
            above: export_behind_max.0,
            ..five_minutes("ExportBehindAlarm", behind, vec![own_metric(site, "ExportBehindMs")])
        },
        five_minutes(
            "ExportThrottlesAlarm",
            "Export is throttled: the account has too little concurrency left",
            vec![lambda("Throttles", &names.export)],
        ),
        Watch {
            period_s: 3_600,
            above: u64::from(unstored_max),
            ..five_minutes(
                "UnstoredAlarm",
                &format!("More than {unstored_max} samples were not stored in an hour"),
                vec![own_metric(site, "Unstored")],
            )
        },
    ]);
    watches.extend(of_questions(&names.query));
    watches
}

/// What is monitored for the function that answers queries.
fn of_questions(query: &Text) -> [Watch; 2] {
    let failing = ("QueryErrorsAlarm", "Questions about samples keep going unanswered", "Errors");
    let throttled =
        ("QueryThrottlesAlarm", "Query is throttled: the account has too little concurrency left", "Throttles");
    [failing, throttled].map(|(id, description, metric)| Watch {
        periods: 3,
        ..five_minutes(id, description, vec![lambda(metric, query)])
    })
}

/// The longest evaluation period of an alarm, in hours ("Configuring how CloudWatch alarms evaluate", Amazon CloudWatch
/// user guide).
const LOOKED_BACK_H: u64 = 7 * 24;
/// Hours that a run may be late: the time for which an event is kept, and the hour that an alarm cuts off.
const LATE_H: u64 = 2;

/// An alarm if `export` has not run for longer than the longest gap in its schedule. If it runs once a week or less, no
/// alarm can detect this.
pub(super) fn silence(names: &StorageNames, kept: &Storage) -> Option<Silence> {
    let hours = kept.export.longest_gap.as_secs().div_ceil(3_600) + LATE_H;
    let periods = u32::try_from(hours).ok().filter(|_| hours <= LOOKED_BACK_H)?;
    Some(Silence {
        id: "ExportSilentAlarm",
        description: "Export has not run when its schedule says: days of samples are not exported",
        metric: lambda("Invocations", &names.export),
        period_s: 3_600,
        periods,
    })
}

/// What is monitored on the way into an Amazon S3 Tables table.
fn of_delivery(stream: &Text) -> Vec<Watch> {
    vec![
        five_minutes(
            "UndeliveredAlarm",
            "Samples could not be delivered to their table: they are in the bucket for them",
            vec![delivery(stream, "DeliveryToIceberg.FailedRowCount")],
        ),
        Watch {
            stat: "Maximum",
            above: DELIVERY_AGE_MAX_S,
            ..five_minutes(
                "DeliveryLateAlarm",
                "Samples wait for a quarter of an hour before they are in their table",
                vec![delivery(stream, "DeliveryToIceberg.DataFreshness")],
            )
        },
        Watch {
            periods: 3,
            ..five_minutes(
                "DeliveryThrottlesAlarm",
                "The delivery stream takes fewer samples than there are",
                vec![delivery(stream, "ThrottledRecords")],
            )
        },
    ]
}

/// What is monitored on the way into Timestream. Calls that it throttles are retried, and show as the age of waiting
/// records.
fn of_timestream(site: &Site<'_>, database: &Text) -> Vec<Watch> {
    vec![
        five_minutes(
            "UndeliveredAlarm",
            "Timestream refused samples: they are in the bucket for them",
            vec![own_metric(site, "RefusedRows"), of_table(database, "MagneticStoreRejectedRecordCount")],
        ),
        Watch {
            stat: "Maximum",
            above: MAGNETIC_PARTITIONS_MAX,
            ..five_minutes(
                "MagneticPartitionsAlarm",
                "Late samples are of so many devices and days that Timestream will soon take no more of them",
                vec![metric("AWS/Timestream", "ActiveMagneticStorePartitions", [("DatabaseName", database)])],
            )
        },
        Watch {
            stat: "Maximum",
            above: MAGNETIC_LATE_MAX_MS,
            ..five_minutes(
                "MagneticLateAlarm",
                "Late samples are not readable after six hours",
                vec![of_table(database, "MagneticStorePendingRecordsLatency")],
            )
        },
    ]
}

/// Graphs of the dashboard: their titles, and their metrics with statistics.
pub(super) fn graphs(site: &Site<'_>, names: &StorageNames) -> Vec<(&'static str, Vec<(Metric, &'static str)>)> {
    let own = |name| (own_metric(site, name), "Sum");
    let unstored = ("Samples that were not stored", vec![own("Unstored")]);
    match &names.by {
        Keeper::Iceberg { delivery_stream: stream } => vec![
            unstored,
            (
                "Samples delivered to their table, and not delivered",
                vec![
                    (delivery(stream, "DeliveryToIceberg.SuccessfulRowCount"), "Sum"),
                    (delivery(stream, "DeliveryToIceberg.FailedRowCount"), "Sum"),
                ],
            ),
            ("Samples exported, and rows taken out of the table", vec![own("ExportedSamples"), own("RemovedRows")]),
            (
                "Age of the oldest sample on its way to the table",
                vec![(delivery(stream, "DeliveryToIceberg.DataFreshness"), "Maximum")],
            ),
        ],
        Keeper::Timestream { database } => vec![
            unstored,
            (
                "Rows that Timestream refused, at once and later",
                vec![own("RefusedRows"), (of_table(database, "MagneticStoreRejectedRecordCount"), "Sum")],
            ),
            ("Samples exported", vec![own("ExportedSamples")]),
            (
                "Age of the oldest late sample on its way into the magnetic store",
                vec![(of_table(database, "MagneticStorePendingRecordsLatency"), "Maximum")],
            ),
        ],
    }
}

/// A metric of the table in Timestream ("Timestream metrics and dimensions", Amazon Timestream developer guide).
fn of_table(database: &Text, name: &'static str) -> Metric {
    metric("AWS/Timestream", name, [("DatabaseName", database), ("TableName", &TABLE.into())])
}

/// A metric of the delivery stream ("Monitor metrics", Amazon Data Firehose developer guide).
fn delivery(stream: &Text, name: &'static str) -> Metric {
    metric("AWS/Firehose", name, [("DeliveryStreamName", stream)])
}
