//! Rows as a Parquet file, a row group for each page of them at most.

use std::io::{self, Write};

use fleetform_runtime::event::query::Column;
use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel},
    data_type::{BoolType, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};
use serde_json::Value;

/// Rows of a row group: enough that its columns compress well, and few enough to be held.
const GROUP_ROWS: usize = 100_000;

/// A file in the making, with the rows that are in no group yet.
pub(super) struct Writer {
    file: SerializedFileWriter<Vec<u8>>,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

/// Adds rows to the file, which begins with the first of them.
pub(super) fn add(writer: &mut Option<Box<Writer>>, columns: &[Column], rows: &[Vec<Value>]) -> io::Result<()> {
    let writer = match writer {
        Some(writer) => writer,
        None => writer.insert(Box::new(Writer::new(columns)?)),
    };
    writer.rows.extend_from_slice(rows);
    if writer.rows.len() >= GROUP_ROWS {
        writer.group()?;
    }
    Ok(())
}

/// Writes the file.
pub(super) fn finish(writer: Option<Box<Writer>>, output: &mut dyn Write) -> io::Result<()> {
    let mut writer = match writer {
        Some(writer) => writer,
        None => Box::new(Writer::new(&[])?),
    };
    writer.group()?;
    output.write_all(&writer.file.into_inner()?)
}

impl Writer {
    fn new(columns: &[Column]) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by("fleetform".to_owned())
            .build();
        let fields = columns.iter().map(leaf).collect::<Result<Vec<TypePtr>, _>>()?;
        let schema = Type::group_type_builder("samples").with_fields(fields).build()?;
        let file = SerializedFileWriter::new(Vec::new(), schema.into(), properties.into())?;
        Ok(Self { file, columns: columns.to_vec(), rows: Vec::new() })
    }

    fn group(&mut self) -> Result<(), ParquetError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for (at, column) in self.columns.iter().enumerate() {
            let values = || self.rows.iter().map(|row| row.get(at).unwrap_or(&Value::Null));
            match column.column_type.as_str() {
                "double" => put::<DoubleType>(&mut group, values().map(Value::as_f64)),
                "long" => put::<Int64Type>(&mut group, values().map(Value::as_i64)),
                "boolean" => put::<BoolType>(&mut group, values().map(Value::as_bool)),
                "timestamptz" => put::<Int64Type>(&mut group, values().map(micros)),
                _ => put::<ByteArrayType>(&mut group, values().map(|value| Some(text(value)?.into_bytes().into()))),
            }?;
        }
        group.close()?;
        self.rows.clear();
        Ok(())
    }
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let (mut present, mut levels) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    let missing = || ParquetError::General("the schema has fewer columns than the rows".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(&present, Some(&levels), None)?;
    column.close()
}

fn leaf(column: &Column) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match column.column_type.as_str() {
        "double" => (Physical::DOUBLE, None),
        "long" => (Physical::INT64, None),
        "boolean" => (Physical::BOOLEAN, None),
        "timestamptz" => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        _ => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let leaf = Type::primitive_type_builder(&column.name, physical).with_logical_type(logical);
    Ok(leaf.with_repetition(Repetition::OPTIONAL).build()?.into())
}

/// A moment in microseconds; none if it is not a calendar time.
fn micros(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::{reader::FileReader as _, serialized_reader::SerializedFileReader},
        record::Field,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_has_the_rows_of_all_pages_by_type() {
        let column = |(name, column_type): (&str, &str)| Column { name: name.into(), column_type: column_type.into() };
        let columns = [("at", "timestamptz"), ("x", "double"), ("on", "boolean"), ("n", "long"), ("word", "string")];
        let columns = columns.map(column);
        let page = |n: i64| vec![json!("2026-01-31T10:30:00.25Z"), Value::Null, json!(true), json!(n), json!("a")];
        let mut writer = None;
        add(&mut writer, &columns, &[page(1), page(2)]).unwrap();
        add(&mut writer, &columns, &[page(3)]).unwrap();
        let mut bytes = Vec::new();
        finish(writer, &mut bytes).unwrap();
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows: Vec<Vec<Field>> = file
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().get_column_iter().map(|(_, field)| field.clone()).collect())
            .collect();
        let row = |n| {
            let at = Field::TimestampMicros(1_769_855_400_250_000);
            vec![at, Field::Null, Field::Bool(true), Field::Long(n), Field::Str("a".into())]
        };
        assert_eq!(rows, [row(1), row(2), row(3)]);
    }
}
