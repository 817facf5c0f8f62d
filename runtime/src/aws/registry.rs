//! The histories of devices in DynamoDB: an item for each device, and one for each shard that counts its changes.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::put_item::PutItemError,
    types::{AttributeValue, KeysAndAttributes, ReturnValue},
};
use fleetform_engine::drive::PortError;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use smol_str::SmolStr;

use crate::{
    aws::{CALLS_AT_ONCE, describe},
    leftovers::{FRUITLESS_MAX, pause},
    store::{Part, Registry, history::History},
};

/// The maximum items of one call ("BatchGetItem", Amazon DynamoDB API).
const ITEMS_MAX: usize = 100;

/// The condition that nothing is known of the device.
const UNKNOWN: &str = "attribute_not_exists(#revision)";
/// The condition that less is known of the device. It fails for an environment that was presumed dead and is behind.
const NEWER: &str = "attribute_not_exists(#revision) OR #revision < :revision";

/// The table of device histories, for one generation of the stream.
#[derive(Debug)]
pub struct DynamoRegistry {
    client: Client,
    table: String,
    generation: u32,
}

impl DynamoRegistry {
    /// Uses this table.
    pub fn new(client: Client, table: String, generation: u32) -> Self {
        Self { client, table, generation }
    }

    fn shard_id(&self, shard: &str) -> AttributeValue {
        AttributeValue::S(format!("shard#{}#{shard}", self.generation))
    }

    async fn put_all(&self, devices: &[(SmolStr, History)], condition: &str) -> Result<(), PortError> {
        let puts: Vec<_> = devices.iter().map(|device| self.put(device, condition)).collect();
        stream::iter(puts).buffer_unordered(CALLS_AT_ONCE).try_collect().await
    }

    async fn load_some(&self, devices: &[SmolStr]) -> Result<Vec<(SmolStr, History)>, PortError> {
        let mut left: Vec<AttributeValue> = devices.iter().map(|device| device_id(device)).collect();
        let (mut found, mut fruitless) = (Vec::new(), 0);
        while !left.is_empty() {
            let keys = left.iter().map(|id| HashMap::from([("id".to_owned(), id.clone())])).collect();
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
            let wanted = wanted.map_err(|error| PortError(format!("BatchGetItem registrations: {error}")))?;
            let got = self.client.batch_get_item().request_items(&self.table, wanted).send().await;
            let got = got.map_err(|error| PortError(describe("BatchGetItem registrations", &error)))?;
            let items = got.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
            for item in &items {
                found.push(history(item)?);
            }
            let unprocessed = got.unprocessed_keys.unwrap_or_default().remove(&self.table);
            let keys = unprocessed.map(|keys| keys.keys).unwrap_or_default();
            let before = left.len();
            left = keys.into_iter().filter_map(|mut key| key.remove("id")).collect();
            fruitless = if left.len() < before { 0 } else { fruitless + 1 };
            if fruitless >= FRUITLESS_MAX {
                return Err(PortError(format!("BatchGetItem registrations: throttled: {} are left", left.len())));
            }
            if !left.is_empty() {
                pause(fruitless).await;
            }
        }
        Ok(found)
    }

    /// Puts a device's item under a condition. If it does not hold, more is already known of the device.
    async fn put(&self, (device, history): &(SmolStr, History), condition: &str) -> Result<(), PortError> {
        let text = serde_json::to_string(history)
            .map_err(|error| PortError(format!("what a device was cannot be written: {error}")))?;
        let revision = AttributeValue::N(history.revision().to_string());
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("id", device_id(device))
            .item("history", AttributeValue::S(text))
            .item("revision", revision.clone())
            .condition_expression(condition)
            .expression_attribute_names("#revision", "revision");
        let put = if condition == NEWER { put.expression_attribute_values(":revision", revision) } else { put };
        match put.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(refusal))
                if matches!(refusal.err(), PutItemError::ConditionalCheckFailedException(_)) =>
            {
                Ok(())
            }
            Err(error) => Err(PortError(describe("PutItem registrations", &error))),
        }
    }
}

fn device_id(device: &str) -> AttributeValue {
    AttributeValue::S(format!("device#{device}"))
}

fn history(item: &HashMap<String, AttributeValue>) -> Result<(SmolStr, History), PortError> {
    let unreadable = || PortError("an item of the registrations cannot be read".to_owned());
    let text = |name| item.get(name).and_then(|value| value.as_s().ok()).ok_or_else(unreadable);
    let device = text("id")?.strip_prefix("device#").ok_or_else(unreadable)?;
    let history = serde_json::from_str(text("history")?).map_err(|_| unreadable())?;
    Ok((device.into(), history))
}

fn part(item: &HashMap<String, AttributeValue>) -> Part {
    let version = item.get("version").and_then(|value| value.as_n().ok()).and_then(|number| number.parse().ok());
    let begun = item.get("begun").is_some_and(|value| value == &AttributeValue::Bool(true));
    Part { version: version.unwrap_or_default(), begun }
}

impl Registry for DynamoRegistry {
    async fn part(&self, shard: &str) -> Result<Part, PortError> {
        let get = self.client.get_item().table_name(&self.table).key("id", self.shard_id(shard)).consistent_read(true);
        let got = get.send().await.map_err(|error| PortError(describe("GetItem registrations", &error)))?;
        Ok(got.item().map(part).unwrap_or_default())
    }

    async fn load(&self, devices: &[SmolStr]) -> Result<Vec<(SmolStr, History)>, PortError> {
        let loads: Vec<_> = devices.chunks(ITEMS_MAX).map(|some| self.load_some(some)).collect();
        stream::iter(loads).buffer_unordered(CALLS_AT_ONCE).try_concat().await
    }

    async fn begin(&self, devices: &[(SmolStr, History)]) -> Result<(), PortError> {
        self.put_all(devices, UNKNOWN).await
    }

    async fn save(&self, devices: &[(SmolStr, History)]) -> Result<(), PortError> {
        self.put_all(devices, NEWER).await
    }

    async fn change(&self, shard: &str, begun: bool) -> Result<u64, PortError> {
        let update = self.client.update_item().table_name(&self.table).key("id", self.shard_id(shard));
        let update = match begun {
            true => update
                .update_expression("ADD #version :one SET #begun = :begun")
                .expression_attribute_names("#begun", "begun")
                .expression_attribute_values(":begun", AttributeValue::Bool(true)),
            false => update.update_expression("ADD #version :one"),
        };
        let changed = update
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| PortError(describe("UpdateItem registrations", &error)))?;
        let version = changed.attributes().map_or(0, |item| part(item).version);
        if version == 0 {
            return Err(PortError("UpdateItem registrations: no version came back".to_owned()));
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::history::Registered;

    #[test]
    fn an_item_is_read_as_it_is_written() {
        let (device_type, zone) = ("pump".parse().unwrap(), "zone-a".parse().unwrap());
        let at = fleetform_engine::units::Timestamp(0);
        let registered = Registered { from: None, at, revision: 3, device_type, zone, retired: false };
        let known = History::beginning(registered);
        let text = serde_json::to_string(&known).expect("JSON");
        let item = HashMap::from([
            ("id".to_owned(), device_id("pump-1")),
            ("history".to_owned(), AttributeValue::S(text)),
            ("revision".to_owned(), AttributeValue::N("3".to_owned())),
        ]);
        assert_eq!(history(&item), Ok(("pump-1".into(), known)));
        assert!(history(&HashMap::new()).is_err());
        let counted = HashMap::from([
            ("version".to_owned(), AttributeValue::N("7".to_owned())),
            ("begun".to_owned(), AttributeValue::Bool(true)),
        ]);
        assert_eq!(part(&counted), Part { version: 7, begun: true });
        assert_eq!(part(&HashMap::new()), Part::default());
    }
}
