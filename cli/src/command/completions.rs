//! `fleetform completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Arguments;
use crate::terminal::{Stop, print_raw};

/// Print a script that completes this command's arguments
///
/// For example: `fleetform completions bash > ~/.local/share/bash-completion/completions/fleetform`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let mut command = Arguments::command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        print_raw(&String::from_utf8_lossy(&script))
    }
}
