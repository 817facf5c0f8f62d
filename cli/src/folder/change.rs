//! How an output folder differs from a rendering.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
};

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_generator::{MANIFEST, Manifest, Tree, sha256};

use super::DEFAULT_OUT;
use crate::terminal::Stop;

/// How the line starts that git puts before the first side of a conflict.
const CONFLICT: &[u8] = b"<<<<<<< ";

/// What happens to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is written for the first time.
    New,
    /// It is written again.
    Changed,
    /// It is removed: an earlier run wrote it, and it is no longer generated.
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "[+]",
            Self::Changed => "[~]",
            Self::Removed => "[-]",
        })
    }
}

/// The changes that turn a folder into a rendering.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// What happens to each file that changes.
    pub(crate) files: BTreeMap<Utf8PathBuf, Change>,
    /// Files that an earlier run wrote, that are no longer generated, and that were edited since.
    pub(crate) left: Vec<Utf8PathBuf>,
    /// Files that an earlier run wrote, that were edited since, and that are written again.
    pub(crate) edited: Vec<Utf8PathBuf>,
    /// Names that this or an earlier rendering has directly in the folder.
    pub(super) top_level: BTreeSet<String>,
}

impl Changes {
    /// How many files are removed.
    pub(crate) fn removed(&self) -> usize {
        self.files.values().filter(|change| matches!(change, Change::Removed)).count()
    }
}

/// Compares a folder with a rendering. Ends the command if something is in the way: a link, or a file that fleetform
/// did not write.
pub(crate) fn compare(out: &Utf8Path, tree: &Tree) -> Result<Changes, Stop> {
    let is_there = is_folder(out)?;
    let earlier = manifest(out, Utf8Path::new(MANIFEST))?;
    if earlier.as_ref().is_some_and(|manifest| manifest.rule_set.is_some()) {
        // Taken for what environments share, it would have all of the environment's files removed.
        let above = out.parent().filter(|above| !above.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
        return Err(Stop::bad_input(format_args!("`{out}` is the folder of one environment, and part of `{above}`"))
            .help(format_args!("generate with --out {above}, or into another folder")));
    }
    let earlier = earlier.map(|manifest| manifest.environments).unwrap_or_default();
    let top_level: BTreeSet<String> = top_level(tree).map(str::to_owned).chain(earlier).collect();
    if is_there {
        refuse_links(out, &top_level)?;
    }
    let owned = owned(out, tree)?;
    let mut changes = Changes { top_level, ..Changes::default() };
    // In the order of paths, which makes building the map cheap.
    let mut files = Vec::new();
    let mut foreign = Vec::new();
    for (path, bytes) in tree.iter() {
        // Without the folder there is no need to look for each of its files.
        match if is_there { content(out, path)? } else { None } {
            None => files.push((path.to_owned(), Change::New)),
            Some(found) if found == bytes => {}
            Some(found) => {
                match owned.get(path) {
                    None => foreign.push(path),
                    Some(Some(written)) if *written != sha256(&found) => changes.edited.push(path.to_owned()),
                    Some(_) => {}
                }
                files.push((path.to_owned(), Change::Changed));
            }
        }
    }
    if let [first, rest @ ..] = foreign.as_slice() {
        let others = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        return Err(Stop::bad_input(format_args!(
            "`{}`{others} would be overwritten, but fleetform did not write it",
            out.join(first)
        ))
        .help("move it away, or generate into another folder with --out"));
    }
    for (path, written) in owned.iter().filter(|(path, _)| tree.get(path).is_none()) {
        let Some(found) = content(out, path)? else { continue };
        match written {
            Some(written) if *written != sha256(&found) => changes.left.push(path.clone()),
            _ => files.push((path.clone(), Change::Removed)),
        }
    }
    changes.files = files.into_iter().collect();
    Ok(changes)
}

/// What earlier runs wrote, with the hash where the manifest gives one: what environments share, what belongs to the
/// environments that are rendered now, and what belongs to those that the platform file no longer has.
fn owned(out: &Utf8Path, tree: &Tree) -> Result<BTreeMap<Utf8PathBuf, Option<String>>, Stop> {
    let mut owned = BTreeMap::new();
    let Some(shared) = manifest(out, Utf8Path::new(MANIFEST))? else { return Ok(owned) };
    let now = tree.get(MANIFEST).and_then(Manifest::parse).map(|manifest| manifest.environments).unwrap_or_default();
    let rendered: BTreeSet<&str> = top_level(tree).collect();
    let mut folders = vec![(Utf8PathBuf::new(), shared.files)];
    for environment in shared.environments {
        if now.contains(&environment) && !rendered.contains(environment.as_str()) {
            continue;
        }
        let folder = Utf8PathBuf::from(environment);
        if let Some(manifest) = manifest(out, &folder.join(MANIFEST))? {
            folders.push((folder, manifest.files));
        }
    }
    for (folder, files) in folders {
        owned.insert(folder.join(MANIFEST), None);
        owned.extend(files.into_iter().map(|(path, sha256)| (folder.join(path), Some(sha256))));
    }
    Ok(owned)
}

/// The manifest at a path, or none if there is no file. Ends the command if the file is not a manifest: without one,
/// everything in the folder would count as foreign.
fn manifest(out: &Utf8Path, path: &Utf8Path) -> Result<Option<Manifest>, Stop> {
    let Some(bytes) = content(out, path)? else { return Ok(None) };
    Manifest::parse(&bytes).map(Some).ok_or_else(|| {
        let path = out.join(path);
        if bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(CONFLICT)) {
            Stop::bad_input(format_args!("cannot read `{path}`: it has the conflict markers of a merge"))
                .help(format_args!("restore it from either side of the merge, or delete `{out}`; then generate again"))
        } else {
            Stop::bad_input(format_args!("cannot read `{path}`: it is not a manifest of this version of fleetform"))
                .help("restore it as it was last committed, or generate into another folder with --out")
        }
    })
}

/// The names that a rendering has directly in its folder.
fn top_level(tree: &Tree) -> impl Iterator<Item = &str> {
    tree.iter().filter_map(|(path, _)| path.components().next()).map(|component| component.as_str())
}

/// The bytes of a file, or none if there is no file. The path to it has been checked for links.
fn content(out: &Utf8Path, path: &Utf8Path) -> Result<Option<Vec<u8>>, Stop> {
    let path = out.join(path);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Stop::bad_input(format_args!("cannot read `{path}`: {error}"))),
    }
}

/// Whether there is a folder. Ends the command if there is something else.
fn is_folder(out: &Utf8Path) -> Result<bool, Stop> {
    match fs::symlink_metadata(out) {
        Ok(found) if found.is_symlink() => Err(is_link(out)),
        Ok(found) if found.is_dir() => Ok(true),
        Ok(_) => Err(Stop::bad_input(format_args!("`{out}` is not a folder"))
            .help(format_args!("give a folder with --out; the default is `{DEFAULT_OUT}`"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Stop::bad_input(format_args!("cannot read `{out}`: {error}"))),
    }
}

fn is_link(path: &Utf8Path) -> Stop {
    Stop::bad_input(format_args!("`{path}` is a symbolic link, and fleetform does not write through links"))
        .help("remove it, or generate into another folder with --out")
}

/// Ends the command if something directly in a folder, or anywhere below what this or an earlier rendering has directly
/// in it, is a symbolic link.
fn refuse_links(out: &Utf8Path, searched: &BTreeSet<String>) -> Result<(), Stop> {
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        let unreadable = |error: io::Error| Stop::bad_input(format_args!("cannot read `{folder}`: {error}"));
        for entry in folder.read_dir_utf8().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_symlink() {
                return Err(is_link(entry.path()));
            }
            if kind.is_dir() && (folder != out || searched.contains(entry.file_name())) {
                folders.push(entry.into_path());
            }
        }
    }
    Ok(())
}
