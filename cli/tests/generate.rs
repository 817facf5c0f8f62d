//! `fleetform generate` as a whole process: the same bytes everywhere, and a killed run leaves the old ones.
#![cfg(unix)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, ExitStatus, Output, Stdio},
};

use tempfile::TempDir;

fn fleetform(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetform"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A folder with a platform file.
fn place(change: impl Fn(&str) -> String) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("platform.toml");
    assert!(fleetform(folder.path()).arg("init").status().unwrap().success());
    let platform = change(&fs::read_to_string(&path).unwrap());
    fs::write(path, platform).unwrap();
    folder
}

fn generate(folder: &Path) {
    assert!(fleetform(folder).arg("generate").status().unwrap().success());
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

#[test]
fn case_10_the_same_bytes_in_another_time_zone_locale_and_folder() {
    let here = place(str::to_owned);
    generate(here.path());
    // The same tables in another order, too.
    let there = place(|platform| {
        let (before, device_types) = platform.split_at(platform.find("[device_types").unwrap());
        let mut lines: Vec<&str> = before.lines().collect();
        lines.reverse();
        format!("{}\n{device_types}", lines.join("\n"))
    });
    let deeper = there.path().join("a folder/deeper");
    fs::create_dir_all(&deeper).unwrap();
    let mut command = fleetform(&deeper);
    command.args(["generate", "../../platform.toml", "--out", "../elsewhere"]);
    command.envs([("TZ", "Pacific/Chatham"), ("LC_ALL", "tr_TR.UTF-8"), ("LANG", "ar_EG.UTF-8"), ("HOME", "/nowhere")]);
    assert!(command.status().unwrap().success());
    assert_eq!(files(&here.path().join("out")), files(&there.path().join("a folder/elsewhere")));
}

/// Generates in a process that the system kills where it writes a file past so many blocks of 512 bytes.
fn generate_until(folder: &Path, blocks: u64) -> ExitStatus {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c 0 && ulimit -f \"$1\" && exec \"$2\" generate", "sh", &blocks.to_string()]);
    command.arg(env!("CARGO_BIN_EXE_fleetform")).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
}

/// Files are written in the order of their names, so each size at which a run is killed leaves it at another file, from
/// the first one to the largest. The folders then change places by one call, before or after which a run is either.
#[test]
fn case_16_a_run_that_is_killed_leaves_the_old_tree() {
    let old = place(str::to_owned);
    let new = place(|platform| {
        platform.replace("60.0", "61.0").replace("north", "south")
            + "[environments.prod]\naccount = \"222222222222\"\nregion = \"eu-west-1\"\n"
    });
    let [before, after] = [&old, &new].map(|folder| {
        generate(folder.path());
        files(&folder.path().join("out"))
    });
    let changed = after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes));
    let stops: BTreeSet<u64> = changed.map(|(_, bytes)| (bytes.len() as u64 - 1) / 512).collect();
    assert!(stops.len() > 5, "{stops:?}");

    let out = old.path().join("out");
    fs::copy(new.path().join("platform.toml"), old.path().join("platform.toml")).unwrap();
    for &blocks in &stops {
        let status = generate_until(old.path(), blocks);
        assert!(status.signal().is_some(), "{blocks} blocks: {status}");
        assert!(files(&out) == before, "{blocks} blocks left {:?}", files(&out).keys());
    }
    // A run with room for its largest file ends well, and clears away what the others left.
    let largest = stops.last().unwrap() + 1;
    assert!(generate_until(old.path(), largest).success());
    assert!(files(&out) == after);
    let beside = fs::read_dir(old.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut beside: Vec<_> = beside.collect();
    beside.sort();
    assert_eq!(beside, ["out", "platform.toml"]);
}

/// A run that cannot write, since a file may have so many blocks of 512 bytes only and it does not end from that.
fn generate_within(folder: &Path, blocks: u64, out: &str) -> Output {
    let mut command = Command::new("sh");
    let script = "trap '' XFSZ && ulimit -f \"$1\" && exec \"$2\" generate --out \"$3\"";
    command.args(["-c", script, "sh", &blocks.to_string(), env!("CARGO_BIN_EXE_fleetform"), out]);
    command.current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_run_that_cannot_write_says_which_file_and_leaves_everything_as_it_was() {
    let folder = place(str::to_owned);
    let everything = || files(folder.path());
    let refused = |out: &str, blocks: u64| {
        let before = everything();
        let output = generate_within(folder.path(), blocks, out);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("error: cannot write `{out}/")) && said.contains("File too large"), "{said}");
        assert!(said.contains(&format!("{out} is unchanged")), "{said}");
        assert!(output.stdout.is_empty(), "nothing is listed that was not written");
        assert!(everything() == before, "{out} {blocks}");
        let mut beside: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.retain(|name| name != "out" && name != "platform.toml");
        assert!(beside.is_empty(), "{beside:?}");
    };
    refused("out", 8);
    refused("new/deeper", 8);
    generate(folder.path());
    let path = folder.path().join("platform.toml");
    let changed = fs::read_to_string(&path).unwrap().replace("60.0", "61.0").replace("north", "south");
    fs::write(&path, changed).unwrap();
    refused("out", 8);
    // The folder itself cannot change places when it holds something else.
    fs::write(folder.path().join("out/notes.txt"), "theirs").unwrap();
    refused("out", 8);
    assert!(generate_within(folder.path(), 1 << 20, "out").status.success());
    assert_eq!(fs::read_to_string(folder.path().join("out/notes.txt")).unwrap(), "theirs");
}

/// Of a file that is too large not even all is read, and one that nests too deeply is not parsed.
#[test]
fn case_08_a_file_too_large_or_too_deep_takes_little_memory() {
    const LIMIT_KIB: u32 = 256 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("platform.toml");
    let check = || {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v \"$1\" && exec \"$2\" check", "sh", &LIMIT_KIB.to_string()]);
        command.arg(env!("CARGO_BIN_EXE_fleetform")).current_dir(folder.path());
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // A terabyte that takes no room on the disk, and that no process of this size could read.
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let (code, said) = check();
    assert!(code == Some(1) && said.contains("P002"), "{said}");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert!(check().1.contains("P002"), "it has no end");
    fs::remove_file(&path).unwrap();
    const FULL: usize = 8 << 20;
    for (before, deep) in [("a = ", "["), ("a = ", "{a="), ("", "a."), ("[", "a.")] {
        let text = format!("{before}{}", deep.repeat((FULL - before.len()) / deep.len()));
        fs::write(&path, text).unwrap();
        let (code, said) = check();
        assert!(code == Some(1) && said.contains("P003"), "{code:?} {said}");
    }
}

/// A column of a deployed table keeps its type, and what was generated says which there are.
#[test]
fn a_reading_keeps_the_type_that_was_generated_for_it() {
    let folder = place(str::to_owned);
    let run = |arguments: &str| {
        let output = fleetform(folder.path())
            .args(arguments.split(' '))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run("check").0, Some(0), "nothing was generated yet");
    generate(folder.path());
    let path = folder.path().join("platform.toml");
    let text = fs::read_to_string(&path).unwrap();
    let before = files(&folder.path().join("out"));
    fs::write(&path, text.replace("unit = \"[psi]\"", "type = \"int\", unit = \"[psi]\"")).unwrap();
    for (arguments, code) in [("check", 1), ("generate", 2), ("generate --check", 2), ("check --out ./out", 1)] {
        let (found, said) = run(arguments);
        assert!(found == Some(code) && said.contains("error[P079]: the reading `pressure`"), "{arguments}: {said}");
    }
    assert_eq!(files(&folder.path().join("out")), before, "nothing is written");
    // Another folder says nothing of it, or says the same as the file.
    assert_eq!(run("check --out elsewhere").0, Some(0));
    assert_eq!(run("generate --out elsewhere").0, Some(0));
    assert_eq!(run("check --out elsewhere").0, Some(0));
    // What is damaged is told, and can be mended.
    let rule_set = folder.path().join("out/dev/rules/rule-set.json");
    let whole = fs::read(&rule_set).unwrap();
    for damage in [&whole[..whole.len() / 2], b"[]"] {
        fs::write(&rule_set, damage).unwrap();
        let (code, said) = run("check");
        assert!(code == Some(0) && said.contains("warning: cannot read `out/dev/rules/rule-set.json`"), "{said}");
    }
    fs::remove_file(&rule_set).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &rule_set).unwrap();
    assert!(run("check").1.contains("it is behind a link"));
    fs::remove_file(&rule_set).unwrap();
    assert!(run("check").1.contains("warning: cannot read"));
    assert_eq!(run("generate").0, Some(0));
    assert_eq!(run("check --deny-warnings"), (Some(0), "platform.toml: no errors, no warnings\n".to_owned()));
}
