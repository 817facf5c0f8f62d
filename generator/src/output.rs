//! The output of a rendering: paths below an output folder, and their bytes.
//!
//! A path in a [`Tree`] always stays below the folder, whatever folder that is. Nothing here writes files or looks into
//! them, except for the manifests, which list every other file with its hash.

use std::{collections::BTreeMap, fmt::Write};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// File name of the manifests: one for the files that environments share, and one for each environment.
pub const MANIFEST: &str = "manifest.json";

/// The format version of the manifests.
const MANIFEST_FORMAT: u32 = 1;

/// Files by path, relative to the output folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<Utf8PathBuf, File>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    bytes: Vec<u8>,
    /// In hexadecimal, if it was needed before the manifest.
    sha256: Option<String>,
}

impl Tree {
    /// Creates an empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    ///
    /// # Panics
    ///
    /// If the path could leave the output folder or is already taken. Ids are checked when a platform file is read, so
    /// no platform causes this.
    pub fn insert(&mut self, path: impl Into<Utf8PathBuf>, bytes: impl Into<Vec<u8>>) {
        self.insert_file(path.into(), File { bytes: bytes.into(), sha256: None });
    }

    /// Adds a file whose SHA-256 is already known, in hexadecimal. Panics like [`Self::insert`].
    pub(crate) fn insert_known(&mut self, path: impl Into<Utf8PathBuf>, bytes: impl Into<Vec<u8>>, sha256: String) {
        self.insert_file(path.into(), File { bytes: bytes.into(), sha256: Some(sha256) });
    }

    fn insert_file(&mut self, path: Utf8PathBuf, file: File) {
        assert!(stays_below(&path), "`{path}` could leave the output folder");
        let before = self.0.insert(path, file);
        assert!(before.is_none(), "a path is written once");
    }

    /// Creates a tree of many files. They are best given in path order, because each path is then compared with only
    /// one other.
    ///
    /// # Panics
    ///
    /// If a path could leave the output folder or occurs twice.
    pub(crate) fn of(files: Vec<(Utf8PathBuf, Vec<u8>)>) -> Self {
        let count = files.len();
        let tree = Self(files.into_iter().map(|(path, bytes)| (path, File { bytes, sha256: None })).collect());
        for path in tree.0.keys() {
            assert!(stays_below(path), "`{path}` could leave the output folder");
        }
        assert_eq!(tree.len(), count, "a path is written once");
        tree
    }

    /// Adds all files of another tree below a folder.
    pub fn insert_below(&mut self, folder: &str, other: Self) {
        let folder = Utf8Path::new(folder);
        assert!(stays_below(folder), "`{folder}` could leave the output folder");
        let both = self.len() + other.len();
        // Comparing paths is slow. These are already in order and are merged in one pass.
        let mut moved = other.0.into_iter().map(|(path, file)| (folder.join(path), file)).collect();
        self.0.append(&mut moved);
        assert_eq!(self.len(), both, "a path is written once");
    }

    /// Iterates over paths and bytes, in path order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Utf8Path, &[u8])> {
        self.0.iter().map(|(path, file)| (path.as_path(), file.bytes.as_slice()))
    }

    /// Returns the bytes of one file.
    pub fn get(&self, path: impl AsRef<Utf8Path>) -> Option<&[u8]> {
        self.0.get(path.as_ref()).map(|file| file.bytes.as_slice())
    }

    /// Returns the number of files.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a path names something below the folder that it is relative to, whatever that folder contains, apart from
/// symbolic links.
pub(crate) fn stays_below(path: &Utf8Path) -> bool {
    !path.as_str().is_empty() && path.components().all(|component| matches!(component, Utf8Component::Normal(_)))
}

/// What a rendering wrote into one folder, so that the next rendering knows which files it owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// The version of fleetform that wrote the files.
    pub generator: String,
    /// `platform.name`.
    pub platform: String,
    /// The environments, in the manifest of the shared files; empty in an environment's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// The rule set of the environment; `None` in the manifest of the shared files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_set: Option<RuleSetAddress>,
    /// The SHA-256 of each file, keyed by its path relative to the manifest.
    pub files: BTreeMap<Utf8PathBuf, String>,
}

/// The rule set that an environment is deployed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSetAddress {
    /// The version of the rule set format.
    pub format_version: u32,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl Manifest {
    /// Creates the manifest of a tree in its current state.
    pub fn of(tree: &Tree, platform: &str) -> Self {
        let hash = |file: &File| file.sha256.clone().unwrap_or_else(|| sha256(&file.bytes));
        Self {
            format: MANIFEST_FORMAT,
            generator: env!("CARGO_PKG_VERSION").to_owned(),
            platform: platform.to_owned(),
            environments: Vec::new(),
            rule_set: None,
            files: tree.0.iter().map(|(path, file)| (path.clone(), hash(file))).collect(),
        }
    }

    /// Returns the manifest's text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a manifest has only text keys");
        bytes.push(b'\n');
        bytes
    }

    /// Parses a manifest; `None` if the text is not one, or names a path that leaves its folder.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(bytes).ok()?;
        let paths_stay = manifest.files.keys().all(|path| stays_below(path));
        let names_stay = manifest
            .environments
            .iter()
            .all(|name| stays_below(Utf8Path::new(name)) && Utf8Path::new(name).components().count() == 1);
        (manifest.format == MANIFEST_FORMAT && paths_stay && names_stay).then_some(manifest)
    }
}

/// Returns the SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_11_a_path_that_could_leave_the_folder_is_no_path_of_a_tree() {
        for path in ["../x", "/etc/passwd", "a/../../x", "", ".", "a/.."] {
            assert!(!stays_below(Utf8Path::new(path)), "{path}");
            let insert = || Tree::new().insert(path, "");
            assert!(std::panic::catch_unwind(insert).is_err(), "{path}");
        }
        for path in ["a", "a/b.json", ".github/workflows/deploy.yml", "..a/b"] {
            assert!(stays_below(Utf8Path::new(path)), "{path}");
        }
    }

    #[test]
    fn case_11_a_manifest_that_names_such_a_path_is_no_manifest() {
        let manifest = |environments: &str, path: &str| {
            let text = format!(
                r#"{{"format":1,"generator":"0","platform":"p","environments":[{environments}],"files":{{"{path}":""}}}}"#
            );
            Manifest::parse(text.as_bytes())
        };
        assert!(manifest(r#""dev""#, "root.yaml").is_some());
        assert!(manifest(r#""../dev""#, "root.yaml").is_none());
        assert!(manifest(r#""dev/x""#, "root.yaml").is_none());
        assert!(manifest("", "../../root.yaml").is_none());
        assert!(manifest("", "/root.yaml").is_none());
        assert!(Manifest::parse(b"{").is_none());
    }

    #[test]
    fn a_manifest_reads_back() {
        let mut tree = Tree::new();
        tree.insert("a/b.txt", "text\n");
        let manifest = Manifest::of(&tree, "riverton-water");
        assert_eq!(manifest.files[Utf8Path::new("a/b.txt")], sha256(b"text\n"));
        assert_eq!(Manifest::parse(&manifest.to_bytes()), Some(manifest));
    }
}
