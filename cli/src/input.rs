//! The platform file as commands take it: read, checked, and one environment picked from it.

use std::{
    fs,
    io::{self, Read as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use fleetform_engine::ids::EnvironmentId;
use fleetform_generator::{
    Checked, Format, PLATFORM_FILE_BYTES_MAX, check, diagnostic,
    platform::{Platform, Project},
};

use crate::terminal::{Stop, tell_raw};

/// The file that every command reads unless another is named.
pub(crate) const DEFAULT_FILE: &str = "platform.toml";

/// Which file.
#[derive(Args, Debug)]
pub(crate) struct File {
    /// The platform file.
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) file: Utf8PathBuf,
}

/// Returns the bytes of a file, but no more than show that it is too large.
pub(crate) fn read(path: &Utf8Path) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    let opened = fs::File::open(path);
    let read = opened.and_then(|file| file.take(PLATFORM_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| {
        let stop = Stop::bad_input(format_args!("cannot read `{path}`: {error}"));
        match error.kind() {
            io::ErrorKind::NotFound if path == DEFAULT_FILE => stop.help("`fleetform init` writes one to start with"),
            _ => stop,
        }
    })
}

/// The platform file for a command other than `check`: reports its problems; errors end the command.
pub(crate) fn project(path: &Utf8Path) -> Result<Project, Stop> {
    let bytes = read(path)?;
    let Checked { project, diagnostics } = check(path.as_str(), &bytes);
    if !diagnostics.is_empty() {
        let text = String::from_utf8_lossy(&bytes);
        tell_raw(diagnostic::render(path.as_str(), &text, &diagnostics, Format::Full).trim_end());
    }
    project.ok_or_else(Stop::bad_file)
}

/// The platform of the named environment, or of the file's default environment.
pub(crate) fn platform<'p>(project: &'p Project, name: Option<&str>) -> Result<&'p Platform, Stop> {
    let environment = name.map_or(Ok(&project.default_environment), |name| environment(project, name))?;
    Ok(&project.environments[environment])
}

/// The environment of a name.
pub(crate) fn environment<'p>(project: &'p Project, name: &str) -> Result<&'p EnvironmentId, Stop> {
    project.environments.get_key_value(name).map(|(id, _)| id).ok_or_else(|| {
        let known: Vec<String> = project.environments.keys().map(|id| format!("`{id}`")).collect();
        Stop::bad_input(format_args!("there is no environment `{name}`"))
            .help(format_args!("the environments are {}", known.join(", ")))
    })
}
