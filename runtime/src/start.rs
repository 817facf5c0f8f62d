//! How a binary starts: logs first, then configuration, then the handler that `_HANDLER` names. Any failure here is
//! fatal, and is reported once, clearly, before the process ends.

use std::process::ExitCode;

use crate::{
    config::{self, Variables},
    telemetry,
};

/// Why a function cannot start.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// `_HANDLER` does not name a handler of this binary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`_HANDLER` is `{found}`; this binary has {known}")]
pub struct UnknownHandler {
    /// The name in `_HANDLER`.
    pub found: String,
    /// The names that are allowed.
    pub known: &'static str,
}

impl UnknownHandler {
    /// The error for a binary with several handlers, listed in `known`.
    pub fn new(found: String, known: &'static str) -> Self {
        Self { found, known }
    }

    /// Checks the name in a binary that has one handler.
    pub fn unless(variables: &Variables<'_>, known: &'static str) -> Result<(), StartError> {
        match variables.required("_HANDLER")? {
            found if found == known => Ok(()),
            found => Err(Self { found, known }.into()),
        }
    }
}

/// Runs a binary on one thread until it ends: Lambda gives a small function a fraction of a core.
pub fn run<F>(main: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = Result<(), StartError>>,
{
    telemetry::init_logs(config::process("AWS_LAMBDA_LOG_LEVEL").as_deref());
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(main()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    tracing::error!(reason = %error, "cannot start");
    ExitCode::FAILURE
}
