//! The contents of an export, and the keys of everything in it.

use fleetform_engine::rows::columns::{DAY, ZONE};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;

use crate::iceberg::{catalog::encoded, snapshot::Partition};

/// The version of the manifest's format.
const FORMAT: u32 = 1;

/// An export: what it was made from, and its objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The partition that was exported.
    #[serde(flatten)]
    pub partition: Exported,
    /// The number of this export among those of the partition, starting at 1.
    pub export_number: u32,
    /// The number of rows that the table had of the partition, including duplicates and rows exported earlier; 0 once
    /// they leave it.
    pub table_rows: u64,
    /// The sequence number of the table's snapshot that it was made from.
    pub sequence_number: i64,
    /// The objects with the samples that are new or have changed since the last export.
    pub objects: Vec<Object>,
    /// The aggregates over intervals; `None` if none were wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregates: Option<Aggregates>,
}

/// Aggregates over intervals, for each device and reading. They cover the intervals with new or changed samples, or all
/// intervals if an earlier export has no aggregates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregates {
    /// The length of the intervals in seconds, the same for all aggregates of a day.
    pub every_s: u64,
    /// The objects; their `samples` count aggregates.
    pub objects: Vec<Object>,
}

/// A partition in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The version of the manifest's format.
    pub format: u32,
    /// The zone's id.
    pub zone: SmolStr,
    /// The UTC day, as in 2026-01-31.
    pub day: String,
}

/// A Parquet file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The object's key.
    pub key: String,
    /// The number of samples in it.
    pub samples: u64,
    /// The object's size in bytes.
    pub bytes: u64,
    /// The SHA-256 of the object's bytes, in hexadecimal.
    pub sha256: String,
    /// The first and the last device id in it; `None` if the manifest does not record them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<[SmolStr; 2]>,
}

impl Manifest {
    /// The bytes that are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("keys are texts, and numbers whole")
    }

    /// Parses stored bytes.
    ///
    /// # Errors
    /// If the bytes are not a manifest, or have another format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match manifest.partition.format {
            FORMAT => Ok(manifest),
            format => Err(format!("its format is {format}, and the one known here is {FORMAT}")),
        }
    }

    /// Whether it notes that the rows leave the table, instead of an export.
    pub fn is_removal(&self) -> bool {
        self.table_rows == 0
    }

    /// All of its objects, including those with aggregates.
    pub fn all_objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().chain(self.aggregates.iter().flat_map(|aggregates| &aggregates.objects))
    }

    /// The total number of samples.
    pub fn samples(&self) -> u64 {
        self.objects.iter().map(|object| object.samples).sum()
    }
}

impl From<&Partition> for Exported {
    fn from(partition: &Partition) -> Self {
        Self { format: FORMAT, zone: partition.zone.clone(), day: partition.day.to_string() }
    }
}

/// Formats bytes in hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The order of the parts in the keys of exports (`export.partition_by`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The days of a zone are next to each other.
    ZoneDay,
    /// The zones of a day are next to each other.
    DayZone,
}

impl Layout {
    /// Parses the name used in a function's environment.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "zone,day" => Some(Self::ZoneDay),
            "day,zone" => Some(Self::DayZone),
            _ => None,
        }
    }

    /// The common prefix of the keys of all manifests of a partition.
    pub fn manifests(self, partition: &Partition) -> String {
        format!("manifests/{}", self.folder(partition))
    }

    /// The key of a manifest.
    pub fn manifest(self, partition: &Partition, number: u32) -> String {
        format!("{}{number:06}.json", self.manifests(partition))
    }

    /// The common prefix of the keys of all objects of an export.
    pub fn objects(self, partition: &Partition, number: u32) -> String {
        format!("samples/{}{number:06}-", self.folder(partition))
    }

    /// The key of the note about an export in progress. Athena ignores files whose names start with `_`
    /// ("Create tables in Athena", Amazon Athena user guide); it would read any other file as samples.
    pub(super) fn begun(self, partition: &Partition, number: u32) -> String {
        format!("samples/{}_{number:06}-begun.json", self.folder(partition))
    }

    /// The common prefix of the keys of all objects of an export's aggregates.
    pub fn aggregates(self, partition: &Partition, number: u32) -> String {
        format!("aggregates/{}{number:06}-", self.folder(partition))
    }

    /// Describes an object. The key has the prefix of its kind, and depends on the bytes: other bytes have another key.
    pub fn object(prefix: &str, part: usize, samples: usize, bytes: &[u8]) -> Object {
        let sha256 = hexadecimal(&Sha256::digest(bytes));
        Object {
            key: format!("{prefix}{part:04}-{}.parquet", &sha256[..16]),
            samples: samples as u64,
            bytes: bytes.len() as u64,
            sha256,
            devices: None,
        }
    }

    fn folder(self, partition: &Partition) -> String {
        let (zone, day) = (encoded(&partition.zone), partition.day);
        match self {
            Self::ZoneDay => format!("{ZONE}={zone}/{DAY}={day}/"),
            Self::DayZone => format!("{DAY}={day}/{ZONE}={zone}/"),
        }
    }
}
