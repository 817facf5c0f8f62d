//! A platform file and the files of tests next to it: found, read, and checked in one run.

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_generator::{
    Checked, CheckedTests, Earlier, Format, TestsFile, check_all,
    diagnostic::{self, Diagnostic, Findings},
    platform::{Project, rule_test::RuleTest},
};

use crate::{
    input,
    terminal::{Stop, print, tell_raw},
};

/// How the names of files of tests end.
const SUFFIX: &str = ".test.toml";

/// The files of a platform as they are written.
pub(crate) struct PlatformFiles<'p> {
    path: &'p Utf8Path,
    bytes: Vec<u8>,
    /// Path and content of every file of tests, by name.
    beside: Vec<(Utf8PathBuf, Vec<u8>)>,
}

/// What the files of a platform mean, and what is wrong with each.
pub(crate) struct CheckedFiles {
    /// The platform file.
    pub(crate) platform: Checked,
    /// The files of tests next to it, by name.
    pub(crate) beside: Vec<CheckedTests>,
}

/// A file with tests in it.
pub(crate) struct TestFile {
    /// Its path, as it is shown.
    pub(crate) path: Utf8PathBuf,
    /// What it holds.
    pub(crate) bytes: Vec<u8>,
    /// Its tests.
    pub(crate) tests: Vec<RuleTest>,
}

impl<'p> PlatformFiles<'p> {
    /// Reads a platform file and every `*.test.toml` in its folder.
    pub(crate) fn read(path: &'p Utf8Path) -> Result<Self, Stop> {
        let bytes = input::read(path)?;
        let folder = path.parent().unwrap_or(Utf8Path::new(""));
        let readable = if folder.as_str().is_empty() { Utf8Path::new(".") } else { folder };
        let unreadable = |error: std::io::Error| Stop::bad_input(format_args!("cannot read `{readable}`: {error}"));
        let mut beside = Vec::new();
        for entry in readable.read_dir_utf8().map_err(unreadable)? {
            // A name that is not UTF-8 is not the name of a file of tests.
            let Ok(entry) = entry else { continue };
            let file = folder.join(entry.file_name());
            if entry.file_name().ends_with(SUFFIX) && file != path {
                let bytes = input::read(&file)?;
                beside.push((file, bytes));
            }
        }
        beside.sort();
        Ok(Self { path, bytes, beside })
    }

    /// Checks all of them: the tests against the platform of the named environment, or of the file's default
    /// environment.
    pub(crate) fn check(&self, earlier: &Earlier, environment: Option<&str>) -> CheckedFiles {
        let beside = self.beside.iter().map(|(path, bytes)| TestsFile { name: path.as_str(), bytes });
        let beside: Vec<TestsFile<'_>> = beside.collect();
        let (platform, beside) = check_all(self.path.as_str(), &self.bytes, earlier, environment, &beside);
        CheckedFiles { platform, beside }
    }

    /// All diagnostics, each at its place in its file.
    pub(crate) fn report(&self, checked: &CheckedFiles, format: Format) -> String {
        let beside = self.beside.iter().zip(&checked.beside);
        let beside = beside.map(|((path, bytes), checked)| (path.as_path(), bytes, &checked.diagnostics));
        let files = std::iter::once((self.path, &self.bytes, &checked.platform.diagnostics)).chain(beside);
        // A file that is not UTF-8 has diagnostics as well, and is shown as far as possible.
        let files: Vec<_> = files.map(|(path, bytes, found)| (path, String::from_utf8_lossy(bytes), found)).collect();
        let findings =
            files.iter().map(|(path, text, diagnostics)| Findings { name: path.as_str(), text, diagnostics });
        diagnostic::render_all(&findings.collect::<Vec<_>>(), format)
    }

    /// The name of the files where they are counted together.
    pub(crate) fn name(&self) -> String {
        match self.beside.len() {
            0 => self.path.to_string(),
            1 => format!("{} and 1 file of tests", self.path),
            files => format!("{} and {files} files of tests", self.path),
        }
    }

    /// For a command other than `check`: reports what is wrong with any of the files, and ends the command where that
    /// is an error. `is_json` if the command's result is JSON: then errors are as well, in the place of the result.
    pub(crate) fn sound(
        self,
        earlier: &Earlier,
        environment: Option<&str>,
        is_json: bool,
    ) -> Result<(Project, TestFile, Vec<TestFile>), Stop> {
        let checked = self.check(earlier, environment);
        if is_json && checked.diagnostics().any(Diagnostic::is_error) {
            print(&self.report(&checked, Format::Json))?;
            return Err(Stop::bad_file());
        }
        if checked.diagnostics().next().is_some() {
            tell_raw(self.report(&checked, Format::Full).trim_end());
        }
        let project = checked.platform.project.ok_or_else(Stop::bad_file)?;
        let own = TestFile { path: self.path.to_owned(), bytes: self.bytes, tests: Vec::new() };
        let beside = self.beside.into_iter().zip(checked.beside).map(|((path, bytes), checked)| {
            checked.tests.map(|tests| TestFile { path, bytes, tests }).ok_or_else(Stop::bad_file)
        });
        Ok((project, own, beside.collect::<Result<_, _>>()?))
    }
}

impl CheckedFiles {
    /// Everything that was found, file by file.
    pub(crate) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        let beside = self.beside.iter().flat_map(|file| &file.diagnostics);
        self.platform.diagnostics.iter().chain(beside)
    }
}
