//! A Parquet file that is written a row group at a time, and what has to be known of it meanwhile. Its compressed bytes are
//! held, and the rows that were written are not.

use parquet::{errors::ParquetError, file::writer::SerializedFileWriter, schema::types::TypePtr};

use super::parquet::{Codec, begin};

/// A file that rows are added to, by device: each addition has no device before those of the one before it.
pub struct Growing {
    codec: Codec,
    /// None while no row came.
    writer: Option<SerializedFileWriter<Vec<u8>>>,
    rows: usize,
    devices: Option<[Vec<u8>; 2]>,
}

/// A file that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its rows.
    pub rows: usize,
    /// The first of its devices and the last.
    pub devices: [Vec<u8>; 2],
}

impl Growing {
    /// A file without rows.
    pub const fn new(codec: Codec) -> Self {
        Self { codec, writer: None, rows: 0, devices: None }
    }

    /// Bytes that are written so far.
    pub fn bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, SerializedFileWriter::bytes_written)
    }

    /// The file with its end; none if it has no rows. The same additions make the same bytes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> Result<Option<File>, ParquetError> {
        let (Some(writer), Some(devices)) = (self.writer, self.devices) else { return Ok(None) };
        Ok(Some(File { bytes: writer.into_inner()?, rows: self.rows, devices }))
    }

    /// What the next row groups are written with. The columns are those that the first of them has.
    pub(super) fn writer(
        &mut self,
        name: &str,
        fields: impl FnOnce() -> Result<Vec<TypePtr>, ParquetError>,
    ) -> Result<&mut SerializedFileWriter<Vec<u8>>, ParquetError> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => begin(name, fields()?, self.codec)?,
        };
        Ok(self.writer.insert(writer))
    }

    /// Counts rows that were written, and says of which devices they are: the first and the last.
    pub(super) fn count(&mut self, rows: usize, [first, last]: [&[u8]; 2]) {
        self.rows += rows;
        match &mut self.devices {
            Some([_, known]) => *known = last.to_vec(),
            None => self.devices = Some([first.to_vec(), last.to_vec()]),
        }
    }
}
