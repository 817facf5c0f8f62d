//! `fleetform devices`.

mod add;

use clap::{Args, Subcommand};

use crate::terminal::Stop;

/// Work with the devices of a deployed platform
#[derive(Args, Debug)]
pub(crate) struct Devices {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(add::Add),
}

impl Devices {
    pub(crate) fn run(self) -> Result<(), Stop> {
        match self.command {
            Command::Add(add) => add.run(),
        }
    }
}
