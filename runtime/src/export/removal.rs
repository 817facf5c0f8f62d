//! Days whose time in the table is over leave it, once all that the table has of them is exported.

use std::{collections::BTreeSet, time::Duration};

use fleetform_engine::units::Timestamp;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Cold, ExportError, Exporter, Files, MANIFESTS_AT_ONCE, Part, Table, Turn, manifest::Manifest};
use crate::iceberg::{catalog::Catalog, snapshot::Partition};

/// How often a commit is made anew when another one came before it. Rows are delivered every minute.
const TRIES_MAX: u32 = 6;
/// Time before the second try; each later one waits longer by this.
const PAUSE: Duration = Duration::from_secs(2);

impl<C: Catalog, F: Files, K: Cold> Exporter<C, F, K> {
    /// Takes what is old enough and exported out of the table, and says how many rows that were.
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

    /// Whether all rows of a partition are exported, and whether that they leave is noted beside the exports: from there
    /// on the table's rows are not all that a sample was made of, and are counted anew.
    ///
    /// The note comes before the commit. Where that fails, the next export finds nothing new, and the note is made again.
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
        // Who has exported late samples meanwhile has the number, and then the partition does not leave.
        Ok(self.cold.create(&self.layout.manifest(partition, number), note.to_bytes()).await?)
    }

    /// Makes the table one without these partitions. `false` if somebody has changed it meanwhile.
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
