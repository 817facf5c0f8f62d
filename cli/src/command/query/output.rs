//! Writes rows, page by page: to standard output, or to a file that appears when it is complete.

use std::io::{self, BufWriter, Write};

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_generator::printable;
use fleetform_runtime::event::query::Column;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::{Format, parquet};
use crate::{
    out_file::{self, unwritable},
    terminal::Stop,
};

/// Spaces between two columns of a table.
const GAP: &str = "  ";

/// Where rows go.
pub(super) struct Output {
    place: Place,
    rows: u64,
    /// Whether the columns have been written.
    begun: bool,
    form: Form,
}

enum Place {
    Standard(BufWriter<io::Stdout>),
    File(BufWriter<NamedTempFile>, Utf8PathBuf),
}

/// How rows are written, with what the first page has set.
enum Form {
    /// The widths of the columns.
    Table(Vec<usize>),
    Csv,
    Json,
    Parquet(Option<Box<parquet::Writer>>),
}

impl Output {
    /// Opens it. The file does not appear before all rows are written.
    pub(super) fn open(format: Format, path: Option<&Utf8Path>) -> Result<Self, Stop> {
        let place = match path {
            None => Place::Standard(BufWriter::new(io::stdout())),
            Some(path) => Place::File(BufWriter::new(out_file::create(path)?), path.to_owned()),
        };
        let form = match format {
            Format::Table => Form::Table(Vec::new()),
            Format::Csv => Form::Csv,
            Format::Json => Form::Json,
            Format::Parquet => Form::Parquet(None),
        };
        Ok(Self { place, rows: 0, begun: false, form })
    }

    /// Writes rows. Returns `false` if the reader has closed the pipe.
    pub(super) fn write(&mut self, columns: &[Column], rows: &[Vec<Value>]) -> Result<bool, Stop> {
        // The first rows set the widths of a table, and the first columns the header of everything else.
        let waits = rows.is_empty() && matches!(self.form, Form::Table(_));
        let is_first = !std::mem::replace(&mut self.begun, true);
        let written = match &mut self.form {
            Form::Table(_) if waits => Ok(()),
            Form::Table(widths) => table(self.place.writer(), widths, columns, rows),
            Form::Csv => csv(self.place.writer(), is_first, columns, rows),
            Form::Json => json(self.place.writer(), self.rows == 0, columns, rows),
            Form::Parquet(writer) => parquet::add(writer, columns, rows),
        };
        self.rows += rows.len() as u64;
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(self.place.unwritable(&error)),
        }
    }

    /// Ends the output, and returns the number of its rows.
    pub(super) fn finish(mut self) -> Result<u64, Stop> {
        let is_empty = self.rows == 0;
        let ended = match self.form {
            Form::Json => self.place.writer().write_all(if is_empty { b"[]\n" } else { b"\n]\n" }),
            Form::Parquet(writer) => parquet::finish(writer, self.place.writer()),
            Form::Table(_) | Form::Csv => Ok(()),
        };
        let flushed = ended.and_then(|()| self.place.writer().flush());
        match flushed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(self.place.unwritable(&error)),
            _ => {}
        }
        if let Place::File(file, path) = self.place {
            let file = file.into_inner().map_err(|error| unwritable(&path, error.error()))?;
            file.persist(&path).map_err(|error| unwritable(&path, &error.error))?;
        }
        Ok(self.rows)
    }
}

impl Place {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Standard(output) => output,
            Self::File(file, _) => file,
        }
    }

    fn unwritable(&self, error: &io::Error) -> Stop {
        match self {
            Self::Standard(_) => Stop::failed(format_args!("cannot write to standard output: {error}")),
            Self::File(_, path) => unwritable(path, error),
        }
    }
}

/// Rows below a header. The first rows set the widths of the columns.
fn table(output: &mut dyn Write, widths: &mut Vec<usize>, columns: &[Column], rows: &[Vec<Value>]) -> io::Result<()> {
    let mut lines: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    if widths.is_empty() {
        lines.insert(0, columns.iter().map(|column| printable(&column.name).into_owned()).collect());
        let width = |at: usize| lines.iter().filter_map(|line| line.get(at)).map(|text| text.chars().count()).max();
        *widths = (0..columns.len()).map(|at| width(at).unwrap_or_default()).collect();
    }
    let is_number =
        |at: usize| columns.get(at).is_some_and(|column| matches!(column.column_type.as_str(), "double" | "long"));
    for line in lines {
        let cells = line.iter().zip(&*widths).enumerate().map(|(at, (text, width))| match is_number(at) {
            true => format!("{text:>width$}"),
            false => format!("{text:<width$}"),
        });
        let line: Vec<String> = cells.collect();
        writeln!(output, "{}", line.join(GAP).trim_end())?;
    }
    Ok(())
}

fn csv(output: &mut dyn Write, is_first: bool, columns: &[Column], rows: &[Vec<Value>]) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(output);
    if is_first {
        writer.write_record(columns.iter().map(|column| column.name.as_str()))?;
    }
    for row in rows {
        writer.write_record(row.iter().map(text))?;
    }
    writer.flush()
}

fn json(output: &mut dyn Write, is_first: bool, columns: &[Column], rows: &[Vec<Value>]) -> io::Result<()> {
    for (number, row) in rows.iter().enumerate() {
        output.write_all(if is_first && number == 0 { b"[\n" } else { b",\n" })?;
        // By hand, so that columns stay in their order.
        output.write_all(b"{")?;
        for (at, (column, value)) in columns.iter().zip(row).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let member = format!("{}:{value}", Value::from(column.name.as_str()));
            write!(output, "{comma}{}", printable(&member))?;
        }
        output.write_all(b"}")?;
    }
    Ok(())
}

/// A value as a table shows it.
fn cell(value: &Value) -> String {
    printable(&text(value)).into_owned()
}

/// A value without the quotes of JSON; empty for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns() -> Vec<Column> {
        let column = |(name, column_type): (&str, &str)| Column { name: name.into(), column_type: column_type.into() };
        [("device_id", "string"), ("pressure", "double")].map(column).to_vec()
    }

    #[test]
    fn a_table_has_numbers_to_the_right_and_one_head() {
        let (mut output, mut widths) = (Vec::new(), Vec::new());
        table(&mut output, &mut widths, &columns(), &[vec![json!("a"), json!(1.5)], vec![json!("b"), Value::Null]])
            .unwrap();
        table(&mut output, &mut widths, &columns(), &[vec![json!("much-longer"), json!(12)]]).unwrap();
        let expected = "device_id  pressure\na               1.5\nb\nmuch-longer        12\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    #[test]
    fn what_a_device_sent_does_not_act_on_a_terminal() {
        let hostile = [vec![json!("\u{1b}[31mRED\u{9b}\na\u{202e}b"), Value::Null]];
        let (mut rows, mut document) = (Vec::new(), Vec::new());
        table(&mut rows, &mut Vec::new(), &columns(), &hostile).unwrap();
        assert!(String::from_utf8(rows).unwrap().ends_with("\n\\u001b[31mRED\\u009b\\na\\u202eb\n"));
        json(&mut document, true, &columns(), &hostile).unwrap();
        document.extend(b"\n]\n");
        assert!(document.is_ascii());
        let read: Vec<Value> = serde_json::from_slice(&document).unwrap();
        assert_eq!(read[0]["device_id"], hostile[0][0]);
    }

    #[test]
    fn pages_of_json_are_one_array() {
        let mut output = Vec::new();
        json(&mut output, true, &columns(), &[vec![json!("a\"b"), json!(1.5)]]).unwrap();
        json(&mut output, false, &columns(), &[vec![json!("c"), Value::Null]]).unwrap();
        output.extend(b"\n]\n");
        let read: Vec<Value> = serde_json::from_slice(&output).unwrap();
        assert_eq!(
            read,
            [json!({ "device_id": "a\"b", "pressure": 1.5 }), json!({ "device_id": "c", "pressure": null })]
        );
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let mut output = Vec::new();
        csv(&mut output, true, &columns(), &[vec![json!("a,\"b\""), json!(1.5)]]).unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), "device_id,pressure\n\"a,\"\"b\"\"\",1.5\n");
    }
}
