//! What the commands that register devices have in common: the environment, the folder of keys, and `--dry-run`.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use fleetform_generator::platform::{Platform, Project};

use crate::{
    deployed::now,
    found::wait,
    input::{self, DEFAULT_FILE},
    registry::{aws::Aws, keys::Keys, manifest::checked_request, plan::Names, registrar::Registrar},
    terminal::{Stop, print, tell},
};

/// Where devices are registered.
#[derive(Args, Debug)]
pub(super) struct Registering {
    /// The folder of keys, requests and certificates; defaults to `devices/<environment>`
    #[arg(long, value_name = "DIR")]
    keys: Option<Utf8PathBuf>,
    /// The stream; defaults to the one of the environment's stack
    #[arg(long, value_name = "NAME")]
    pub(super) stream: Option<String>,
    /// The environment; defaults to the file's default environment
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The platform file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: Utf8PathBuf,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl Registering {
    /// The platform file.
    pub(super) fn project(&self) -> Result<Project, Stop> {
        input::project(&self.file)
    }

    /// The platform as the environment sees it.
    pub(super) fn platform<'p>(&self, project: &'p Project) -> Result<&'p Platform, Stop> {
        input::platform(project, self.env.as_deref())
    }

    /// Does something with the environment's registry.
    pub(super) fn with(
        &self,
        platform: &Platform,
        act: impl AsyncFnOnce(Registrar<Aws>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        wait(async {
            let registry = Aws::open(platform, self.stream.as_deref()).await?;
            let keys = self.keys.clone().unwrap_or_else(|| format!("devices/{}", platform.environment.id).into());
            act(Registrar {
                stream: registry.stream().to_owned(),
                registry,
                keys: Keys::new(keys),
                names: Names::of(platform),
                dry_run: self.dry_run,
                now_ms: || now().0.unsigned_abs(),
                // A reader that has closed the pipe must not stop a device halfway.
                say: Box::new(|line| drop(print(&format!("{line}\n")))),
            })
            .await
        })
    }
}

/// Whether AWS generates keys.
#[derive(Args, Debug)]
pub(super) struct ServerKeys {
    /// Let AWS generate the private key (only with `identity.provisioning = "server_keys"`; for labs: the key is sent over the network and AWS has seen it)
    #[arg(long)]
    insecure_server_keys: bool,
}

impl ServerKeys {
    /// Whether it was requested; an error if the platform does not allow it.
    pub(super) fn of(&self, platform: &Platform) -> Result<bool, Stop> {
        if self.insecure_server_keys && !platform.identity.provisioning.has_server_keys() {
            return Err(Stop::bad_input(format_args!(
                "--insecure-server-keys is for labs, and environment `{}` does not allow it",
                platform.environment.id
            ))
            .help("to allow it, set this in the platform file: identity.provisioning = \"server_keys\""));
        }
        Ok(self.insecure_server_keys)
    }
}

/// A request that a device made itself.
pub(super) fn request(path: Option<&Utf8Path>) -> Result<Option<String>, Stop> {
    let read = |path: &Utf8Path| checked_request(path.as_str(), text(path)).map_err(Stop::bad_input);
    path.map(read).transpose()
}

/// The text of a file.
pub(super) fn text(path: &Utf8Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Reports all problems of an input, and ends the command with the last.
pub(super) fn wrong(device: &str, problems: &[String]) -> Stop {
    let (last, others) = problems.split_last().expect("there is no failure without a problem");
    for problem in others {
        tell(format_args!("error: {device}: {problem}"));
    }
    Stop::bad_input(format_args!("{device}: {last}"))
}
