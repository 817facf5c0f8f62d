//! Converts a batch of the stream to rows, given the histories of its devices.

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

/// A batch with its records parsed.
#[derive(Debug)]
pub struct Opened {
    /// The records that matter: index in the batch, sequence number, and content.
    heard: Vec<(usize, SequenceNumber, Heard)>,
    /// The records that evaluation quarantines: index and reason.
    unstored: Vec<(usize, Reason)>,
}

/// The result for a batch.
#[derive(Debug, Default)]
pub struct Stored {
    /// The rows, in the order of the records.
    pub rows: Vec<StoredRow>,
    /// The devices whose history has grown.
    pub changed: BTreeSet<SmolStr>,
    /// The records with readings that no row was made of: index and reason.
    pub unstored: Vec<(usize, Reason)>,
}

/// A row to be stored.
#[derive(Clone, Debug)]
pub struct StoredRow {
    /// The index of its record in the batch.
    pub record: usize,
    /// The sequence number of that record.
    pub sequence: SequenceNumber,
    /// The device's id.
    pub device: SmolStr,
    /// When it was sampled.
    pub sampled_at: Timestamp,
    /// When its message reached the platform.
    pub ingested_at: Timestamp,
    /// The bytes to hand over.
    pub json: Bytes,
    /// The complete row, if part of it cannot be handed over.
    pub whole: Option<Bytes>,
}

impl Opened {
    /// Parses the records of a batch.
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

    /// The devices that the records concern.
    pub fn devices(&self) -> BTreeSet<SmolStr> {
        let devices = self.heard.iter().filter_map(|(_, _, heard)| match heard {
            Heard::Registration(registration, _) => Some(registration.id.as_str().into()),
            Heard::Telemetry(telemetry) => Some(telemetry.device.clone()),
            Heard::Nothing => None,
        });
        devices.collect()
    }

    /// Makes the rows of the batch, for a stream of this generation. `known` holds the histories of its devices, and is
    /// extended with what the batch adds. `encode` converts a row to the bytes to hand over.
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
