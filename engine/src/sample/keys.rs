//! The keys of an object seen so far, to find duplicates. Neither many keys nor long ones make it slow.

use std::{borrow::Cow, collections::HashSet};

/// The keys of one object. The first few are compared one by one; the rest are hashed.
#[derive(Default)]
pub(super) struct Keys<'de> {
    few: [Option<Cow<'de, str>>; 12],
    count: usize,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    /// Stores a new key, or returns it as an error if it was there already.
    pub(super) fn insert(&mut self, key: Cow<'de, str>) -> Result<(), Cow<'de, str>> {
        if self.few[..self.count].iter().any(|seen| seen.as_ref() == Some(&key)) || self.many.contains(&key) {
            return Err(key);
        }
        match self.few.get_mut(self.count) {
            Some(free) => {
                *free = Some(key);
                self.count += 1;
            }
            None => {
                self.many.insert(key);
            }
        }
        Ok(())
    }
}
