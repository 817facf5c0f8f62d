//! A Parquet file that is written one row group at a time, with what has to be known about it meanwhile. Its compressed
//! bytes are held in memory; rows that have been written are not.

use parquet::{errors::ParquetError, file::writer::SerializedFileWriter, schema::types::TypePtr};

use super::parquet::{Codec, begin};

/// A file that rows are added to in order of devices: no addition has a device before those of the previous one.
pub struct Growing {
    codec: Codec,
    /// `None` until the first row.
    writer: Option<SerializedFileWriter<Vec<u8>>>,
    rows: usize,
    devices: Option<[Vec<u8>; 2]>,
}

/// A complete file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// The number of rows.
    pub rows: usize,
    /// The first and the last device id.
    pub devices: [Vec<u8>; 2],
}

impl Growing {
    /// A file without rows.
    pub const fn new(codec: Codec) -> Self {
        Self { codec, writer: None, rows: 0, devices: None }
    }

    /// The number of bytes written so far.
    pub fn bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, SerializedFileWriter::bytes_written)
    }

    /// Completes the file; `None` if it has no rows. The same additions give the same bytes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> Result<Option<File>, ParquetError> {
        let (Some(writer), Some(devices)) = (self.writer, self.devices) else { return Ok(None) };
        Ok(Some(File { bytes: writer.into_inner()?, rows: self.rows, devices }))
    }

    /// The writer for the next row groups. The columns are those of the first one.
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

    /// Counts rows that were written, and records their first and last device.
    pub(super) fn count(&mut self, rows: usize, [first, last]: [&[u8]; 2]) {
        self.rows += rows;
        match &mut self.devices {
            Some([_, known]) => *known = last.to_vec(),
            None => self.devices = Some([first.to_vec(), last.to_vec()]),
        }
    }
}
