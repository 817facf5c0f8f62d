//! `fleetform state`.

mod repair;
mod show;

use clap::{Args, Subcommand};
use fleetform_engine::drive::{self, Broken};

use crate::terminal::Stop;

/// Inspect or repair the state of a deployed platform
#[derive(Args, Debug)]
pub(crate) struct State {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(show::Show),
    Repair(repair::Repair),
}

impl State {
    pub(crate) fn run(self) -> Result<(), Stop> {
        match self.command {
            Command::Show(show) => show.run(),
            Command::Repair(repair) => repair.run(),
        }
    }
}

/// A line for an object that cannot be read.
fn line(broken: &Broken) -> String {
    format!("  broken     {}: {}\n", broken.key, broken.problem)
}

fn stopped(failure: drive::Failure) -> Stop {
    Stop::failed(failure)
}
