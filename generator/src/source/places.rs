//! The location of every key and value of a document, by path.
//!
//! Most files are read, found valid, and never asked for a location. Recording a location therefore costs the reader
//! only 24 bytes and no search, because a path is identified by its hash. The first few lookups search all locations;
//! only frequent lookups cause them to be sorted.

use std::{
    cell::{Cell, OnceCell},
    ops::Range,
};

use super::Step;

/// Locations by path.
#[derive(Debug, Default)]
pub(super) struct Places {
    all: Vec<Place>,
    /// How often a location has been looked up.
    asked: Cell<usize>,
    /// The indices of all locations, sorted by path; set after frequent lookups.
    by_path: OnceCell<Vec<u32>>,
}

/// An estimate: a key, its value and the characters between them take 15 bytes in a typical file. A denser file grows
/// the vector while it is read.
const BYTES_PER_PLACE: usize = 14;

/// Number of lookups without sorting: sorting takes as long as a hundred searches.
const SEARCHES_MAX: usize = 16;

#[derive(Debug)]
struct Place {
    path: Path,
    key: [u32; 2],
    value: [u32; 2],
}

/// A path from the document's root, as its hash. A collision within a document is extremely unlikely, and would only
/// put a message in a wrong location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Path(u64);

impl Path {
    /// The document itself.
    pub(super) const ROOT: Self = Self(0xcbf2_9ce4_8422_2325);

    /// Appends a step.
    pub(super) fn then(self, step: Step<'_>) -> Self {
        match step {
            Step::Key(key) => self.bytes(key.as_bytes()).bytes(&[0xff]),
            Step::Index(index) => self.bytes(&index.to_le_bytes()).bytes(&[0xfe]),
        }
    }

    /// FNV-1a. No UTF-8 text contains a byte above 0xf4, so such a byte can terminate a step.
    fn bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)))
    }
}

impl Places {
    /// Creates an empty collection, with capacity for the locations of a text of this many bytes.
    pub(super) fn with_room_for(bytes: usize) -> Self {
        Self { all: Vec::with_capacity(bytes / BYTES_PER_PLACE), ..Self::default() }
    }

    /// Records the location of a key and its value. Offsets in a document fit into 32 bits.
    pub(super) fn add(&mut self, path: Path, key: Range<usize>, value: Range<usize>) {
        let short = |span: Range<usize>| [span.start as u32, span.end as u32];
        self.all.push(Place { path, key: short(key), value: short(value) });
    }

    /// Returns the locations of the key and the value at a path.
    pub(super) fn get(&self, path: Path) -> Option<(Range<usize>, Range<usize>)> {
        self.asked.set(self.asked.get() + 1);
        if self.asked.get() <= SEARCHES_MAX {
            return self.all.iter().find(|place| place.path == path).map(Place::spans);
        }
        let path_of = |index: &u32| self.all[*index as usize].path;
        let by_path = self.by_path.get_or_init(|| {
            let mut by_path: Vec<u32> = (0..self.all.len() as u32).collect();
            by_path.sort_unstable_by_key(path_of);
            by_path
        });
        let found = by_path.binary_search_by_key(&path, path_of).ok()?;
        Some(self.all[by_path[found] as usize].spans())
    }
}

impl Place {
    /// Returns the locations of the key and the value.
    fn spans(&self) -> (Range<usize>, Range<usize>) {
        let long = |[start, end]: [u32; 2]| start as usize..end as usize;
        (long(self.key), long(self.value))
    }
}

#[cfg(test)]
impl PartialEq for Places {
    fn eq(&self, other: &Self) -> bool {
        fn sorted(places: &Places) -> Vec<(Path, [u32; 2], [u32; 2])> {
            let mut all: Vec<_> = places.all.iter().map(|place| (place.path, place.key, place.value)).collect();
            all.sort_unstable();
            all
        }
        sorted(self) == sorted(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_its_path_and_no_other() {
        let mut places = Places::default();
        let list = Path::ROOT.then(Step::Key("list"));
        let second = list.then(Step::Index(1));
        places.add(second, 9..12, 9..12);
        places.add(list, 0..4, 7..13);
        // The first lookups search; the later ones use the sorted order.
        for _ in 0..SEARCHES_MAX {
            assert_eq!(places.get(list), Some((0..4, 7..13)));
            assert_eq!(places.get(second), Some((9..12, 9..12)));
            for other in [Step::Index(0), Step::Key("1"), Step::Key("\u{1}"), Step::Key("")] {
                assert_eq!(places.get(list.then(other)), None, "{other:?}");
            }
        }
        assert!(places.by_path.get().is_some());
        assert_ne!(Path::ROOT.then(Step::Key("ab")), Path::ROOT.then(Step::Key("a")).then(Step::Key("b")));
    }
}
