//! `fleetform init`.

use std::{fs::OpenOptions, io::ErrorKind, io::Write};

use clap::Args;

use crate::{
    input::File,
    terminal::{Stop, tell},
};

/// The file to start from.
const STARTER: &str = include_str!("starter.toml");

/// Write a small platform file to start with
#[derive(Args, Debug)]
pub(crate) struct Init {
    #[command(flatten)]
    file: File,
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let path = &self.file.file;
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .and_then(|mut file| file.write_all(STARTER.as_bytes()));
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                Stop::bad_input(format_args!("`{path}` already exists")).help("name another file: fleetform init FILE")
            }
            _ => Stop::bad_input(format_args!("cannot write `{path}`: {error}")),
        })?;
        tell(format_args!("wrote {path}"));
        tell("next: set the account and the contact in it, then run `fleetform generate`");
        Ok(())
    }
}
