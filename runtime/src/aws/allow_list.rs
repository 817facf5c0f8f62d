//! The allow-list in DynamoDB and the telemetry stream in Kinesis, as provisioning uses them.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use aws_sdk_kinesis::primitives::Blob;
use fleetform_engine::{drive::PortError, units::Timestamp};

use crate::{
    aws::describe,
    provision::{AllowList, Claim, Records, Row},
};

/// The DynamoDB table of the serials that may be provisioned.
#[derive(Debug)]
pub struct DynamoAllowList {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl DynamoAllowList {
    /// Uses the list in this table.
    pub fn new(client: aws_sdk_dynamodb::Client, table: String) -> Self {
        Self { client, table }
    }
}

impl AllowList for DynamoAllowList {
    async fn claim(&self, serial: &str, certificate: &str, now: Timestamp) -> Result<Claim, PortError> {
        let claimed = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("serial", AttributeValue::S(serial.to_owned()))
            .update_expression("SET #used_by = :certificate, #used_at = if_not_exists(#used_at, :now)")
            // Of all concurrent requests, exactly one finds the row unused. A repeated request finds its own
            // certificate there.
            .condition_expression(
                "attribute_exists(#serial) AND (attribute_not_exists(#used_by) OR #used_by = :certificate)",
            )
            .expression_attribute_names("#serial", "serial")
            .expression_attribute_names("#used_by", "used_by")
            .expression_attribute_names("#used_at", "used_at")
            .expression_attribute_values(":certificate", AttributeValue::S(certificate.to_owned()))
            .expression_attribute_values(":now", AttributeValue::N(now.0.to_string()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match claimed {
            Ok(claimed) => Ok(Claim::Granted(row(claimed.attributes().unwrap_or(&HashMap::new())))),
            Err(SdkError::ServiceError(refusal)) => match refusal.err() {
                UpdateItemError::ConditionalCheckFailedException(failed) => {
                    Ok(if failed.item().is_some_and(|item| !item.is_empty()) { Claim::Used } else { Claim::Unknown })
                }
                _ => Err(PortError(describe("UpdateItem allow-list", &SdkError::ServiceError(refusal)))),
            },
            Err(error) => Err(PortError(describe("UpdateItem allow-list", &error))),
        }
    }
}

/// Reads a row. Missing attributes become empty strings, which are rejected where a value is required.
fn row(item: &HashMap<String, AttributeValue>) -> Row {
    let text = |name| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    let used_at = item.get("used_at").and_then(|value| value.as_n().ok()).and_then(|number| number.parse().ok());
    Row {
        device: text("device"),
        device_type: text("type"),
        zone: text("zone"),
        attributes: text("attributes"),
        thing_type: text("thing_type"),
        thing_group: text("thing_group"),
        policy: text("policy"),
        used_at: Timestamp(used_at.unwrap_or_default()),
    }
}

/// The telemetry stream, as a destination for device records.
#[derive(Debug)]
pub struct KinesisRecords {
    client: aws_sdk_kinesis::Client,
    stream_arn: String,
}

impl KinesisRecords {
    /// Puts records on the stream with this ARN.
    pub fn new(client: aws_sdk_kinesis::Client, stream_arn: String) -> Self {
        Self { client, stream_arn }
    }
}

impl Records for KinesisRecords {
    async fn put(&self, device: &str, record: &[u8]) -> Result<(), PortError> {
        let call = self.client.put_record().stream_arn(&self.stream_arn).partition_key(device);
        let put = call.data(Blob::new(record)).send().await;
        put.map(drop).map_err(|error| PortError(describe("PutRecord", &error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_the_script_writes_it() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let item = HashMap::from([
            ("serial".to_owned(), text("RW-1")),
            ("device".to_owned(), text("pump-1")),
            ("type".to_owned(), text("pump")),
            ("zone".to_owned(), text("zone-a")),
            ("attributes".to_owned(), text("")),
            ("thing_type".to_owned(), text("water-dev-pump")),
            ("thing_group".to_owned(), text("water-dev-zone-a")),
            ("policy".to_owned(), text("water-dev-core")),
            ("used_by".to_owned(), text("certificate")),
            ("used_at".to_owned(), AttributeValue::N("7".to_owned())),
        ]);
        let found = row(&item);
        assert_eq!((found.device.as_str(), found.used_at), ("pump-1", Timestamp(7)));
        assert_eq!((found.device_type.as_str(), found.zone.as_str()), ("pump", "zone-a"));
        assert_eq!((found.thing_type.as_str(), found.thing_group.as_str()), ("water-dev-pump", "water-dev-zone-a"));
        assert_eq!(found.policy, "water-dev-core");
        assert_eq!(row(&HashMap::new()), Row::default());
    }
}
