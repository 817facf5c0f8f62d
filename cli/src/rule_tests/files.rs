//! Files of tests beside a platform file: found, read and checked.

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_generator::{
    CheckedTests, Format, check_tests, diagnostic,
    platform::{Platform, rule_test::RuleTest},
};

use crate::{
    input,
    terminal::{Stop, tell},
};

/// How the names of such files end.
const SUFFIX: &str = ".test.toml";

/// A file with tests in it.
pub(crate) struct TestFile {
    /// Its path, as it is shown.
    pub(crate) path: Utf8PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// Its tests.
    pub(crate) tests: Vec<RuleTest>,
}

/// The files of tests in the folder of a platform file, by name. Problems of all of them are told, and errors end the
/// command.
pub(super) fn beside(platform_file: &Utf8Path, platform: &Platform) -> Result<Vec<TestFile>, Stop> {
    let folder = platform_file.parent().unwrap_or(Utf8Path::new(""));
    let readable = if folder.as_str().is_empty() { Utf8Path::new(".") } else { folder };
    let unreadable = |error: std::io::Error| Stop::bad_input(format_args!("cannot read `{readable}`: {error}"));
    let mut names = Vec::new();
    for entry in readable.read_dir_utf8().map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_owned();
        if name.ends_with(SUFFIX) && folder.join(&name) != platform_file {
            names.push(name);
        }
    }
    names.sort();
    let mut files = Vec::new();
    let mut all_good = true;
    for name in names {
        let path = folder.join(name);
        let text = input::read(&path)?;
        let CheckedTests { tests, diagnostics } = check_tests(platform, path.as_str(), &text);
        if !diagnostics.is_empty() {
            tell(diagnostic::render(path.as_str(), &text, &diagnostics, Format::Full).trim_end());
        }
        match tests {
            Some(tests) => files.push(TestFile { path, text, tests }),
            None => all_good = false,
        }
    }
    if all_good { Ok(files) } else { Err(Stop::bad_file()) }
}
