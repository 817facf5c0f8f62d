//! The errors of commands, each with a way to fix it.

use std::{io, process::ExitStatus};

use camino::Utf8PathBuf;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("`{command}` ended with {status}")]
    Failed { command: String, status: ExitStatus },
    #[error("{path}: {source}")]
    File { path: Utf8PathBuf, source: io::Error },
    #[error("no Python of version 3.11 or newer on PATH (tried {tried}); install one, with its venv module")]
    NoPython { tried: String },
    #[error("stale: {}\nhelp: run `cargo xtask generate` and commit the result", .paths.join(", "))]
    Stale { paths: Vec<String> },
    #[error("{failed} of {all} steps failed: {names}")]
    Steps { failed: usize, all: usize, names: String },
    #[error("{0}")]
    Message(String),
}

impl Error {
    /// An error constructor that adds the path of a file.
    pub(crate) fn file(path: impl Into<Utf8PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
