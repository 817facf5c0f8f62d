//! The objects of one export: rows of the table and of earlier exports in, samples that are new or have changed out.
//!
//! However large a partition is, so much of it is held at once as makes one object: its devices are taken in turn.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    Cold, ExportError, Exporter, Files,
    manifest::{Manifest, Object},
};
use crate::{
    frame::{
        Field, Frame,
        merge::Samples,
        parquet::{each_device, write},
    },
    iceberg::{files::DataFile, snapshot::Partition},
};

/// Values that are held at once, in rows and columns: each takes 16 bytes at least, and texts more.
const CELLS_MAX: u64 = 24_000_000;

/// Files that are fetched ahead of the one that is read.
const FETCHED_AHEAD: usize = 2;

/// Devices from one to another, the first one included and the last one not.
#[derive(Clone, Debug, Default)]
struct Devices {
    from: Option<Vec<u8>>,
    to: Option<Vec<u8>>,
}

impl Devices {
    fn has(&self, device: &[u8]) -> bool {
        self.from.as_deref().is_none_or(|from| device >= from) && self.to.as_deref().is_none_or(|to| device < to)
    }
}

impl<C: Sync, F: Files, K: Cold> Exporter<C, F, K> {
    /// Writes what is new in a partition.
    pub(super) async fn objects(
        &self,
        partition: &Partition,
        number: u32,
        files: &[DataFile],
        earlier: &[Manifest],
        fields: &[Field],
    ) -> Result<Vec<Object>, ExportError> {
        let known: Vec<&Object> = earlier.iter().flat_map(|manifest| &manifest.objects).collect();
        let rows =
            files.iter().map(|file| file.rows).sum::<u64>() + known.iter().map(|object| object.samples).sum::<u64>();
        let object_rows = self.object_rows.min(CELLS_MAX / fields.len().max(1) as u64).max(1);
        let spans = if rows <= object_rows {
            vec![Devices::default()]
        } else {
            self.spans(object_rows, files, &known, fields).await?
        };
        let gone = earlier.iter().any(Manifest::is_removal);
        let mut objects = Vec::new();
        for devices in spans {
            let mut frame = Frame::new(fields.to_vec())?;
            let mut fetched = stream::iter(files)
                .map(async |file| self.files.get(&file.path).await.map(|bytes| (&file.path, bytes)))
                .buffered(FETCHED_AHEAD);
            while let Some((path, bytes)) = fetched.try_next().await? {
                let file = |reason| ExportError::File { path: path.clone(), reason };
                frame.read(bytes, |device| devices.has(device)).map_err(file)?;
            }
            let known_from = frame.len();
            for object in &known {
                let bytes = self.known(object).await?;
                frame.read(bytes, |device| devices.has(device)).map_err(|reason| damaged(object, &reason))?;
            }
            let samples = Samples::new(&frame, known_from, gone);
            if samples.is_empty() {
                continue;
            }
            let bytes = write(&samples, i64::from(number))?;
            let object = self.layout.object(partition, number, objects.len(), samples.len(), &bytes);
            self.cold.put(&object.key, bytes).await?;
            objects.push(object);
        }
        Ok(objects)
    }

    /// An object of an earlier export.
    async fn known(&self, object: &Object) -> Result<Bytes, ExportError> {
        self.cold.get(&object.key).await?.ok_or_else(|| damaged(object, &"it is gone"))
    }

    /// All devices in parts that have no more rows than an object should, in the order of their ids.
    async fn spans(
        &self,
        object_rows: u64,
        files: &[DataFile],
        known: &[&Object],
        fields: &[Field],
    ) -> Result<Vec<Devices>, ExportError> {
        let device = Frame::new(fields.to_vec())?.device().clone();
        let mut rows: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut count = |bytes: Bytes| {
            each_device(bytes, device.id, &device.column.name, |id| match rows.get_mut(id) {
                Some(rows) => *rows += 1,
                None => _ = rows.insert(id.to_owned(), 1),
            })
        };
        for DataFile { path, .. } in files {
            let bytes = self.files.get(path).await?;
            count(bytes).map_err(|reason| ExportError::File { path: path.clone(), reason })?;
        }
        for object in known {
            let bytes = self.known(object).await?;
            count(bytes).map_err(|reason| damaged(object, &reason))?;
        }
        let mut spans = vec![Devices::default()];
        let mut held = 0;
        for (id, rows) in rows {
            if held > 0 && held + rows > object_rows {
                if let Some(last) = spans.last_mut() {
                    last.to = Some(id.clone());
                }
                spans.push(Devices { from: Some(id), to: None });
                held = 0;
            }
            held += rows;
        }
        Ok(spans)
    }
}

fn damaged(object: &Object, reason: &dyn fmt::Display) -> ExportError {
    ExportError::Earlier { key: object.key.clone(), reason: reason.to_string() }
}
