//! How a partition is split: into ranges of devices that have no more rows together than may be held at once.
//!
//! To find out how many rows each device has, all files are read once. That may take longer than a run lasts, so the
//! attempt is recorded first: the next run handles all other days before this one.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use smol_str::SmolStr;

use super::{
    Cold, ExportError, Exporter, FETCHED_AHEAD, Files,
    begun::{Begun, Devices},
    objects::{Source, damaged},
};
use crate::{
    frame::{Field, Frame, parquet::each_device},
    iceberg::files::DataFile,
};

/// Maximum values held at once, in rows and columns. Each takes at least 16 bytes, and strings take more.
pub(super) const CELLS_MAX: u64 = 24_000_000;

impl<C: Sync, F: Files, K: Cold> Exporter<C, F, K> {
    /// The maximum number of rows held at once.
    fn group_rows(&self, fields: &[Field]) -> u64 {
        self.group_rows.min(CELLS_MAX / fields.len().max(1) as u64).max(1)
    }

    /// Whether an export has more than one part.
    pub(super) fn is_large(&self, source: &Source<'_>) -> bool {
        source.rows() > self.group_rows(source.fields)
    }

    /// The state of a large export: from its note, or newly `begun` with its parts. The parts are missing if there was
    /// no time to determine them.
    pub(super) async fn parted(
        &self,
        source: &Source<'_>,
        mut begun: Begun,
        has_time: &impl Fn() -> bool,
    ) -> Result<Begun, ExportError> {
        let known = self.begun(source.partition, source.number).await?;
        let tried = known.as_ref().map_or(0, |known| known.tried);
        if let Some(known) = known.filter(Begun::is_parted) {
            return Ok(known);
        }
        begun.tried = tried.saturating_add(1);
        self.note(source.partition, source.number, &begun).await?;
        if let Some(spans) = self.spans(source, has_time).await? {
            (begun.spans, begun.tried) = (spans, 0);
            self.note(source.partition, source.number, &begun).await?;
        }
        Ok(begun)
    }

    /// All devices in ranges that have no more rows than may be held at once, ordered by id. `None` if there was no
    /// time to read all files.
    pub(super) async fn spans(
        &self,
        source: &Source<'_>,
        has_time: &impl Fn() -> bool,
    ) -> Result<Option<Vec<Devices>>, ExportError> {
        if !self.is_large(source) {
            return Ok(Some(vec![Devices::default()]));
        }
        let group_rows = self.group_rows(source.fields);
        let device = Frame::new(source.fields.to_vec())?.device().clone();
        let mut rows: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut count = |bytes: Bytes| {
            each_device(bytes, device.id, &device.column.name, |id| match rows.get_mut(id) {
                Some(rows) => *rows += 1,
                None => _ = rows.insert(id.to_owned(), 1),
            })
        };
        let mut fetched = stream::iter(source.files)
            .map(async |DataFile { path, .. }| self.files.get(path).await.map(|bytes| (path, bytes)))
            .buffered(FETCHED_AHEAD);
        while let Some((path, bytes)) = fetched.try_next().await? {
            if !has_time() {
                return Ok(None);
            }
            count(bytes).map_err(|reason| ExportError::File { path: path.clone(), reason })?;
        }
        let mut fetched = stream::iter(source.known())
            .map(async |object| self.known(object).await.map(|bytes| (object, bytes)))
            .buffered(FETCHED_AHEAD);
        while let Some((object, bytes)) = fetched.try_next().await? {
            if !has_time() {
                return Ok(None);
            }
            count(bytes).map_err(|reason| damaged(object, &reason))?;
        }
        let mut spans = vec![Devices::default()];
        let mut held = 0;
        for (id, rows) in rows {
            if held > 0 && held + rows > group_rows {
                let id = SmolStr::from(String::from_utf8_lossy(&id));
                if let Some(last) = spans.last_mut() {
                    last.to = Some(id.clone());
                }
                spans.push(Devices { from: Some(id), to: None });
                held = 0;
            }
            held += rows;
        }
        Ok(Some(spans))
    }
}
