//! A corpus as files, for consumers in any language.
//!
//! `events.bin` contains the events, each preceded by its length as four bytes, little-endian. `devices.json` maps
//! devices to zones, `rules.json` is the peers' list of rules, and `rule-set.json` has the same rules as a rule set.

use std::{collections::BTreeMap, fs, io, path::Path};

use crate::{
    corpus::{self, Corpus, Size},
    rules::{self, Rule},
};

/// Writes a corpus with the first `count` rules.
pub fn write(folder: &Path, seed: u64, size: Size, count: usize) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut bytes = Vec::new();
    for event in corpus::generate(seed, size).events {
        bytes.extend_from_slice(&u32::try_from(event.len()).map_err(io::Error::other)?.to_le_bytes());
        bytes.extend_from_slice(&event);
    }
    fs::write(folder.join("events.bin"), bytes)?;
    fs::write(folder.join("devices.json"), serde_json::to_vec(&devices(size))?)?;
    write_rules(folder, count)
}

/// Overwrites the rules with the first `count`.
pub fn write_rules(folder: &Path, count: usize) -> io::Result<()> {
    fs::write(folder.join("rules.json"), serde_json::to_vec(&rules::rules(count))?)?;
    fs::write(folder.join("rule-set.json"), rules::rule_set(count))
}

/// The contents of a folder.
#[derive(Debug)]
pub struct Folder {
    /// The events.
    pub corpus: Corpus,
    /// The zone of each device.
    pub devices: BTreeMap<String, String>,
    /// The rules in the form that the peers read.
    pub rules: Vec<Rule>,
    /// The rules as a rule set.
    pub rule_set: Vec<u8>,
}

impl Folder {
    /// What [`read`] returns after [`write`], without files.
    pub fn new(seed: u64, size: Size, count: usize) -> Self {
        Self {
            corpus: corpus::generate(seed, size),
            devices: devices(size),
            rules: rules::rules(count),
            rule_set: rules::rule_set(count),
        }
    }
}

fn devices(size: Size) -> BTreeMap<String, String> {
    (0..size.devices).map(|index| (corpus::device(index), corpus::zone(index))).collect()
}

/// Reads a folder.
pub fn read(folder: &Path) -> io::Result<Folder> {
    let bytes = fs::read(folder.join("events.bin"))?;
    let mut events = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let (event, after) = after.split_at_checked(length).ok_or_else(|| io::Error::other("an event is cut short"))?;
        events.push(event.to_vec());
        rest = after;
    }
    Ok(Folder {
        corpus: Corpus { events },
        devices: serde_json::from_slice(&fs::read(folder.join("devices.json"))?)?,
        rules: serde_json::from_slice(&fs::read(folder.join("rules.json"))?)?,
        rule_set: fs::read(folder.join("rule-set.json"))?,
    })
}
