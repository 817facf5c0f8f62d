//! `fleetform check`.

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};
use fleetform_generator::{Checked, Format, check_after, diagnostic};

use crate::{
    folder::{self, DEFAULT_OUT},
    input::{self, File},
    terminal::{Stop, print, tell},
};

/// Find every mistake in a platform file
#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    file: File,
    /// Fail unless the file has this environment; all of them are checked in any case
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The folder that was generated before, whose readings keep their types [default: `out` beside the file]
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// How problems are written: `full` and `concise` to standard error, the others to standard output
    #[arg(long, value_enum, default_value_t = FormatName::Full)]
    format: FormatName,
    /// Let a warning fail the command as an error does
    #[arg(long)]
    deny_warnings: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// With the text around each place
    Full,
    /// A line each
    Concise,
    /// One JSON document
    Json,
    /// Workflow commands of GitHub Actions
    Github,
    /// SARIF 2.1.0
    Sarif,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Full => Self::Full,
            FormatName::Concise => Self::Concise,
            FormatName::Json => Self::Json,
            FormatName::Github => Self::Github,
            FormatName::Sarif => Self::Sarif,
        }
    }
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let path = &self.file.file;
        let text = input::read(path)?;
        let out = self.out.unwrap_or_else(|| path.with_file_name(DEFAULT_OUT));
        let Checked { project, diagnostics } = check_after(path.as_str(), &text, &folder::earlier(&out));
        let report = diagnostic::render(path.as_str(), &text, &diagnostics, self.format.into());
        match self.format {
            FormatName::Full | FormatName::Concise if report.is_empty() => {}
            FormatName::Full | FormatName::Concise => tell(report.trim_end()),
            FormatName::Json | FormatName::Github | FormatName::Sarif => print(&report)?,
        }
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
        let warnings = diagnostics.len() - errors;
        if let (Some(project), Some(name)) = (&project, &self.env) {
            input::environment(project, name)?;
        }
        tell(format_args!("{path}: {}, {}", count(errors, "error"), count(warnings, "warning")));
        if errors > 0 || (self.deny_warnings && warnings > 0) { Err(Stop::found()) } else { Ok(()) }
    }
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
