//! Days whose time in the table is over leave it, once all that the table has of them is exported.

use std::{collections::BTreeSet, time::Duration};

use fleetform_engine::units::Timestamp;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Cold, ExportError, Exporter, Files, MANIFESTS_AT_ONCE, Table, manifest::Manifest};
use crate::iceberg::{catalog::Catalog, snapshot::Partition};

/// How often a commit is made anew when another one came before it. Rows are delivered every minute.
const TRIES_MAX: u32 = 6;
/// Time before the second try; each later one waits longer by this.
const PAUSE: Duration = Duration::from_secs(2);

impl<C: Catalog, F: Files, K: Cold> Exporter<C, F, K> {
    /// Takes what is old enough and exported out of the table, and says how many rows that were.
    pub(super) async fn remove(&self, table: Table, clock: fn() -> Timestamp) -> Result<u64, ExportError> {
        let mut table = Some(table);
        for tried in 0..TRIES_MAX {
            tokio::time::sleep(PAUSE * tried).await;
            let Some(table) = (match table.take() {
                Some(table) => Some(table),
                None => self.table().await?,
            }) else {
                return Ok(0);
            };
            let mut exported = Vec::new();
            for (partition, part) in &table.parts {
                if clock().since(partition.day.end()) >= self.keep
                    && !table.is_deleting(partition)
                    && let Some(last) = self.earlier(partition).await?.pop()
                    && last.table_rows == part.rows()
                {
                    exported.push((partition, last.export_number));
                }
            }
            if self.commit(&table, &exported, clock()).await? {
                let removed = exported.iter().map(|(partition, _)| table.parts[*partition].rows()).sum();
                for (partition, number) in exported {
                    self.note(partition, number + 1).await?;
                }
                return Ok(removed);
            }
        }
        Err(ExportError::Contended)
    }

    /// Makes the table one without these partitions. `false` if somebody has changed it meanwhile.
    async fn commit(&self, table: &Table, exported: &[(&Partition, u32)], now: Timestamp) -> Result<bool, ExportError> {
        let partitions: BTreeSet<Partition> = exported.iter().map(|(partition, _)| (*partition).clone()).collect();
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

    /// Notes beside the exports that the table has nothing of a partition any more: what comes late is counted from here.
    async fn note(&self, partition: &Partition, number: u32) -> Result<(), ExportError> {
        let manifest =
            Manifest { partition: partition.into(), export_number: number, table_rows: 0, objects: Vec::new() };
        // Somebody who has exported late samples meanwhile has counted already.
        self.cold.create(&self.layout.manifest(partition, number), manifest.to_bytes()).await?;
        Ok(())
    }
}
