//! Updates a folder to a rendering in one step, so that a run that is killed leaves it as it was.
//!
//! The new folder, with the files of others in it, is built next to the old one as an *image*. Then the two trade
//! places in a single system call. If the folder itself cannot trade places, because it has other contents, is the
//! working directory or is mounted, each entry directly in it does: an environment's folder is then still all old or
//! all new.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::Path,
};

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_generator::Tree;

use super::change::{Change, Changes};
use crate::terminal::{Stop, tell};

/// Prefix of the folders in which images are built.
const STAGE_PREFIX: &str = ".fleetform-stage-";

/// File of a stage that its run keeps locked. An unlocked stage was left behind by a run that was killed.
const LOCK: &str = "lock";

/// What could not be written, and why.
#[derive(Debug)]
pub(super) struct Unwritten {
    place: Utf8PathBuf,
    error: io::Error,
    /// Whether some entries are new and others old, whose counterpart is then in the image.
    is_half_done: bool,
}

/// Adds the place to an error.
fn at(place: &Utf8Path) -> impl FnOnce(io::Error) -> Unwritten {
    move |error| Unwritten { place: place.to_owned(), error, is_half_done: false }
}

pub(super) fn write(out: &Utf8Path, tree: &Tree, changes: &Changes) -> Result<(), Stop> {
    if changes.files.is_empty() {
        return Ok(());
    }
    let is_missing = |folder: &&Utf8Path| !folder.as_str().is_empty() && !folder.exists();
    let missing: Vec<&Utf8Path> = out.ancestors().take_while(is_missing).collect();
    put_in_place(out, tree, changes).map_err(|Unwritten { place, error, is_half_done }| {
        // Those that hold something are not removed.
        missing.iter().for_each(|folder| drop(fs::remove_dir(folder)));
        let stop = Stop::bad_input(format_args!("cannot write `{place}`: {error}"));
        if is_half_done { stop } else { stop.help(format_args!("{out} is unchanged; fix this and generate again")) }
    })
}

fn put_in_place(out: &Utf8Path, tree: &Tree, changes: &Changes) -> Result<(), Unwritten> {
    let parent = match out.parent() {
        Some(parent) if parent.as_str().is_empty() => Utf8Path::new("."),
        Some(parent) => parent,
        None => out,
    };
    fs::create_dir_all(parent).map_err(at(parent))?;
    if is_ours_alone(out, changes).map_err(at(out))? {
        match in_stage(parent, |image| whole(image, out, tree, changes)) {
            // A mounted folder, or one whose parent must not be written.
            Err(Unwritten { error, is_half_done: false, .. })
                if matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied) => {}
            result => return result,
        }
    }
    fs::create_dir_all(out).map_err(at(out))?;
    in_stage(out, |image| entries(image, out, tree, changes))
}

/// Builds an image below a folder and trades it in. Nothing is left of an image that does not get there.
fn in_stage(parent: &Utf8Path, act: impl FnOnce(&Utf8Path) -> Result<(), Unwritten>) -> Result<(), Unwritten> {
    let stage = Stage::new(parent).map_err(at(parent))?;
    let image = stage.image().map_err(at(parent))?;
    let result = act(&image);
    if result.as_ref().is_err_and(|unwritten| !unwritten.is_half_done) {
        let _ = fs::remove_dir_all(&image);
    }
    result
}

/// Whether everything directly in a folder is of this or an earlier rendering, and it is not a working directory.
fn is_ours_alone(out: &Utf8Path, changes: &Changes) -> io::Result<bool> {
    let Ok(place) = out.canonicalize_utf8() else { return Ok(true) };
    if std::env::current_dir()?.starts_with(&place) || place.parent().is_none() {
        return Ok(false);
    }
    for entry in out.read_dir_utf8()? {
        if !changes.top_level.contains(entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Trades the whole folder for its image.
fn whole(image: &Utf8Path, out: &Utf8Path, tree: &Tree, changes: &Changes) -> Result<(), Unwritten> {
    let mut old = Old::default();
    if out.try_exists().map_err(at(out))? {
        carry_over(out, Utf8Path::new(""), image, changes, &mut old)?;
    }
    write_files(image, out, tree, changes)?;
    trade(image, out).map_err(at(out))?;
    old.discard(image);
    Ok(())
}

/// Trades each entry directly in the folder for the one in its image, the shared manifest last.
fn entries(image: &Utf8Path, out: &Utf8Path, tree: &Tree, changes: &Changes) -> Result<(), Unwritten> {
    let mut old = Old::default();
    let (files, inner): (Vec<_>, Vec<_>) = changes.files.keys().partition(|path| path.components().count() == 1);
    let folders: BTreeSet<&str> =
        inner.iter().filter_map(|path| path.components().next()).map(|first| first.as_str()).collect();
    for name in &folders {
        let place = out.join(name);
        if place.try_exists().map_err(at(&place))? {
            fs::create_dir(image.join(name)).map_err(at(&place))?;
            carry_over(out, Utf8Path::new(name), image, changes, &mut old)?;
        }
    }
    write_files(image, out, tree, changes)?;
    let names: Vec<&Utf8Path> =
        folders.into_iter().map(Utf8Path::new).chain(files.iter().map(|path| path.as_path())).collect();
    trade_all(image, out, &names)?;
    old.files.extend(files.into_iter().cloned());
    old.discard(image);
    Ok(())
}

/// Trades the entries of these names between an image and a folder. If one cannot be traded, those before it are traded
/// back.
pub(super) fn trade_all(image: &Utf8Path, out: &Utf8Path, names: &[&Utf8Path]) -> Result<(), Unwritten> {
    for (index, name) in names.iter().enumerate() {
        let place = out.join(name);
        let Err(error) = trade(&image.join(name), &place) else { continue };
        let mut is_half_done = false;
        for done in names[..index].iter().rev() {
            if let Err(error) = trade(&image.join(done), &out.join(done)) {
                tell(format_args!("warning: the earlier {} is kept in {}: {error}", out.join(done), image.join(done)));
                is_half_done = true;
            }
        }
        return Err(Unwritten { place, error, is_half_done });
    }
    Ok(())
}

/// Takes over unchanged files, by hard links where possible. A folder that loses its last file is left out.
fn carry_over(
    out: &Utf8Path,
    folder: &Utf8Path,
    image: &Utf8Path,
    changes: &Changes,
    old: &mut Old,
) -> Result<(), Unwritten> {
    let (mut found, mut kept) = (false, false);
    let place = out.join(folder);
    for entry in place.read_dir_utf8().map_err(at(&place))? {
        let entry = entry.map_err(at(&place))?;
        let path = folder.join(entry.file_name());
        let target = image.join(&path);
        found = true;
        if entry.file_type().map_err(at(entry.path()))?.is_dir() {
            fs::create_dir(&target).map_err(at(entry.path()))?;
            carry_over(out, &path, image, changes, old)?;
            kept |= target.try_exists().map_err(at(entry.path()))?;
            continue;
        }
        if !changes.files.contains_key(&path) {
            let linked = fs::hard_link(entry.path(), &target);
            linked.or_else(|_| fs::copy(entry.path(), &target).map(drop)).map_err(at(entry.path()))?;
            kept = true;
        }
        old.files.push(path);
    }
    if folder.as_str().is_empty() {
        return Ok(());
    }
    if found && !kept {
        fs::remove_dir(image.join(folder)).map_err(at(&place))?;
    }
    old.folders.push(folder.to_owned());
    Ok(())
}

fn write_files(image: &Utf8Path, out: &Utf8Path, tree: &Tree, changes: &Changes) -> Result<(), Unwritten> {
    // Files of a folder stand together, so that it is asked for once or twice and not for each of them.
    let mut made = None;
    // Both are in the order of paths, which take long to compare.
    let mut rendered = tree.iter();
    for path in changes.files.iter().filter(|(_, change)| **change != Change::Removed).map(|(path, _)| path) {
        let (_, bytes) = rendered.find(|(rendered, _)| rendered == path).expect("what is written was rendered");
        let folder = path.parent().unwrap_or(Utf8Path::new(""));
        let write = || -> io::Result<()> {
            if made != Some(folder) {
                fs::create_dir_all(image.join(folder))?;
            }
            let path = image.join(path);
            fs::write(&path, bytes)?;
            make_executable(&path)
        };
        write().map_err(|error| at(&out.join(path))(error))?;
        made = Some(folder);
    }
    Ok(())
}

#[cfg(unix)]
fn make_executable(path: &Utf8Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if path.extension() != Some("sh") {
        return Ok(());
    }
    // Executable for everyone who can read it.
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_mode(permissions.mode() | (permissions.mode() & 0o444) >> 2);
    fs::set_permissions(path, permissions)
}

#[cfg(not(unix))]
fn make_executable(_: &Utf8Path) -> io::Result<()> {
    Ok(())
}

/// Trades the contents of an image and a place. One of them may be absent.
fn trade(image: &Utf8Path, place: &Utf8Path) -> io::Result<()> {
    if !place.try_exists()? {
        return fs::rename(image, place);
    }
    if !image.try_exists()? {
        return fs::rename(place, image);
    }
    match exchange(image, place) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            // Not every file system can exchange two entries at once.
            let aside = image.with_extension("old");
            fs::rename(place, &aside)?;
            fs::rename(image, place).or_else(|error| fs::rename(&aside, place).and(Err(error)))?;
            fs::rename(aside, image)
        }
        result => result,
    }
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn exchange(a: &Utf8Path, b: &Utf8Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a.as_std_path(), CWD, b.as_std_path(), RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn exchange(_: &Utf8Path, _: &Utf8Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What was seen in the folder before the trade. Only that is removed after it.
#[derive(Default)]
struct Old {
    files: Vec<Utf8PathBuf>,
    /// Inner folders before outer ones.
    folders: Vec<Utf8PathBuf>,
}

impl Old {
    fn discard(self, image: &Utf8Path) {
        for file in self.files {
            let _ = fs::remove_file(image.join(file));
        }
        for folder in self.folders {
            let _ = fs::remove_dir(image.join(folder));
        }
        let _ = fs::remove_dir(image);
        if image.exists() {
            tell(format_args!("warning: files that appeared during this run are kept in {image}"));
        }
    }
}

/// A folder in which an image is built.
struct Stage {
    folder: Utf8PathBuf,
    _lock: File,
}

impl Stage {
    fn new(parent: &Utf8Path) -> io::Result<Self> {
        remove_abandoned(parent)?;
        loop {
            let folder = tempfile::Builder::new().prefix(STAGE_PREFIX).tempdir_in(parent)?;
            match keep_locked(folder.path()) {
                Ok(lock) => {
                    let folder = Utf8PathBuf::try_from(folder.keep()).map_err(io::Error::other)?;
                    return Ok(Self { folder, _lock: lock });
                }
                // Another run considered it abandoned before it was locked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The image, empty.
    fn image(&self) -> io::Result<Utf8PathBuf> {
        let image = self.folder.join("image");
        fs::create_dir(&image)?;
        Ok(image)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What cannot be discarded stays.
        let _ = fs::remove_file(self.folder.join(LOCK));
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Locks a new stage, so that no other run considers it abandoned; returns "not found" if one already did.
fn keep_locked(stage: &Path) -> io::Result<File> {
    let path = stage.join(LOCK);
    let lock = File::create_new(&path)?;
    lock.lock()?;
    fs::metadata(path)?;
    Ok(lock)
}

/// Removes stages of runs that were killed.
fn remove_abandoned(parent: &Utf8Path) -> io::Result<()> {
    for entry in parent.read_dir_utf8()? {
        let entry = entry?;
        let stage = entry.path();
        if !entry.file_name().starts_with(STAGE_PREFIX) || !entry.file_type()?.is_dir() {
            continue;
        }
        match File::open(stage.join(LOCK)) {
            Ok(lock) if lock.try_lock().is_ok() => match clear(stage) {
                // Another run cleared it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            },
            Ok(_) => {}
            Err(_) => remove_hollow(stage),
        }
    }
    Ok(())
}

/// Removes a stage, its lock last: without it, a later run could not tell that the rest may be removed.
fn clear(stage: &Utf8Path) -> io::Result<()> {
    for entry in stage.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != LOCK {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_file(stage.join(LOCK))?;
    fs::remove_dir(stage)
}

/// Removes a stage without a lock that has no file in it. With one, it may be what a run could not put back.
fn remove_hollow(stage: &Utf8Path) {
    let mut folders = Vec::new();
    // A stage has its lock before it has any contents: without a lock after what was seen, no run owns it.
    if matches!(find_hollow(stage, &mut folders), Ok(true)) && !stage.join(LOCK).exists() {
        folders.iter().for_each(|folder| drop(fs::remove_dir(folder)));
    }
}

/// Whether a folder holds nothing but folders, all the way down; finds them, inner ones first.
fn find_hollow(folder: &Utf8Path, found: &mut Vec<Utf8PathBuf>) -> io::Result<bool> {
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || !find_hollow(entry.path(), found)? {
            return Ok(false);
        }
    }
    found.push(folder.to_owned());
    Ok(true)
}
