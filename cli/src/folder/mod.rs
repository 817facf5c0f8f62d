//! The output folder: its contents, how it differs from a rendering, and how it is updated to it.
//!
//! A file belongs to fleetform if the manifest of an earlier run names it. Only such files are overwritten or removed,
//! and removed only while they are still as they were written. Nothing is read or written through a symbolic link.

mod change;
mod earlier;
mod image;

pub(crate) use change::{Changes, compare};
pub(crate) use earlier::earlier;

use camino::Utf8Path;
use fleetform_generator::Tree;

use crate::terminal::Stop;

/// The folder that is written unless another is named.
pub(crate) const DEFAULT_OUT: &str = "out";

/// Brings a folder to a rendering. A run that is killed leaves it as it was.
pub(crate) fn write(out: &Utf8Path, tree: &Tree, changes: &Changes) -> Result<(), Stop> {
    image::write(out, tree, changes)
}

#[cfg(all(test, unix))]
mod tests;
