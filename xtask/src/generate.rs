//! `cargo xtask generate`: everything in the repository that is derived from other files in it.
//!
//! `out/` is written by the `fleetform` command itself; the pages below are built here. With `--check`, nothing is
//! written, and every stale file is reported with the command that fixes it.

use std::{collections::BTreeMap, fs, io};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{error::Error, process, workspace};

/// Regenerates, or only compares.
pub(crate) fn run(check: bool) -> Result<(), Error> {
    workspace::build()?;
    let mut stale = Vec::new();
    if check {
        let rendered = process::output(workspace::fleetform().args(["generate", "--check"]))?;
        if !rendered.status.success() {
            anstream::eprintln!("{}", String::from_utf8_lossy(&rendered.stderr));
            stale.push("out/".to_owned());
        }
    } else {
        process::run(workspace::fleetform().arg("generate"))?;
    }
    for (path, text) in pages()? {
        let place = workspace::root().join(&path);
        let found = match fs::read_to_string(&place) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::file(place)(error)),
        };
        if found.as_deref() == Some(&text) {
            continue;
        }
        if check {
            stale.push(path.into_string());
        } else {
            fs::write(&place, text).map_err(Error::file(place))?;
        }
    }
    if stale.is_empty() { Ok(()) } else { Err(Error::Stale { paths: stale }) }
}

fn pages() -> Result<BTreeMap<Utf8PathBuf, String>, Error> {
    Ok(BTreeMap::from([
        (Utf8PathBuf::from("docs/commands.md"), command_reference()?),
        (Utf8PathBuf::from("docs/errors/README.md"), error_index()?),
    ]))
}

/// The output of `fleetform help` for every command, on one page.
fn command_reference() -> Result<String, Error> {
    let mut page = String::from(
        "# The `fleetform` command\n\nMade by `cargo xtask generate` from what the command says of itself.\n",
    );
    let mut waiting = vec![Vec::<String>::new()];
    while let Some(words) = waiting.pop() {
        let help = help(&words)?;
        let title = words.iter().fold("fleetform".to_owned(), |title, word| format!("{title} {word}"));
        page.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", help.trim_end()));
        // A stack: pushed in reverse, they come out in the order of the help text.
        waiting.extend(subcommands(&help).into_iter().rev().map(|name| {
            let mut words = words.clone();
            words.push(name);
            words
        }));
    }
    Ok(page)
}

fn help(words: &[String]) -> Result<String, Error> {
    let mut command = workspace::fleetform();
    command.args(words).arg("--help").env("NO_COLOR", "1").env("COLUMNS", "100");
    let printed = process::output(&mut command)?;
    if !printed.status.success() {
        return Err(Error::Failed { command: process::text(&command), status: printed.status });
    }
    let text = String::from_utf8_lossy(&printed.stdout);
    Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// The names below `Commands:`; clap's own `help` is left out.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// One line for each page below `docs/errors/`, by its first heading.
fn error_index() -> Result<String, Error> {
    let folder = workspace::root().join("docs/errors");
    let mut rows = BTreeMap::new();
    for entry in folder.read_dir_utf8().map_err(Error::file(&folder))? {
        let entry = entry.map_err(Error::file(&folder))?;
        let name = entry.file_name();
        let Some(code) = name.strip_suffix(".md").filter(|code| *code != "README") else { continue };
        rows.insert(code.to_owned(), heading(entry.path())?);
    }
    let mut page = String::from(
        "# Errors and warnings\n\nMade by `cargo xtask generate` from the pages beside it.\n\n| Code | Meaning |\n|---|---|\n",
    );
    for (code, heading) in rows {
        page.push_str(&format!("| [{code}]({code}.md) | {heading} |\n"));
    }
    Ok(page)
}

/// The first heading of a page, without the code that it may begin with.
fn heading(path: &Utf8Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(Error::file(path))?;
    let line = text.lines().find_map(|line| line.strip_prefix("# "));
    let line = line.ok_or_else(|| Error::Message(format!("{path}: no heading that begins with `# `")))?;
    let code = path.file_stem().unwrap_or_default();
    let line = line.strip_prefix(code).unwrap_or(line);
    Ok(line.trim_start_matches([':', ' ', '—', '–']).replace('|', "\\|"))
}
