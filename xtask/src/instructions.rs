//! `cargo xtask instructions`: instructions per record, counted by valgrind and compared with a committed budget.
//! Unlike times, counts are the same on a busy machine and an idle one.

use std::{collections::BTreeMap, fs, process::Command};

use camino::Utf8PathBuf;

use crate::{error::Error, process, workspace};

/// The passes of the two runs whose difference is counted: both include the cost of starting up.
const PASSES: [u64; 2] = [1, 3];
/// How far a count may exceed the budget, in percent: addresses and hashes differ a little between runs.
const TOLERANCE_PERCENT: u64 = 3;
/// How far below the budget a count must be before lowering the budget is suggested, in percent.
const SLACK_PERCENT: u64 = 10;

/// Instructions per record, for each counted consumer of `bench/consumers`.
type Budget = BTreeMap<String, u64>;

fn budget_file() -> Utf8PathBuf {
    workspace::root().join("bench/instructions.json")
}

/// Whether anything can be counted on this machine.
pub(crate) fn valgrind_is_installed() -> bool {
    process::succeeds(Command::new("valgrind").arg("--version"))
}

/// Counts, and compares with the budget; with `update`, stores the counts as the budget.
pub(crate) fn run(update: bool) -> Result<(), Error> {
    if !valgrind_is_installed() {
        return Err(Error::Message("valgrind is not installed".to_owned()));
    }
    process::run(&mut workspace::cargo(&[
        "build",
        "--locked",
        "--quiet",
        "--release",
        "--package",
        "fleetform-consumers",
        // Valgrind does not support the allocator of the released binaries; in the steady state, neither allocator is
        // called.
        "--features",
        "system-allocator",
    ]))?;
    let file = budget_file();
    let text = fs::read_to_string(&file).map_err(Error::file(&file))?;
    let budget: Budget = serde_json::from_str(&text).map_err(|error| Error::Message(format!("{file}: {error}")))?;
    let mut counted = Budget::new();
    let mut above = Vec::new();
    for (consumer, most) in &budget {
        let count = instructions_per_record(consumer)?;
        anstream::println!("{consumer}: {count} instructions a record, of {most}");
        if count * 100 > most * (100 + TOLERANCE_PERCENT) {
            above.push(format!("{consumer}: {count} is more than {most}"));
        } else if count * 100 < most * (100 - SLACK_PERCENT) {
            anstream::println!("{consumer}: `cargo xtask instructions --update` makes the budget tighter");
        }
        counted.insert(consumer.clone(), count);
    }
    if update {
        let text = serde_json::to_string_pretty(&counted).map_err(|error| Error::Message(error.to_string()))?;
        return fs::write(&file, text + "\n").map_err(Error::file(file));
    }
    if above.is_empty() { Ok(()) } else { Err(Error::Message(format!("instructions a record: {}", above.join("; ")))) }
}

fn instructions_per_record(consumer: &str) -> Result<u64, Error> {
    let [few, many] = PASSES;
    let (fewer, records) = instructions(consumer, few)?;
    let (more, _) = instructions(consumer, many)?;
    Ok(more.saturating_sub(fewer) / (records * (many - few)).max(1))
}

/// The instructions of a run, and the number of records in one of its passes.
fn instructions(consumer: &str, passes: u64) -> Result<(u64, u64), Error> {
    let program = workspace::target().join("release/fleetform-consumers");
    let output = process::output(
        Command::new("valgrind")
            .args([
                "--tool=callgrind",
                "--callgrind-out-file=/dev/null",
                program.as_str(),
                consumer,
                "--untimed",
                "--passes",
            ])
            .arg(passes.to_string()),
    )?;
    let log = String::from_utf8_lossy(&output.stderr);
    let count = log.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    let answer: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
    let records = answer.and_then(|answer| answer["records"].as_u64());
    match (count, records) {
        (Some(count), Some(records)) => Ok((count, records)),
        _ => Err(Error::Message(format!("valgrind counted nothing: {}", log.lines().last().unwrap_or_default()))),
    }
}
