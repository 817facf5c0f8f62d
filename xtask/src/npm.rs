//! Programs from the npm registry, each set in a folder of its own below `.tools/`, in the exact versions of its lock
//! file.
//!
//! Node.js and npm themselves are not installed here. Without them, the steps that need them are skipped.

use std::{fs, process::Command};

use camino::Utf8PathBuf;
use sha2::{Digest as _, Sha256};

use crate::{error::Error, process, workspace};

/// Whether npm is installed.
pub(crate) fn is_installed() -> bool {
    process::succeeds(Command::new("npm").arg("--version"))
}

/// The TypeScript compiler, for the contracts of device types.
pub(crate) fn typescript() -> Result<Utf8PathBuf, Error> {
    install("typescript", "tools/typescript", &["package.json", "package-lock.json"])
}

/// Copies the files of a folder, and installs the packages in its lock file, unless nothing has changed.
pub(crate) fn install(name: &str, source: &str, files: &[&str]) -> Result<Utf8PathBuf, Error> {
    let folder = workspace::root().join(".tools").join(name);
    fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    let mut digest = Sha256::new();
    for file in files {
        let path = workspace::root().join(source).join(file);
        let bytes = fs::read(&path).map_err(Error::file(path))?;
        digest.update(&bytes);
        let copy = folder.join(file);
        fs::write(&copy, &bytes).map_err(Error::file(copy))?;
    }
    let wanted: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        anstream::eprintln!("{name}: as listed in {source}/package-lock.json");
        return Ok(folder);
    }
    anstream::eprintln!("{name}: installing {source}/package-lock.json");
    process::run(Command::new("npm").current_dir(&folder).args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--silent",
    ]))?;
    fs::write(&stamp, wanted).map_err(Error::file(stamp))?;
    Ok(folder)
}
