//! `fleetform check`.

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};
use fleetform_generator::Format;

use crate::{
    folder::{self, DEFAULT_OUT},
    input::{self, File},
    platform_files::PlatformFiles,
    terminal::{Stop, counted, print, tell, tell_raw},
};

/// Find every mistake in a platform file
///
/// The files `*.test.toml` next to it are checked in the same run, against the environment of `--env` or the file's
/// default environment, as `test` reads them.
#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    file: File,
    /// Fail unless the file has this environment; all of them are checked in any case
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The folder that was generated before, whose readings keep their types [default: `out` next to the file]
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// How problems are written: `full` and `concise` to standard error, the others to standard output
    #[arg(long, value_enum, default_value_t = FormatName::Full)]
    format: FormatName,
    /// Treat warnings as errors
    #[arg(long)]
    deny_warnings: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// With the source around each problem
    Full,
    /// One line each
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
        let files = PlatformFiles::read(path)?;
        let out = self.out.unwrap_or_else(|| path.with_file_name(DEFAULT_OUT));
        let checked = files.check(&folder::earlier(&out), self.env.as_deref());
        let report = files.report(&checked, self.format.into());
        match self.format {
            FormatName::Full | FormatName::Concise if report.is_empty() => {}
            FormatName::Full | FormatName::Concise => tell_raw(report.trim_end()),
            FormatName::Json | FormatName::Github | FormatName::Sarif => print(&report)?,
        }
        let errors = checked.diagnostics().filter(|diagnostic| diagnostic.is_error()).count();
        let warnings = checked.diagnostics().count() - errors;
        if let (Some(project), Some(name)) = (&checked.platform.project, &self.env) {
            input::environment(project, name)?;
        }
        tell(format_args!("{}: {}, {}", files.name(), count(errors, "error"), count(warnings, "warning")));
        if errors > 0 || (self.deny_warnings && warnings > 0) { Err(Stop::found()) } else { Ok(()) }
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 0 { format!("no {what}s") } else { counted(number, what) }
}
