//! The objects of one export. They are made from rows of the table and of earlier exports, and contain the new and
//! changed samples, and the aggregates over the intervals of these samples.
//!
//! The devices of a partition are processed in turn, however large it is. At any time, only the rows of one row group
//! are held, along with the compressed bytes of the object that they go to. Where an object ends depends only on its
//! input, so an object that is started again has the same bytes.

use std::fmt;

use bytes::Bytes;
use fleetform_engine::units::Millis;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    Cold, ExportError, Exporter, FETCHED_AHEAD, Files,
    begun::{Begun, Devices},
    downsample::are_whole,
    manifest::{Layout, Manifest, Object},
    parting::CELLS_MAX,
};
use crate::{
    frame::{
        Field, Frame, aggregates,
        growing::{File, Growing},
        merge::Samples,
        parquet::{self, Codec, ReadError},
    },
    iceberg::{files::DataFile, snapshot::Partition},
};

/// The number of values, in rows and columns, that are read for one object before it takes no further parts. Files that
/// contain all devices are read for each part, and an object that takes too long would never be finished.
const CELLS_READ_MAX: u64 = if cfg!(test) { 40_000 } else { 100 * CELLS_MAX };

/// The number of parts of a large export after which a turn ends. Its last object may take it beyond that.
const SPANS_A_TURN: usize = 4;

/// The input of an export, and its identity.
pub(super) struct Source<'a> {
    pub(super) partition: &'a Partition,
    pub(super) number: u32,
    pub(super) files: &'a [DataFile],
    pub(super) earlier: &'a [Manifest],
    pub(super) fields: &'a [Field],
    /// Whether another run finds the same files, and can continue where this one stops.
    pub(super) lasts: bool,
}

impl Source<'_> {
    pub(super) fn known(&self) -> impl Iterator<Item = &Object> {
        self.earlier.iter().flat_map(|manifest| &manifest.objects)
    }

    /// The maximum number of rows to be read.
    pub(super) fn rows(&self) -> u64 {
        let files = self.files.iter().map(|file| file.rows).sum::<u64>();
        files + self.known().map(|object| object.samples).sum::<u64>()
    }
}

/// An object in progress, along with the object for the aggregates of its samples.
struct Open {
    samples: Growing,
    aggregates: Growing,
    /// The most bytes that a single part has added.
    largest: usize,
    cells_read: u64,
}

impl Open {
    const fn new(codec: Codec) -> Self {
        Self { samples: Growing::new(codec), aggregates: Growing::new(codec), largest: 0, cells_read: 0 }
    }

    /// The size of the larger of the two.
    fn bytes(&self) -> usize {
        self.samples.bytes().max(self.aggregates.bytes())
    }

    /// Whether it would exceed this size if another part added as much as the largest, or has taken long enough.
    fn is_full(&self, object_bytes: u64) -> bool {
        (self.bytes() + self.largest) as u64 > object_bytes || self.cells_read >= CELLS_READ_MAX
    }
}

impl<C: Sync, F: Files, K: Cold> Exporter<C, F, K> {
    /// Writes the new samples of a partition, as many as fit into one turn and while there is time. Returns `false` if
    /// some are left.
    pub(super) async fn turn(
        &self,
        source: &Source<'_>,
        begun: &mut Begun,
        has_time: &impl Fn() -> bool,
    ) -> Result<bool, ExportError> {
        assert!(begun.is_parted(), "an export without parts would say that nothing is new");
        let first = begun.done;
        while begun.done < begun.spans.len() && begun.done - first < SPANS_A_TURN {
            // There was time for the first object.
            if begun.done > first && !has_time() {
                break;
            }
            if !self.object(source, begun, has_time).await? {
                break;
            }
            if source.lasts && begun.spans.len() > 1 {
                self.note(source.partition, source.number, begun).await?;
            }
        }
        Ok(begun.done == begun.spans.len())
    }

    /// Writes the next object, of as many parts as it takes, unless they contain nothing new. Returns `false` if time
    /// ran out before it was complete; the next run makes it again from its beginning.
    async fn object(
        &self,
        source: &Source<'_>,
        begun: &mut Begun,
        has_time: &impl Fn() -> bool,
    ) -> Result<bool, ExportError> {
        let (mut open, mut done) = (Open::new(self.codec), begun.done);
        while done < begun.spans.len() && !open.is_full(self.object_bytes) {
            if done > begun.done && !has_time() {
                return Ok(false);
            }
            self.add(source, &begun.spans[done], begun.every_s, &mut open).await?;
            done += 1;
        }
        let Source { partition, number, .. } = source;
        if let Some(file) = open.samples.finish()? {
            let prefix = self.layout.objects(partition, *number);
            begun.objects.push(self.put(&prefix, begun.objects.len(), file).await?);
        }
        if let Some(file) = open.aggregates.finish()? {
            let prefix = self.layout.aggregates(partition, *number);
            begun.aggregates.push(self.put(&prefix, begun.aggregates.len(), file).await?);
        }
        begun.done = done;
        Ok(true)
    }

    /// Adds the new samples of some devices to an object.
    async fn add(
        &self,
        source: &Source<'_>,
        devices: &Devices,
        every_s: Option<u64>,
        open: &mut Open,
    ) -> Result<(), ExportError> {
        let Source { number, files, earlier, fields, .. } = source;
        let may_have = |bounds: Option<(&[u8], &[u8])>| {
            bounds.is_none_or(|(first, last)| devices.is_reached_by(last) && devices.is_begun_by(first))
        };
        let (cells, bytes) = (|rows: u64| rows.saturating_mul(fields.len() as u64), open.bytes());
        let mut frame = Frame::new(fields.to_vec())?;
        let device = frame.device().id;
        let files = files.iter().filter(|file| may_have(file.bounds(device)));
        let mut fetched = stream::iter(files)
            .map(async |file| self.files.get(&file.path).await.map(|bytes| (file, bytes)))
            .buffered(FETCHED_AHEAD);
        while let Some((DataFile { path, rows, .. }, bytes)) = fetched.try_next().await? {
            let file = |reason| ExportError::File { path: path.clone(), reason };
            read(&mut frame, bytes, devices).map_err(file)?;
            open.cells_read += cells(*rows);
        }
        let known_from = frame.len();
        for object in source.known() {
            let bounds = object.devices.as_ref().map(|[first, last]| (first.as_bytes(), last.as_bytes()));
            if may_have(bounds) {
                let bytes = self.known(object).await?;
                read(&mut frame, bytes, devices).map_err(|reason| damaged(object, &reason))?;
                open.cells_read += cells(object.samples);
            }
        }
        let gone = earlier.iter().any(Manifest::is_removal);
        let samples = Samples::new(&frame, known_from, gone);
        parquet::add(&mut open.samples, &samples, i64::from(*number))?;
        if let Some(every_s) = every_s {
            let whole = (known_from < frame.len()).then(|| Samples::whole(&frame, known_from, gone));
            let changed = are_whole(earlier).then_some(&samples).filter(|_| whole.is_some());
            let whole = whole.as_ref().unwrap_or(&samples);
            let every = Millis::from_secs(every_s);
            aggregates::add(&mut open.aggregates, whole, changed, every, i64::from(*number))?;
        }
        open.largest = open.largest.max(open.bytes() - bytes);
        Ok(())
    }

    /// Writes an object, which is the n-th under its prefix.
    async fn put(&self, prefix: &str, place: usize, file: File) -> Result<Object, ExportError> {
        let object = Layout::object(prefix, place, file.rows, &file.bytes);
        self.cold.put(&object.key, file.bytes).await?;
        let devices = file.devices.map(|device| String::from_utf8_lossy(&device).into());
        Ok(Object { devices: Some(devices), ..object })
    }

    /// Reads an object of an earlier export.
    pub(super) async fn known(&self, object: &Object) -> Result<Bytes, ExportError> {
        self.cold.get(&object.key).await?.ok_or_else(|| damaged(object, &"it is gone"))
    }
}

/// Adds a file's rows of some devices.
fn read(frame: &mut Frame, file: Bytes, devices: &Devices) -> Result<(), ReadError> {
    let Devices { from, to } = devices;
    if from.is_none() && to.is_none() {
        return frame.read_all(file);
    }
    frame.read_devices(file, from.as_ref().map(|from| from.as_bytes()), to.as_ref().map(|to| to.as_bytes()))
}

pub(super) fn damaged(object: &Object, reason: &dyn fmt::Display) -> ExportError {
    ExportError::Earlier { key: object.key.clone(), reason: reason.to_string() }
}
