//! Paths in the workspace, and calls of cargo in it.

use std::{env, process::Command};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{error::Error, process};

/// The root folder of the workspace.
pub(crate) fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Calls the cargo that started this command, in the workspace, restricted to the committed lock file where that
/// matters.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Builds everything, including tests. Cargo chooses a dependency's features by what is built together: separate builds
/// would each compile the AWS SDK again.
pub(crate) fn build() -> Result<(), Error> {
    process::run(&mut cargo(&["build", "--locked", "--workspace", "--all-targets", "--quiet"]))
}

/// Cargo's target folder.
pub(crate) fn target() -> Utf8PathBuf {
    env::var("CARGO_TARGET_DIR").map_or_else(|_| root().join("target"), |folder| root().join(folder))
}

/// The development build of the `fleetform` command.
pub(crate) fn fleetform() -> Command {
    let mut command = Command::new(target().join("debug/fleetform"));
    command.current_dir(root());
    command
}
