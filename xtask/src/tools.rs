//! `cargo xtask tools`: programs from the Python package index, each set in an environment of its own below `.tools/`,
//! in the exact versions of `tools/<set>.txt`.
//!
//! A set whose list is unchanged is left alone. Nothing is written outside `.tools/`, and a tool that happens to be
//! installed elsewhere is never used: results must not depend on the machine.

use std::{fs, process::Command};

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};

use crate::{error::Error, mosquitto, npm, process, workspace};

/// The AWS emulator for the deploy test.
pub(crate) const EMULATOR: ToolSet = ToolSet { name: "emulator" };
/// A separate implementation of Iceberg tables and Parquet files.
pub(crate) const ICEBERG: ToolSet = ToolSet { name: "iceberg" };
/// A stand-in for Timestream.
const TIMESTREAM: ToolSet = ToolSet { name: "timestream" };
/// The AWS command line.
pub(crate) const AWS: ToolSet = ToolSet { name: "aws" };
/// Linters and readers.
pub(crate) const LINT: ToolSet = ToolSet { name: "lint" };
/// The tools that build the Lambda binaries.
pub(crate) const BUILD: ToolSet = ToolSet { name: "build" };

const SETS: [ToolSet; 6] = [EMULATOR, ICEBERG, TIMESTREAM, AWS, LINT, BUILD];

/// Programs in one Python environment.
#[derive(Clone, Copy)]
pub(crate) struct ToolSet {
    name: &'static str,
}

impl ToolSet {
    /// The folder of the environment.
    pub(crate) fn folder(self) -> Utf8PathBuf {
        workspace::root().join(".tools").join(self.name)
    }

    /// The folder of its programs.
    pub(crate) fn programs(self) -> Utf8PathBuf {
        self.folder().join("bin")
    }

    /// One of its programs.
    pub(crate) fn program(self, name: &str) -> Command {
        let mut command = Command::new(self.programs().join(name));
        command.current_dir(workspace::root());
        command
    }

    fn versions(self) -> Utf8PathBuf {
        workspace::root().join("tools").join(format!("{}.txt", self.name))
    }

    fn stamp(self) -> Utf8PathBuf {
        self.folder().join("installed")
    }

    /// The expected stamp of an installed set: its list and its path, since an environment cannot be moved.
    fn wanted(self) -> Result<String, Error> {
        let versions = self.versions();
        let text = fs::read(&versions).map_err(Error::file(versions))?;
        let digest = Sha256::new().chain_update(&text).chain_update(self.folder().as_str()).finalize();
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn is_installed(self, wanted: &str) -> bool {
        fs::read_to_string(self.stamp()).is_ok_and(|found| found == wanted)
            && process::succeeds(self.program("python").arg("--version"))
    }

    fn install(self, python: &Utf8Path) -> Result<(), Error> {
        let wanted = self.wanted()?;
        if self.is_installed(&wanted) {
            anstream::eprintln!("{}: as listed in tools/{}.txt", self.name, self.name);
            return Ok(());
        }
        anstream::eprintln!("{}: installing tools/{}.txt", self.name, self.name);
        let folder = self.folder();
        process::run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
        process::run(
            self.program("python")
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
                .args(["--only-binary", ":all:", "--prefer-binary", "--requirement"])
                .arg(self.versions()),
        )?;
        process::run(self.program("python").args(["-m", "pip", "--disable-pip-version-check", "check"]))?;
        let stamp = self.stamp();
        fs::write(&stamp, wanted).map_err(Error::file(stamp))
    }
}

/// Installs sets that are missing or have other versions.
pub(crate) fn run() -> Result<(), Error> {
    let python = python()?;
    SETS.iter().try_for_each(|set| set.install(&python))?;
    if npm::is_installed() {
        npm::typescript()?;
    } else {
        anstream::eprintln!("typescript: npm is not installed, so contracts in TypeScript are not compiled");
    }
    mosquitto::install()
}

/// Finds a Python that is new enough. The default name comes first: it is the user's choice.
fn python() -> Result<Utf8PathBuf, Error> {
    const NAMES: [&str; 5] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"];
    const NEW_ENOUGH: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    NAMES
        .into_iter()
        .find(|name| process::succeeds(Command::new(name).args(["-c", NEW_ENOUGH])))
        .map(Utf8PathBuf::from)
        .ok_or_else(|| Error::NoPython { tried: NAMES.join(", ") })
}
