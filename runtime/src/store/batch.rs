//! A batch of the stream as rows, once it is known what its devices were.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use fleetform_engine::{
    drive::Batch,
    position::SequenceNumber,
    reason::{Reason, Refusal},
    rows::{Heard, Reader},
    units::Timestamp,
};
use smol_str::SmolStr;

use super::{
    Encoded,
    history::{History, Place, Registered},
    row::{Source, Whole},
};

/// A batch with its records opened.
#[derive(Debug)]
pub struct Opened {
    /// For each record that says anything: its place in the batch, its number, and what it says.
    heard: Vec<(usize, SequenceNumber, Heard)>,
    /// Records that evaluation sets aside, by their place, and why.
    unstored: Vec<(usize, Reason)>,
}

/// What a batch comes to.
#[derive(Debug, Default)]
pub struct Stored {
    /// Its rows, in the order of the records.
    pub rows: Vec<StoredRow>,
    /// Devices of which more is known than before.
    pub changed: BTreeSet<SmolStr>,
    /// Records that no row was made of though they hold readings, by their place, and why.
    pub unstored: Vec<(usize, Reason)>,
}

/// A row on its way.
#[derive(Clone, Debug)]
pub struct StoredRow {
    /// Place of its record in the batch.
    pub record: usize,
    /// Number of that record.
    pub sequence: SequenceNumber,
    /// Whose row it is.
    pub device: SmolStr,
    /// When it was sampled.
    pub sampled_at: Timestamp,
    /// When its message reached the platform.
    pub ingested_at: Timestamp,
    /// What is handed over.
    pub json: Bytes,
    /// All of it, where some cannot be handed over.
    pub whole: Option<Bytes>,
}

impl Opened {
    /// Opens the records of a batch.
    pub fn new(reader: &mut Reader, batch: &Batch<'_>) -> Self {
        let (mut heard, mut unstored) = (Vec::new(), Vec::new());
        for (place, record) in batch.records.iter().enumerate() {
            match reader.open(record) {
                Ok(Heard::Nothing) => {}
                Ok(said) => heard.push((place, record.sequence, said)),
                Err(Refusal { reason, .. }) => unstored.push((place, reason)),
            }
        }
        Self { heard, unstored }
    }

    /// The devices that its records are about.
    pub fn devices(&self) -> BTreeSet<SmolStr> {
        let devices = self.heard.iter().filter_map(|(_, _, heard)| match heard {
            Heard::Registration(registration, _) => Some(registration.id.as_str().into()),
            Heard::Telemetry(telemetry) => Some(telemetry.device.clone()),
            Heard::Nothing => None,
        });
        devices.collect()
    }

    /// The rows of the batch, on a stream of this generation. `known` is what its devices were, and learns what the batch
    /// says of them. `encode` makes of a row what is handed over.
    pub fn rows(
        self,
        reader: &mut Reader,
        generation: u32,
        known: &mut HashMap<SmolStr, History>,
        encode: impl Fn(&Whole<'_>) -> Encoded,
    ) -> Stored {
        let Self { heard, unstored } = self;
        let mut stored = Stored { unstored, ..Stored::default() };
        for (record, sequence, heard) in heard {
            let place = Place { generation, sequence };
            match heard {
                Heard::Nothing => {}
                Heard::Registration(registration, at) => {
                    let device: SmolStr = registration.id.as_str().into();
                    let history = known.entry(device.clone()).or_default();
                    if history.add(Registered::by_record(&registration, place, at)) {
                        stored.changed.insert(device);
                    }
                }
                Heard::Telemetry(telemetry) => {
                    let registered = known.get(&telemetry.device).ok_or(Reason::UnknownDevice);
                    let registered = registered.and_then(|history| match telemetry.again {
                        true => history.at_time(telemetry.ingested_at),
                        false => history.at(&place),
                    });
                    let rows = registered.and_then(|registered| {
                        let rows = reader.rows(&telemetry, &registered.device_type);
                        rows.map(|rows| (registered, rows)).map_err(|refusal| refusal.reason)
                    });
                    let (registered, rows) = match rows {
                        Ok(rows) => rows,
                        Err(reason) => {
                            stored.unstored.push((record, reason));
                            continue;
                        }
                    };
                    let device = &telemetry.device;
                    let source = Source { device, registered, ingested_at: telemetry.ingested_at, sequence };
                    stored.rows.extend(rows.iter().map(|row| {
                        let Encoded { bytes, whole } = encode(&Whole { source, row, columns: reader.columns() });
                        StoredRow {
                            record,
                            sequence,
                            device: device.clone(),
                            sampled_at: row.sampled_at,
                            ingested_at: source.ingested_at,
                            json: bytes,
                            whole,
                        }
                    }));
                }
            }
        }
        stored
    }
}
