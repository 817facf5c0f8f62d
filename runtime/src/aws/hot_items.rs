//! The hot table, for reading.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, ReturnConsumedCapacity},
};
use fleetform_engine::{drive::PortError, units::Timestamp};

use crate::{
    aws::describe,
    query::tables::{HotTable, Items},
};

/// The hot table.
#[derive(Debug)]
pub struct DynamoHotTable {
    client: Client,
    table: String,
}

impl DynamoHotTable {
    /// Uses the table of this name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }
}

impl HotTable for DynamoHotTable {
    async fn items(
        &self,
        device: &str,
        (from, to): (Timestamp, Timestamp),
        after: Option<String>,
    ) -> Result<Items, PortError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let start = after.map(|sample| {
            HashMap::from([("device_id".to_owned(), text(device)), ("sample".to_owned(), AttributeValue::S(sample))])
        });
        let found = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#device = :device AND #sample BETWEEN :from AND :to")
            .projection_expression("#sample, #rows")
            .expression_attribute_names("#device", "device_id")
            .expression_attribute_names("#sample", "sample")
            .expression_attribute_names("#rows", "rows")
            .expression_attribute_values(":device", text(device))
            .expression_attribute_values(":from", text(&key(from)))
            .expression_attribute_values(":to", text(&key(to)))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .set_exclusive_start_key(start)
            .send()
            .await;
        let found = found.map_err(|error| PortError(describe("Query hot rows", &error)))?;
        let read_units = found.consumed_capacity().and_then(|capacity| capacity.capacity_units()).unwrap_or_default();
        let last = found.last_evaluated_key.as_ref().and_then(|key| key.get("sample")?.as_s().ok().cloned());
        let items = found.items.unwrap_or_default().into_iter().map(item).collect::<Option<Vec<_>>>();
        let items = items.ok_or_else(|| PortError("an item of the hot table is not one of samples".to_owned()))?;
        Ok(Items { items, last, read_units })
    }
}

/// The lower bound of the keys of all items from this time on. Keys continue with a separator and the record.
fn key(at: Timestamp) -> String {
    format!("{:015}", at.0.max(0))
}

fn item(mut item: HashMap<String, AttributeValue>) -> Option<(Timestamp, String)> {
    let at = item.get("sample")?.as_s().ok()?.split('#').next()?.parse().ok()?;
    match item.remove("rows")? {
        AttributeValue::S(rows) => Some((Timestamp(at), rows)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_s_moment_is_in_its_key() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let of = |sample| item(HashMap::from([("sample".to_owned(), text(sample)), ("rows".to_owned(), text("[]"))]));
        assert_eq!(of("001769855400000#49"), Some((Timestamp(1_769_855_400_000), "[]".to_owned())));
        assert_eq!(of("never"), None);
        assert!(key(Timestamp(1_769_855_400_000)).as_str() < "001769855400000#49");
        assert!("001769855399999#49" < key(Timestamp(1_769_855_400_000)).as_str());
    }
}
