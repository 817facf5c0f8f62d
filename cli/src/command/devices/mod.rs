//! `fleetform devices`.

mod add;
mod desired;
mod import;
mod known;
mod list;
mod registering;
mod relocate;
mod remove;
mod revoke;
mod rotate;
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
    Import(import::Import),
    Move(relocate::Move),
    Rotate(rotate::Rotate),
    Revoke(revoke::Revoke),
    Remove(remove::Remove),
    List(list::List),
    Show(show::Show),
    Sync(sync::Sync),
    Desired(desired::Desired),
}

impl Devices {
    pub(crate) fn run(self) -> Result<(), Stop> {
        match self.command {
            Command::Add(add) => add.run(),
            Command::Import(import) => import.run(),
            Command::Move(relocate) => relocate.run(),
            Command::Rotate(rotate) => rotate.run(),
            Command::Revoke(revoke) => revoke.run(),
            Command::Remove(remove) => remove.run(),
            Command::List(list) => list.run(),
            Command::Show(show) => show.run(),
            Command::Sync(sync) => sync.run(),
            Command::Desired(desired) => desired.run(),
        }
    }
}
