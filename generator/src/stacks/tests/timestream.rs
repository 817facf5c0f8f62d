//! With Timestream as the sample store, its stores match the file, and nothing of the other engine is present.

use std::collections::BTreeSet;

use fleetform_engine::units::Millis;
use serde_json::{Value, json};

use super::{super::sample::platform, trees};
use crate::platform::{
    Platform,
    storage::{Engine, Hot, Storage},
};

/// The sample platform, on Timestream.
pub(super) fn on_timestream() -> Platform {
    let mut platform = platform();
    let engine = Engine::Timestream { memory: Millis::from_secs(36 * 3_600) };
    platform.storage = platform.storage.map(|kept| Storage { engine, hot: Hot::Same, ..kept });
    platform
}

fn resources() -> Value {
    trees(&on_timestream())["storage.yaml"]["Resources"].clone()
}

#[test]
fn both_stores_keep_samples_for_as_long_as_the_file_says() {
    let resources = resources();
    let table = &resources["TimestreamTable"];
    assert_eq!(
        table["Properties"]["RetentionProperties"],
        json!({ "MemoryStoreRetentionPeriodInHours": "36", "MagneticStoreRetentionPeriodInDays": "30" })
    );
    assert_eq!(table["Properties"]["DatabaseName"], json!({ "Ref": "TimestreamDatabase" }));
    let late = &table["Properties"]["MagneticStoreWriteProperties"];
    let rejected = &late["MagneticStoreRejectedDataLocation"]["S3Configuration"];
    assert_eq!(rejected["BucketName"], json!({ "Ref": "UndeliveredBucket" }));
    assert_eq!(rejected["KmsKeyId"], resources["TimestreamDatabase"]["Properties"]["KmsKeyId"]);
    let partition = json!([{ "Type": "DIMENSION", "Name": "device_id", "EnforcementInRecord": "REQUIRED" }]);
    assert_eq!(table["Properties"]["Schema"]["CompositePartitionKey"], partition);
}

#[test]
fn nothing_of_the_other_engine_is_there() {
    let templates = trees(&on_timestream());
    assert!(!templates.contains_key("catalog.yaml"));
    let kinds: BTreeSet<&str> = templates
        .values()
        .flat_map(|template| template["Resources"].as_object().unwrap().values())
        .filter_map(|resource| resource["Type"].as_str())
        .collect();
    let others = ["AWS::S3Tables::", "AWS::KinesisFirehose::", "AWS::Glue::Catalog", "AWS::Athena::NamedQuery"];
    assert!(!kinds.iter().any(|kind| others.iter().any(|other| kind.starts_with(other))), "{kinds:?}");
    assert!(!templates["ingest.yaml"].to_string().contains("s3tables"));
    // Its exports are in another bucket, so that the engine can be changed.
    let resources = templates["storage.yaml"]["Resources"].as_object().unwrap();
    assert!(resources.contains_key("TimestreamColdBucket") && !resources.contains_key("ColdBucket"));
    let alarms = templates["observability.yaml"]["Resources"].as_object().unwrap();
    for (id, there) in [("MagneticPartitionsAlarm", true), ("UndeliveredAlarm", true), ("DeliveryLateAlarm", false)] {
        assert_eq!(alarms.contains_key(id), there, "{id}");
    }
    let words = alarms["ExportBehindAlarm"]["Properties"]["AlarmDescription"].as_str().unwrap();
    assert!(words.contains("Timestream deletes them"), "{words}");
}

/// The only `*` is for requesting endpoints, and no function has the permissions of the other.
#[test]
fn each_function_may_do_what_it_is_for() {
    let resources = resources();
    let statements = |role: &str| {
        resources[role]["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap().clone().into_iter()
    };
    let of_service = |role: &str| -> Vec<Value> {
        statements(role).filter(|one| one["Action"].to_string().contains("timestream:")).collect()
    };
    let table = json!({ "Fn::GetAtt": ["TimestreamTable", "Arn"] });
    for (role, actions) in [
        ("StorePolicy", json!("timestream:WriteRecords")),
        (
            "ExportPolicy",
            json!(["timestream:DescribeTable", "timestream:ListMeasures", "timestream:Select", "timestream:Unload"]),
        ),
        // No query can write anything.
        ("QueryPolicy", json!(["timestream:DescribeTable", "timestream:ListMeasures", "timestream:Select"])),
    ] {
        let [own, endpoints] = &of_service(role)[..] else { panic!("{role}") };
        assert_eq!((&own["Action"], &own["Resource"]), (&actions, &table), "{role}");
        assert_eq!(endpoints["Action"], "timestream:DescribeEndpoints");
        assert_eq!(endpoints["Resource"], "*");
    }
    let told = |function: &str| resources[function]["Properties"]["Environment"]["Variables"].clone();
    for function in ["StoreFunction", "ExportFunction", "QueryFunction"] {
        assert_eq!(told(function)["FLEETFORM_TIMESTREAM_DATABASE"], json!({ "Ref": "TimestreamDatabase" }));
        assert_eq!(told(function)["FLEETFORM_TIMESTREAM_TABLE"], "samples");
    }
    for role in ["ColumnsPolicy", "QueryPolicy"] {
        assert!(!statements(role).any(|one| one.to_string().contains("s3tables")), "{role}");
    }
    let deletes = statements("ExportPolicy").filter(|one| one["Action"].to_string().contains("Delete"));
    let targets: Vec<String> = deletes.map(|one| one["Resource"].to_string()).collect();
    assert!(targets.iter().all(|target| !target.contains("/manifests/")) && targets.len() == 2, "{targets:?}");
}
