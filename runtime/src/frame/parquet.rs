//! Reads and writes Parquet files of samples.

use std::ops::Range;

use bytes::Bytes;
use fleetform_engine::rows::columns::{Column, ColumnType, EXPORT_NUMBER};
use parquet::{
    basic::{Compression, GzipLevel, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel},
    column::reader::get_typed_column_reader,
    data_type::{BoolType, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        reader::{FileReader as _, RowGroupReader},
        serialized_reader::SerializedFileReader,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};

use super::{Field, Frame, Values, growing::Growing, merge::Samples};

/// Why a file is not a file of samples.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not a Parquet file, or is damaged.
    #[error("it cannot be read: {0}")]
    Parquet(#[from] ParquetError),
    /// A column has a different type than in the table.
    #[error("its column `{0}` holds values of another type")]
    OtherType(String),
    /// It has a different number of rows than it states.
    #[error("its column `{0}` has fewer rows than the file")]
    Short(String),
}

impl Frame {
    /// Adds the rows of a file whose device is at or after `from` and before `to`. Row groups without such a device are
    /// skipped if their statistics show it.
    ///
    /// # Errors
    /// As [`read_all`](Self::read_all).
    pub fn read_devices(&mut self, file: Bytes, from: Option<&[u8]>, to: Option<&[u8]>) -> Result<(), ReadError> {
        let device = self.places.device;
        // Applies to one device, and to all devices between a first and a last one.
        let wants = |first: &[u8], last: &[u8]| from.is_none_or(|from| last >= from) && to.is_none_or(|to| first < to);
        self.read_where(file, |group, places| match places[device] {
            Some(place) if bounds(group, place).is_none_or(|[first, last]| wants(first, last)) => {
                Ok(devices(group, place)?.iter().map(|device| wants(device.data(), device.data())).collect())
            }
            Some(_) | None => Ok(Vec::new()),
        })
    }

    /// Adds all rows of a file. A column that the file lacks has no values for them.
    ///
    /// # Errors
    /// If the file cannot be read. Rows may then have been added to some columns and not to others, and the frame must
    /// not be used any more.
    pub fn read_all(&mut self, file: Bytes) -> Result<(), ReadError> {
        self.read_where(file, |group, _| Ok(vec![true; rows_of(group)?]))
    }

    /// Adds the rows of a file that reached the platform within a time range in microseconds.
    ///
    /// # Errors
    /// As [`read_all`](Self::read_all).
    pub fn read_arrived(&mut self, file: Bytes, within: Range<i64>) -> Result<(), ReadError> {
        let ingested_at = self.places.ingested_at;
        self.read_where(file, |group, places| match places[ingested_at] {
            Some(place) => {
                let times = column::<Int64Type>(group, place)?;
                Ok(times.iter().map(|time| time.is_some_and(|time| within.contains(&time))).collect())
            }
            None => Ok(Vec::new()),
        })
    }

    /// Reads a file one row group at a time, each into a frame with this one's columns.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn groups(&self, file: Bytes) -> Result<impl Iterator<Item = Result<Self, ReadError>>, ReadError> {
        let reader = SerializedFileReader::new(file)?;
        let (places, groups) = (self.found_in(&reader), reader.num_row_groups());
        let group = move |index| {
            let group = reader.get_row_group(index)?;
            let values = self.fields.iter().map(|field| Values::none(field.column.column_type)).collect();
            let mut frame = Self { fields: self.fields.clone(), values, rows: 0, places: self.places };
            frame.add(&*group, &places, &vec![true; rows_of(&*group)?])?;
            Ok(frame)
        };
        Ok((0..groups).map(group))
    }

    /// Adds the rows that `wanted` selects in each row group, given the indices of the frame's columns in it. An empty
    /// selection adds none.
    fn read_where(
        &mut self,
        file: Bytes,
        wanted: impl Fn(&dyn RowGroupReader, &[Option<usize>]) -> Result<Vec<bool>, ReadError>,
    ) -> Result<(), ReadError> {
        let reader = SerializedFileReader::new(file)?;
        let places = self.found_in(&reader);
        for index in 0..reader.num_row_groups() {
            let group = reader.get_row_group(index)?;
            let wanted = wanted(&*group, &places)?;
            self.add(&*group, &places, &wanted)?;
        }
        Ok(())
    }

    /// The indices of the frame's columns in a file.
    fn found_in(&self, reader: &SerializedFileReader<Bytes>) -> Vec<Option<usize>> {
        let root = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
        self.fields.iter().map(|field| place(&root, field.id, &field.column.name)).collect()
    }

    /// Adds the selected rows of a row group.
    fn add(&mut self, group: &dyn RowGroupReader, places: &[Option<usize>], wanted: &[bool]) -> Result<(), ReadError> {
        let kept = wanted.iter().filter(|wanted| **wanted).count();
        if kept == 0 {
            return Ok(());
        }
        for (place, values) in places.iter().zip(&mut self.values) {
            values.read(group, *place, wanted, kept)?;
        }
        self.rows += kept;
        Ok(())
    }
}

/// The columns of an exported file, except for the export number.
///
/// # Errors
/// If it is not a Parquet file, or has a column that tables of samples do not have.
pub fn fields(file: &Bytes) -> Result<Vec<Field>, ReadError> {
    let reader = SerializedFileReader::new(file.clone())?;
    let columns = reader.metadata().file_metadata().schema_descr().columns();
    let own = columns.iter().filter(|column| column.name() != EXPORT_NUMBER);
    own.map(|column| {
        let info = column.self_type().get_basic_info();
        let column_type = match (column.physical_type(), info.logical_type_ref()) {
            (Physical::BYTE_ARRAY, _) => ColumnType::Text,
            (Physical::DOUBLE, _) => ColumnType::Float,
            (Physical::BOOLEAN, _) => ColumnType::Bool,
            (Physical::INT64, Some(LogicalType::Timestamp(_))) => ColumnType::Time,
            (Physical::INT64, _) => ColumnType::Int,
            _ => return Err(ReadError::OtherType(column.name().to_owned())),
        };
        let required = column.max_def_level() == 0;
        let id = if info.has_id() { info.id() } else { 0 };
        Ok(Field { id, column: Column { name: column.name().into(), column_type, required } })
    })
    .collect()
}

/// Passes on the device of each row of a file, in order.
///
/// # Errors
/// If the file cannot be read.
pub fn each_device(file: Bytes, id: i32, name: &str, mut tell: impl FnMut(&[u8])) -> Result<(), ReadError> {
    let reader = SerializedFileReader::new(file)?;
    let root = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
    let place = place(&root, id, name).ok_or_else(|| ReadError::OtherType(name.to_owned()))?;
    for index in 0..reader.num_row_groups() {
        devices(&*reader.get_row_group(index)?, place)?.iter().for_each(|device| tell(device.data()));
    }
    Ok(())
}

/// The index of a column in a file: by id if the file has ids, otherwise by name.
fn place(root: &TypePtr, id: i32, name: &str) -> Option<usize> {
    let is_it = |field: &TypePtr| {
        let info = field.get_basic_info();
        if info.has_id() { info.id() == id } else { info.name() == name }
    };
    root.get_fields().iter().position(is_it)
}

fn rows_of(group: &dyn RowGroupReader) -> Result<usize, ReadError> {
    usize::try_from(group.metadata().num_rows()).map_err(|_| ReadError::Short("of no name".to_owned()))
}

/// The lower and upper bound of the devices of a row group, if its statistics have them. Bounds of strings may be
/// truncated, and are still valid bounds.
fn bounds(group: &dyn RowGroupReader, place: usize) -> Option<[&[u8]; 2]> {
    let column = group.metadata().column(place);
    let statistics = column.statistics().filter(|statistics| !statistics.is_min_max_deprecated())?;
    // A row without a device is not covered by the bounds.
    let all_have_one = column.column_descr().max_def_level() == 0 || statistics.null_count_opt() == Some(0);
    Some([statistics.min_bytes_opt()?, statistics.max_bytes_opt()?]).filter(|_| all_have_one)
}

fn devices(group: &dyn RowGroupReader, place: usize) -> Result<Vec<parquet::data_type::ByteArray>, ReadError> {
    Ok(column::<ByteArrayType>(group, place)?.into_iter().map(Option::unwrap_or_default).collect())
}

/// All values of a column of a row group.
fn column<T: DataType>(group: &dyn RowGroupReader, place: usize) -> Result<Vec<Option<T::T>>, ReadError> {
    let rows = rows_of(group)?;
    let description = group.metadata().column(place).column_descr_ptr();
    let name = || description.name().to_owned();
    let is_plain = description.max_rep_level() == 0 && description.max_def_level() <= 1;
    if description.physical_type() != T::get_physical_type() || !is_plain {
        return Err(ReadError::OtherType(name()));
    }
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(place)?);
    let (mut values, mut levels) = (Vec::with_capacity(rows), Vec::new());
    let is_optional = description.max_def_level() == 1;
    let (read, _, _) = reader.read_records(rows, is_optional.then_some(&mut levels), None, &mut values)?;
    if read != rows {
        return Err(ReadError::Short(name()));
    }
    if !is_optional {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    Ok(levels.into_iter().map(|level| if level == 1 { values.next() } else { None }).collect())
}

impl Values {
    /// Adds the `kept` selected rows of a column.
    fn read(
        &mut self,
        group: &dyn RowGroupReader,
        place: Option<usize>,
        wanted: &[bool],
        kept: usize,
    ) -> Result<(), ReadError> {
        fn add<T: DataType>(
            into: &mut Vec<Option<T::T>>,
            group: &dyn RowGroupReader,
            place: Option<usize>,
            wanted: &[bool],
            kept: usize,
        ) -> Result<(), ReadError> {
            let Some(place) = place else {
                into.resize(into.len() + kept, None);
                return Ok(());
            };
            let all = column::<T>(group, place)?;
            if kept == wanted.len() {
                into.extend(all);
                return Ok(());
            }
            into.extend(all.into_iter().zip(wanted).filter_map(|(value, wanted)| wanted.then_some(value)));
            Ok(())
        }
        match self {
            Self::Text(values) => {
                let from = values.len();
                add::<ByteArrayType>(values, group, place, wanted, kept)?;
                // A string borrows from its page, which would stay in memory for the few that are selected.
                if kept < wanted.len() / 4 {
                    values[from..].iter_mut().flatten().for_each(|text| *text = text.data().to_vec().into());
                }
                Ok(())
            }
            Self::Float(values) => add::<DoubleType>(values, group, place, wanted, kept),
            Self::Int(values) => add::<Int64Type>(values, group, place, wanted, kept),
            Self::Bool(values) => add::<BoolType>(values, group, place, wanted, kept),
        }
    }
}

/// The compression of a file's columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// Zstandard, which gives the smallest files.
    #[default]
    Zstd,
    /// Snappy, which readers have supported for longest.
    Snappy,
    /// Gzip.
    Gzip,
}

impl Codec {
    /// Parses the name used in a function's environment.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "zstd" => Some(Self::Zstd),
            "snappy" => Some(Self::Snappy),
            "gzip" => Some(Self::Gzip),
            _ => None,
        }
    }

    fn compression(self) -> Result<Compression, ParquetError> {
        Ok(match self {
            Self::Zstd => Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
            Self::Snappy => Compression::SNAPPY,
            Self::Gzip => Compression::GZIP(GzipLevel::default()),
        })
    }
}

/// Adds samples to a file as one row group, unless there are none. The same samples give the same bytes.
///
/// # Errors
/// If they cannot be written.
pub fn add(file: &mut Growing, samples: &Samples<'_>, export_number: i64) -> Result<(), ParquetError> {
    let Some(devices) = samples.devices() else { return Ok(()) };
    let frame = samples.frame();
    let fields = || {
        let own = frame
            .fields
            .iter()
            .map(|Field { id, column }| leaf(&column.name, column.column_type, column.required, Some(*id)));
        own.chain([leaf(EXPORT_NUMBER, ColumnType::Int, true, None)]).collect()
    };
    let mut group = file.writer("samples", fields)?.next_row_group()?;
    for (field, values) in frame.fields.iter().zip(&frame.values) {
        values.write(&mut group, samples, field.column.required)?;
    }
    let numbers = vec![export_number; samples.len()];
    next::<Int64Type>(&mut group, &numbers, None)?;
    group.close()?;
    file.count(samples.len(), devices);
    Ok(())
}

/// Starts a file without row groups.
pub(super) fn begin(
    name: &str,
    fields: Vec<TypePtr>,
    codec: Codec,
) -> Result<SerializedFileWriter<Vec<u8>>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(codec.compression()?)
        .set_created_by("fleetform".to_owned())
        .set_max_row_group_row_count(None)
        .build();
    let schema = Type::group_type_builder(name).with_fields(fields).build()?;
    SerializedFileWriter::new(Vec::new(), schema.into(), properties.into())
}

/// The compression level of zstd: higher levels hardly make files smaller, and are slower.
const ZSTD_LEVEL: i32 = 3;

pub(super) fn leaf(
    name: &str,
    column_type: ColumnType,
    required: bool,
    id: Option<i32>,
) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match column_type {
        ColumnType::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        ColumnType::Float => (Physical::DOUBLE, None),
        ColumnType::Int => (Physical::INT64, None),
        ColumnType::Bool => (Physical::BOOLEAN, None),
        ColumnType::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
    };
    let repetition = if required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
    let leaf = Type::primitive_type_builder(name, physical).with_logical_type(logical);
    Ok(leaf.with_repetition(repetition).with_id(id).build()?.into())
}

impl Values {
    fn write(
        &self,
        group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
        samples: &Samples<'_>,
        required: bool,
    ) -> Result<(), ParquetError> {
        match self {
            Self::Text(values) => put::<ByteArrayType>(group, values, samples.picks(self), required),
            Self::Float(values) => put::<DoubleType>(group, values, samples.picks(self), required),
            Self::Int(values) => put::<Int64Type>(group, values, samples.picks(self), required),
            Self::Bool(values) => put::<BoolType>(group, values, samples.picks(self), required),
        }
    }
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[Option<T::T>],
    picks: impl Iterator<Item = usize>,
    required: bool,
) -> Result<(), ParquetError> {
    let (mut present, mut levels) = (Vec::new(), Vec::new());
    for pick in picks {
        let value = &values[pick];
        levels.push(i16::from(value.is_some()));
        present.extend(value.clone());
    }
    next::<T>(group, &present, (!required).then_some(&levels))
}

/// Writes the next column of a row group.
pub(super) fn next<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    levels: Option<&Vec<i16>>,
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("the schema has fewer columns than the rows".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, levels.map(Vec::as_slice), None)?;
    column.close()
}
