//! Days of the table of samples as plain Parquet files, for as long as `retention.cold` says.
//!
//! A day of a zone is exported once it is over and late samples have had time to arrive, and again whenever the table
//! has received rows of that day since. An export consists of objects and a manifest that names them. The manifest is
//! written last: without it there is no export. An export's bytes depend only on the table's rows and earlier exports,
//! so a resumed run writes identical objects.
//!
//! Exported rows leave the table when `retention.warm` is over. This module does not know what triggers a run.

#[cfg(test)]
mod aggregated;
mod begun;
pub mod downsample;
pub mod manifest;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
mod objects;
mod parting;
mod removal;
mod report;
pub mod timestream;
#[cfg(test)]
mod timestream_memory;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::RangeInclusive,
    sync::Arc,
};

use bytes::Bytes;
use fleetform_engine::{
    drive::PortError,
    units::{Millis, Timestamp},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    frame::{Field, parquet::Codec},
    iceberg::{
        Metadata, TableName,
        catalog::Catalog,
        files::{self, DataFile},
        snapshot::{Day, Partition, Snapshot},
    },
};
use begun::{Begun, Devices};
use downsample::Downsample;
use manifest::{Aggregates, Layout, Manifest};
use objects::Source;
pub use report::{ExportError, Report};
use report::{Outcome, Turn};

/// Manifests of the table that are read concurrently.
const MANIFESTS_AT_ONCE: usize = 24;
/// Files that are fetched ahead of the one being read.
const FETCHED_AHEAD: usize = 2;
/// Maximum bytes of an object, unless the rows held at once exceed it. This is the size that Parquet's readers prefer,
/// and what a function can hold in addition to the rows that it writes.
pub const OBJECT_BYTES: u64 = 128 << 20;

/// The files of the table of samples.
pub trait Files: Sync {
    /// Reads a file by its path.
    fn get(&self, path: &str) -> impl Future<Output = Result<Bytes, PortError>> + Send;

    /// Writes a file of metadata.
    fn put(&self, path: &str, bytes: Vec<u8>) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// The storage for exports.
pub trait Cold: Sync {
    /// All keys with this prefix, in order.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, PortError>> + Send;

    /// Reads an object; `None` if it does not exist.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, PortError>> + Send;

    /// Writes an object, and overwrites one with the same key.
    fn put(&self, key: &str, bytes: Vec<u8>) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Writes an object unless one with this key exists; returns `false` if it does.
    fn create(&self, key: &str, bytes: Vec<u8>) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Deletes objects.
    fn delete(&self, keys: &[String]) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// Exports days of a table, whatever kind of table it is.
pub trait Exports: Sync {
    /// Exports what is due of these days, the oldest first, while there is time. A part that fails does not hold up the
    /// others.
    ///
    /// # Errors
    /// If the table cannot be read.
    fn run(
        &self,
        days: &RangeInclusive<Day>,
        clock: fn() -> Timestamp,
        has_time: impl Fn() -> bool,
    ) -> impl Future<Output = Result<Report, ExportError>>;
}

/// Exports the table of samples through its ports.
#[derive(Debug)]
pub struct Exporter<C, F, K> {
    /// The catalog with the table's metadata.
    pub catalog: C,
    /// The table's files.
    pub files: F,
    /// The destination of exports.
    pub cold: K,
    /// The table's name.
    pub table: TableName,
    /// How long after its end a day is exported.
    pub after: Millis,
    /// How long after its end a day stays in the table once it is exported.
    pub keep: Millis,
    /// How object keys are built.
    pub layout: Layout,
    /// Maximum rows held at once, and so in a row group, unless a single device has more in a day.
    pub group_rows: u64,
    /// Maximum bytes of an object, unless one row group has more: [`OBJECT_BYTES`].
    pub object_bytes: u64,
    /// How objects are compressed.
    pub codec: Codec,
    /// Which aggregates are written alongside; `None` if the platform wants none.
    pub downsample: Option<Downsample>,
}

/// The table as of one moment.
struct Table {
    now: Timestamp,
    metadata: Metadata,
    fields: Vec<Field>,
    snapshot: Snapshot,
    /// The manifest list, as stored.
    list: Bytes,
    parts: BTreeMap<Partition, Part>,
    /// Partitions that have delete files; `None` if any partition may have them.
    deleting: Option<BTreeSet<Partition>>,
}

/// The table's contents of one partition.
#[derive(Default)]
struct Part {
    files: Vec<DataFile>,
    /// Manifests that name the files.
    manifests: BTreeSet<Arc<str>>,
}

impl Table {
    fn is_deleting(&self, partition: &Partition) -> bool {
        self.deleting.as_ref().is_none_or(|deleting| deleting.contains(partition))
    }
}

impl Part {
    fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

impl<C: Catalog + Send, F: Files + Send, K: Cold + Send> Exports for Exporter<C, F, K> {
    async fn run(
        &self,
        days: &RangeInclusive<Day>,
        clock: fn() -> Timestamp,
        has_time: impl Fn() -> bool,
    ) -> Result<Report, ExportError> {
        // Boxed: the compiler does not lay out a future this deep within another.
        Box::pin(self.run(days, clock, has_time)).await
    }
}

impl<C: Catalog, F: Files, K: Cold> Exporter<C, F, K> {
    /// Exports what is due of these days, the oldest first, while there is time, and then removes from the table what
    /// has been there long enough. A part that fails does not hold up the others.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn run(
        &self,
        days: &RangeInclusive<Day>,
        clock: fn() -> Timestamp,
        has_time: impl Fn() -> bool,
    ) -> Result<Report, ExportError> {
        let mut report = Report::default();
        let now = clock();
        let Some(table) = self.table(now).await? else { return Ok(report) };
        let is_due = |day: Day| days.contains(&day) && now.since(day.end()) >= self.after;
        let mut due = stream::iter(table.parts.iter().filter(|(partition, _)| is_due(partition.day)))
            .map(async |(partition, part)| (partition, part, self.earlier(partition).await))
            .buffered(MANIFESTS_AT_ONCE);
        // Large partitions follow all others and then take turns, so they hold up nothing else. Among them, those whose
        // parts were searched for without success come last, because the search may take all the time there is.
        let mut large: BTreeMap<u32, VecDeque<_>> = BTreeMap::new();
        while let Some((partition, part, earlier)) = due.next().await {
            if !has_time() {
                report.left.push(partition.clone());
                continue;
            }
            let exported = match earlier {
                Ok(_) if table.is_deleting(partition) => Err(ExportError::Deleting),
                Ok(earlier) => self.export(&table, partition, part, earlier, Turn::First, &has_time).await,
                Err(error) => Err(error),
            };
            if let Some(tried) = report.add(partition, exported) {
                large.entry(tried).or_default().push_back((partition, part));
            }
        }
        drop(due);
        while let Some(mut first) = large.first_entry() {
            let Some((partition, part)) = first.get_mut().pop_front() else {
                first.remove();
                continue;
            };
            if !has_time() {
                report.left.push(partition.clone());
                continue;
            }
            let exported = match self.earlier(partition).await {
                Ok(earlier) => self.export(&table, partition, part, earlier, Turn::Next, &has_time).await,
                Err(error) => Err(error),
            };
            if let Some(tried) = report.add(partition, exported) {
                large.entry(tried).or_default().push_back((partition, part));
            }
        }
        if has_time() {
            match self.remove(now, &has_time).await {
                Ok(removed) => report.removed = removed,
                Err(error) => report.not_removed = Some(error),
            }
        }
        Ok(report)
    }

    /// Reads the current table; `None` while it has never had a row.
    async fn table(&self, now: Timestamp) -> Result<Option<Table>, ExportError> {
        let damaged = |path: &str| {
            let path = path.to_owned();
            move |reason| ExportError::Metadata { path, reason }
        };
        let metadata = self.catalog.load(&self.table).await?.ok_or(ExportError::NoTable)?;
        let Some(snapshot) = metadata.snapshot().cloned() else { return Ok(None) };
        let fields = metadata.columns()?;
        let list = self.files.get(&snapshot.manifest_list).await?;
        let manifests = files::manifests(&list).map_err(damaged(&snapshot.manifest_list))?;
        let mut read = stream::iter(manifests)
            .map(async |manifest| self.files.get(&manifest.path).await.map(|bytes| (manifest, bytes)))
            .buffered(MANIFESTS_AT_ONCE);
        let mut parts: BTreeMap<Partition, Part> = BTreeMap::new();
        let mut deleting = Some(BTreeSet::new());
        while let Some((manifest, bytes)) = read.try_next().await? {
            if manifest.deletes {
                let partitions = files::deleting(&bytes).map_err(damaged(&manifest.path))?;
                deleting = deleting.zip(partitions).map(|(known, more)| &known | &more);
                continue;
            }
            let path: Arc<str> = manifest.path.as_str().into();
            for file in files::data_files(&bytes).map_err(damaged(&manifest.path))? {
                let part = parts.entry(file.partition.clone()).or_default();
                part.manifests.insert(Arc::clone(&path));
                part.files.push(file);
            }
        }
        Ok(Some(Table { now, metadata, fields, snapshot, list, parts, deleting }))
    }

    /// Exports a partition, unless all of its rows in the table are exported. For a large one, makes as much as fits
    /// into one turn.
    async fn export(
        &self,
        table: &Table,
        partition: &Partition,
        part: &Part,
        earlier: Vec<Manifest>,
        turn: Turn,
        has_time: &impl Fn() -> bool,
    ) -> Result<Outcome, ExportError> {
        let (table_rows, sequence_number) = (part.rows(), table.snapshot.sequence_number);
        // Rows are only ever added, and compaction does not change their number. A manifest with a higher sequence
        // number has seen a later state of the table.
        let is_done = |last: &Manifest| {
            last.sequence_number > sequence_number
                || (last.table_rows == table_rows && !self.lacks_aggregates(&earlier, partition.day, table.now))
        };
        if earlier.last().is_some_and(is_done) {
            return Ok(Outcome::Unchanged);
        }
        let number = earlier.last().map_or(1, |last| last.export_number + 1);
        let (files, fields) = (&part.files, &table.fields);
        let source = Source { partition, number, files, earlier: &earlier, fields, lasts: true };
        let is_large = self.is_large(&source);
        if is_large && turn == Turn::First {
            let begun = self.begun(partition, number).await?;
            return Ok(Outcome::Begun { tried: begun.map_or(0, |begun| begun.tried) });
        }
        let every_s = self.every_s(&earlier, partition.day, table.now);
        let new = |spans| Begun::new(table_rows, sequence_number, spans, every_s);
        let mut begun = match is_large {
            true => self.parted(&source, new(Vec::new()), has_time).await?,
            false => new(vec![Devices::default()]),
        };
        if self.downsample.is_none() {
            // Aggregates are no longer wanted, and the function may not be allowed to write them.
            begun = begun.without_aggregates();
        }
        if !begun.is_parted() || !self.turn(&source, &mut begun, has_time).await? {
            return Ok(Outcome::Begun { tried: begun.tried });
        }
        Ok(self.finish(partition, number, begun).await?.map_or(Outcome::Unchanged, Outcome::Exported))
    }
}

impl<C: Sync, F: Files, K: Cold> Exporter<C, F, K> {
    /// Writes what files of a partition have and no earlier export has: objects, and then a manifest. `None` if another
    /// run was faster.
    async fn publish(
        &self,
        partition: &Partition,
        sequence_number: i64,
        files: &[DataFile],
        earlier: Vec<Manifest>,
        fields: &[Field],
        every_s: Option<u64>,
    ) -> Result<Option<Manifest>, ExportError> {
        let number = earlier.last().map_or(1, |last| last.export_number + 1);
        let table_rows = files.iter().map(|file| file.rows).sum();
        let source = Source { partition, number, files, earlier: &earlier, fields, lasts: false };
        let spans = self.spans(&source, &|| true).await?.expect("there is time");
        let mut begun = Begun::new(table_rows, sequence_number, spans, every_s);
        while !self.turn(&source, &mut begun, &|| true).await? {}
        self.finish(partition, number, begun).await
    }

    /// Writes the manifest of an export once all of its objects exist. `None` if another run was faster.
    async fn finish(&self, partition: &Partition, number: u32, begun: Begun) -> Result<Option<Manifest>, ExportError> {
        let Begun { table_rows, sequence_number, objects, every_s, aggregates, .. } = begun;
        let manifest = Manifest {
            partition: partition.into(),
            export_number: number,
            table_rows,
            sequence_number,
            objects,
            aggregates: every_s.map(|every_s| Aggregates { every_s, objects: aggregates }),
        };
        let written = manifest.all_objects().map(|object| object.key.clone()).collect();
        let key = self.layout.manifest(partition, number);
        let is_ours = self.cold.create(&key, manifest.to_bytes()).await?;
        // The manifest that was written first is the valid one.
        let valid = if is_ours { manifest.clone() } else { read_manifest(&self.cold, &key).await? };
        self.clear(partition, number, written, &valid).await?;
        Ok(is_ours.then_some(manifest))
    }

    /// The existing exports of a partition, the oldest first.
    async fn earlier(&self, partition: &Partition) -> Result<Vec<Manifest>, ExportError> {
        exports(&self.cold, self.layout, partition).await
    }

    /// Deletes objects of an export that its manifest does not name: those of a run that was interrupted, or that came
    /// second and had seen other rows.
    async fn clear(
        &self,
        partition: &Partition,
        number: u32,
        written: Vec<String>,
        manifest: &Manifest,
    ) -> Result<(), ExportError> {
        let there = self.cold.list(&self.layout.objects(partition, number)).await?;
        let note = self.cold.list(&self.layout.begun(partition, number)).await?;
        // Aggregates that no manifest names any more are all that is left of a day whose samples have expired.
        let aggregates = match self.downsample.is_some() && manifest.aggregates.is_some() {
            true => self.cold.list(&self.layout.aggregates(partition, number)).await?,
            false => Vec::new(),
        };
        let all: BTreeSet<String> = written.into_iter().chain(there).chain(note).chain(aggregates).collect();
        let is_named = |key: &String| manifest.all_objects().any(|object| object.key == *key);
        let unnamed: Vec<String> = all.into_iter().filter(|key| !is_named(key)).collect();
        if !unnamed.is_empty() {
            self.cold.delete(&unnamed).await?;
        }
        Ok(())
    }
}

/// The existing exports of a partition, the oldest first, including notes that its rows have left the table.
pub(crate) async fn exports(
    cold: &impl Cold,
    layout: Layout,
    partition: &Partition,
) -> Result<Vec<Manifest>, ExportError> {
    let keys = cold.list(&layout.manifests(partition)).await?;
    stream::iter(&keys).then(async |key| read_manifest(cold, key).await).try_collect().await
}

async fn read_manifest(cold: &impl Cold, key: &str) -> Result<Manifest, ExportError> {
    let earlier = |reason: String| ExportError::Earlier { key: key.to_owned(), reason };
    let bytes = cold.get(key).await?.ok_or_else(|| earlier("it is gone".to_owned()))?;
    Manifest::from_bytes(&bytes).map_err(|reason| earlier(format!("it is no manifest of an export: {reason}")))
}

#[cfg(test)]
mod tests;
