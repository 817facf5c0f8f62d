//! Parquet files of samples, read and written.

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

/// Why a file is not one of samples.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no Parquet file, or a damaged one.
    #[error("it cannot be read: {0}")]
    Parquet(#[from] ParquetError),
    /// A column holds something else than the table says.
    #[error("its column `{0}` holds values of another type")]
    OtherType(String),
    /// It says which rows it has, and has others.
    #[error("its column `{0}` has fewer rows than the file")]
    Short(String),
}

impl Frame {
    /// Adds the rows of a file whose device is not before `from` and before `to`. Row groups that have no such device are passed over, where
    /// their statistics say so.
    ///
    /// # Errors
    /// As [`read_all`](Self::read_all).
    pub fn read_devices(&mut self, file: Bytes, from: Option<&[u8]>, to: Option<&[u8]>) -> Result<(), ReadError> {
        let device = self.places.device;
        // Of one device, and of all between a first and a last one.
        let wants = |first: &[u8], last: &[u8]| from.is_none_or(|from| last >= from) && to.is_none_or(|to| first < to);
        self.read_where(file, |group, places| match places[device] {
            Some(place) if bounds(group, place).is_none_or(|[first, last]| wants(first, last)) => {
                Ok(devices(group, place)?.iter().map(|device| wants(device.data(), device.data())).collect())
            }
            Some(_) | None => Ok(Vec::new()),
        })
    }

    /// Adds all rows of a file. A column that the file lacks has no values there.
    ///
    /// # Errors
    /// If the file cannot be read. Then rows may have been added for some columns and not for others, and the frame is
    /// of no use any more.
    pub fn read_all(&mut self, file: Bytes) -> Result<(), ReadError> {
        self.read_where(file, |group, _| Ok(vec![true; rows_of(group)?]))
    }

    /// Adds the rows of a file that reached the platform within a time, in microseconds.
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

    /// The rows of a file, a row group at a time, each in a frame of this one's columns.
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

    /// Adds the rows of which `wanted` says so, for each row group by where it has the frame's columns; nothing said is no row.
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

    /// Where a file has the columns.
    fn found_in(&self, reader: &SerializedFileReader<Bytes>) -> Vec<Option<usize>> {
        let root = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
        self.fields.iter().map(|field| place(&root, field.id, &field.column.name)).collect()
    }

    /// Adds the wanted rows of a row group.
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

/// The columns of an exported file, but the number of its export.
///
/// # Errors
/// If it is no Parquet file, or has a column that no table of samples has.
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

/// The devices of all rows of a file, in their order.
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

/// Where a file has a column: by its id where the file says ids, by its name otherwise.
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

/// What no device of a row group is before and after, as far as its statistics say. Bounds of texts may be cut short, and
/// are bounds all the same.
fn bounds(group: &dyn RowGroupReader, place: usize) -> Option<[&[u8]; 2]> {
    let column = group.metadata().column(place);
    let statistics = column.statistics().filter(|statistics| !statistics.is_min_max_deprecated())?;
    // A row without a device has one without a name.
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
    /// Adds the wanted rows of a column, which are so many.
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
                // A text is a part of its page, which would stay for the few that are wanted of it.
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

/// How the columns of a file are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// Zstandard: the smallest.
    #[default]
    Zstd,
    /// Snappy: what every reader has had for longest.
    Snappy,
    /// Gzip.
    Gzip,
}

impl Codec {
    /// As the environment of a function names it.
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

/// Adds samples to a file as a row group, unless there are none. The same samples make the same bytes.
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

/// A file without row groups.
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

/// How hard zstd tries: beyond it files get hardly smaller, and writing slower.
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
