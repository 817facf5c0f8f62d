//! `fleetform devices`.

mod add;
mod known;
mod list;
mod show;
mod sync;

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
    List(list::List),
    Show(show::Show),
    Sync(sync::Sync),
}

impl Devices {
    pub(crate) fn run(self) -> Result<(), Stop> {
        match self.command {
            Command::Add(add) => add.run(),
            Command::List(list) => list.run(),
            Command::Show(show) => show.run(),
            Command::Sync(sync) => sync.run(),
        }
    }
}
