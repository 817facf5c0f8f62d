//! The folder of keys, requests and certificates of devices, laid out as `scripts/devices.sh` does: either continues
//! what the other has left. For each device there are `.key`, `.csr`, `.crt` and `.arn`; the same with `.next` before
//! them for a second certificate; `.pending` while a certificate is not active yet; and `.old` with the ARNs of those
//! that were withdrawn.

use std::{
    fs,
    io::{self, Write as _},
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};

use crate::terminal::Stop;

/// A folder of keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    folder: Utf8PathBuf,
}

/// The files of one certificate, which differ in how they end.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    base: Utf8PathBuf,
}

impl Keys {
    pub(crate) fn new(folder: Utf8PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// Creates the folder, which only its owner can open.
    pub(crate) fn make(&self) -> Result<(), Stop> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder).map_err(|error| unusable("make", &self.folder, error))
    }

    /// The files of a device's certificate.
    pub(crate) fn of(&self, device: &str) -> Files {
        Files { base: self.folder.join(device) }
    }

    /// Those of its second one, while it has two.
    pub(crate) fn next(&self, device: &str) -> Files {
        Files { base: self.folder.join(format!("{device}.next")) }
    }
}

impl Files {
    pub(crate) fn path(&self, end: &str) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.{end}", self.base))
    }

    pub(crate) fn has(&self, end: &str) -> bool {
        self.path(end).exists()
    }

    /// The contents of a file; none if there is no file.
    pub(crate) fn read(&self, end: &str) -> Result<Option<String>, Stop> {
        let path = self.path(end);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable("read", &path, error)),
        }
    }

    /// The ARN of the certificate, if it was made.
    pub(crate) fn arn(&self) -> Result<Option<String>, Stop> {
        Ok(self.read("arn")?.map(|arn| arn.trim().to_owned()))
    }

    /// Writes a file atomically, readable only by its owner.
    pub(crate) fn write(&self, end: &str, text: &str) -> Result<(), Stop> {
        let path = self.path(end);
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
        let written = builder.tempfile_in(path.parent().expect("a file has a folder")).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.persist(&path).map_err(|error| error.error)
        });
        written.map(drop).map_err(|error| unusable("write", &path, error))
    }

    /// Adds lines to a file.
    pub(crate) fn add_lines(&self, end: &str, lines: &[String]) -> Result<(), Stop> {
        let mut text = self.read(end)?.unwrap_or_default();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.write(end, &text)
    }

    pub(crate) fn remove(&self, end: &str) -> Result<(), Stop> {
        let path = self.path(end);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable("delete", &path, error)),
            _ => Ok(()),
        }
    }

    /// Moves a file to another set of files, replacing theirs.
    pub(crate) fn give(&self, end: &str, to: &Self) -> Result<(), Stop> {
        if self.has(end) {
            let path = self.path(end);
            fs::rename(&path, to.path(end)).map_err(|error| unusable("rename", &path, error))?;
        }
        Ok(())
    }

    /// How long ago a file was written.
    pub(crate) fn age(&self, end: &str) -> Option<Duration> {
        let written = fs::metadata(self.path(end)).and_then(|file| file.modified()).ok()?;
        SystemTime::now().duration_since(written).ok()
    }

    /// Refuses a key that others can read: it may be known to them.
    pub(crate) fn check_key(&self) -> Result<(), Stop> {
        #[cfg(unix)]
        if let Ok(found) = fs::metadata(self.path("key")) {
            let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777;
            if ![0o600, 0o400].contains(&mode) {
                let key = self.path("key");
                return Err(Stop::failed(format_args!("{key} can be read by others: its mode is {mode:o}")).help(
                    format_args!(
                        "chmod 600 {key} if nobody else has read it, or delete it for a new key; then run this again"
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn unusable(act: &str, path: &Utf8Path, error: io::Error) -> Stop {
    Stop::failed(format_args!("cannot {act} `{path}`: {error}"))
}
