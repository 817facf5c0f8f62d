//! Where things lie in the workspace, and how cargo is called in it.

use std::{env, process::Command};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{error::Error, process};

/// The folder of the workspace.
pub(crate) fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// The cargo that started this command, in the workspace, held to the committed lock file where that matters.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Builds all there is, tests too. Cargo settles the features of a dependency by what it builds with: built in parts,
/// every part would compile the AWS SDK again.
pub(crate) fn build() -> Result<(), Error> {
    process::run(&mut cargo(&["build", "--locked", "--workspace", "--all-targets", "--quiet"]))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> Utf8PathBuf {
    env::var("CARGO_TARGET_DIR").map_or_else(|_| root().join("target"), |folder| root().join(folder))
}

/// The `fleetform` command as built for development.
pub(crate) fn fleetform() -> Command {
    let mut command = Command::new(target().join("debug/fleetform"));
    command.current_dir(root());
    command
}
