//! A manifest: a CSV file with a device on each line. It is read whole, and every wrong line is named, before anything
//! is done with it. It has no quoting, since no cell needs any.

use std::collections::BTreeSet;

use camino::Utf8Path;
use fleetform_generator::platform::Platform;

use super::{plan::Wanted, request};

/// The most bytes of a manifest: some hundred thousand devices.
const BYTES_MAX: usize = 32 << 20;

const COLUMNS: [&str; 6] = ["device", "type", "zone", "csr", "attributes", "serial"];
const NEEDED: [&str; 3] = ["device", "type", "zone"];

/// A line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) wanted: Wanted,
    /// The request that the device made itself.
    pub(crate) request: Option<String>,
}

/// Reads the text of a manifest. `read` returns the contents of a file that the manifest names. Each problem comes with
/// its line number.
pub(crate) fn rows(
    platform: &Platform,
    text: &str,
    read: impl Fn(&Utf8Path) -> Result<String, String>,
) -> Result<Vec<Row>, Vec<(usize, String)>> {
    if text.len() > BYTES_MAX {
        return Err(vec![(1, format!("a manifest has at most {BYTES_MAX} bytes"))]);
    }
    let mut lines = text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line)).zip(1..);
    let columns = header(lines.next().map_or("", |(line, _)| line)).map_err(|problem| vec![(1, problem)])?;
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let (mut devices, mut serials) = (BTreeSet::new(), BTreeSet::new());
    for (line, number) in lines.filter(|(line, _)| !line.is_empty()) {
        let mut complain = |problem: String| problems.push((number, problem));
        let cells: Vec<&str> = line.split(',').collect();
        if line.contains('"') {
            complain("cells must not be quoted".to_owned());
            continue;
        }
        if cells.len() > columns.len() {
            complain("it has more cells than the first line".to_owned());
            continue;
        }
        let cell = |name: &str| {
            let at = columns.iter().position(|column| *column == name);
            at.and_then(|at| cells.get(at)).copied().unwrap_or_default()
        };
        let device = cell("device");
        if !devices.insert(device) {
            complain(format!("`{device}` is in the file twice"));
            continue;
        }
        // The serial that a device presents before it has a name; most often the same as its name.
        let serial = Some(cell("serial")).filter(|serial| !serial.is_empty()).unwrap_or(device);
        if !serials.insert(serial) {
            complain(format!("serial `{serial}` is in the file twice"));
            continue;
        }
        match row(platform, &cell, &read) {
            Ok(row) => rows.push(row),
            Err(found) => problems.extend(found.into_iter().map(|problem| (number, problem))),
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

fn header(line: &str) -> Result<Vec<&str>, String> {
    if line.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let columns: Vec<&str> = line.split(',').collect();
    if let Some(missing) = NEEDED.iter().find(|needed| !columns.contains(needed)) {
        return Err(format!("there is no column `{missing}`; the first line names the columns"));
    }
    if let Some(unknown) = columns.iter().find(|column| !COLUMNS.contains(column)) {
        return Err(format!("unknown column `{unknown}`; the columns are {}", COLUMNS.join(", ")));
    }
    match columns.iter().enumerate().find(|(at, column)| columns[..*at].contains(column)) {
        Some((_, twice)) => Err(format!("column `{twice}` is there twice")),
        None => Ok(columns),
    }
}

fn row<'a>(
    platform: &Platform,
    cell: &impl Fn(&str) -> &'a str,
    read: &impl Fn(&Utf8Path) -> Result<String, String>,
) -> Result<Row, Vec<String>> {
    let mut attributes = Vec::new();
    for pair in cell("attributes").split(';').filter(|pair| !pair.is_empty()) {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| vec![format!("`{pair}` is not written as NAME=NUMBER")])?;
        attributes.push((name.to_owned(), value.to_owned()));
    }
    let wanted = Wanted::new(platform, cell("device"), cell("type"), cell("zone"), &attributes)?;
    let request = match cell("csr") {
        "" => None,
        path => Some(checked_request(path, read(Utf8Path::new(path))).map_err(|problem| vec![problem])?),
    };
    Ok(Row { wanted, request })
}

/// A request as a file has it, if its device signed it.
pub(crate) fn checked_request(path: &str, text: Result<String, String>) -> Result<String, String> {
    let text = text.map_err(|problem| format!("cannot read {path}: {problem}"))?;
    match request::of_request(&text) {
        Some(_) => Ok(text),
        None => Err(format!("{path} is not a certificate signing request with a valid signature")),
    }
}
