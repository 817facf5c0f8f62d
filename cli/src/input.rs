//! The platform file as commands take it: read, checked, and one environment picked from it.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use fleetform_engine::ids::EnvironmentId;
use fleetform_generator::{
    Checked, Format, PLATFORM_FILE_BYTES_MAX, check, diagnostic,
    platform::{Platform, Project},
    too_large,
};

use crate::terminal::{Stop, tell};

/// The file that every command reads unless another is named.
pub(crate) const DEFAULT_FILE: &str = "platform.toml";

/// Which file.
#[derive(Args, Debug)]
pub(crate) struct File {
    /// The platform file.
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) file: Utf8PathBuf,
}

/// A file's text; one that is too large to be a platform file is not read.
pub(crate) fn read(path: &Utf8Path) -> Result<String, Stop> {
    if let Some(bytes) =
        fs::metadata(path).ok().map(|found| found.len()).filter(|bytes| *bytes > PLATFORM_FILE_BYTES_MAX)
    {
        return Err(Stop::bad_input(too_large(path.as_str(), bytes).message));
    }
    let bytes = fs::read(path).map_err(|error| {
        let stop = Stop::bad_input(format_args!("cannot read `{path}`: {error}"));
        match error.kind() {
            std::io::ErrorKind::NotFound if path == DEFAULT_FILE => {
                stop.help("`fleetform init` writes one to start from")
            }
            _ => stop,
        }
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Stop::bad_input(format_args!("`{path}` is not UTF-8 text: byte {at} begins no character"))
    })
}

/// A file that a command other than `check` needs: its problems are told, and errors end the command.
pub(crate) fn project(path: &Utf8Path) -> Result<Project, Stop> {
    let text = read(path)?;
    sound(path, &text, check(path.as_str(), &text))
}

/// Tells what was found of a file, and ends the command if it has errors.
fn sound(path: &Utf8Path, text: &str, checked: Checked) -> Result<Project, Stop> {
    let Checked { project, diagnostics } = checked;
    if !diagnostics.is_empty() {
        tell(diagnostic::render(path.as_str(), text, &diagnostics, Format::Full).trim_end());
    }
    project.ok_or_else(Stop::bad_file)
}

/// The platform of the environment that is asked for; unless one is, of the file's default.
pub(crate) fn platform<'p>(project: &'p Project, name: Option<&str>) -> Result<&'p Platform, Stop> {
    let environment = name.map_or(Ok(&project.default_environment), |name| environment(project, name))?;
    Ok(&project.environments[environment])
}

/// The environment of a name.
pub(crate) fn environment<'p>(project: &'p Project, name: &str) -> Result<&'p EnvironmentId, Stop> {
    project.environments.get_key_value(name).map(|(id, _)| id).ok_or_else(|| {
        let known: Vec<String> = project.environments.keys().map(|id| format!("`{id}`")).collect();
        Stop::bad_input(format_args!("there is no environment `{name}`"))
            .help(format_args!("it has {}", known.join(", ")))
    })
}
