//! The objects of one export: rows of the table and of earlier exports in, samples that are new or have changed out, and
//! what all samples come to in the intervals of those.
//!
//! However large a partition is, so much of it is held at once as makes one object: its devices are taken in turn.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use fleetform_engine::units::Millis;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use smol_str::SmolStr;

use super::{
    Cold, ExportError, Exporter, Files,
    begun::{Begun, Devices},
    downsample::are_whole,
    manifest::{Layout, Manifest, Object},
};
use crate::{
    frame::{
        Field, Frame, aggregates,
        merge::Samples,
        parquet::{ReadError, each_device, write},
    },
    iceberg::{files::DataFile, snapshot::Partition},
};

/// Values that are held at once, in rows and columns: each takes 16 bytes at least, and texts more.
const CELLS_MAX: u64 = 24_000_000;

/// Files that are fetched ahead of the one that is read.
const FETCHED_AHEAD: usize = 2;

/// The most of a large export that is made in one turn.
const OBJECTS_A_TURN: usize = 4;

/// What an export is made of, and which it is.
pub(super) struct Source<'a> {
    pub(super) partition: &'a Partition,
    pub(super) number: u32,
    pub(super) files: &'a [DataFile],
    pub(super) earlier: &'a [Manifest],
    pub(super) fields: &'a [Field],
    /// Whether another run finds the same files, and may go on where this one stops.
    pub(super) lasts: bool,
}

impl Source<'_> {
    fn known(&self) -> impl Iterator<Item = &Object> {
        self.earlier.iter().flat_map(|manifest| &manifest.objects)
    }

    /// Rows that are read, at most.
    fn rows(&self) -> u64 {
        let files = self.files.iter().map(|file| file.rows).sum::<u64>();
        files + self.known().map(|object| object.samples).sum::<u64>()
    }
}

impl<C: Sync, F: Files, K: Cold> Exporter<C, F, K> {
    /// The most rows that are made into one object.
    fn object_rows(&self, fields: &[Field]) -> u64 {
        self.object_rows.min(CELLS_MAX / fields.len().max(1) as u64).max(1)
    }

    /// Whether an export has more than one object.
    pub(super) fn is_large(&self, source: &Source<'_>) -> bool {
        source.rows() > self.object_rows(source.fields)
    }

    /// In which parts an export is made: one for each object.
    pub(super) async fn parts(&self, source: &Source<'_>) -> Result<Vec<Devices>, ExportError> {
        if self.is_large(source) { self.spans(source).await } else { Ok(vec![Devices::default()]) }
    }

    /// Writes what is new in a partition, as much of it as is made in one turn and while there is time. `false` if that
    /// was not all.
    pub(super) async fn turn(
        &self,
        source: &Source<'_>,
        begun: &mut Begun,
        has_time: &impl Fn() -> bool,
    ) -> Result<bool, ExportError> {
        let first = begun.done;
        for place in first..begun.spans.len().min(first + OBJECTS_A_TURN) {
            // There was time for the first one.
            if place > first && !has_time() {
                break;
            }
            self.make(source, begun, place).await?;
            begun.done = place + 1;
            if source.lasts && begun.spans.len() > 1 {
                self.note(source.partition, source.number, begun).await?;
            }
        }
        Ok(begun.done == begun.spans.len())
    }

    /// Writes what is new of the devices at a place, if anything is.
    async fn make(&self, source: &Source<'_>, begun: &mut Begun, place: usize) -> Result<(), ExportError> {
        let devices = &begun.spans[place];
        let Source { partition, number, files, earlier, fields, lasts: _ } = source;
        let may_have = |bounds: Option<(&[u8], &[u8])>| {
            bounds.is_none_or(|(first, last)| devices.is_reached_by(last) && devices.is_begun_by(first))
        };
        let mut frame = Frame::new(fields.to_vec())?;
        let device = frame.device().id;
        let files = files.iter().filter(|file| may_have(file.bounds(device)));
        let mut fetched = stream::iter(files)
            .map(async |file| self.files.get(&file.path).await.map(|bytes| (&file.path, bytes)))
            .buffered(FETCHED_AHEAD);
        while let Some((path, bytes)) = fetched.try_next().await? {
            let file = |reason| ExportError::File { path: path.clone(), reason };
            read(&mut frame, bytes, devices).map_err(file)?;
        }
        let known_from = frame.len();
        for object in source.known() {
            let bounds = object.devices.as_ref().map(|[first, last]| (first.as_bytes(), last.as_bytes()));
            if may_have(bounds) {
                let bytes = self.known(object).await?;
                read(&mut frame, bytes, devices).map_err(|reason| damaged(object, &reason))?;
            }
        }
        let gone = earlier.iter().any(Manifest::is_removal);
        let samples = Samples::new(&frame, known_from, gone);
        if let Some(devices) = samples.devices() {
            let bytes = write(&samples, i64::from(*number), self.codec)?;
            let prefix = self.layout.objects(partition, *number);
            let object = Layout::object(&prefix, begun.objects.len(), samples.len(), &bytes);
            begun.objects.push(self.put(object, devices, bytes).await?);
        }
        if let Some(every_s) = begun.every_s {
            let whole = (known_from < frame.len()).then(|| Samples::whole(&frame, known_from, gone));
            let changed = are_whole(earlier).then_some(&samples).filter(|_| whole.is_some());
            let whole = whole.as_ref().unwrap_or(&samples);
            let every = Millis::from_secs(every_s);
            if let Some(file) = aggregates::write(whole, changed, every, i64::from(*number), self.codec)? {
                let prefix = self.layout.aggregates(partition, *number);
                let object = Layout::object(&prefix, begun.aggregates.len(), file.rows, &file.bytes);
                let [first, last] = &file.devices;
                begun.aggregates.push(self.put(object, [first, last], file.bytes).await?);
            }
        }
        Ok(())
    }

    /// Writes an object that has devices from one to another.
    async fn put(&self, object: Object, devices: [&[u8]; 2], bytes: Vec<u8>) -> Result<Object, ExportError> {
        self.cold.put(&object.key, bytes).await?;
        Ok(Object { devices: Some(devices.map(|device| String::from_utf8_lossy(device).into())), ..object })
    }

    /// An object of an earlier export.
    async fn known(&self, object: &Object) -> Result<Bytes, ExportError> {
        self.cold.get(&object.key).await?.ok_or_else(|| damaged(object, &"it is gone"))
    }

    /// All devices in parts that have no more rows than an object should, in the order of their ids.
    async fn spans(&self, source: &Source<'_>) -> Result<Vec<Devices>, ExportError> {
        let object_rows = self.object_rows(source.fields);
        let device = Frame::new(source.fields.to_vec())?.device().clone();
        let mut rows: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut count = |bytes: Bytes| {
            each_device(bytes, device.id, &device.column.name, |id| match rows.get_mut(id) {
                Some(rows) => *rows += 1,
                None => _ = rows.insert(id.to_owned(), 1),
            })
        };
        for DataFile { path, .. } in source.files {
            let bytes = self.files.get(path).await?;
            count(bytes).map_err(|reason| ExportError::File { path: path.clone(), reason })?;
        }
        for object in source.known() {
            let bytes = self.known(object).await?;
            count(bytes).map_err(|reason| damaged(object, &reason))?;
        }
        let mut spans = vec![Devices::default()];
        let mut held = 0;
        for (id, rows) in rows {
            if held > 0 && held + rows > object_rows {
                let id = SmolStr::from(String::from_utf8_lossy(&id));
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

/// Adds what a file has of some devices.
fn read(frame: &mut Frame, file: Bytes, devices: &Devices) -> Result<(), ReadError> {
    if *devices == Devices::default() {
        return frame.read_all(file);
    }
    frame.read(file, |device| devices.has(device))
}

fn damaged(object: &Object, reason: &dyn fmt::Display) -> ExportError {
    ExportError::Earlier { key: object.key.clone(), reason: reason.to_string() }
}
