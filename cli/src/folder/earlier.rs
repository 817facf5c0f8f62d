//! What an output folder shows of the tables that were deployed from it.

use std::{fs, io};

use camino::Utf8Path;
use fleetform_engine::rule_set::RULE_SET_BYTES_MAX;
use fleetform_generator::{Earlier, MANIFEST, RULE_SET};

use crate::terminal::tell;

/// The columns that the environments of a folder have; none if there is no folder. What cannot be read is reported and
/// left out, so that the command that fixes it can run; the deployment looks at the table itself.
pub(crate) fn earlier(out: &Utf8Path) -> Earlier {
    let mut earlier = Earlier::default();
    let Ok(entries) = out.read_dir_utf8() else { return earlier };
    for entry in entries.flatten() {
        let folder = entry.path();
        // Nothing is read through a link.
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || !folder.join(MANIFEST).is_file() {
            continue;
        }
        let path = folder.join(RULE_SET);
        let read = rule_set(&path).map_err(|error| error.to_string());
        let added = read.and_then(|bytes| earlier.add(entry.file_name(), &bytes).map_err(|error| error.to_string()));
        if let Err(error) = added {
            tell(format_args!(
                "warning: cannot read `{path}`: {error}; readings are not compared with the table of `{}`",
                entry.file_name()
            ));
            tell("  help: restore the file as it was last committed");
        }
    }
    earlier
}

/// The bytes of a rule set that is a file of its own, as the folder it is in.
fn rule_set(path: &Utf8Path) -> io::Result<Vec<u8>> {
    let is_link = |path: &Utf8Path| fs::symlink_metadata(path).map(|found| found.is_symlink());
    let folder = path.parent().unwrap_or(path);
    if is_link(folder)? || is_link(path)? {
        return Err(io::Error::other("it is behind a link"));
    }
    if fs::metadata(path)?.len() > RULE_SET_BYTES_MAX as u64 {
        return Err(io::Error::other("it is larger than a rule set can be"));
    }
    fs::read(path)
}
