//! What a command prints and how it ends: standard output for results, standard error for the rest, and exit codes.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use fleetform_generator::printable;

/// Exit code: differences or failures were found, or something could not be done.
pub(crate) const FOUND: u8 = 1;
/// Exit code: the arguments or a file that they name cannot be used. `clap` ends with the same.
pub(crate) const BAD_INPUT: u8 = 2;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Stop {
    exit: u8,
    message: Option<String>,
    help: Option<String>,
}

impl Stop {
    /// The command found something and has reported it.
    pub(crate) fn found() -> Self {
        Self { exit: FOUND, message: None, help: None }
    }

    /// The command could not do what was asked.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { exit: FOUND, message: Some(message.to_string()), help: None }
    }

    /// The command was given something that it cannot use.
    pub(crate) fn bad_input(message: impl Display) -> Self {
        Self { exit: BAD_INPUT, message: Some(message.to_string()), help: None }
    }

    /// The given file has errors, which have been reported.
    pub(crate) fn bad_file() -> Self {
        Self { exit: BAD_INPUT, message: None, help: None }
    }

    /// Adds the next step.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// Prints the reason and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        if let Some(message) = self.message {
            tell(format_args!("error: {message}"));
        }
        if let Some(help) = self.help {
            tell(format_args!("  help: {help}"));
        }
        ExitCode::from(self.exit)
    }
}

/// Prints a result, with each of its lines [`printable`]. A reader that has closed the pipe is not a failure.
pub(crate) fn print(text: &str) -> Result<(), Stop> {
    print_raw(&text.split('\n').map(printable).collect::<Vec<_>>().join("\n"))
}

/// Prints a result as it is: a script of this program's own.
pub(crate) fn print_raw(text: &str) -> Result<(), Stop> {
    let mut output = anstream::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::failed(format_args!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Returns a number with its noun, as in `1 device` and `2 devices`.
pub(crate) fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

/// Prints one line of text next to the result, [`printable`] whatever it quotes. A failure to do so has no reader.
pub(crate) fn tell(line: impl Display) {
    tell_raw(&printable(&line.to_string()));
}

/// Prints text next to the result as it is: rendered diagnostics, which have lines and styles of their own.
pub(crate) fn tell_raw(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}
