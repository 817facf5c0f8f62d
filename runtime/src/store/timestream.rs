//! Writes rows to Timestream. Refused rows are set aside with their reasons, and all others of a call are accepted.
//!
//! A record's version is the time at which its message came. So writing a record again changes nothing, and a
//! correction replaces an earlier record, in whatever order they are written.

use std::collections::HashMap;

use bytes::Bytes;
use fleetform_engine::drive::PortError;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{
    Encoded, Handed, Keeping,
    batch::StoredRow,
    handover::{late, wait},
    measures,
    row::Whole,
};
use crate::leftovers::{FRUITLESS_MAX, Left};

/// Maximum records in one call ("WriteRecords", Amazon Timestream developer guide).
pub const RECORDS_MAX: usize = 100;
/// Maximum bytes in one call, which can be sent within its timeout.
pub const CALL_BYTES_MAX: usize = 1 << 20;

/// A table of Timestream.
pub trait Records: Sync {
    /// Makes one call, with at most [`RECORDS_MAX`] records.
    ///
    /// # Errors
    /// If the table accepts none, and will not until someone has intervened.
    fn write(&self, records: &[Bytes]) -> impl Future<Output = Result<Written, PortError>> + Send;
}

/// The result for the records of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// All were accepted except for these.
    Taken(Vec<Refused>),
    /// None was accepted, or it is not known which; the reason. They may be written again.
    Later(String),
    /// None was accepted, since at least one is invalid.
    Invalid(String),
}

/// A record that was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The record's index in the call.
    pub index: usize,
    /// The service's reason.
    pub reason: String,
    /// The version of the record that is stored instead.
    pub existing_version: Option<i64>,
}

/// The storage for refused rows.
pub trait Aside: Sync {
    /// Stores lines of JSON. The same key always has the same lines.
    fn keep(&self, key: &str, lines: Vec<u8>) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// A table of Timestream, with storage for the rows that it refuses.
#[derive(Debug)]
pub struct TimestreamRows<R, A> {
    /// The table that records go to.
    pub records: R,
    /// The storage for refused rows.
    pub aside: A,
}

/// A row that is set aside.
struct Unwanted<'a> {
    record: &'a [u8],
    reason: String,
}

impl<R: Records + Send, A: Aside + Send> Keeping for TimestreamRows<R, A> {
    fn encode(&self, row: &Whole<'_>) -> Encoded {
        measures::encode(row)
    }

    async fn hand_over(&self, shard: &str, rows: &[StoredRow], has_time: &(impl Fn() -> bool + Sync)) -> Handed {
        let mut handed = Handed::default();
        let newest = newest(rows);
        let mut from = 0;
        while from < newest.len() {
            let left = |why| Some(Left { first: newest[from], why });
            if !has_time() {
                return Handed { left: left(late()), ..handed };
            }
            let call = &newest[from..from + fitting(rows, &newest[from..])];
            let refused = match self.put(rows, call, has_time).await {
                Ok(refused) => refused,
                Err(why) => return Handed { left: left(why), ..handed },
            };
            let unwanted = unwanted(rows, call, refused);
            if !unwanted.is_empty() {
                let sequence = rows[call[0]].sequence;
                if let Err(why) = self.set_aside(shard, &sequence.digits(), &unwanted).await {
                    return Handed { left: left(why), ..handed };
                }
            }
            handed.refused += unwanted.len();
            from += call.len();
        }
        handed
    }
}

impl<R: Records, A: Aside> TimestreamRows<R, A> {
    /// Writes the rows at these indices until each is accepted or refused. If the service refuses a whole call because
    /// of one record, that record is found by bisection.
    async fn put(
        &self,
        rows: &[StoredRow],
        call: &[usize],
        has_time: &(impl Fn() -> bool + Sync),
    ) -> Result<Vec<(usize, Refused)>, PortError> {
        let (mut refused, mut invalid) = (Vec::new(), 0);
        let mut fruitless = 0;
        let mut parts = vec![call];
        while let Some(part) = parts.pop() {
            let records: Vec<Bytes> = part.iter().map(|place| rows[*place].json.clone()).collect();
            match self.records.write(&records).await? {
                Written::Taken(some) => {
                    fruitless = 0;
                    for one in some {
                        let place = part.get(one.index).copied();
                        let place = place.ok_or_else(|| {
                            PortError(format!(
                                "WriteRecords: of {} records number {} was refused",
                                part.len(),
                                one.index
                            ))
                        })?;
                        refused.push((place, one));
                    }
                }
                Written::Later(why) => {
                    fruitless += 1;
                    if fruitless >= FRUITLESS_MAX || !wait(fruitless, has_time).await {
                        return Err(PortError(why));
                    }
                    parts.push(part);
                }
                Written::Invalid(reason) => {
                    if let [place] = part {
                        invalid += 1;
                        if invalid == call.len() && call.len() > 1 {
                            // All of them fail, so the records are not the cause.
                            return Err(PortError(reason));
                        }
                        refused.push((*place, Refused { index: 0, reason, existing_version: None }));
                    } else {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                }
            }
        }
        Ok(refused)
    }

    async fn set_aside(&self, shard: &str, sequence: &str, unwanted: &[Unwanted<'_>]) -> Result<(), PortError> {
        #[derive(Serialize)]
        struct Line<'a> {
            reason: &'a str,
            record: &'a RawValue,
        }
        let mut lines = Vec::new();
        for Unwanted { record, reason } in unwanted {
            let record = serde_json::from_slice(record).expect("a record is JSON");
            serde_json::to_writer(&mut lines, &Line { reason, record }).expect("a text takes any text");
            lines.push(b'\n');
        }
        let sha256: String = Sha256::digest(&lines)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        self.aside.keep(&format!("refused/{shard}/{sequence}-{sha256}.jsonl"), lines).await
    }
}

/// The indices of the rows to write: of rows with the same name, the one whose message came last, and the last of
/// those. The same name implies the same measures, so the others add nothing.
fn newest(rows: &[StoredRow]) -> Vec<usize> {
    let mut newest: HashMap<&[u8], usize> = HashMap::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let known = newest.entry(measures::name(&row.json)).or_insert(place);
        if rows[*known].ingested_at <= row.ingested_at {
            *known = place;
        }
    }
    let mut places: Vec<usize> = newest.into_values().collect();
    places.sort_unstable();
    places
}

/// The number of rows at these indices that fit into one call.
fn fitting(rows: &[StoredRow], places: &[usize]) -> usize {
    let mut bytes = 0;
    let fits = |place: &&usize| {
        bytes += rows[**place].json.len();
        bytes <= CALL_BYTES_MAX
    };
    places.iter().take(RECORDS_MAX).take_while(fits).count().max(1)
}

/// The rows of a call to be set aside. A row whose place is taken by one at least as new is left out, since that one is
/// used.
fn unwanted<'a>(rows: &'a [StoredRow], call: &[usize], refused: Vec<(usize, Refused)>) -> Vec<Unwanted<'a>> {
    let mut unwanted: Vec<(usize, Unwanted<'_>)> = Vec::new();
    for (place, Refused { reason, existing_version, .. }) in refused {
        let row = &rows[place];
        if existing_version.is_none_or(|existing| existing < row.ingested_at.0) {
            unwanted.push((place, Unwanted { record: &row.json, reason }));
        }
    }
    for place in call {
        if let Some(whole) = &rows[*place].whole {
            let reason = format!("a text is longer than {} bytes, and the row is without it", measures::TEXT_BYTES_MAX);
            unwanted.push((*place, Unwanted { record: whole, reason }));
        }
    }
    // In stream order, so that a repeated call has the same lines.
    unwanted.sort_by_key(|(place, _)| *place);
    unwanted.into_iter().map(|(_, unwanted)| unwanted).collect()
}

#[cfg(test)]
#[path = "timestream_tests.rs"]
mod tests;
