//! Sends rows to the tables, in calls as large as the services take, until all are accepted.

use std::sync::Arc;

use bytes::Bytes;
use fleetform_engine::drive::PortError;

use super::{HotRows, Rows, batch::StoredRow, hot::Item};
use crate::leftovers::{Left, pause, put_all};

/// Maximum rows in one call ("PutRecordBatch", Amazon Data Firehose API).
pub const ROWS_MAX: usize = 500;
/// Maximum bytes in one call.
pub const ROWS_BYTES_MAX: usize = 4 << 20;
/// Maximum items in one call ("BatchWriteItem", Amazon DynamoDB API).
pub const ITEMS_MAX: usize = 25;

/// Hands over rows while there is time. [`Left::first`] is the index of a row.
pub async fn rows(port: &impl Rows, rows: &[StoredRow], has_time: &impl Fn() -> bool) -> Result<(), Left> {
    let mut from = 0;
    while from < rows.len() {
        if !has_time() {
            return Err(Left { first: from, why: late() });
        }
        let call = &rows[from..from + fitting(&rows[from..])];
        let bytes = call.iter().map(|row| row.json.clone());
        let put = put_all("PutRecordBatch", bytes, |left: Vec<Bytes>| port.put(left), |n| wait(n, has_time)).await;
        put.map_err(|left| Left { first: from + left.first, ..left })?;
        from += call.len();
    }
    Ok(())
}

/// The number of rows that fit into one call.
fn fitting(rows: &[StoredRow]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&StoredRow| {
        bytes += row.json.len();
        bytes <= ROWS_BYTES_MAX
    };
    // A single row always fits: it is smaller than a message, which is smaller than a call.
    rows.iter().take(ROWS_MAX).take_while(fits).count().max(1)
}

/// Hands over items while there is time. [`Left::first`] is the index of the first row in an item that was left.
pub async fn items(port: &impl HotRows, mut items: Vec<Item>, has_time: &impl Fn() -> bool) -> Result<(), Left> {
    items.sort_by_key(|item| item.first);
    let items: Vec<Arc<Item>> = items.into_iter().map(Arc::new).collect();
    for call in items.chunks(ITEMS_MAX) {
        if !has_time() {
            return Err(Left { first: call[0].first, why: late() });
        }
        let put = |left: Vec<Arc<Item>>| port.put(left);
        let put = put_all("BatchWriteItem", call.iter().cloned(), put, |n| wait(n, has_time)).await;
        put.map_err(|left| Left { first: call[left.first].first, ..left })?;
    }
    Ok(())
}

/// Waits before the next call; returns `false` if there is no time for one.
pub(super) async fn wait(fruitless: u32, has_time: &impl Fn() -> bool) -> bool {
    has_time() && pause(fruitless).await
}

pub(super) fn late() -> PortError {
    PortError("no time is left".to_owned())
}
