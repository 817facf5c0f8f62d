//! The table of samples is the same for every platform, and everything on the way into it is in place.

use std::collections::BTreeMap;

use fleetform_engine::{ids::MetricId, rule_set::ValueType, units::Millis};
use serde_json::{Value, json};

use super::{
    super::sample::{platform, platform_of},
    trees,
};
use crate::platform::{
    Platform,
    device_type::Reading,
    storage::{Hot, Storage},
};

fn resources(platform: &Platform) -> Value {
    trees(platform)["storage.yaml"]["Resources"].clone()
}

fn reading(value: ValueType) -> Reading {
    Reading { key: "x".into(), value, unit: None, required: false }
}

/// The sample platform with readings of every type, two of them shared.
fn with_readings() -> Platform {
    let mut platform = platform();
    let whole = || ValueType::Int { min: None, max: None };
    let number = || ValueType::Float { min: None, max: None };
    let mut types = platform.device_types.values_mut();
    let mut declare = |readings: Vec<(&str, ValueType)>| {
        let readings = readings.into_iter().map(|(id, value)| (MetricId::new(id).unwrap(), reading(value)));
        types.next().unwrap().readings = readings.collect();
    };
    declare(vec![("open", ValueType::Bool), ("level", whole()), ("starts", whole())]);
    declare(vec![("state", ValueType::Enum { values: vec!["on".into()] }), ("level", number())]);
    platform.message.health = BTreeMap::from([(MetricId::new("battery").unwrap(), "meta.battery".into())]);
    platform
}

#[test]
fn the_table_is_made_of_what_every_platform_has_and_of_nothing_else() {
    let table = |platform: &Platform| resources(platform)["SampleTable"].clone();
    let made = table(&platform());
    assert_eq!(table(&with_readings()), made);
    assert_eq!(table(&platform_of(40, 20, 5)), made);
    let metadata = &made["Properties"]["IcebergMetadata"];
    let fields = metadata["IcebergSchema"]["SchemaFieldList"].as_array().unwrap();
    let field = |id: &Value| fields.iter().find(|field| field["Id"] == *id).unwrap()["Name"].clone();
    let of = |list: &Value| -> Vec<Value> {
        list["Fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| json!([field(&one["SourceId"]), one["Transform"]]))
            .collect()
    };
    assert_eq!(of(&metadata["IcebergPartitionSpec"]), [json!(["zone", "identity"]), json!(["sampled_at", "day"])]);
    assert_eq!(
        of(&metadata["IcebergSortOrder"]),
        [json!(["device_id", "identity"]), json!(["sampled_at", "identity"])]
    );
    assert_eq!(fields[1], json!({ "Id": 2, "Name": "sampled_at", "Type": "timestamptz", "Required": true }));
    assert_eq!(fields[6]["Required"], false);
}

#[test]
fn each_reading_is_a_column_that_is_there_before_anything_is_delivered() {
    let resources = resources(&with_readings());
    let columns = &resources["SampleColumns"];
    assert_eq!(columns["Type"], "Custom::Columns");
    assert_eq!(columns["DependsOn"], json!(["SampleTable"]));
    let expected =
        [("battery", "double"), ("level", "double"), ("open", "boolean"), ("starts", "long"), ("state", "string")];
    let expected: Vec<Value> = expected.iter().map(|(name, kind)| json!({ "Name": name, "Type": kind })).collect();
    let properties = &columns["Properties"];
    assert_eq!(properties["Columns"], Value::Array(expected));
    assert_eq!((&properties["Namespace"], &properties["Table"]), (&"telemetry".into(), &"samples".into()));
    let waits = resources["DeliveryStream"]["DependsOn"].as_array().unwrap();
    assert!(waits.contains(&"SampleColumns".into()), "{waits:?}");
}

#[test]
fn rows_are_appended_to_the_table_that_is_made() {
    let resources = resources(&platform());
    let delivery = &resources["DeliveryStream"]["Properties"]["IcebergDestinationConfiguration"];
    assert_eq!(delivery["AppendOnly"], true);
    let table = &resources["SampleTable"]["Properties"];
    assert_eq!(
        delivery["DestinationTableConfigurationList"],
        json!([{ "DestinationDatabaseName": table["Namespace"], "DestinationTableName": table["TableName"] }])
    );
    // The bucket's name, including the part that its stack appends, ends the catalog's ARN.
    let sub = |value: &Value| value["Fn::Sub"][0].as_str().unwrap().to_owned();
    let name = sub(&resources["TableBucket"]["Properties"]["TableBucketName"]);
    assert_eq!(name, "riverton-water-prod-${StackUuid}");
    let catalog = sub(&delivery["CatalogConfiguration"]["CatalogArn"]);
    assert!(catalog.ends_with(&format!(":catalog/s3tablescatalog/{name}")), "{catalog}");
}

#[test]
fn the_name_of_a_table_bucket_fits_whatever_the_platform_is_called() {
    let mut platform = platform();
    platform.deploy.prefix = "a".repeat(32).into();
    let resources = resources(&platform);
    let name = resources["TableBucket"]["Properties"]["TableBucketName"]["Fn::Sub"][0].as_str().unwrap();
    let prefix = name.strip_suffix("${StackUuid}").unwrap();
    assert_eq!(prefix.len() + 36, 63, "{prefix}");
}

#[test]
fn the_hot_table_is_there_where_it_is_asked_for() {
    let mut platform = platform();
    let environment =
        |platform: &Platform| resources(platform)["StoreFunction"]["Properties"]["Environment"]["Variables"].clone();
    assert_eq!(environment(&platform)["FLEETFORM_HOT_RETENTION_S"], "86400");
    assert_eq!(environment(&platform)["FLEETFORM_HOT_TABLE"], json!({ "Ref": "HotTable" }));
    assert!(trees(&platform)["observability.yaml"]["Resources"].get("HotTableThrottleAlarm").is_some());
    let kept = platform.storage.clone().unwrap();
    platform.storage = Some(Storage { hot: Hot::Table { retention: Millis::from_secs(7_200) }, ..kept.clone() });
    assert_eq!(environment(&platform)["FLEETFORM_HOT_RETENTION_S"], "7200");
    platform.storage = Some(Storage { hot: Hot::Same, ..kept });
    assert!(resources(&platform).get("HotTable").is_none());
    assert!(environment(&platform).get("FLEETFORM_HOT_TABLE").is_none());
    assert!(trees(&platform)["observability.yaml"]["Resources"].get("HotTableThrottleAlarm").is_none());
    assert!(trees(&platform)["root.yaml"]["Outputs"].get("HotTableName").is_none());
}

#[test]
fn export_is_woken_as_the_file_says_and_its_files_stay_as_long() {
    let mut platform = platform();
    platform.storage.as_mut().unwrap().retention.downsample = None;
    let resources = resources(&platform);
    let schedule = &resources["ExportSchedule"]["Properties"];
    assert_eq!(schedule["ScheduleExpression"], "cron(30 2 * * ? *)");
    assert_eq!(schedule["ScheduleExpressionTimezone"], "America/New_York");
    let rules = &resources["ColdBucket"]["Properties"]["LifecycleConfiguration"]["Rules"];
    let rule = |id: &str| rules.as_array().unwrap().iter().find(|rule| rule["Id"] == id).unwrap();
    assert_eq!(rule("expire")["ExpirationInDays"], 7 * 365);
    assert_eq!(rule("tier")["Transitions"][0]["StorageClass"], "INTELLIGENT_TIERING");
    let said = &resources["ExportFunction"]["Properties"]["Environment"]["Variables"];
    assert_eq!(said["FLEETFORM_WARM_RETENTION_S"], (30 * 86_400).to_string());
    assert_eq!(said["FLEETFORM_EXPORT_AFTER_S"], "86400");
    assert_eq!(said["FLEETFORM_EXPORT_PARTITION_BY"], "zone,day");
    let behind = |platform: &Platform| {
        trees(platform)["observability.yaml"]["Resources"]["ExportBehindAlarm"]["Properties"]["Threshold"].clone()
    };
    assert_eq!(behind(&platform), 86_400_000_u64 * 31 / 2);
    let silent = |platform: &Platform| {
        trees(platform)["observability.yaml"]["Resources"].get("ExportSilentAlarm").map(|alarm| {
            let alarm = &alarm["Properties"];
            assert_eq!(
                (&alarm["TreatMissingData"], &alarm["ComparisonOperator"]),
                (&"breaching".into(), &"LessThanThreshold".into())
            );
            alarm["EvaluationPeriods"].clone()
        })
    };
    assert_eq!(silent(&platform), Some(26.into()));
    platform.storage.as_mut().unwrap().export.longest_gap = fleetform_engine::units::Millis::from_secs(7 * 86_400);
    assert_eq!(silent(&platform), None);
    platform.storage = None;
    assert!(!trees(&platform).contains_key("storage.yaml"));
}

#[test]
fn aggregates_stay_for_longer_than_what_they_are_made_of() {
    let mut platform = platform();
    let with = resources(&platform);
    let rules = &with["ColdBucket"]["Properties"]["LifecycleConfiguration"]["Rules"];
    let expiring: Vec<(&str, u64)> = rules
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|rule| Some((rule["Prefix"].as_str()?, rule["ExpirationInDays"].as_u64()?)))
        .collect();
    assert_eq!(expiring, [("samples/", 2_555), ("manifests/", 2_555), ("aggregates/", 3_650)]);
    let tier = rules.as_array().unwrap().iter().find(|rule| rule["Id"] == "tier").unwrap();
    assert!(tier.get("Prefix").is_none(), "all of them lie in one class");
    let said = &with["ExportFunction"]["Properties"]["Environment"]["Variables"];
    assert_eq!(
        (&said["FLEETFORM_DOWNSAMPLE_S"], &said["FLEETFORM_COLD_RETENTION_S"]),
        (&"3600".into(), &(7 * 365 * 86_400).to_string().into())
    );
    let asked = &with["QueryFunction"]["Properties"]["Environment"]["Variables"];
    assert_eq!(asked["FLEETFORM_AGGREGATES_TABLE"], "aggregates");
    assert_eq!(with["SampleColumns"]["Properties"]["Exported"]["Aggregates"], "aggregates");
    for policy in ["ExportPolicy", "QueryPolicy", "ColumnsPolicy"] {
        assert!(with[policy].to_string().contains("/aggregates"), "{policy}");
    }
    platform.storage.as_mut().unwrap().retention.downsample = None;
    let without = resources(&platform);
    let resources: Vec<String> = without.as_object().unwrap().values().map(ToString::to_string).collect();
    assert!(!resources.iter().any(|resource| resource.to_lowercase().contains("aggregates")));
}

#[test]
fn export_deletes_no_manifest() {
    let resources = resources(&platform());
    let statements = resources["ExportPolicy"]["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap();
    let deletes = statements.iter().filter(|one| one["Action"].to_string().contains("Delete"));
    let targets: Vec<String> = deletes.map(|one| one["Resource"].to_string()).collect();
    let [targets] = &targets[..] else { panic!("one statement: {targets:?}") };
    assert!(targets.contains("/samples/") && !targets.contains("/manifests/"), "{targets}");
}

#[test]
fn store_reads_states_and_writes_none() {
    let resources = resources(&platform());
    let statements = resources["StorePolicy"]["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap();
    let state: Vec<_> =
        statements.iter().filter(|one| one["Resource"].to_string().contains("StateBucketArn")).collect();
    let actions: Vec<_> = state.iter().map(|statement| statement["Action"].clone()).collect();
    assert_eq!(actions, ["s3:GetObject", "s3:ListBucket"]);
    let put: Vec<_> = statements.iter().filter(|one| one["Action"].to_string().contains("kinesis:Put")).collect();
    assert!(put.is_empty(), "{put:?}");
}

#[test]
fn the_key_lets_the_maintenance_of_the_platforms_own_tables_in() {
    let templates = trees(&platform());
    let key = &templates["ingest.yaml"]["Resources"]["PlatformKey"]["Properties"]["KeyPolicy"]["Statement"];
    let maintenance = key.as_array().unwrap().iter().find(|one| one["Sid"] == "TableMaintenance").unwrap();
    assert_eq!(maintenance["Principal"], json!({ "Service": "maintenance.s3tables.amazonaws.com" }));
    let context =
        maintenance["Condition"]["StringLike"]["kms:EncryptionContext:aws:s3:arn"]["Fn::Sub"].as_str().unwrap();
    assert!(context.ends_with(":bucket/riverton-water-prod-*"), "{context}");
}

#[test]
fn the_catalog_is_a_stack_that_the_root_does_not_nest() {
    let templates = trees(&platform());
    let catalog = &templates["catalog.yaml"]["Resources"]["TableCatalog"]["Properties"];
    assert_eq!(catalog["Name"], "s3tablescatalog");
    assert_eq!(catalog["FederatedCatalog"]["ConnectionName"], "aws:s3tables");
    assert!(templates["root.yaml"]["Resources"].get("Catalog").is_none());
    assert!(templates["root.yaml"]["Resources"].get("Storage").is_some());
}

#[test]
fn a_region_that_has_nothing_to_keep_samples_in_has_all_the_rest() {
    let mut platform = platform();
    platform.storage = None;
    let templates = trees(&platform);
    assert!(!templates.contains_key("storage.yaml") && !templates.contains_key("catalog.yaml"));
    assert!(templates["root.yaml"]["Parameters"].get("StoreCodeKey").is_none());
    let alarms = templates["observability.yaml"]["Resources"].as_object().unwrap();
    let of_storage = ["Store", "Columns", "Deliver", "Undelivered", "Unstored", "Registrations"];
    let of_storage = |id: &&String| of_storage.iter().any(|begin| id.starts_with(begin)) && id.ends_with("Alarm");
    assert_eq!(
        alarms.keys().filter(of_storage).collect::<Vec<_>>(),
        ["DeliveriesTableThrottleAlarm", "DeliveryFailuresAlarm"]
    );
    assert!(!templates["ingest.yaml"].to_string().contains("s3tables"));
}
