//! The newest rows in DynamoDB.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, PutRequest, WriteRequest},
};
use fleetform_engine::drive::PortError;

use crate::{
    aws::describe,
    store::{HotRows, hot::Item},
};

/// The hot table.
#[derive(Debug)]
pub struct DynamoHotRows {
    client: Client,
    table: String,
}

impl DynamoHotRows {
    /// Uses the table of this name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }
}

impl HotRows for DynamoHotRows {
    async fn put(&self, items: Vec<Arc<Item>>) -> Result<Vec<Option<String>>, PortError> {
        let requests = items.iter().map(|item| request(item)).collect::<Result<Vec<_>, _>>()?;
        let done = self.client.batch_write_item().request_items(&self.table, requests).send().await;
        let done = done.map_err(|error| PortError(describe("BatchWriteItem hot rows", &error)))?;
        let left = done.unprocessed_items.unwrap_or_default().remove(&self.table).unwrap_or_default();
        let left: Vec<_> = left.iter().filter_map(|request| key(request.put_request()?.item())).collect();
        let is_left = |item: &Arc<Item>| left.contains(&(item.device.as_str(), item.sample.as_str()));
        Ok(items.iter().map(|item| is_left(item).then(|| "UnprocessedItems".to_owned())).collect())
    }
}

fn request(item: &Item) -> Result<WriteRequest, PortError> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put = PutRequest::builder()
        .item("device_id", text(&item.device))
        .item("sample", text(&item.sample))
        .item("rows", text(&item.rows))
        .item("expires_at", AttributeValue::N(item.expires_at.to_string()))
        .build();
    let put = put.map_err(|error| PortError(format!("an item cannot be written: {error}")))?;
    Ok(WriteRequest::builder().put_request(put).build())
}

fn key(item: &HashMap<String, AttributeValue>) -> Option<(&str, &str)> {
    Some((item.get("device_id")?.as_s().ok()?, item.get("sample")?.as_s().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_found_among_those_that_were_left() {
        let item = Item { device: "a".into(), sample: "7#1".into(), rows: "[]".into(), expires_at: 9, first: 0 };
        let request = request(&item).expect("a request");
        let put = request.put_request().expect("a put");
        assert_eq!(key(put.item()), Some(("a", "7#1")));
        assert_eq!(put.item()["expires_at"], AttributeValue::N("9".into()));
    }
}
