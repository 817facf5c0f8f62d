//! `fleetform schema`.

use clap::Args;

use crate::terminal::{Stop, print};

/// Print the JSON Schema of platform.toml, for editors
#[derive(Args, Debug)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> Result<(), Stop> {
        print(&fleetform_generator::schema())
    }
}
