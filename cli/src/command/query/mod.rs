//! `fleetform query`.

mod output;
mod parquet;

use std::{borrow::Cow, fs};

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};
use fleetform_engine::units::{Millis, Timestamp};
use fleetform_generator::duration;
use fleetform_runtime::event::query::{Answer, Read, Request};

use crate::{
    clock::now,
    found::{self, Sought},
    function::Function,
    input::{self, DEFAULT_FILE},
    out_file,
    terminal::{Stop, counted, tell},
};
use output::Output;

const SOUGHT: Sought = Sought {
    what: "the function `query`",
    logical_id: Cow::Borrowed("QueryFunction"),
    option: "--function",
    output: "QueryFunctionName",
};

/// Query samples, wherever they are stored by their age
///
/// In SQL on the table `samples`, and on `aggregates` if the platform makes them; or by device. The SQL is that of
/// Amazon Athena, or of Timestream if it stores the samples. Samples of the hot table, of the table of samples and of
/// exported files look the same. Ends with what was read and its list price.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetform query --device flow-meter-17 --metric pressure --last 6h
  fleetform query --zone zone-a --last 24h \"SELECT device_id, max(pressure) FROM samples GROUP BY device_id\"
  fleetform query --zone zone-a --last 24h @out/dev/queries/hourly.sql
  fleetform query --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z \"SELECT * FROM samples\" --format parquet --output january.parquet")]
pub(crate) struct Query {
    /// The SQL query, which sees the samples of the chosen time; or the file that it is in, as @FILE
    #[arg(required_unless_present = "device", conflicts_with = "device")]
    sql: Option<String>,
    /// The samples of one device
    #[arg(long, value_name = "DEVICE", conflicts_with = "zone")]
    device: Option<String>,
    /// A reading of the device; may be given several times; defaults to all of them
    #[arg(long = "metric", value_name = "READING", requires = "device")]
    metrics: Vec<String>,
    /// Only samples of this zone
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Samples of this long until now [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = length, conflicts_with_all = ["from", "to"])]
    last: Option<Millis>,
    /// Samples from this moment on
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    from: Option<Timestamp>,
    /// Samples before this moment; defaults to now
    #[arg(long, value_name = "RFC3339", value_parser = moment, requires = "from")]
    to: Option<Timestamp>,
    /// Read exported files of all days, and not only of those that have left the table: for days that left it before
    /// `retention.warm` was extended. If Timestream stores the samples, read nothing else
    #[arg(long)]
    files: bool,
    /// How rows are written
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// The file to write; defaults to standard output
    #[arg(long, value_name = "FILE", required_if_eq("format", "parquet"), value_parser = out_file::path)]
    output: Option<Utf8PathBuf>,
    /// The function `query`; defaults to the one of the environment's stack
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// The environment; defaults to the file's default environment
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The platform file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: Utf8PathBuf,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// An array of objects, one per line
    Json,
    /// A Parquet file
    Parquet,
}

/// The default of `--last`.
const LAST: Millis = Millis::from_secs(86_400);

impl Query {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = input::project(&self.file)?;
        let platform = input::platform(&project, self.env.as_deref())?;
        let (from, to) = self.window(now())?;
        let mut request = Request {
            sql: self.sql.as_deref().map(question).transpose()?,
            device: self.device,
            readings: self.metrics,
            zone: self.zone,
            from: from.to_rfc3339(),
            to: to.to_rfc3339(),
            files: self.files,
            next: None,
        };
        found::wait(async {
            let function = Function::open(platform, &SOUGHT, self.function.as_deref()).await?;
            let mut output = Output::open(self.format, self.output.as_deref())?;
            let mut read = Read::default();
            loop {
                let answer: Answer = match function.invoke(&request).await? {
                    Ok(answer) => answer,
                    Err(failure) => return Err(failure.stop()),
                };
                if let Some(error) = answer.error {
                    return Err(Stop::failed(error));
                }
                read += answer.read;
                let wants_more = answer.columns.is_empty() || output.write(&answer.columns, &answer.rows)?;
                match answer.next.filter(|_| wants_more) {
                    Some(next) => request = Request { next: Some(next), ..Request::default() },
                    None => break,
                }
            }
            let rows = output.finish()?;
            let [from, to] = [from, to].map(|at| at.to_rfc3339().unwrap_or_default());
            tell(format_args!("{} from {from} to {to}; {}", counted(rows, "row"), in_words(&read)));
            Ok(())
        })
    }

    /// The start and the end of the queried time.
    fn window(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Stop> {
        let to = self.to.unwrap_or(now);
        let from = self.from.unwrap_or_else(|| Timestamp(now.0 - self.last.unwrap_or(LAST).0 as i64));
        if from < to {
            return Ok((from, to));
        }
        Err(Stop::bad_input("--from must be before --to, and not in the future"))
    }
}

/// A query, or the contents of the file that it names.
fn question(text: &str) -> Result<String, Stop> {
    let Some(file) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    fs::read_to_string(file).map_err(|error| Stop::bad_input(format!("cannot read the query in {file}: {error}")))
}

/// What was read, for people.
fn in_words(read: &Read) -> String {
    let mut parts = Vec::new();
    if read.hot_requests > 0 {
        parts.push(format!("{} to the hot table", counted(read.hot_requests, "request")));
    }
    if read.scanned_bytes > 0 || parts.is_empty() {
        parts.push(format!("{} bytes scanned", read.scanned_bytes));
    }
    format!("{}: ${} at list prices", parts.join(", "), cost(read.cost_usd))
}

/// US dollars with two significant digits.
fn cost(usd: f64) -> String {
    if usd <= 0.0 {
        return "0".to_owned();
    }
    let decimals = (1.0 - usd.log10().floor()).clamp(2.0, 12.0) as usize;
    format!("{usd:.decimals$}")
}

fn length(text: &str) -> Result<Millis, String> {
    let length = duration(text).filter(|length| *length > Millis(0));
    length.ok_or_else(|| "write a length of time, such as 90m, 6h or 30d".to_owned())
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| "write it like 2026-01-31T10:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_costs_are_said_as_well() {
        assert_eq!(
            [0.0, 0.000_000_062_5, 0.000_05, 0.5, 12.345].map(cost),
            ["0", "0.000000062", "0.000050", "0.50", "12.35"]
        );
    }
}
