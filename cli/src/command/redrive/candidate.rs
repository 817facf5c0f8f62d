//! A record that may be put back on the stream, and its form there.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::{position::SequenceNumber, units::Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::sender::Entry;

/// A record to put.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Why it was not evaluated.
    pub(super) reason: String,
    pub(super) partition_key: String,
    pub(super) record: Again,
    /// Its number when it came.
    pub(super) sequence: Option<SequenceNumber>,
    pub(super) origin: Origin,
}

impl Candidate {
    /// Records are put back in the order of their first arrival: the last word of a device counts.
    pub(super) fn order(&self) -> (Timestamp, Option<SequenceNumber>) {
        (self.record.came_at, self.sequence)
    }
}

impl Entry for Candidate {
    fn key(&self) -> &str {
        &self.partition_key
    }

    fn data(&self) -> &[u8] {
        &self.record.data
    }
}

/// A record as it is put back on the stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Again {
    /// The bytes to put.
    pub(super) data: Vec<u8>,
    /// When it first came.
    pub(super) came_at: Timestamp,
}

/// Where a record was found, and where it is marked once it has been put back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// A row of the quarantine.
    Quarantine {
        /// Its key.
        id: String,
    },
    /// An object of the failure bucket, with all of its records.
    Failures {
        /// Its key.
        key: String,
    },
}

/// A record as it is put back on the stream, with the time of its first arrival. None for what the platform itself put
/// there and makes again: ticks, news of rule sets, overrides.
pub(super) fn again(original: &[u8], ingested_at: Timestamp) -> Option<Again> {
    #[derive(Deserialize)]
    struct Envelope {
        ff: u64,
        k: String,
        #[serde(default)]
        t: Value,
    }
    // The wrapper may have received the record before the stream did.
    let first = |t: &Value| t.as_i64().map_or(ingested_at, |t| Timestamp(t).min(ingested_at));
    let mut came_at = ingested_at;
    match serde_json::from_slice::<Envelope>(original) {
        Ok(Envelope { ff: 1, k, t }) if k == "redrive" => {
            return Some(Again { data: original.to_vec(), came_at: first(&t) });
        }
        Ok(Envelope { ff: 1, k, .. }) if !matches!(k.as_str(), "message" | "lifecycle" | "device" | "member") => {
            return None;
        }
        Ok(Envelope { ff: 1, t, .. }) => came_at = first(&t),
        // A device's message, or not a message at all: the engine decides.
        Ok(_) | Err(_) => {}
    }
    let record = json!({ "ff": 1, "k": "redrive", "p": STANDARD.encode(original), "t": ingested_at.0 });
    Some(Again { data: record.to_string().into_bytes(), came_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_goes_with_the_time_at_which_it_came() {
        let put = again(b"{\"readings\":{}}", Timestamp(5)).expect("a gateway's record");
        assert_eq!(put.came_at, Timestamp(5));
        let put: serde_json::Value = serde_json::from_slice(&put.data).expect("JSON");
        assert_eq!(put, json!({ "ff": 1, "k": "redrive", "p": "eyJyZWFkaW5ncyI6e319", "t": 5 }));
        let once = again(put.to_string().as_bytes(), Timestamp(9)).expect("put again before");
        let first = Again { data: put.to_string().into_bytes(), came_at: Timestamp(5) };
        assert_eq!(once, first, "with the time of the first");
        let wrapped = |t: Value| again(json!({ "ff": 1, "k": "message", "t": t }).to_string().as_bytes(), Timestamp(5));
        let came_at = |t: Value| wrapped(t).map(|again| again.came_at);
        assert_eq!([came_at(json!(3)), came_at(json!(8)), came_at(json!("3"))], [3, 5, 5].map(|t| Some(Timestamp(t))));
        assert_eq!(again(br#"{"ff":1,"k":"tick","t":1.5}"#, Timestamp(5)), None);
        for (kind, goes) in [("message", true), ("device", true), ("tick", false), ("rules", false), ("member", true)] {
            let record = json!({ "ff": 1, "k": kind });
            assert_eq!(again(record.to_string().as_bytes(), Timestamp(5)).is_some(), goes, "{kind}");
        }
    }
}
