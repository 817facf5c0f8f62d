//! Crumbs in files: what a process leaves for its successor, which Lambda starts in the same environment and with the
//! same `/tmp`. A file that cannot be read or written counts as missing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fleetform_engine::drive::{Crumb, Crumbs};

/// A folder of crumbs.
#[derive(Debug)]
pub struct FileCrumbs {
    folder: PathBuf,
}

impl FileCrumbs {
    /// Keeps crumbs in this folder, which must exist.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self { folder: folder.as_ref().to_owned() }
    }

    /// The path of a shard's crumb. A shard's id consists of letters, digits, `_`, `.` and `-`; no other input can lead
    /// outside the folder.
    fn path(&self, shard: &str, kind: &str) -> PathBuf {
        let name: String = shard.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
        self.folder.join(format!("fleetform-{name}.{kind}"))
    }
}

impl Crumbs for FileCrumbs {
    fn find(&self, shard: &str) -> Option<Crumb> {
        serde_json::from_slice(&fs::read(self.path(shard, "crumb")).ok()?).ok()
    }

    fn leave(&self, shard: &str, crumb: Option<Crumb>) {
        let path = self.path(shard, "crumb");
        let left = match crumb {
            None => fs::remove_file(&path).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }),
            // Written completely or not at all, whenever the process ends.
            Some(crumb) => serde_json::to_vec(&crumb).map_err(Into::into).and_then(|bytes| {
                let whole = self.path(shard, "new");
                fs::write(&whole, bytes)?;
                fs::rename(&whole, &path)
            }),
        };
        if let Err(error) = left {
            tracing::warn!(shard, reason = %error, "no crumb was left");
        }
    }
}

#[cfg(test)]
mod tests {
    use fleetform_engine::position::SequenceNumber;

    use super::*;

    #[test]
    fn a_crumb_is_found_until_it_is_taken_away() {
        let folder = std::env::temp_dir().join(format!("fleetform-crumbs-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let crumbs = FileCrumbs::new(&folder);
        let number = |text| SequenceNumber::new(text).expect("a number");
        let crumb = Crumb { first: number("7"), tries: 2, alone: Some(number("9")) };
        assert_eq!(crumbs.find("shardId-0"), None);
        crumbs.leave("shardId-0", Some(crumb));
        assert_eq!(FileCrumbs::new(&folder).find("shardId-0"), Some(crumb));
        assert_eq!(crumbs.find("shardId-1"), None);
        fs::write(crumbs.path("shardId-0", "crumb"), b"{").expect("a file");
        assert_eq!(crumbs.find("shardId-0"), None);
        crumbs.leave("../x", Some(crumb));
        assert_eq!(crumbs.find("../x"), Some(crumb));
        for shard in ["shardId-0", "shardId-1", "../x"] {
            crumbs.leave(shard, None);
        }
        assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 0);
        fs::remove_dir(&folder).expect("an empty folder");
    }
}
