//! The handler over a table in memory: CloudFormation requests as input, commits and answers as output.

use std::sync::Mutex;

use fleetform_engine::drive::PortError;
use serde_json::{Value, json};

use super::*;
use crate::{data_catalog, iceberg::Metadata};

/// A table, and how many commits to it are refused.
#[derive(Debug, Default)]
struct Table {
    metadata: Mutex<Value>,
    conflicts: Mutex<u32>,
    commits: Mutex<u32>,
    exported: data_catalog::memory::Table,
}

impl Table {
    fn new() -> Self {
        let field = json!({ "id": 1, "name": "device_id", "required": true, "type": "string" });
        let schema = json!({ "type": "struct", "schema-id": 0, "fields": [field] });
        let metadata = json!({ "format-version": 2, "location": "s3://samples", "last-updated-ms": 0, "table-uuid": "u", "last-column-id": 1, "current-schema-id": 0, "schemas": [schema] });
        Self { metadata: metadata.into(), ..Self::default() }
    }

    fn columns(&self) -> Vec<String> {
        let metadata = self.metadata.lock().unwrap();
        let schemas = metadata["schemas"].as_array().expect("schemas");
        let current = schemas.iter().find(|schema| schema["schema-id"] == metadata["current-schema-id"]);
        let fields = current.expect("a schema")["fields"].as_array().expect("fields");
        fields.iter().map(|field| field["name"].as_str().expect("a name").to_owned()).collect()
    }
}

impl Catalog for &Table {
    async fn load(&self, table: &TableName) -> Result<Option<Metadata>, PortError> {
        assert_eq!((table.namespace.as_str(), table.bucket_arn.as_str()), ("telemetry", "arn:bucket"));
        let metadata = self.metadata.lock().unwrap().clone();
        Ok((table.table == "samples").then(|| serde_json::from_value(metadata).expect("metadata")))
    }

    async fn commit(&self, _: &TableName, commit: &Value) -> Result<bool, PortError> {
        *self.commits.lock().unwrap() += 1;
        let mut conflicts = self.conflicts.lock().unwrap();
        if *conflicts > 0 {
            *conflicts -= 1;
            return Ok(false);
        }
        let mut metadata = self.metadata.lock().unwrap();
        let required = |kind: &str, key: &str| {
            let found = commit["requirements"].as_array().expect("requirements").iter().find(|one| one["type"] == kind);
            found.expect(kind)[key].clone()
        };
        assert_eq!(required("assert-table-uuid", "uuid"), metadata["table-uuid"]);
        assert_eq!(required("assert-current-schema-id", "current-schema-id"), metadata["current-schema-id"]);
        assert_eq!(required("assert-last-assigned-field-id", "last-assigned-field-id"), metadata["last-column-id"]);
        let schema = commit["updates"][0]["schema"].clone();
        metadata["current-schema-id"] = schema["schema-id"].clone();
        metadata["last-column-id"] = commit["updates"][0]["last-column-id"].clone();
        metadata["schemas"].as_array_mut().expect("schemas").push(schema);
        Ok(true)
    }
}

/// The answers that were put.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<(String, Value)>>);

impl Answers for Kept {
    async fn put(&self, url: &str, answer: Vec<u8>) -> Result<(), String> {
        if url.contains("gone") {
            return Err("404 Not Found".to_owned());
        }
        self.0.lock().unwrap().push((url.to_owned(), serde_json::from_slice(&answer).expect("JSON")));
        Ok(())
    }
}

fn request(kind: &str, properties: Value) -> Value {
    json!({
        "RequestType": kind, "ResponseURL": "https://answers/1", "StackId": "stack", "RequestId": "request",
        "LogicalResourceId": "SampleColumns", "ResourceType": "Custom::Columns", "ResourceProperties": properties,
    })
}

fn properties(columns: &[(&str, &str)]) -> Value {
    let columns: Vec<Value> = columns.iter().map(|(name, kind)| json!({ "Name": name, "Type": kind })).collect();
    json!({
        "ServiceToken": "arn:function", "ServiceTimeout": "120", "TableBucketArn": "arn:bucket",
        "Namespace": "telemetry", "Table": "samples", "Columns": columns,
        "Exported": { "Database": "d", "Table": "exported", "Bucket": "cold", "PartitionBy": "zone,day", "Zones": ["a"] },
    })
}

async fn handle(table: &Table, request: &Value) -> (Result<(), Failure>, Vec<(String, Value)>) {
    let data_catalog = &table.exported;
    let handler = Columns { catalog: table, data_catalog, answers: Kept::default(), clock: || Timestamp(0) };
    let deadline = Deadline::at(Timestamp(0).after(Millis(60_000)));
    let handled = handler.handle(request.to_string().into(), deadline, &mut Metrics::default()).await;
    (handled, handler.answers.0.into_inner().unwrap())
}

/// The status and the reason of the only answer.
async fn answered(table: &Table, request: &Value) -> (String, String) {
    let (handled, answers) = handle(table, request).await;
    assert_eq!(handled, Ok(()));
    let [(url, answer)] = &answers[..] else { panic!("one answer: {answers:?}") };
    assert_eq!(url, "https://answers/1");
    assert_eq!(
        (&answer["PhysicalResourceId"], &answer["StackId"], &answer["RequestId"], &answer["LogicalResourceId"]),
        (&json!("sample-columns"), &json!("stack"), &json!("request"), &json!("SampleColumns"))
    );
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    (text("Status"), text("Reason"))
}

#[tokio::test(start_paused = true)]
async fn columns_are_added_and_none_is_taken_away() {
    let table = Table::new();
    let done = ("SUCCESS".to_owned(), String::new());
    assert_eq!(answered(&table, &request("Create", properties(&[("pressure", "double")]))).await, done);
    assert_eq!(answered(&table, &request("Update", properties(&[("flow", "double")]))).await, done);
    assert_eq!(table.columns(), ["device_id", "pressure", "flow"]);
    assert_eq!(answered(&table, &request("Update", properties(&[("pressure", "double")]))).await, done);
    assert_eq!(answered(&table, &request("Delete", json!({}))).await, done);
    assert_eq!((table.columns().len(), *table.commits.lock().unwrap()), (3, 2));
    // Exported files also have a column whose reading has been removed.
    let (exported, written) = table.exported.0.lock().unwrap().clone();
    let names: Vec<Value> = exported.expect("a table")["StorageDescriptor"]["Columns"]
        .as_array()
        .expect("columns")
        .iter()
        .map(|column| column["Name"].clone())
        .collect();
    assert_eq!(
        (names, written),
        (vec![json!("device_id"), json!("pressure"), json!("flow"), json!("export_number")], 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_another_came_before_is_made_anew() {
    let table = Table::new();
    *table.conflicts.lock().unwrap() = 3;
    let create = request("Create", properties(&[("pressure", "double")]));
    assert_eq!(answered(&table, &create).await.0, "SUCCESS");
    assert_eq!(*table.commits.lock().unwrap(), 4);
    *table.conflicts.lock().unwrap() = 100;
    let (status, reason) = answered(&table, &request("Update", properties(&[("flow", "double")]))).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("`samples`") && reason.ends_with("it changes all the time"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn where_samples_are_in_timestream_exported_files_alone_are_told_of_columns() {
    let table = Table::new();
    let of = |columns: &[(&str, &str)]| {
        let mut properties = properties(columns);
        for name in ["TableBucketArn", "Namespace", "Table"] {
            properties.as_object_mut().unwrap().remove(name);
        }
        request("Update", properties)
    };
    assert_eq!(answered(&table, &of(&[("flow", "double")])).await.0, "SUCCESS");
    assert_eq!(answered(&table, &of(&[("open", "boolean")])).await.0, "SUCCESS");
    let known = data_catalog::columns(table.exported.0.lock().unwrap().0.as_ref().unwrap()).unwrap();
    let names: Vec<&str> = known.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names[names.len() - 2..], ["flow", "open"]);
    let (status, reason) = answered(&table, &of(&[("open", "double")])).await;
    assert!(status == "FAILED" && reason.contains("give the reading another id"), "{reason}");
    let (_, reason) = answered(&table, &of(&[("open", "blob")])).await;
    assert_eq!(reason, "`open` is `blob`, which no column is");
    assert_eq!(*table.commits.lock().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_is_answered() {
    let table = Table::new();
    let answer = async |properties: Value| answered(&table, &request("Create", properties)).await;
    let (status, reason) = answer(properties(&[("device_id", "long")])).await;
    assert!(status == "FAILED" && reason.contains("`device_id` holds `string`"), "{reason}");
    let mut elsewhere = properties(&[]);
    elsewhere["Table"] = json!("nothing");
    assert!(answer(elsewhere).await.1.starts_with("there is no table `nothing`"));
    assert!(answer(json!({ "Table": 7 })).await.1.starts_with("the properties of the resource cannot be read"));
    let mut unheard = request("Create", properties(&[]));
    unheard["ResponseURL"] = json!("https://gone");
    assert_eq!(handle(&table, &unheard).await.0.expect_err("a failure").kind, "unanswered");
    assert_eq!(handle(&table, &json!({})).await.0.expect_err("a failure").kind, "bad_event");
}
