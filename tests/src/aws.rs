//! The real AWS CLI as a client: one call, one JSON answer. It does not depend on any service.

use std::{collections::BTreeMap, io, process::Command};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

/// The destination of calls, and the credentials.
#[derive(Clone, Debug)]
pub struct Aws {
    program: Utf8PathBuf,
    endpoint: String,
    environment: BTreeMap<String, String>,
}

/// Why a call returned no answer.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The program could not be started.
    #[error("`aws` could not be run: {0}")]
    Start(#[from] io::Error),
    /// The service, or the program, refused the call.
    #[error("`aws {call}`: {message}")]
    Refused {
        /// The command.
        call: String,
        /// The program's output.
        message: String,
    },
    /// The answer is not JSON.
    #[error("`aws {call}` answered {message}")]
    Answer {
        /// The command.
        call: String,
        /// The parse error.
        message: String,
    },
}

impl Aws {
    /// A client for one account and region. The emulator uses the access key as the account.
    pub fn new(program: &Utf8Path, endpoint: &str, account: &str, region: &str, home: &Utf8Path) -> Self {
        let environment = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", account),
            ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
            ("AWS_REGION", region),
            ("AWS_DEFAULT_REGION", region),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_PAGER", ""),
            ("HOME", home.as_str()),
        ];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Self { program: program.to_owned(), endpoint: endpoint.to_owned(), environment }
    }

    /// The environment variables for a program that makes calls to the same destination.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Calls a service. An empty answer is `null`.
    pub fn call(&self, words: &[&str]) -> Result<Value, AwsError> {
        let call = || words.iter().take(4).copied().collect::<Vec<_>>().join(" ");
        let output = Command::new(&self.program)
            .args(words)
            // The variable alone does not work for every service: SQS has an endpoint of its own.
            .args(["--output", "json", "--endpoint-url", &self.endpoint])
            .env_clear()
            .envs(&self.environment)
            .env("PATH", "/usr/bin:/bin")
            .output()?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(AwsError::Refused { call: call(), message });
        }
        if output.stdout.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| AwsError::Answer { call: call(), message: error.to_string() })
    }

    /// One field of an answer, as a list.
    pub fn list(&self, words: &[&str], key: &str) -> Result<Vec<Value>, AwsError> {
        let mut answer = self.call(words)?;
        Ok(match answer.get_mut(key).map(Value::take) {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        })
    }
}
