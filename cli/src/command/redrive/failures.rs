//! Records that the event source gave up on: objects of the failure bucket, as Lambda writes them (AWS Lambda Developer
//! Guide, "Retain discarded batch records for a Kinesis Data Streams event source in Lambda").

use aws_sdk_s3::Client;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::{position::SequenceNumber, units::Timestamp};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Found,
    candidate::{Candidate, Origin, again},
};
use crate::{found::failed, terminal::Stop};

/// The tag of an object whose records were put back.
pub(super) const TAG: &str = "redriven-at";
/// Objects that are left.
const NOT_OF_LAMBDA: &str = "an object that Lambda did not write";
const OF_TABLE: &str = "a batch of a table's stream: set an override in it again; notices are retried without help";
/// The word for these records, in place of a reason for quarantine.
const REASON: &str = "given_up";

/// What Lambda writes about a batch. With S3 as the destination the event is in it as a string.
#[derive(Deserialize)]
struct GivenUp {
    payload: Option<Payload>,
    /// Present only if the batch was one of a table's stream.
    #[serde(rename = "DDBStreamBatchInfo")]
    of_table: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Payload {
    Text(String),
    Event(Event),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    kinesis: Kinesis,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kinesis {
    partition_key: String,
    sequence_number: String,
    data: String,
    /// Seconds since 1970.
    approximate_arrival_timestamp: f64,
}

/// Reads every object that was not put back before.
pub(super) async fn find(client: &Client, bucket: &str, found: &mut Found) -> Result<(), Stop> {
    let mut pages = client.list_objects_v2().bucket(bucket).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| failed(&format!("list bucket `{bucket}`"), error))?;
        for key in page.contents.into_iter().flatten().filter_map(|object| object.key) {
            let tags = client.get_object_tagging().bucket(bucket).key(&key).send().await;
            let tags = tags.map_err(|error| failed(&format!("read the tags of `{key}`"), error))?;
            if tags.tag_set().iter().any(|tag| tag.key() == TAG) {
                found.leave("an object put back before");
                continue;
            }
            let object = client.get_object().bucket(bucket).key(&key).send().await;
            let object = object.map_err(|error| failed(&format!("read `{key}`"), error))?;
            let body = object.body.collect().await.map_err(|error| failed(&format!("read `{key}`"), error))?;
            match records(&body.into_bytes()) {
                Ok(records) => records.iter().for_each(|record| take(record, &key, found)),
                Err(why) => found.leave(why),
            }
        }
    }
    Ok(())
}

/// The records of an object, or why it is left.
fn records(object: &[u8]) -> Result<Vec<Record>, &'static str> {
    let given_up: GivenUp = serde_json::from_slice(object).map_err(|_| NOT_OF_LAMBDA)?;
    if given_up.of_table.is_some() {
        return Err(OF_TABLE);
    }
    match given_up.payload.ok_or(NOT_OF_LAMBDA)? {
        Payload::Text(text) => serde_json::from_str(&text).map(|event: Event| event.records).map_err(|_| NOT_OF_LAMBDA),
        Payload::Event(event) => Ok(event.records),
    }
}

fn take(record: &Record, key: &str, found: &mut Found) {
    let Kinesis { partition_key, sequence_number, data, approximate_arrival_timestamp } = &record.kinesis;
    let arrived_at = Timestamp((approximate_arrival_timestamp * 1_000.0) as i64);
    match STANDARD.decode(data).ok().map(|data| again(&data, arrived_at)) {
        Some(Some(record)) => found.candidates.push(Candidate {
            reason: REASON.to_owned(),
            partition_key: partition_key.clone(),
            record,
            sequence: SequenceNumber::new(sequence_number).ok(),
            origin: Origin::Failures { key: key.to_owned() },
        }),
        Some(None) => found.leave("a record of the platform itself"),
        None => found.leave(NOT_OF_LAMBDA),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_of_lambda_holds_the_whole_event() {
        let event = json!({ "Records": [
            { "kinesis": {
                "partitionKey": "sensor-001", "sequenceNumber": "1", "data": STANDARD.encode("{}"),
                "approximateArrivalTimestamp": 1_545_084_650.987,
            } },
            { "kinesis": {
                "partitionKey": "tick", "sequenceNumber": "2", "data": STANDARD.encode(r#"{"ff":1,"k":"tick","t":1}"#),
                "approximateArrivalTimestamp": 1_545_084_651.0,
            } },
        ] });
        for payload in [json!(event.to_string()), event] {
            let object = json!({ "version": "1.0", "KinesisBatchInfo": { "batchSize": 2 }, "payload": payload });
            let mut found = Found::default();
            records(object.to_string().as_bytes()).expect("records").iter().for_each(|it| take(it, "key", &mut found));
            assert_eq!((found.candidates.len(), found.left.len()), (1, 1));
            let put: serde_json::Value = serde_json::from_slice(&found.candidates[0].record.data).expect("JSON");
            assert_eq!(put["t"], 1_545_084_650_987_i64);
        }
        assert_eq!(records(b"{}").err(), Some(NOT_OF_LAMBDA));
        assert_eq!(records(b"not JSON").err(), Some(NOT_OF_LAMBDA));
    }

    #[test]
    fn a_batch_of_a_tables_stream_holds_nothing_to_put() {
        let event = json!({ "Records": [{ "eventName": "INSERT", "dynamodb": { "SequenceNumber": "1" } }] });
        let object = json!({ "DDBStreamBatchInfo": { "batchSize": 1 }, "payload": event.to_string() });
        assert_eq!(records(object.to_string().as_bytes()).err(), Some(OF_TABLE));
    }
}
