//! A file that a command writes, which is at its place only when it is whole.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::NamedTempFile;

use crate::terminal::Stop;

/// Reads the path of a file or folder to write.
pub(crate) fn path(text: &str) -> Result<Utf8PathBuf, String> {
    if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(text.into()) }
}

/// Opens a file that is to be at `path` once it is persisted. Its readers are those that the user's mask allows: what
/// commands write is not secret.
pub(crate) fn create(path: &Utf8Path) -> Result<NamedTempFile, Stop> {
    if path.is_dir() {
        return Err(Stop::bad_input(format_args!("`{path}` is a folder")).help("name a file to write"));
    }
    let folder = path.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    if !folder.is_dir() {
        return Err(Stop::bad_input(format_args!("cannot write `{path}`: there is no folder `{folder}`")));
    }
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // The whole error would name the temporary file.
    builder
        .tempfile_in(folder)
        .map_err(|error| Stop::bad_input(format_args!("cannot write `{path}`: {}", error.kind())))
}

/// The end of a command that could not write a file.
pub(crate) fn unwritable(path: &Utf8Path, error: &io::Error) -> Stop {
    Stop::failed(format_args!("cannot write `{path}`: {error}"))
}
