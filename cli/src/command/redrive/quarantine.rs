//! Records that the engine quarantined: rows of the table.

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::{effect::QUARANTINE_BYTES_MAX, position::SequenceNumber, units::Timestamp};

use super::{
    Found,
    candidate::{Candidate, Origin, again},
};
use crate::{found::failed, terminal::Stop};

/// The attribute of a row that was put back.
pub(super) const MARK: &str = "redriven_at";

type Row = std::collections::HashMap<String, AttributeValue>;

/// Reads the whole table: it is small, or something is badly wrong.
pub(super) async fn find(client: &Client, table: &str, reasons: &[String], found: &mut Found) -> Result<(), Stop> {
    let mut pages = client.scan().table_name(table).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| failed(&format!("read table `{table}`"), error))?;
        for row in page.items.unwrap_or_default() {
            if text(&row, "reason").is_some_and(|reason| reasons.is_empty() || reasons.contains(&reason)) {
                match candidate(&row) {
                    Ok(candidate) => found.candidates.push(candidate),
                    Err(why) => found.leave(why),
                }
            }
        }
    }
    Ok(())
}

/// A row as a record to put back, or why it stays.
fn candidate(row: &Row) -> Result<Candidate, &'static str> {
    const MALFORMED: &str = "the row lacks what a record needs";
    if row.contains_key(MARK) {
        return Err("put back before");
    }
    let data = STANDARD.decode(text(row, "data").ok_or(MALFORMED)?).map_err(|_| MALFORMED)?;
    if data.len() >= QUARANTINE_BYTES_MAX {
        return Err("too large: the row does not hold all of it");
    }
    let ingested_at = row.get("ingested_at").and_then(|value| value.as_n().ok()).and_then(|text| text.parse().ok());
    let record = again(&data, Timestamp(ingested_at.ok_or(MALFORMED)?)).ok_or("a record of the platform itself")?;
    let id = text(row, "id").ok_or(MALFORMED)?;
    // A row's key is `<shard>#<sequence number>`.
    let sequence = id.rsplit_once('#').and_then(|(_, number)| SequenceNumber::new(number).ok());
    Ok(Candidate {
        reason: text(row, "reason").ok_or(MALFORMED)?,
        partition_key: text(row, "partition_key").ok_or(MALFORMED)?,
        record,
        sequence,
        origin: Origin::Quarantine { id },
    })
}

fn text(row: &Row, key: &str) -> Option<String> {
    row.get(key).and_then(|value| value.as_s().ok()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(more: &[(&str, AttributeValue)]) -> Row {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let mut row = Row::from([
            ("id".to_owned(), text("shardId-0#0001")),
            ("reason".to_owned(), text("wrong_type")),
            ("partition_key".to_owned(), text("sensor-001")),
            ("data".to_owned(), text(&STANDARD.encode("{}"))),
            ("ingested_at".to_owned(), AttributeValue::N("7".to_owned())),
        ]);
        row.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        row
    }

    #[test]
    fn a_row_is_put_unless_it_was_or_is_not_whole() {
        let found = candidate(&row(&[])).expect("a whole row");
        assert_eq!((found.partition_key.as_str(), found.reason.as_str()), ("sensor-001", "wrong_type"));
        assert_eq!(found.order(), (Timestamp(7), SequenceNumber::new("1").ok()));
        assert_eq!(found.origin, Origin::Quarantine { id: "shardId-0#0001".to_owned() });
        let put = [(MARK, AttributeValue::N("9".to_owned()))];
        assert_eq!(candidate(&row(&put)), Err("put back before"));
        let cut = STANDARD.encode(vec![b'x'; QUARANTINE_BYTES_MAX]);
        assert!(candidate(&row(&[("data", AttributeValue::S(cut))])).is_err());
        let mut lacking = row(&[]);
        lacking.remove("partition_key");
        assert!(candidate(&lacking).is_err());
    }
}
