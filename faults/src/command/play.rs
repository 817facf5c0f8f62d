//! Reads a case from files and writes its outcome as files. Everything is read and checked before anything is
//! written, and each file is written completely under another name and then renamed.

use std::{fs, io, process::ExitCode};

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_engine::rule_set::RuleSet;
use fleetform_faults::{Case, Outcome, Wrong, play, read_log, read_script};

/// The files of a case.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The rule set that is in force from the start: an artifact, JSON.
    #[arg(long)]
    rules: Utf8PathBuf,
    /// The log, JSON Lines.
    #[arg(long)]
    log: Utf8PathBuf,
    /// The faults to inject, JSON; none if not given.
    #[arg(long)]
    faults: Option<Utf8PathBuf>,
    /// The folder for the outcome.
    #[arg(long)]
    out: Utf8PathBuf,
    /// Deliver a batch that fails as a whole again in halves, as the event source of a platform does.
    #[arg(long)]
    bisect: bool,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let played = read(arguments, false).map(|case| play(&case));
    let outcome = match played {
        Ok(outcome) if outcome.crowded => read(arguments, true).map(|case| play(&case)).map(still_crowded),
        played => played,
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(wrong) => {
            anstream::eprintln!("error: {wrong}");
            return ExitCode::from(2);
        }
    };
    if let Err((path, error)) = write(&arguments.out, &outcome) {
        anstream::eprintln!("error: {path}: {error}");
        return ExitCode::from(2);
    }
    anstream::println!(
        "{} invocations, {} outbox rows, {} records set aside",
        outcome.responses.len(),
        outcome.outbox.len(),
        outcome.quarantine.len()
    );
    for problem in &outcome.undone {
        anstream::eprintln!("error: {problem}");
    }
    if outcome.undone.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reports that a report to a fleet is missing because it found no free number.
fn still_crowded(mut outcome: Outcome) -> Outcome {
    if outcome.crowded {
        outcome
            .undone
            .push("a word to a fleet found no number: the log's numbers leave none free before it".to_owned());
    }
    outcome
}

fn whole(path: &Utf8Path, problem: impl ToString) -> Wrong {
    Wrong { file: path.to_string(), line: None, problem: problem.to_string() }
}

fn read(arguments: &Arguments, stretch: bool) -> Result<Case, Wrong> {
    let rules = fs::read(&arguments.rules).map_err(|error| whole(&arguments.rules, error))?;
    let first = check(&rules).map_err(|(line, problem)| Wrong { file: arguments.rules.to_string(), line, problem })?;
    let log = fs::read(&arguments.log).map_err(|error| whole(&arguments.log, error))?;
    let log = text(&arguments.log, log)?;
    let folder = arguments.log.parent().unwrap_or(Utf8Path::new(""));
    let (log, more) = read_log(arguments.log.as_str(), &log, stretch, |name| {
        let beside = folder.join(name);
        let path = if beside.exists() { beside } else { Utf8PathBuf::from(name) };
        let bytes = fs::read(&path).map_err(|error| format!("rule set {path}: {error}"))?;
        // A set that cannot be used is a case of its own: a shard ignores it.
        if let Err((line, problem)) = check(&bytes) {
            let place = line.map_or_else(String::new, |line| format!(":{line}"));
            anstream::eprintln!("warning: {path}{place}: {problem}");
        }
        Ok(bytes)
    })?;
    let script = match &arguments.faults {
        Some(path) => {
            let script = fs::read(path).map_err(|error| whole(path, error))?;
            read_script(path.as_str(), &text(path, script)?)?
        }
        None => fleetform_faults::Script::default(),
    };
    let rule_sets = std::iter::once(first).chain(more).collect();
    Ok(Case { rule_sets, log, script, bisect: arguments.bisect })
}

fn text(path: &Utf8Path, bytes: Vec<u8>) -> Result<String, Wrong> {
    String::from_utf8(bytes).map_err(|error| {
        let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + sound.iter().filter(|byte| **byte == b'\n').count();
        Wrong { file: path.to_string(), line: Some(line), problem: "this is not UTF-8".to_owned() }
    })
}

fn check(bytes: &[u8]) -> Result<Vec<u8>, (Option<usize>, String)> {
    match RuleSet::from_bytes(bytes) {
        Ok(_) => Ok(bytes.to_vec()),
        Err(error) => {
            let line = serde_json::from_slice::<RuleSet>(bytes).err().map(|error| error.line());
            Err((line.filter(|line| *line > 0), error.to_string()))
        }
    }
}

fn write(folder: &Utf8Path, outcome: &Outcome) -> Result<(), (Utf8PathBuf, io::Error)> {
    fs::create_dir_all(folder).map_err(|error| (folder.to_owned(), error))?;
    let lines = |rows: &[serde_json::Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let responses: Vec<_> =
        outcome.responses.iter().map(|response| serde_json::to_value(response).unwrap_or_default()).collect();
    let files = [
        ("outbox.jsonl", lines(&outcome.outbox)),
        ("deliveries.jsonl", lines(&outcome.deliveries)),
        ("quarantine.jsonl", lines(&outcome.quarantine)),
        ("responses.jsonl", lines(&responses)),
        ("state.json", format!("{:#}\n", outcome.state)),
    ];
    for (name, text) in &files {
        let path = folder.join(format!(".{name}.new"));
        fs::write(&path, text).map_err(|error| (path, error))?;
    }
    for (name, _) in &files {
        let path = folder.join(name);
        fs::rename(folder.join(format!(".{name}.new")), &path).map_err(|error| (path, error))?;
    }
    Ok(())
}
