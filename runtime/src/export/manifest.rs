//! What an export consists of, and where everything lies.

use fleetform_engine::rows::columns::{DAY, ZONE};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;

use crate::iceberg::{catalog::encoded, snapshot::Partition};

/// The version of what is below.
const FORMAT: u32 = 1;

/// An export: what it is made of, and its objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What was exported.
    #[serde(flatten)]
    pub partition: Exported,
    /// Which of the exports of the partition it is, from 1.
    pub export_number: u32,
    /// How many rows the table had of it, doubles and what was exported earlier included; none once they leave it.
    pub table_rows: u64,
    /// The sequence number of the table's snapshot that it was made from.
    pub sequence_number: i64,
    /// The objects with the samples that are new or have changed since the last export.
    pub objects: Vec<Object>,
    /// What the samples come to in intervals; none where nobody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregates: Option<Aggregates>,
}

/// What samples come to in intervals, for each device and reading: of those intervals in which samples are new or have
/// changed, or of all where an earlier export has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregates {
    /// How long the intervals are, in seconds: all that are made of a day are of one length.
    pub every_s: u64,
    /// The objects; what they call samples are aggregates.
    pub objects: Vec<Object>,
}

/// A partition as a manifest says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The version of the manifest.
    pub format: u32,
    /// The zone.
    pub zone: SmolStr,
    /// The day of UTC, as in 2026-01-31.
    pub day: String,
}

/// A Parquet file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Samples in it.
    pub samples: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
    /// The first of its devices and the last; none in exports from before this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<[SmolStr; 2]>,
}

impl Manifest {
    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("keys are texts, and numbers whole")
    }

    /// As it was stored.
    ///
    /// # Errors
    /// If the bytes are no manifest, or one of another format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match manifest.partition.format {
            FORMAT => Ok(manifest),
            format => Err(format!("its format is {format}, and the one known here is {FORMAT}")),
        }
    }

    /// Whether it says that the rows leave the table, and no export.
    pub fn is_removal(&self) -> bool {
        self.table_rows == 0
    }

    /// All of its objects, those of aggregates included.
    pub fn all_objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().chain(self.aggregates.iter().flat_map(|aggregates| &aggregates.objects))
    }

    /// How many samples it has.
    pub fn samples(&self) -> u64 {
        self.objects.iter().map(|object| object.samples).sum()
    }
}

impl From<&Partition> for Exported {
    fn from(partition: &Partition) -> Self {
        Self { format: FORMAT, zone: partition.zone.clone(), day: partition.day.to_string() }
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// By what the keys of exports are in order, the first part first (`export.partition_by`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A zone's days are side by side.
    ZoneDay,
    /// A day's zones are side by side.
    DayZone,
}

impl Layout {
    /// As the environment of a function names it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "zone,day" => Some(Self::ZoneDay),
            "day,zone" => Some(Self::DayZone),
            _ => None,
        }
    }

    /// What the keys of all manifests of a partition begin with.
    pub fn manifests(self, partition: &Partition) -> String {
        format!("manifests/{}", self.folder(partition))
    }

    /// The key of a manifest.
    pub fn manifest(self, partition: &Partition, number: u32) -> String {
        format!("{}{number:06}.json", self.manifests(partition))
    }

    /// What the keys of all objects of an export begin with.
    pub fn objects(self, partition: &Partition, number: u32) -> String {
        format!("samples/{}{number:06}-", self.folder(partition))
    }

    /// The key of the note about an export that is on its way. Athena passes over files whose names begin so ("Create
    /// tables in Athena", Amazon Athena user guide), and would take any other for one of samples.
    pub(super) fn begun(self, partition: &Partition, number: u32) -> String {
        format!("samples/{}_{number:06}-begun.json", self.folder(partition))
    }

    /// What the keys of all objects of an export's aggregates begin with.
    pub fn aggregates(self, partition: &Partition, number: u32) -> String {
        format!("aggregates/{}{number:06}-", self.folder(partition))
    }

    /// An object by its bytes, and by what the keys of its like begin with: others have another key.
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
