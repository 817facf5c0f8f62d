//! `fleetform generate` as a whole process: the same bytes everywhere, and a killed run leaves the old ones.
#![cfg(unix)]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
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

#[test]
fn case_16_a_run_that_is_killed_leaves_the_old_tree_or_the_new_one() {
    let old = place(str::to_owned);
    let new = place(|platform| {
        platform.replace("60.0", "61.0").replace("north", "south")
            + "[environments.prod]\naccount = \"222222222222\"\nregion = \"eu-west-1\"\n"
    });
    let mut times = Vec::new();
    let mut whole = Vec::new();
    for folder in [&old, &new] {
        let begun = Instant::now();
        generate(folder.path());
        times.push(begun.elapsed());
        whole.push(files(&folder.path().join("out")));
    }
    let platforms = [&old, &new].map(|folder| fs::read(folder.path().join("platform.toml")).unwrap());

    // One folder, turned from the one into the other again and again, and killed at another moment each time.
    let place = place(str::to_owned);
    let out = place.path().join("out");
    generate(place.path());
    let longest = times[0].max(times[1]);
    let (mut killed, mut finished) = (0, 0);
    const TRIES: u32 = 60;
    for attempt in 0..TRIES {
        fs::write(place.path().join("platform.toml"), &platforms[usize::from(attempt % 2 == 0)]).unwrap();
        let mut run = fleetform(place.path()).arg("generate").spawn().unwrap();
        // A run's end, where it writes, is tried more often than its beginning.
        let share = f64::from(attempt) / f64::from(TRIES);
        thread::sleep(Duration::from_secs_f64(longest.as_secs_f64() * (0.3 + share)));
        run.kill().unwrap();
        match run.wait().unwrap().success() {
            true => finished += 1,
            false => killed += 1,
        }
        let found = files(&out);
        assert!(found == whole[0] || found == whole[1], "attempt {attempt} left {:?}", found.keys());
    }
    assert!(killed > 0, "all {finished} runs were faster than they were killed");
    // And the next run clears away what they left.
    generate(place.path());
    let beside = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut beside: Vec<_> = beside.collect();
    beside.sort();
    assert_eq!(beside, ["out", "platform.toml"]);
}
