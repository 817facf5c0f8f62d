//! What is watched where samples are kept.

use super::{
    StorageNames,
    watches::{Watch, five_minutes, lambda, metric, own_metric},
};
use crate::{cfn::resource::cloudwatch::Metric, stacks::site::Site};

/// Age of the oldest sample that the delivery stream holds, in seconds, at which somebody must look: the longest that it
/// may be told to gather ("Implement best practices with CloudWatch Alarms", Amazon Data Firehose developer guide).
const DELIVERY_AGE_MAX_S: u64 = 900;

/// Samples an hour that may not be stored unless `observe.quarantine` says how many records may be bad.
const UNSTORED_MAX_PER_HOUR: u32 = 100;

/// What is watched, besides what is watched of every function and table.
pub(super) fn watches(site: &Site<'_>, names: &StorageNames) -> Vec<Watch> {
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
pub(super) fn graphs(site: &Site<'_>, names: &StorageNames) -> [(&'static str, Vec<(Metric, &'static str)>); 3] {
    [
        ("Samples that were not stored", vec![(own_metric(site, "Unstored"), "Sum")]),
        (
            "Samples delivered to their table, and not delivered",
            vec![
                (delivery(names, "DeliveryToIceberg.SuccessfulRowCount"), "Sum"),
                (delivery(names, "DeliveryToIceberg.FailedRowCount"), "Sum"),
            ],
        ),
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
