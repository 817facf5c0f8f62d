//! Prints a platform file of a chosen size. Linters and benchmarks run over what is generated from it.

use std::process::ExitCode;

use fleetform_tests::platforms::{Size, platform};

const USAGE: &str = "usage: make-platform [--zones N] [--device-types N] [--contacts N] [--rules N]";

fn main() -> ExitCode {
    match size(std::env::args().skip(1)) {
        Some(size) => {
            print!("{}", platform(size));
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn size(mut words: impl Iterator<Item = String>) -> Option<Size> {
    let mut size = Size::ONE;
    while let Some(word) = words.next() {
        let count = words.next()?.parse().ok().filter(|&count| count > 0)?;
        match word.as_str() {
            "--zones" => size.zones = count,
            "--device-types" => size.device_types = count,
            "--contacts" => size.contacts = count,
            "--rules" => size.rules = count,
            _ => return None,
        }
    }
    Some(size)
}
