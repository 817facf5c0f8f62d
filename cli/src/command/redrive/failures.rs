//! Records that the event source gave up: objects of the failure bucket, as Lambda writes them (AWS Lambda Developer
//! Guide, "Retain discarded batch records for a Kinesis Data Streams event source in Lambda").

use aws_sdk_s3::Client;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::units::Timestamp;
use serde::Deserialize;

use super::{
    Found,
    candidate::{Candidate, Origin, again},
};
use crate::{found::failed, terminal::Stop};

/// The tag of an object whose records were put again.
pub(super) const TAG: &str = "redriven-at";
/// The word for what was given up, beside the reasons of what was set aside.
const REASON: &str = "given_up";

/// What Lambda writes of a batch. With S3 as the destination the event is there as text.
#[derive(Deserialize)]
struct GivenUp {
    payload: Payload,
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
    data: String,
    /// Seconds since 1970.
    approximate_arrival_timestamp: f64,
}

/// Reads every object that was not put again before.
pub(super) async fn find(client: &Client, bucket: &str, found: &mut Found) -> Result<(), Stop> {
    let mut pages = client.list_objects_v2().bucket(bucket).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| failed(&format!("list bucket `{bucket}`"), error))?;
        for key in page.contents.into_iter().flatten().filter_map(|object| object.key) {
            let tags = client.get_object_tagging().bucket(bucket).key(&key).send().await;
            let tags = tags.map_err(|error| failed(&format!("read the tags of `{key}`"), error))?;
            if tags.tag_set().iter().any(|tag| tag.key() == TAG) {
                found.leave("an object put again before");
                continue;
            }
            let object = client.get_object().bucket(bucket).key(&key).send().await;
            let object = object.map_err(|error| failed(&format!("read `{key}`"), error))?;
            let body = object.body.collect().await.map_err(|error| failed(&format!("read `{key}`"), error))?;
            match records(&body.into_bytes()) {
                Some(records) => records.iter().for_each(|record| take(record, &key, found)),
                None => found.leave("an object that Lambda did not write"),
            }
        }
    }
    Ok(())
}

fn records(object: &[u8]) -> Option<Vec<Record>> {
    let given_up: GivenUp = serde_json::from_slice(object).ok()?;
    match given_up.payload {
        Payload::Text(text) => serde_json::from_str::<Event>(&text).ok().map(|event| event.records),
        Payload::Event(event) => Some(event.records),
    }
}

fn take(record: &Record, key: &str, found: &mut Found) {
    let Kinesis { partition_key, data, approximate_arrival_timestamp } = &record.kinesis;
    let arrived_at = Timestamp((approximate_arrival_timestamp * 1_000.0) as i64);
    match STANDARD.decode(data).ok().map(|data| again(&data, arrived_at)) {
        Some(Some(data)) => found.candidates.push(Candidate {
            reason: REASON.to_owned(),
            partition_key: partition_key.clone(),
            data,
            origin: Origin::Failures { key: key.to_owned() },
        }),
        Some(None) => found.leave("a record of the platform itself"),
        None => found.leave("an object that Lambda did not write"),
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
            let put: serde_json::Value = serde_json::from_slice(&found.candidates[0].data).expect("JSON");
            assert_eq!(put["t"], 1_545_084_650_987_i64);
        }
        assert!(records(b"{}").is_none() && records(b"not JSON").is_none());
    }
}
