//! `fleetform test`.

use clap::{Args, ValueEnum};
use fleetform_generator::Earlier;

use crate::{
    input::{self, File},
    platform_files::{PlatformFiles, TestFile},
    rule_tests::{self, report},
    terminal::{Stop, print, tell},
};

/// Run the tests of the rules
///
/// Runs every `[[tests]]` of the platform file and of the files `*.test.toml` next to it on the engine that evaluates
/// the stream, in virtual time. Rules without a test are listed in a warning.
#[derive(Args, Debug)]
pub(crate) struct Test {
    #[command(flatten)]
    file: File,
    /// The environment; defaults to the file's default environment
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// Run only tests whose name or rule contains this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How results are written
    #[arg(long, value_enum, default_value_t = FormatName::Full)]
    format: FormatName,
    /// Fail if an enabled rule has no test
    #[arg(long)]
    require_coverage: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// One line per test, with the timeline of each failed test
    Full,
    /// One JSON document, with every step of every test; of files with errors, the document of `check`
    Json,
    /// JUnit XML
    Junit,
}

impl Test {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let environment = self.env.as_deref();
        let files = PlatformFiles::read(&self.file.file)?;
        let (project, own, beside) =
            files.sound(&Earlier::default(), environment, matches!(self.format, FormatName::Json))?;
        let platform = input::platform(&project, environment)?;
        let own = TestFile { tests: platform.tests.clone(), ..own };
        let files = std::iter::once(own).chain(beside).collect();
        let results = rule_tests::run(files, platform, self.filter.as_deref());
        print(&match self.format {
            FormatName::Full => report::full(&results),
            FormatName::Json => report::json(&results),
            FormatName::Junit => report::junit(&results),
        })?;
        if results.tests.is_empty()
            && let Some(filter) = &self.filter
        {
            return Err(Stop::bad_input(format_args!("no test's name or rule contains `{filter}`")));
        }
        let untested: Vec<String> = results.untested.iter().map(|rule| format!("`{rule}`")).collect();
        if !untested.is_empty() {
            tell(format_args!("warning: no test for {}", untested.join(", ")));
        }
        let is_covered = untested.is_empty() || !self.require_coverage;
        if results.is_good() && is_covered { Ok(()) } else { Err(Stop::found()) }
    }
}
