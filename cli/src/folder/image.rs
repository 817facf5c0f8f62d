//! Brings a folder to a rendering in one step, so that a run that is killed leaves it as it was.
//!
//! The folder as it is to be, files of others included, is put together beside it as an *image*, and then the two
//! change places by a single call of the operating system. Where the folder itself cannot change places, because it
//! holds other things, is the working directory or is mounted, each entry directly in it changes places: an
//! environment's folder is then still all old or all new.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
};

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_generator::Tree;

use super::change::{Change, Changes};
use crate::terminal::{Stop, tell};

/// How the folders begin in which images are put together.
const STAGE_PREFIX: &str = ".fleetform-stage-";

/// File of a stage that its run keeps locked. A stage that nobody keeps was left by a run that was killed.
const LOCK: &str = "lock";

pub(super) fn write(out: &Utf8Path, tree: &Tree, changes: &Changes) -> Result<(), Stop> {
    if changes.files.is_empty() {
        return Ok(());
    }
    let failed = |error: io::Error| Stop::failed(format_args!("cannot write `{out}`: {error}"));
    let parent = match out.parent() {
        Some(parent) if parent.as_str().is_empty() => Utf8Path::new("."),
        Some(parent) => parent,
        None => out,
    };
    fs::create_dir_all(parent).map_err(failed)?;
    if is_ours_alone(out, changes).map_err(failed)? {
        match Stage::new(parent).and_then(|stage| whole(&stage, out, tree, changes)) {
            // A mounted folder, or one whose parent must not be written.
            Err(error) if matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied) => {}
            result => return result.map_err(failed),
        }
    }
    fs::create_dir_all(out).map_err(failed)?;
    Stage::new(out).and_then(|stage| entries(&stage, out, tree, changes)).map_err(failed)
}

/// Whether everything directly in a folder is of this or an earlier rendering, and nobody stands in it.
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

/// Lets the whole folder and its image change places.
fn whole(stage: &Stage, out: &Utf8Path, tree: &Tree, changes: &Changes) -> io::Result<()> {
    let image = stage.image()?;
    let mut old = Old::default();
    if out.try_exists()? {
        carry_over(out, Utf8Path::new(""), &image, changes, &mut old)?;
    }
    write_files(&image, tree, changes)?;
    trade(&image, out)?;
    old.discard(&image);
    Ok(())
}

/// Lets each entry directly in the folder and its image change places, the manifest of what is shared last.
fn entries(stage: &Stage, out: &Utf8Path, tree: &Tree, changes: &Changes) -> io::Result<()> {
    let image = stage.image()?;
    let mut old = Old::default();
    let (files, inner): (Vec<_>, Vec<_>) = changes.files.iter().partition(|(path, _)| path.components().count() == 1);
    let folders: BTreeSet<&str> =
        inner.iter().filter_map(|(path, _)| path.components().next()).map(|first| first.as_str()).collect();
    for name in &folders {
        if out.join(name).try_exists()? {
            fs::create_dir(image.join(name))?;
            carry_over(out, Utf8Path::new(name), &image, changes, &mut old)?;
        }
    }
    write_files(&image, tree, changes)?;
    for name in folders {
        let (image, place) = (image.join(name), out.join(name));
        if image.try_exists()? { trade(&image, &place)? } else { fs::rename(&place, &image)? }
    }
    for (path, change) in files {
        match change {
            Change::New | Change::Changed => fs::rename(image.join(path), out.join(path))?,
            Change::Removed => fs::remove_file(out.join(path))?,
        }
    }
    old.discard(&image);
    Ok(())
}

/// Takes over what stays as it is, by hard links where there are any. A folder that loses its last file is left out.
fn carry_over(out: &Utf8Path, folder: &Utf8Path, image: &Utf8Path, changes: &Changes, old: &mut Old) -> io::Result<()> {
    let (mut found, mut kept) = (false, false);
    for entry in out.join(folder).read_dir_utf8()? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        found = true;
        if entry.file_type()?.is_dir() {
            fs::create_dir(image.join(&path))?;
            carry_over(out, &path, image, changes, old)?;
            kept |= image.join(&path).try_exists()?;
            continue;
        }
        if !changes.files.contains_key(&path) {
            let target = image.join(&path);
            fs::hard_link(entry.path(), &target).or_else(|_| fs::copy(entry.path(), &target).map(drop))?;
            kept = true;
        }
        old.files.push(path);
    }
    if folder.as_str().is_empty() {
        return Ok(());
    }
    if found && !kept {
        fs::remove_dir(image.join(folder))?;
    }
    old.folders.push(folder.to_owned());
    Ok(())
}

fn write_files(image: &Utf8Path, tree: &Tree, changes: &Changes) -> io::Result<()> {
    // Files of a folder stand together, so that it is asked for once or twice and not for each of them.
    let mut made = None;
    // Both are in the order of paths, which take long to compare.
    let mut rendered = tree.iter();
    for path in changes.files.iter().filter(|(_, change)| **change != Change::Removed).map(|(path, _)| path) {
        let (_, bytes) = rendered.find(|(rendered, _)| rendered == path).expect("what is written was rendered");
        let folder = path.parent().unwrap_or(Utf8Path::new(""));
        if made != Some(folder) {
            fs::create_dir_all(image.join(folder))?;
            made = Some(folder);
        }
        let path = image.join(path);
        fs::write(&path, bytes)?;
        make_executable(&path)?;
    }
    Ok(())
}

#[cfg(unix)]
fn make_executable(path: &Utf8Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if path.extension() != Some("sh") {
        return Ok(());
    }
    // Whoever may read it may run it.
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_mode(permissions.mode() | (permissions.mode() & 0o444) >> 2);
    fs::set_permissions(path, permissions)
}

#[cfg(not(unix))]
fn make_executable(_: &Utf8Path) -> io::Result<()> {
    Ok(())
}

/// Puts an image in a place; what was there is then where the image was.
fn trade(image: &Utf8Path, place: &Utf8Path) -> io::Result<()> {
    if !place.try_exists()? {
        return fs::rename(image, place);
    }
    match exchange(image, place) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            // Not every file system can do both at once.
            let aside = image.with_extension("old");
            fs::rename(place, &aside)?;
            fs::rename(image, place)?;
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
    /// Inner folders before those that hold them.
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
            tell(format_args!("warning: files that came up while this ran are kept in {image}"));
        }
    }
}

/// A folder in which an image is put together.
struct Stage {
    folder: Utf8PathBuf,
    _lock: File,
}

impl Stage {
    fn new(parent: &Utf8Path) -> io::Result<Self> {
        remove_abandoned(parent)?;
        let folder = tempfile::Builder::new().prefix(STAGE_PREFIX).tempdir_in(parent)?.keep();
        let folder = Utf8PathBuf::try_from(folder).map_err(io::Error::other)?;
        let lock = File::create_new(folder.join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
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
        // What could not be discarded stays.
        let _ = fs::remove_file(self.folder.join(LOCK));
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Removes stages of runs that were killed.
fn remove_abandoned(parent: &Utf8Path) -> io::Result<()> {
    for entry in parent.read_dir_utf8()? {
        let entry = entry?;
        if !entry.file_name().starts_with(STAGE_PREFIX) || !entry.file_type()?.is_dir() {
            continue;
        }
        match File::open(entry.path().join(LOCK)) {
            Ok(lock) if lock.try_lock().is_ok() => fs::remove_dir_all(entry.path())?,
            Ok(_) => {}
            // Killed before it had a lock; it holds nothing then.
            Err(_) => drop(fs::remove_dir(entry.path())),
        }
    }
    Ok(())
}
