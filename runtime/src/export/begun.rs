//! An export of several objects that is on its way: in which parts it is made, and which of them are done. Whoever comes
//! after a run that broke off, or whose time was over, goes on there.
//!
//! Rows that come meanwhile are in those objects that are made after them. The export says how many rows the table had when
//! it was begun, so the next one finds what is not in it.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{Cold, ExportError, Exporter, Files, manifest::Object};
use crate::iceberg::snapshot::Partition;

/// The version of the note. Before it one had its parts from the first: who reads only those begins anew.
const FORMAT: u32 = 2;

/// The note about an export that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    format: u32,
    /// Rows that the table had, and the sequence number of its snapshot then.
    pub(super) table_rows: u64,
    pub(super) sequence_number: i64,
    /// Its devices in parts; none while nobody has found them.
    pub(super) spans: Vec<Devices>,
    /// How often somebody began to find its parts, until they are found.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) tried: u32,
    /// How many parts are done, which are those of whole objects.
    pub(super) done: usize,
    /// The objects; parts whose samples are all known are in none.
    pub(super) objects: Vec<Object>,
    /// How long the intervals of its aggregates are, in seconds; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) every_s: Option<u64>,
    /// The objects of its aggregates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) aggregates: Vec<Object>,
}

/// Devices from one to another, the first one included and the last one not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Devices {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<SmolStr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<SmolStr>,
}

impl Devices {
    /// Whether something may be in it that has no device after `last`.
    pub(super) fn is_reached_by(&self, last: &[u8]) -> bool {
        self.from.as_ref().is_none_or(|from| last >= from.as_bytes())
    }

    /// Whether something may be in it that has no device before `first`.
    pub(super) fn is_begun_by(&self, first: &[u8]) -> bool {
        self.to.as_ref().is_none_or(|to| first < to.as_bytes())
    }
}

impl Begun {
    /// The same, of samples alone.
    pub(super) fn without_aggregates(self) -> Self {
        Self { every_s: None, aggregates: Vec::new(), ..self }
    }

    /// Nothing is done yet.
    pub(super) fn new(table_rows: u64, sequence_number: i64, spans: Vec<Devices>, every_s: Option<u64>) -> Self {
        let (objects, aggregates) = Default::default();
        Self { format: FORMAT, table_rows, sequence_number, spans, tried: 0, done: 0, objects, every_s, aggregates }
    }

    /// Whether its parts are known.
    pub(super) fn is_parted(&self) -> bool {
        !self.spans.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl<C: Sync, F: Files, K: Cold> Exporter<C, F, K> {
    /// The note about an export; none if nobody has begun it, or nobody can tell how.
    pub(super) async fn begun(&self, partition: &Partition, number: u32) -> Result<Option<Begun>, ExportError> {
        let bytes = self.cold.get(&self.layout.begun(partition, number)).await?;
        // What cannot be read is begun anew: nothing is lost by that.
        let begun = bytes.and_then(|bytes| serde_json::from_slice::<Begun>(&bytes).ok());
        Ok(begun.filter(|begun| (1..=FORMAT).contains(&begun.format) && begun.done <= begun.spans.len()))
    }

    /// Notes how far an export has come. The note goes with the objects that no manifest names.
    pub(super) async fn note(&self, partition: &Partition, number: u32, begun: &Begun) -> Result<(), ExportError> {
        let bytes = serde_json::to_vec(begun).expect("keys are texts, and numbers whole");
        Ok(self.cold.put(&self.layout.begun(partition, number), bytes).await?)
    }
}
