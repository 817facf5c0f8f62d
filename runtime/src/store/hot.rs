//! Rows as items of the hot table: all rows of a device and hour that one batch holds are one item, so that a device that
//! reports every few seconds costs one write a batch.
//!
//! An item's key is made of its first row, so that a batch that is stored again overwrites what it stored before. Where
//! it is cut otherwise then, rows are there twice, and readers take each once, as they do of the other tables.

use std::collections::BTreeMap;

use fleetform_engine::{
    position::SequenceNumber,
    units::{Millis, Timestamp},
};

/// The most bytes of rows in an item: DynamoDB takes items of 400 KB, names and keys included ("Quotas in Amazon
/// DynamoDB", Amazon DynamoDB developer guide).
const ROWS_BYTES_MAX: usize = 350_000;
const HOUR_MS: i64 = 3_600_000;
/// Seconds that an item is kept for longer: who asks for a day of samples may be asking still when the first of them is a
/// day old.
const SPARE_S: i64 = 3_600;

/// An item of the hot table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Whose rows they are.
    pub device: String,
    /// The first row's time and record: its sort key.
    pub sample: String,
    /// The rows, as a JSON array by rising time.
    pub rows: String,
    /// When DynamoDB may delete it, in whole seconds: after the last of its rows has been kept for as long as the
    /// platform says.
    pub expires_at: i64,
    /// The row of the batch that it begins with.
    pub first: usize,
}

/// Rows of a batch on their way into items.
#[derive(Debug)]
pub struct Items {
    retention: Millis,
    now: Timestamp,
    /// By device and hour.
    rows: BTreeMap<(String, i64), Vec<Row>>,
}

/// A row on its way into an item.
#[derive(Debug)]
struct Row {
    sampled_at: Timestamp,
    sequence: SequenceNumber,
    /// Its place in the batch.
    place: usize,
    json: Vec<u8>,
}

impl Items {
    /// No rows yet. What is older than `retention` at `now` is taken by none.
    pub fn new(retention: Millis, now: Timestamp) -> Self {
        Self { retention, now, rows: BTreeMap::new() }
    }

    /// Adds the row at a place of the batch.
    pub fn add(&mut self, device: &str, sampled_at: Timestamp, sequence: SequenceNumber, place: usize, json: &[u8]) {
        if self.now.since(sampled_at) < self.retention {
            let hour = sampled_at.0.div_euclid(HOUR_MS);
            let rows = self.rows.entry((device.to_owned(), hour)).or_default();
            rows.push(Row { sampled_at, sequence, place, json: json.to_vec() });
        }
    }

    /// The items.
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

/// A sort key: text order is the order of times, which no row has before 1970.
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
