//! A platform file in, a folder of files out, compared byte for byte. `UPDATE_EXPECT=1` writes what is new; it is
//! reviewed as a diff.

use std::{collections::BTreeMap, fs};

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_tests::rendering::rendered;

/// Every file below a folder, by its path from there.
fn read(folder: &Utf8Path, below: &Utf8Path, found: &mut BTreeMap<Utf8PathBuf, Vec<u8>>) {
    for entry in folder.join(below).read_dir_utf8().expect("a folder") {
        let entry = entry.expect("an entry");
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            read(folder, &path, found);
        } else {
            found.insert(path, fs::read(entry.path()).expect("a file"));
        }
    }
}

fn check(fixture: &str) {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden").join(fixture);
    let out = folder.join("out");
    let text = fs::read_to_string(folder.join("platform.toml")).expect("the platform file");
    let tree = rendered(&text);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        if out.exists() {
            fs::remove_dir_all(&out).expect("the old folder goes");
        }
        for (path, bytes) in tree.iter() {
            let path = out.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
            fs::write(path, bytes).expect("the file");
        }
    }
    let mut committed = BTreeMap::new();
    read(&out, Utf8Path::new(""), &mut committed);
    let names: Vec<_> = tree.iter().map(|(path, _)| path).collect();
    assert_eq!(names, committed.keys().collect::<Vec<_>>(), "UPDATE_EXPECT=1 updates them");
    for (path, bytes) in tree.iter() {
        assert!(
            committed[path] == bytes,
            "{fixture}: {path} differs; UPDATE_EXPECT=1 updates it\n{}",
            first_difference(&committed[path], bytes)
        );
    }
}

fn first_difference(old: &[u8], new: &[u8]) -> String {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let differ = old.lines().zip(new.lines()).enumerate().find(|(_, (old, new))| old != new);
    match differ {
        Some((line, (old, new))) => format!("line {}\n- {old}\n+ {new}", line + 1),
        None => "one is the beginning of the other".to_owned(),
    }
}

#[test]
fn smallest() {
    check("smallest");
}

#[test]
fn source_spelling() {
    check("source-spelling");
}

#[test]
fn overrides() {
    check("overrides");
}

#[test]
fn claims() {
    check("claims");
}

#[test]
fn timestream() {
    check("timestream");
}

#[test]
fn authorities() {
    check("authorities");
}
