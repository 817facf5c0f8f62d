//! How a binary starts: logs first, then configuration, then the handler that `_HANDLER` names. Whatever goes wrong
//! here is fatal, and is said once, clearly, before the process ends.

use std::process::ExitCode;

use crate::{
    config::{self, Variables},
    telemetry,
};

/// Why a function cannot start.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// `_HANDLER` names no handler of this binary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`_HANDLER` is `{found}`; this binary has {known}")]
pub struct UnknownHandler {
    /// What it names.
    pub found: String,
    /// What it may name.
    pub known: &'static str,
}

impl UnknownHandler {
    /// Of a binary that has several, which it names in `known`.
    pub fn new(found: String, known: &'static str) -> Self {
        Self { found, known }
    }

    /// Of a binary that has one handler.
    pub fn unless(variables: &Variables<'_>, known: &'static str) -> Result<(), StartError> {
        match variables.required("_HANDLER")? {
            found if found == known => Ok(()),
            found => Err(Self { found, known }.into()),
        }
    }
}

/// Runs a binary's whole life on one thread: Lambda gives a small function a fraction of a core.
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
