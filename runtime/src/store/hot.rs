//! Rows as items of the hot table. All rows of a device and hour in one batch form one item, so that a device that
//! reports every few seconds costs one write per batch.
//!
//! An item's key is made from its first row, so storing a batch again overwrites the same items. If the batch is cut
//! differently then, there are duplicate rows, which readers remove as they do in the other tables.

use std::collections::BTreeMap;

use fleetform_engine::{
    position::SequenceNumber,
    units::{Millis, Timestamp},
};

/// Maximum bytes of rows in an item: DynamoDB allows items of 400 KB, including names and keys ("Quotas in Amazon
/// DynamoDB", Amazon DynamoDB developer guide).
const ROWS_BYTES_MAX: usize = 350_000;
const HOUR_MS: i64 = 3_600_000;
/// Extra seconds for which an item is kept: a query for a day of samples may still be reading when the first of them is
/// a day old.
const SPARE_S: i64 = 3_600;

/// An item of the hot table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The device's id.
    pub device: String,
    /// The first row's time and record: its sort key.
    pub sample: String,
    /// The rows, as a JSON array in order of time.
    pub rows: String,
    /// When DynamoDB may delete it, in seconds since 1970: after the last of its rows has been kept for the configured
    /// time.
    pub expires_at: i64,
    /// The index in the batch of its first row.
    pub first: usize,
}

/// Collects rows of a batch into items.
#[derive(Debug)]
pub struct Items {
    retention: Millis,
    now: Timestamp,
    /// The rows by device and hour.
    rows: BTreeMap<(String, i64), Vec<Row>>,
}

/// A row to be put into an item.
#[derive(Debug)]
struct Row {
    sampled_at: Timestamp,
    sequence: SequenceNumber,
    /// The row's index in the batch.
    place: usize,
    json: Vec<u8>,
}

impl Items {
    /// Starts without rows. Rows older than `retention` at `now` are ignored.
    pub fn new(retention: Millis, now: Timestamp) -> Self {
        Self { retention, now, rows: BTreeMap::new() }
    }

    /// Adds the row at this index in the batch.
    pub fn add(&mut self, device: &str, sampled_at: Timestamp, sequence: SequenceNumber, place: usize, json: &[u8]) {
        if self.now.since(sampled_at) < self.retention {
            let hour = sampled_at.0.div_euclid(HOUR_MS);
            let rows = self.rows.entry((device.to_owned(), hour)).or_default();
            rows.push(Row { sampled_at, sequence, place, json: json.to_vec() });
        }
    }

    /// Builds the items.
    pub fn finish(self) -> Vec<Item> {
        let mut items = Vec::new();
        for ((device, _), mut rows) in self.rows {
            rows.sort_by_key(|row| (row.sampled_at, row.sequence));
            let mut rows = rows.into_iter().peekable();
            while let Some(begin) = rows.next() {
                let (mut text, mut last_at, mut first) = (vec![b'['], begin.sampled_at, begin.place);
                text.extend(begin.json);
                while let Some(row) = rows.next_if(|row| text.len() + row.json.len() < ROWS_BYTES_MAX) {
                    text.push(b',');
                    text.extend(row.json);
                    (last_at, first) = (row.sampled_at, first.min(row.place));
                }
                text.push(b']');
                items.push(Item {
                    device: device.clone(),
                    sample: key(begin.sampled_at, &begin.sequence),
                    rows: String::from_utf8(text).unwrap_or_default(),
                    expires_at: last_at.after(self.retention).0.div_euclid(1_000) + SPARE_S,
                    first,
                });
            }
        }
        items
    }
}

/// A sort key. Its string order is the order of time, and no row is from before 1970.
fn key(at: Timestamp, sequence: &SequenceNumber) -> String {
    format!("{:015}#{sequence}", at.0.max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_769_855_400_000);
    const DAY: Millis = Millis::from_days(1);

    fn items(rows: &[(&str, i64, u32)]) -> Vec<Item> {
        let mut items = Items::new(DAY, NOW);
        for (place, (device, before_s, sequence)) in rows.iter().enumerate() {
            let sequence = SequenceNumber::new(&sequence.to_string()).unwrap();
            let json = format!("{{\"n\":{place}}}");
            items.add(device, Timestamp(NOW.0 - before_s * 1_000), sequence, place, json.as_bytes());
        }
        items.finish()
    }

    #[test]
    fn rows_of_a_device_and_hour_are_one_item_by_rising_time() {
        let items = items(&[("b", 10, 3), ("a", 20, 1), ("a", 30, 2), ("a", 20 + 3_600, 4)]);
        let shown: Vec<_> = items.iter().map(|item| (item.device.as_str(), item.rows.as_str(), item.first)).collect();
        assert_eq!(shown, [("a", r#"[{"n":3}]"#, 3), ("a", r#"[{"n":2},{"n":1}]"#, 1), ("b", r#"[{"n":0}]"#, 0)]);
        assert!(items[0].sample < items[1].sample);
        assert_eq!(items[1].expires_at, NOW.0 / 1_000 - 20 + 86_400 + 3_600);
    }

    #[test]
    fn what_the_retention_has_passed_is_in_no_item() {
        assert_eq!(items(&[("a", 86_401, 1)]), []);
        assert_eq!(items(&[("a", 86_399, 1)]).len(), 1);
    }

    #[test]
    fn no_item_is_larger_than_the_table_takes() {
        let mut items = Items::new(DAY, NOW);
        let row = vec![b'7'; 100_000];
        for n in 0..10 {
            let sequence = SequenceNumber::new(&n.to_string()).unwrap();
            items.add("a", NOW, sequence, n, &row);
        }
        let items = items.finish();
        assert_eq!(items.iter().map(|item| item.rows.len()).collect::<Vec<_>>(), [300_004, 300_004, 300_004, 100_002]);
        assert!(items.is_sorted_by(|a, b| a.sample < b.sample));
        assert_eq!(items.iter().map(|item| item.first).collect::<Vec<_>>(), [0, 3, 6, 9]);
    }
}
