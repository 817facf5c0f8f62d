//! How the keys of a device type's messages are spelled, and the order in which they were last seen.
//!
//! Devices of one type send their keys in one order, so the next key is almost always the one that followed last
//! time. What is remembered is only a guess: it changes how soon a key is found, never which one.

use std::sync::atomic::{AtomicU8, Ordering};

use super::{
    layout::{Layout, Node, Place},
    parse::Level as Which,
    template::Templates,
};

/// Maximum number of keys named in one object; more are left to the parser. A set of seen keys is one integer.
const KEYS_MAX: usize = 64;
/// Maximum nesting of named objects; deeper ones are left to the parser.
const LEVELS_MAX: usize = 8;
/// Number of bytes of a key that are compared at once.
const HEAD_BYTES: usize = 16;

/// The objects that make up a message of one device type. The first is a sample itself.
#[derive(Debug)]
pub(crate) struct Spelling {
    levels: Vec<Level>,
    /// Templates of whole messages, and of the samples of a batch.
    templates: [Templates; 2],
}

/// The named keys of one object.
#[derive(Debug)]
pub(super) struct Level {
    keys: Vec<Spelt>,
    /// Whether it is the object of readings.
    pub(super) readings: bool,
    /// The key that came next, by the key that was read last, with one entry for none. One list for messages, one for
    /// the samples of a batch.
    next: [Vec<AtomicU8>; 2],
}

#[derive(Debug)]
struct Spelt {
    /// The key in quotes, with its colon.
    text: Words,
    named: Named,
}

/// A string that messages are compared with.
#[derive(Debug)]
pub(super) struct Words {
    text: Box<[u8]>,
    /// Its first [`HEAD_BYTES`] bytes as an integer; the mask says which of them count.
    head: u128,
    mask: u128,
}

/// What lies at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    DeviceId,
    Timestamp,
    /// The object of readings: the level with this index.
    Readings(usize),
    Batch,
    /// The health value with this index.
    Health(u16),
    /// The reading of this metric.
    Reading(u16),
    /// Another object with named keys: the level with this index.
    Inside(usize),
}

impl Spelling {
    /// Creates the spelling of a type whose readings have these keys, by metric. `None` if messages cannot be read
    /// without a parser.
    pub(crate) fn new<'a>(layout: &Layout, readings: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut spelling = Self { levels: Vec::new(), templates: Default::default() };
        let readings: Vec<(&str, Named)> =
            readings.zip(0..).map(|(key, metric)| (key, Named::Reading(metric))).collect();
        spelling.add(&layout.root, &readings)?;
        Some(spelling)
    }

    fn add(&mut self, nodes: &[Node], readings: &[(&str, Named)]) -> Option<usize> {
        let index = self.levels.len();
        if index >= LEVELS_MAX {
            return None;
        }
        self.levels.push(Level::new(&[], false)?);
        let mut keys = Vec::new();
        for node in nodes {
            let named = match &node.place {
                Place::DeviceId => Named::DeviceId,
                Place::Timestamp => Named::Timestamp,
                Place::Readings => {
                    self.levels.push(Level::new(readings, true)?);
                    Named::Readings(self.levels.len() - 1)
                }
                Place::Batch => Named::Batch,
                Place::Health(health) => Named::Health(*health),
                Place::Inside(inner) => Named::Inside(self.add(inner, readings)?),
            };
            keys.push((node.key.as_str(), named));
        }
        self.levels[index] = Level::new(&keys, false)?;
        Some(index)
    }

    #[inline]
    pub(super) fn templates(&self, which: Which) -> &Templates {
        let [of_messages, of_elements] = &self.templates;
        match which {
            Which::Root => of_messages,
            Which::Element => of_elements,
        }
    }

    pub(super) fn level(&self, index: usize) -> &Level {
        &self.levels[index]
    }
}

impl Level {
    fn new(keys: &[(&str, Named)], readings: bool) -> Option<Self> {
        let none = || std::iter::repeat_with(AtomicU8::default).take(keys.len() + 1).collect();
        if keys.len() > KEYS_MAX {
            return None;
        }
        let keys: Vec<Spelt> = keys.iter().filter_map(|(key, named)| Spelt::new(key, *named)).collect();
        Some(Self { next: [none(), none()], keys, readings })
    }

    /// Finds the key at the start of `rest` among the named ones and returns its index. `last` is the key before it,
    /// `list` selects the order.
    #[inline]
    pub(super) fn find(&self, list: usize, last: Option<usize>, rest: &[u8]) -> Option<usize> {
        let next = &self.next[list][last.map_or(0, |last| last + 1)];
        let guess = usize::from(next.load(Ordering::Relaxed));
        if self.keys.get(guess).is_some_and(|key| key.text.begins(rest)) {
            return Some(guess);
        }
        let found = self.keys.iter().position(|key| key.text.begins(rest))?;
        next.store(found as u8, Ordering::Relaxed);
        Some(found)
    }

    /// Whether a key, as it stands in a message without escapes, is one of the named.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.keys.iter().any(|named| named.text.text.get(1..named.text.text.len() - 2) == Some(key))
    }

    /// Returns what a key means, and its length with quotes and colon.
    #[inline]
    pub(super) fn named(&self, index: usize) -> (Named, usize) {
        let key = &self.keys[index];
        (key.named, key.text.text.len())
    }
}

impl Spelt {
    /// Returns `None` for a key that a message can only hold with escapes, or in more than one way.
    fn new(key: &str, named: Named) -> Option<Self> {
        if key.bytes().any(|byte| matches!(byte, b'"' | b'\\') || !(0x20..0x7f).contains(&byte)) {
            return None;
        }
        Some(Self { text: Words::new(format!("\"{key}\":").as_bytes()), named })
    }
}

impl Words {
    pub(super) fn new(text: &[u8]) -> Self {
        let mut head = [0; HEAD_BYTES];
        let mut mask = [0; HEAD_BYTES];
        for (index, byte) in text.iter().take(HEAD_BYTES).enumerate() {
            (head[index], mask[index]) = (*byte, 0xff);
        }
        Self { text: text.into(), head: u128::from_le_bytes(head), mask: u128::from_le_bytes(mask) }
    }

    /// Returns what follows these bytes, if `rest` starts with them.
    #[inline]
    pub(super) fn after<'m>(&self, rest: &'m [u8]) -> Option<&'m [u8]> {
        if self.begins(rest) { rest.get(self.text.len()..) } else { None }
    }

    #[inline]
    fn begins(&self, rest: &[u8]) -> bool {
        match rest.split_first_chunk::<HEAD_BYTES>() {
            Some((head, after)) => {
                (u128::from_le_bytes(*head) ^ self.head) & self.mask == 0
                    && self.text.get(HEAD_BYTES..).is_none_or(|tail| after.starts_with(tail))
            }
            None => rest.starts_with(&self.text),
        }
    }
}
