//! The outcome of a run of the exporter, and the reasons for what was not done.

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

/// Why a partition was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The table does not exist.
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
        /// The path of the file.
        path: String,
        /// The damage.
        reason: Unreadable,
    },
    /// A file of samples is damaged.
    #[error("{path}: {reason}")]
    File {
        /// The path of the file.
        path: String,
        /// The damage.
        reason: ReadError,
    },
    /// Samples cannot be written.
    #[error("samples cannot be written: {0}")]
    Unwritten(#[from] ParquetError),
    /// A manifest is damaged, or an object that it names is gone.
    #[error("{key}: {reason}")]
    Earlier {
        /// The object's key.
        key: String,
        /// The damage.
        reason: String,
    },
    /// Rows of the table are being deleted, and its files do not show yet which rows remain.
    #[error("rows of it were deleted, and compaction has not yet taken them out of its files")]
    Deleting,
    /// Exported rows cannot be removed from the table.
    #[error("exported days cannot leave the table: {0}")]
    Unremovable(#[from] Unremovable),
    /// Other writers keep changing the table.
    #[error("exported days cannot leave the table: it changes all the time")]
    Contended,
}

/// The outcome of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// The partitions that were exported, with their numbers of samples.
    pub exported: Vec<(Partition, u64)>,
    /// The total bytes of the objects that were written.
    pub bytes: u64,
    /// The number of partitions that were already exported completely.
    pub unchanged: usize,
    /// The partitions that failed.
    pub failed: Vec<(Partition, ExportError)>,
    /// The partitions for which there was no time.
    pub left: Vec<Partition>,
    /// The number of rows removed from the table.
    pub removed: u64,
    /// Why no rows could be removed.
    pub not_removed: Option<ExportError>,
}

/// The outcome for one partition.
pub(super) enum Outcome {
    /// All of the table's rows are exported already.
    Unchanged,
    /// The export is complete.
    Exported(Manifest),
    /// The export is large, and not complete yet. Its parts may still be unknown even though they were searched for.
    Begun { tried: u32 },
}

/// How often a run has come to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// For the first time: a large one waits until all others have had their turn.
    First,
    /// Again.
    Next,
}

impl Report {
    /// The oldest day that should be exported and is not.
    pub fn behind(&self) -> Option<Day> {
        self.left.iter().chain(self.failed.iter().map(|(partition, _)| partition)).map(|partition| partition.day).min()
    }

    /// Adds the outcome for a partition. If there is more to do, returns how often its parts were searched for.
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
