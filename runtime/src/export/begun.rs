//! An export of several objects that is in progress: its parts, and which of them are done. The run after one that was
//! interrupted or ran out of time continues from there.
//!
//! Rows that arrive in the meanwhile are included in the objects made after them. The export records how many rows the
//! table had when it was started, so the next one finds what it lacks.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{Cold, ExportError, Exporter, Files, manifest::Object};
use crate::iceberg::snapshot::Partition;

/// The version of the note. In version 1 the parts are never missing; a reader that knows only that version starts from
/// scratch.
const FORMAT: u32 = 2;

/// The note about an export in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    format: u32,
    /// The table's number of rows, and the sequence number of its snapshot, at the start of the export.
    pub(super) table_rows: u64,
    pub(super) sequence_number: i64,
    /// The ranges of devices, one for each part; empty until they are determined.
    pub(super) spans: Vec<Devices>,
    /// The number of attempts to determine the parts; zero once they are known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) tried: u32,
    /// The number of parts that are done; they always fill whole objects.
    pub(super) done: usize,
    /// The objects so far. A part without new or changed samples is in none.
    pub(super) objects: Vec<Object>,
    /// The length of an aggregate's interval in seconds; `None` if the export has no aggregates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) every_s: Option<u64>,
    /// The objects with aggregates so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) aggregates: Vec<Object>,
}

/// A range of device ids, `from` inclusive, `to` exclusive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Devices {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<SmolStr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<SmolStr>,
}

impl Devices {
    /// Whether the range can contain devices of something whose last device is `last`.
    pub(super) fn is_reached_by(&self, last: &[u8]) -> bool {
        self.from.as_ref().is_none_or(|from| last >= from.as_bytes())
    }

    /// Whether the range can contain devices of something whose first device is `first`.
    pub(super) fn is_begun_by(&self, first: &[u8]) -> bool {
        self.to.as_ref().is_none_or(|to| first < to.as_bytes())
    }
}

impl Begun {
    /// The same export with samples only.
    pub(super) fn without_aggregates(self) -> Self {
        Self { every_s: None, aggregates: Vec::new(), ..self }
    }

    /// The start of an export, with nothing done.
    pub(super) fn new(table_rows: u64, sequence_number: i64, spans: Vec<Devices>, every_s: Option<u64>) -> Self {
        let (objects, aggregates) = Default::default();
        Self { format: FORMAT, table_rows, sequence_number, spans, tried: 0, done: 0, objects, every_s, aggregates }
    }

    /// Whether the parts are known.
    pub(super) fn is_parted(&self) -> bool {
        !self.spans.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl<C: Sync, F: Files, K: Cold> Exporter<C, F, K> {
    /// Reads the note about an export; `None` if it was not started, or if the note cannot be used.
    pub(super) async fn begun(&self, partition: &Partition, number: u32) -> Result<Option<Begun>, ExportError> {
        let bytes = self.cold.get(&self.layout.begun(partition, number)).await?;
        // An unreadable note is ignored, and the export starts from scratch; nothing is lost.
        let begun = bytes.and_then(|bytes| serde_json::from_slice::<Begun>(&bytes).ok());
        Ok(begun.filter(|begun| (1..=FORMAT).contains(&begun.format) && begun.done <= begun.spans.len()))
    }

    /// Records the progress of an export. The note is deleted together with objects that no manifest names.
    pub(super) async fn note(&self, partition: &Partition, number: u32, begun: &Begun) -> Result<(), ExportError> {
        let bytes = serde_json::to_vec(begun).expect("keys are texts, and numbers whole");
        Ok(self.cold.put(&self.layout.begun(partition, number), bytes).await?)
    }
}
