//! What is watched where samples are kept.

use super::{
    StorageNames,
    watches::{Watch, five_minutes, lambda, metric, own_metric},
};
use fleetform_engine::units::Millis;

use crate::{cfn::resource::cloudwatch::Metric, platform::storage::Storage, stacks::site::Site};

/// Age of the oldest sample that the delivery stream holds, in seconds, at which somebody must look: the longest that it
/// may be told to gather ("Implement best practices with CloudWatch Alarms", Amazon Data Firehose developer guide).
const DELIVERY_AGE_MAX_S: u64 = 900;

/// Samples an hour that may not be stored unless `observe.quarantine` says how many records may be bad.
const UNSTORED_MAX_PER_HOUR: u32 = 100;

/// What is watched, besides what is watched of every function and table.
pub(super) fn watches(site: &Site<'_>, names: &StorageNames, kept: &Storage) -> Vec<Watch> {
    // Half way to where a day should have left its table.
    let export_behind_max = Millis(kept.export.after.0.midpoint(kept.retention.warm.0));
    let quarantine = site.platform.observe.quarantine.as_ref();
    let unstored_max = quarantine.map_or(UNSTORED_MAX_PER_HOUR, |quarantine| quarantine.max_per_hour);
    vec![
        five_minutes(
            "ColumnsErrorsAlarm",
            "A deployment had no answer whether the table of samples has its columns",
            vec![lambda("Errors", &names.columns)],
        ),
        five_minutes(
            "UndeliveredAlarm",
            "Samples could not be delivered to their table: they are in the bucket for them",
            vec![delivery(names, "DeliveryToIceberg.FailedRowCount")],
        ),
        Watch {
            stat: "Maximum",
            above: DELIVERY_AGE_MAX_S,
            ..five_minutes(
                "DeliveryLateAlarm",
                "Samples wait for a quarter of an hour before they are in their table",
                vec![delivery(names, "DeliveryToIceberg.DataFreshness")],
            )
        },
        Watch {
            periods: 3,
            ..five_minutes(
                "DeliveryThrottlesAlarm",
                "The delivery stream takes fewer samples than there are",
                vec![delivery(names, "ThrottledRecords")],
            )
        },
        five_minutes(
            "ExportErrorsAlarm",
            "A run of export did not do all that was due",
            vec![lambda("Errors", &names.export)],
        ),
        Watch {
            stat: "Maximum",
            above: export_behind_max.0,
            ..five_minutes(
                "ExportBehindAlarm",
                "Days of samples are not exported in time: they stay in their table until they are",
                vec![own_metric(site, "ExportBehindMs")],
            )
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
    ]
}

/// Graphs of the dashboard: the title of each, and its metrics with their statistics.
pub(super) fn graphs(site: &Site<'_>, names: &StorageNames) -> [(&'static str, Vec<(Metric, &'static str)>); 4] {
    [
        ("Samples that were not stored", vec![(own_metric(site, "Unstored"), "Sum")]),
        (
            "Samples delivered to their table, and not delivered",
            vec![
                (delivery(names, "DeliveryToIceberg.SuccessfulRowCount"), "Sum"),
                (delivery(names, "DeliveryToIceberg.FailedRowCount"), "Sum"),
            ],
        ),
        ("Samples exported, and rows taken out of the table", {
            let own = |name| (own_metric(site, name), "Sum");
            vec![own("ExportedSamples"), own("RemovedRows")]
        }),
        (
            "Age of the oldest sample on its way to the table",
            vec![(delivery(names, "DeliveryToIceberg.DataFreshness"), "Maximum")],
        ),
    ]
}

/// A metric of the delivery stream ("Monitor metrics", Amazon Data Firehose developer guide).
fn delivery(names: &StorageNames, name: &'static str) -> Metric {
    metric("AWS/Firehose", name, [("DeliveryStreamName", &names.delivery_stream)])
}
