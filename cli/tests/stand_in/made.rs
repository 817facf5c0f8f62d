//! What scripts have made at the stand-in.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;

use super::stand_in::Place;

/// A folder of the stand-in: the name of each file with what it holds.
pub(crate) fn made(place: &Place, folder: &str) -> BTreeMap<String, Value> {
    let Ok(entries) = fs::read_dir(place.path(&format!("stub/{folder}"))) else { return BTreeMap::new() };
    let one = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    };
    entries.map(|entry| one(entry.unwrap().path())).collect()
}
