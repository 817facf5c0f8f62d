//! The commands, one file each. A command is listed here when it is whole.

mod check;
mod completions;
#[cfg(feature = "aws")]
mod devices;
mod explain;
#[cfg(feature = "aws")]
mod export;
mod generate;
mod init;
#[cfg(feature = "aws")]
mod overrides;
mod prove;
#[cfg(feature = "aws")]
mod query;
#[cfg(feature = "aws")]
mod redrive;
mod schema;
mod simulate;
#[cfg(feature = "aws")]
mod state;
mod test;

use clap::{Parser, Subcommand};

use crate::terminal::Stop;

/// Turns one platform.toml into an IoT platform on AWS.
#[derive(Debug, Parser)]
#[command(
    name = "fleetform",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 success, 1 differences or failures were found, 2 an argument or a file cannot be used."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Check(check::Check),
    Test(test::Test),
    Generate(generate::Generate),
    Prove(prove::Prove),
    Explain(explain::Explain),
    Simulate(simulate::Simulate),
    Schema(schema::Schema),
    #[cfg(feature = "aws")]
    Devices(devices::Devices),
    #[cfg(feature = "aws")]
    Export(export::Export),
    #[cfg(feature = "aws")]
    Override(overrides::Override),
    #[cfg(feature = "aws")]
    Query(query::Query),
    #[cfg(feature = "aws")]
    Redrive(redrive::Redrive),
    #[cfg(feature = "aws")]
    State(state::State),
    Completions(completions::Completions),
}

impl Arguments {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<(), Stop> {
        match self.command {
            Command::Init(init) => init.run(),
            Command::Check(check) => check.run(),
            Command::Test(test) => test.run(),
            Command::Generate(generate) => generate.run(),
            Command::Prove(prove) => prove.run(),
            Command::Explain(explain) => explain.run(),
            Command::Simulate(simulate) => simulate.run(),
            Command::Schema(schema) => schema.run(),
            #[cfg(feature = "aws")]
            Command::Devices(devices) => devices.run(),
            #[cfg(feature = "aws")]
            Command::Export(export) => export.run(),
            #[cfg(feature = "aws")]
            Command::Override(command) => command.run(),
            #[cfg(feature = "aws")]
            Command::Query(query) => query.run(),
            #[cfg(feature = "aws")]
            Command::Redrive(redrive) => redrive.run(),
            #[cfg(feature = "aws")]
            Command::State(state) => state.run(),
            Command::Completions(completions) => completions.run(),
        }
    }
}
