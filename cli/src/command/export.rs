//! `fleetform export`.

use std::borrow::Cow;

use clap::Args;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{
    found::{self, Sought},
    function::Function,
    input::{self, DEFAULT_FILE},
    terminal::{Stop, counted, tell},
};

const SOUGHT: Sought = Sought {
    what: "the function `export`",
    logical_id: Cow::Borrowed("ExportFunction"),
    option: "--function",
    output: "ExportFunctionName",
};

/// Export days of samples now, ahead of the schedule or again
///
/// A day is exported again if the table has samples of it that no earlier export contains. Days that are not over, or
/// whose late samples may still arrive, are not exported. An export that was interrupted can be started again.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The first day, in UTC, as in 2026-01-31
    #[arg(long, value_name = "DAY")]
    from: Date,
    /// The last day; defaults to the first
    #[arg(long, value_name = "DAY")]
    to: Option<Date>,
    /// The function `export`; defaults to the one of the environment's stack
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// The environment; defaults to the file's default environment
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The platform file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: camino::Utf8PathBuf,
}

/// A day, as the function is asked for it.
#[derive(Serialize)]
struct Event {
    from: String,
    to: String,
}

/// The function's report.
#[derive(Clone, Copy, Default, Deserialize)]
struct Done {
    exported: u64,
    samples: u64,
    removed: u64,
}

impl Export {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let to = self.to.unwrap_or(self.from);
        if to < self.from {
            return Err(Stop::bad_input(format_args!("--to {to} is before --from {}", self.from)));
        }
        let project = input::project(&self.file)?;
        let platform = input::platform(&project, self.env.as_deref())?;
        found::wait(async {
            let function = Function::open(platform, &SOUGHT, self.function.as_deref()).await?;
            let mut all = Done::default();
            // One day per invocation: each has the whole time-out.
            for day in self.from.series(jiff::Span::new().days(1)).take_while(|day| *day <= to) {
                let done = export(&function, day).await?;
                if done.exported > 0 {
                    tell(format_args!("{day}: {}", counted(done.samples, "sample")));
                }
                all.exported += done.exported;
                all.samples += done.samples;
                all.removed += done.removed;
            }
            let Done { exported, samples, removed } = all;
            tell(format_args!(
                "exported {} of {}; removed {} from the table",
                counted(samples, "sample"),
                counted(exported, "zone day"),
                counted(removed, "row")
            ));
            Ok(())
        })
    }
}

/// Exports a day, however many invocations that takes.
async fn export(function: &Function, day: Date) -> Result<Done, Stop> {
    loop {
        match function.invoke::<Done>(&Event { from: day.to_string(), to: day.to_string() }).await? {
            Ok(done) => return Ok(done),
            // What was done is kept, and the next invocation continues.
            Err(failure) if failure.kind == "unfinished" => tell(format_args!("{day}: {}", failure.message)),
            Err(failure) => return Err(failure.stop()),
        }
    }
}
