//! What a run of the exporter did, and why not more.

use parquet::errors::ParquetError;

use super::manifest::Manifest;
use crate::{
    frame::{NoColumn, parquet::ReadError},
    iceberg::{
        Unfit,
        files::Unreadable,
        removal::Unremovable,
        snapshot::{Day, Partition},
    },
};
use fleetform_engine::drive::PortError;

/// Why something was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no table.
    #[error("there is no table of samples")]
    NoTable,
    /// The table is not one of samples.
    #[error("the table of samples: {0}")]
    Unfit(#[from] Unfit),
    /// The table lacks a column.
    #[error(transparent)]
    NoColumn(#[from] NoColumn),
    /// A service does not answer.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A file of the table's metadata is damaged.
    #[error("{path}: {reason}")]
    Metadata {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: Unreadable,
    },
    /// A file of samples is damaged.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: ReadError,
    },
    /// Samples cannot be written.
    #[error("samples cannot be written: {0}")]
    Unwritten(#[from] ParquetError),
    /// A manifest is damaged, or an object that it names is gone.
    #[error("{key}: {reason}")]
    Earlier {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody deletes rows of the table, and its files do not say yet which are left.
    #[error("rows of it were deleted, and compaction has not yet taken them out of its files")]
    Deleting,
    /// What is exported cannot leave the table.
    #[error("exported days cannot leave the table: {0}")]
    Unremovable(#[from] Unremovable),
    /// Somebody else changes the table all the time.
    #[error("exported days cannot leave the table: it changes all the time")]
    Contended,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// Days of zones that were exported, with the number of samples.
    pub exported: Vec<(Partition, u64)>,
    /// Bytes of the objects that were written.
    pub bytes: u64,
    /// How many are exported with all that the table has of them.
    pub unchanged: usize,
    /// Those that could not be.
    pub failed: Vec<(Partition, ExportError)>,
    /// Those that there was no time for.
    pub left: Vec<Partition>,
    /// Rows that have left the table.
    pub removed: u64,
    /// Why no rows could leave it.
    pub not_removed: Option<ExportError>,
}

/// What became of an export.
pub(super) enum Outcome {
    /// The table has nothing that is not exported.
    Unchanged,
    /// It is made.
    Exported(Manifest),
    /// It is large, and not all of it is made. Its parts may be unknown still, though somebody tried to find them.
    Begun { tried: u32 },
}

/// Which time a run comes to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The first: a large one waits until all others had theirs.
    First,
    /// Another one.
    Next,
}

impl Report {
    /// The oldest day that is not exported and should be.
    pub fn behind(&self) -> Option<Day> {
        self.left.iter().chain(self.failed.iter().map(|(partition, _)| partition)).map(|partition| partition.day).min()
    }

    /// Adds what became of a partition. If there is more to do, it says how often somebody tried to find its parts.
    pub(super) fn add(&mut self, partition: &Partition, exported: Result<Outcome, ExportError>) -> Option<u32> {
        let Partition { zone, day } = partition;
        match exported {
            Ok(Outcome::Unchanged) => self.unchanged += 1,
            Ok(Outcome::Begun { tried }) => return Some(tried),
            Ok(Outcome::Exported(manifest)) => {
                let samples = manifest.samples();
                self.bytes += manifest.all_objects().map(|object| object.bytes).sum::<u64>();
                tracing::info!(%zone, %day, samples, "exported");
                self.exported.push((partition.clone(), samples));
            }
            Err(error) => {
                tracing::warn!(%zone, %day, reason = %error, "not exported");
                self.failed.push((partition.clone(), error));
            }
        }
        None
    }
}
