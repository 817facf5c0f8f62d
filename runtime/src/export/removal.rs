//! Removes days from the table when their time there is over, and once all of their rows are exported.

use std::{collections::BTreeSet, time::Duration};

use fleetform_engine::units::Timestamp;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Cold, ExportError, Exporter, Files, MANIFESTS_AT_ONCE, Part, Table, Turn, manifest::Manifest};
use crate::iceberg::{catalog::Catalog, snapshot::Partition};

/// Maximum attempts at a commit that others come before. Rows are delivered every minute.
const TRIES_MAX: u32 = 6;
/// The wait before the second attempt; each later wait is longer by this.
const PAUSE: Duration = Duration::from_secs(2);

impl<C: Catalog, F: Files, K: Cold> Exporter<C, F, K> {
    /// Removes what is old enough and exported from the table, and returns the number of rows removed.
    pub(super) async fn remove(&self, now: Timestamp, has_time: &impl Fn() -> bool) -> Result<u64, ExportError> {
        for tried in 0..TRIES_MAX {
            tokio::time::sleep(PAUSE * tried).await;
            if !has_time() {
                break;
            }
            let Some(table) = self.table(now).await? else { return Ok(0) };
            let old = table
                .parts
                .iter()
                .filter(|(partition, _)| now.since(partition.day.end()) >= self.keep && !table.is_deleting(partition));
            let mut leaving = Vec::new();
            for (partition, part) in old {
                if self.may_leave(&table, partition, part, tried > 0, has_time).await? {
                    leaving.push(partition);
                }
            }
            if leaving.is_empty() {
                return Ok(0);
            }
            if self.commit(&table, &leaving, now).await? {
                return Ok(leaving.iter().map(|partition| table.parts[*partition].rows()).sum());
            }
        }
        Err(ExportError::Contended)
    }

    /// Whether all rows of a partition are exported and their removal has been noted next to the exports. From then on
    /// the table's rows are not all of a sample's sources, and are counted from scratch.
    ///
    /// The note is written before the commit. If the commit fails, the next export finds nothing new, and the note is
    /// written again.
    async fn may_leave(
        &self,
        table: &Table,
        partition: &Partition,
        part: &Part,
        again: bool,
        has_time: &impl Fn() -> bool,
    ) -> Result<bool, ExportError> {
        let mut exports = self.earlier(partition).await?;
        if again && exports.last().is_some_and(Manifest::is_removal) {
            self.export(table, partition, part, exports, Turn::Next, has_time).await?;
            exports = self.earlier(partition).await?;
        }
        let is_whole = |last: &&Manifest| {
            last.table_rows == part.rows() && !self.lacks_aggregates(&exports, partition.day, table.now)
        };
        let Some(last) = exports.last().filter(is_whole) else { return Ok(false) };
        for export in exports.iter().filter(|export| !export.is_removal()) {
            self.clear(partition, export.export_number, Vec::new(), export).await?;
        }
        let number = last.export_number + 1;
        let note = Manifest {
            partition: partition.into(),
            export_number: number,
            table_rows: 0,
            sequence_number: table.snapshot.sequence_number,
            objects: Vec::new(),
            aggregates: None,
        };
        // If another run has exported late samples meanwhile, the number is taken and the partition stays.
        Ok(self.cold.create(&self.layout.manifest(partition, number), note.to_bytes()).await?)
    }

    /// Commits the table without these partitions. Returns `false` if it has been changed in the meantime.
    async fn commit(&self, table: &Table, leaving: &[&Partition], now: Timestamp) -> Result<bool, ExportError> {
        let partitions: BTreeSet<Partition> = leaving.iter().map(|partition| (*partition).clone()).collect();
        let paths: BTreeSet<&str> =
            partitions.iter().flat_map(|partition| &table.parts[partition].manifests).map(AsRef::as_ref).collect();
        let manifests: Vec<_> = stream::iter(paths)
            .map(async |path| self.files.get(path).await.map(|bytes| (path.to_owned(), bytes)))
            .buffered(MANIFESTS_AT_ONCE)
            .try_collect()
            .await?;
        let from = (&table.snapshot, &table.list);
        let Some(removal) = table.metadata.removing(from, &manifests, &partitions, now)? else { return Ok(true) };
        for (path, bytes) in removal.files {
            self.files.put(&path, bytes).await?;
        }
        Ok(self.catalog.commit(&self.table, &removal.commit).await?)
    }
}
