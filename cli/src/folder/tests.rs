//! What becomes of a folder, over real files.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink};

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_generator::{MANIFEST, Manifest, Tree};
use tempfile::TempDir;

use super::{Changes, change::Change, compare, image::trade_all, write};
use crate::terminal::Stop;

/// A folder for a test, and the output folder in it.
fn place() -> (TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let out = Utf8Path::from_path(folder.path()).expect("its name is UTF-8").join("out");
    (folder, out)
}

/// A rendering of environments with one file each, as `render` puts it together.
fn tree(environments: &[(&str, &str, &str)]) -> Tree {
    let mut shared = Tree::new();
    shared.insert(".github/workflows/deploy.yml", "on: push\n");
    let mut manifest = Manifest::of(&shared, "p");
    manifest.environments = environments.iter().map(|(name, ..)| (*name).to_owned()).collect();
    shared.insert(MANIFEST, manifest.to_bytes());
    for (name, path, text) in environments {
        let mut own = Tree::new();
        own.insert(*path, *text);
        let manifest = Manifest::of(&own, "p");
        own.insert(MANIFEST, manifest.to_bytes());
        shared.insert_below(name, own);
    }
    shared
}

fn generate(out: &Utf8Path, tree: &Tree) -> Result<Changes, Stop> {
    let changes = compare(out, tree)?;
    write(out, tree, &changes)?;
    Ok(changes)
}

fn put(path: impl AsRef<Utf8Path>, text: &str) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("folders can be made");
    fs::write(path, text).expect("files can be written");
}

/// Every file below a folder, with its text; folders without files end in `/`.
fn files(folder: &Utf8Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        let entries: Vec<_> = next.read_dir_utf8().unwrap().map(Result::unwrap).collect();
        if entries.is_empty() {
            found.insert(format!("{}/", next.strip_prefix(folder).unwrap()), String::new());
        }
        for entry in entries {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.into_path());
            } else {
                let path = entry.path().strip_prefix(folder).unwrap().to_string();
                found.insert(path, fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    found
}

fn expected(tree: &Tree) -> BTreeMap<String, String> {
    tree.iter().map(|(path, bytes)| (path.to_string(), String::from_utf8(bytes.to_vec()).unwrap())).collect()
}

fn change_of(changes: &Changes, path: &str) -> Option<Change> {
    changes.files.get(Utf8Path::new(path)).copied()
}

#[test]
fn a_new_folder_holds_the_rendering_and_nothing_else() {
    let (folder, out) = place();
    let tree = tree(&[("dev", "root.yaml", "a\n"), ("prod", "root.yaml", "b\n")]);
    generate(&out, &tree).unwrap();
    assert_eq!(files(&out), expected(&tree));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    assert_eq!(compare(&out, &tree).unwrap().files, BTreeMap::new());
}

#[test]
fn what_is_generated_no_more_is_removed_with_its_folder() {
    let (_folder, out) = place();
    generate(&out, &tree(&[("dev", "scripts/old.sh", "a\n"), ("prod", "root.yaml", "b\n")])).unwrap();
    let after = tree(&[("dev", "root.yaml", "a\n")]);
    let changes = generate(&out, &after).unwrap();
    assert_eq!(change_of(&changes, "dev/root.yaml"), Some(Change::New));
    assert_eq!(change_of(&changes, "dev/scripts/old.sh"), Some(Change::Removed));
    assert_eq!(change_of(&changes, "prod/manifest.json"), Some(Change::Removed));
    assert_eq!(change_of(&changes, ".github/workflows/deploy.yml"), None);
    assert_eq!(files(&out), expected(&after));
}

#[test]
fn an_environment_that_is_not_rendered_now_stays() {
    let (_folder, out) = place();
    let both = tree(&[("dev", "root.yaml", "a\n"), ("prod", "root.yaml", "b\n")]);
    generate(&out, &both).unwrap();
    let mut one = Tree::new();
    for (path, bytes) in both.iter().filter(|(path, _)| !path.starts_with("prod")) {
        one.insert(path, if path == "dev/root.yaml" { b"new\n" } else { bytes });
    }
    generate(&out, &one).unwrap();
    assert_eq!(files(&out)["dev/root.yaml"], "new\n");
    assert_eq!(files(&out)["prod/root.yaml"], "b\n");
}

#[test]
fn files_of_others_stay_wherever_they_are() {
    let (_folder, out) = place();
    generate(&out, &tree(&[("dev", "scripts/old.sh", "a\n")])).unwrap();
    // The second one keeps the folder itself from changing places.
    for theirs in ["dev/scripts/notes.txt", "dev/empty/"] {
        let path = out.join(theirs);
        if theirs.ends_with('/') { fs::create_dir_all(path).unwrap() } else { put(path, "theirs\n") }
    }
    for (at_the_top, text) in [(None, "b\n"), (Some("README.md"), "c\n")] {
        if let Some(name) = at_the_top {
            put(out.join(name), "theirs\n");
        }
        let after = tree(&[("dev", "root.yaml", text)]);
        generate(&out, &after).unwrap();
        let mut expected = expected(&after);
        expected.insert("dev/scripts/notes.txt".into(), "theirs\n".into());
        expected.insert("dev/empty/".into(), String::new());
        expected.extend(at_the_top.map(|name| (name.into(), "theirs\n".into())));
        assert_eq!(files(&out), expected);
    }
}

#[test]
fn a_file_of_somebody_else_is_never_overwritten() {
    let (_folder, out) = place();
    put(out.join("dev/root.yaml"), "theirs\n");
    assert!(generate(&out, &tree(&[("dev", "root.yaml", "ours\n")])).is_err());
    assert_eq!(files(&out), BTreeMap::from([("dev/root.yaml".into(), "theirs\n".into())]));
}

#[test]
fn a_manifest_that_cannot_be_read_is_named_with_the_way_out() {
    let (_folder, out) = place();
    let tree = tree(&[("dev", "root.yaml", "a\n")]);
    for (path, text, said) in [
        ("manifest.json", "{\n<<<<<<< HEAD\n=======\n>>>>>>> topic\n}\n", "conflict markers"),
        ("dev/manifest.json", "{\n<<<<<<< HEAD\n=======\n>>>>>>> topic\n}\n", "conflict markers"),
        ("manifest.json", "{}\n", "not a manifest of this version"),
    ] {
        generate(&out, &tree).unwrap();
        let sound = files(&out)[path].clone();
        put(out.join(path), text);
        let stop = format!("{:?}", generate(&out, &tree).unwrap_err());
        assert!(stop.contains(path) && stop.contains(said), "{stop}");
        put(out.join(path), &sound);
    }
}

#[test]
fn a_stale_file_that_was_changed_by_hand_is_left_and_named() {
    let (_folder, out) = place();
    generate(&out, &tree(&[("dev", "old.yaml", "a\n")])).unwrap();
    put(out.join("dev/old.yaml"), "changed\n");
    let changes = generate(&out, &tree(&[("dev", "root.yaml", "a\n")])).unwrap();
    assert_eq!(changes.left, ["dev/old.yaml"]);
    assert_eq!(files(&out)["dev/old.yaml"], "changed\n");
}

#[test]
fn a_current_file_that_was_changed_by_hand_is_written_again_and_named() {
    let (_folder, out) = place();
    let tree = tree(&[("dev", "root.yaml", "a\n")]);
    generate(&out, &tree).unwrap();
    put(out.join("dev/root.yaml"), "changed\n");
    assert_eq!(generate(&out, &tree).unwrap().edited, ["dev/root.yaml"]);
    assert_eq!(files(&out), expected(&tree));
}

#[test]
fn case_11_nothing_is_written_through_a_link() {
    let elsewhere = tempfile::tempdir().unwrap();
    let links = ["", "link", "dev", "dev/root.yaml", "dev/deep", ".github", "manifest.json"];
    for link in links {
        let (_folder, out) = place();
        let path = out.join(link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(elsewhere.path(), path.as_str().trim_end_matches('/')).unwrap();
        assert!(generate(&out, &tree(&[("dev", "root.yaml", "a\n")])).is_err(), "{link}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "{link}");
    }
}

#[test]
fn case_11_a_link_in_an_environment_that_is_no_more_is_not_followed_to_remove() {
    let (_folder, out) = place();
    generate(&out, &tree(&[("dev", "root.yaml", "a\n"), ("old", "deep/root.yaml", "a\n")])).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let theirs = Utf8Path::from_path(elsewhere.path()).unwrap().join("root.yaml");
    put(&theirs, "a\n");
    fs::remove_dir_all(out.join("old/deep")).unwrap();
    symlink(elsewhere.path(), out.join("old/deep")).unwrap();
    assert!(generate(&out, &tree(&[("dev", "root.yaml", "a\n")])).is_err());
    assert!(theirs.exists());
}

#[test]
fn a_script_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, out) = place();
    generate(&out, &tree(&[("dev", "scripts/deploy.sh", "#!/bin/sh\n")])).unwrap();
    let mode = |path| fs::metadata(out.join(path)).unwrap().permissions().mode() & 0o111;
    assert_ne!(mode("dev/scripts/deploy.sh"), 0);
    assert_eq!(mode("manifest.json"), 0);
}

#[test]
fn case_16_what_a_killed_run_left_beside_the_folder_is_cleared_away() {
    let (folder, out) = place();
    let beside = Utf8Path::from_path(folder.path()).unwrap();
    put(beside.join(".fleetform-stage-dead/lock"), "");
    put(beside.join(".fleetform-stage-dead/image/dev/root.yaml"), "half");
    put(beside.join(".fleetform-stage-notes/mine.txt"), "not a stage");
    let busy = beside.join(".fleetform-stage-busy/lock");
    put(&busy, "");
    let lock = fs::File::open(&busy).unwrap();
    lock.lock().unwrap();
    generate(&out, &tree(&[("dev", "root.yaml", "a\n")])).unwrap();
    assert!(!beside.join(".fleetform-stage-dead").exists());
    assert!(beside.join(".fleetform-stage-notes/mine.txt").exists());
    assert!(busy.exists(), "a run that still goes on keeps its stage");
}

/// A run may be killed while it clears such a stage away.
#[test]
fn case_16_the_lock_of_an_abandoned_stage_goes_last() {
    let (folder, out) = place();
    let stage = Utf8Path::from_path(folder.path()).unwrap().join(".fleetform-stage-dead");
    for file in 0..2_000 {
        put(stage.join(format!("image/dev/{file}")), "half");
    }
    put(stage.join("lock"), "");
    let is_cleared = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while stage.join("lock").exists() {}
            !stage.join("image").exists()
        });
        generate(&out, &tree(&[("dev", "root.yaml", "a\n")])).unwrap();
        watch.join().unwrap()
    });
    assert!(is_cleared, "what is without a lock cannot be told from what is kept");
    assert!(!stage.exists());
}

#[test]
fn case_16_folders_without_a_lock_and_without_files_are_cleared_away() {
    let (folder, out) = place();
    let beside = Utf8Path::from_path(folder.path()).unwrap();
    for empty in ["new", "hollow/image/dev/iot/policies", "hollow/image/live", "kept/image/dev/iot"] {
        fs::create_dir_all(beside.join(format!(".fleetform-stage-{empty}"))).unwrap();
    }
    put(beside.join(".fleetform-stage-kept/image/dev/root.yaml"), "what was there before");
    generate(&out, &tree(&[("dev", "root.yaml", "a\n")])).unwrap();
    assert!(!beside.join(".fleetform-stage-new").exists());
    assert!(!beside.join(".fleetform-stage-hollow").exists());
    assert!(beside.join(".fleetform-stage-kept/image/dev/root.yaml").exists());
    assert!(beside.join(".fleetform-stage-kept/image/dev/iot").exists());
}

/// A stage that was made and is not locked yet looks abandoned to the others.
#[test]
fn case_16_runs_beside_each_other_leave_each_other_their_stages() {
    let (folder, _) = place();
    let beside = Utf8Path::from_path(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for run in 0..8 {
            scope.spawn(move || {
                let out = beside.join(format!("out-{run}"));
                for text in 0..40 {
                    generate(&out, &tree(&[("dev", "root.yaml", &format!("{text}\n"))])).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_dir(beside).unwrap().count(), 8, "nothing is left beside the folders");
}

#[test]
fn what_cannot_change_places_leaves_everything_where_it_was() {
    let (folder, out) = place();
    let image = Utf8Path::from_path(folder.path()).unwrap().join("image");
    for (path, text) in [("dev/a", "old"), ("manifest.json", "old"), ("gone", "old")] {
        put(out.join(path), text);
    }
    for (path, text) in [("dev/b", "new"), ("manifest.json", "new"), ("prod/a", "new")] {
        put(image.join(path), text);
    }
    let before = [files(&out), files(&image)];
    let names = ["dev", "prod", "gone", "manifest.json"].map(Utf8Path::new);
    // There is nothing of the last name.
    let unwritten = trade_all(&image, &out, &[&names[..], &[Utf8Path::new("nowhere")]].concat()).unwrap_err();
    assert!(format!("{unwritten:?}").contains("out/nowhere"), "{unwritten:?}");
    assert_eq!([files(&out), files(&image)], before);
    trade_all(&image, &out, &names).unwrap();
    let changed = [("dev/b", "new"), ("manifest.json", "new"), ("prod/a", "new")];
    assert_eq!(files(&out), changed.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
    assert_eq!(files(&image).len(), 3);
}

#[test]
fn a_file_is_no_folder_to_generate_into() {
    let (_folder, out) = place();
    put(&out, "theirs\n");
    let stop = generate(&out, &tree(&[("dev", "root.yaml", "a\n")])).expect_err("it is refused");
    assert!(format!("{stop:?}").contains("is not a folder"), "{stop:?}");
}

#[test]
fn the_folder_of_one_environment_is_not_taken_for_the_whole() {
    let (_folder, out) = place();
    generate(&out, &tree(&[("dev", "root.yaml", "a")])).expect("it is written");
    let own = r#"{"format":1,"generator":"0","platform":"p","rule_set":{"format_version":1,"sha256":"0"},"files":{}}"#;
    put(out.join("dev/manifest.json"), own);
    let before = files(&out);
    let stop = generate(&out.join("dev"), &tree(&[("dev", "root.yaml", "b")])).expect_err("it is refused");
    assert!(format!("{stop:?}").contains("is the folder of one environment"), "{stop:?}");
    assert_eq!(files(&out), before);
}
