//! Where the rules of a plan stand on a device. Nearly all of them are as they began, on nearly every device, so only
//! the others are kept: what a device costs does not grow with the number of rules.

use std::ops::{Index, IndexMut, Range};

use crate::state::Instance;

/// Instances by slot. A slot that is not kept is as it began.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    /// Rising.
    slots: Vec<u32>,
    /// In the order of `slots`.
    kept: Vec<Instance>,
}

static BEGINNING: Instance = Instance::BEGINNING;

impl Instances {
    /// Every slot that is not as it began, and perhaps some that are again.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Instance)> {
        self.slots.iter().map(|slot| *slot as usize).zip(&self.kept)
    }

    /// The slots of a part that may not be as they began, rising.
    pub(crate) fn kept_in(&self, part: &Range<u32>) -> &[u32] {
        // Nothing is kept for most devices.
        if self.slots.is_empty() {
            return &[];
        }
        let from = self.slots.partition_point(|slot| *slot < part.start);
        let to = self.slots.partition_point(|slot| *slot < part.end);
        &self.slots[from..to]
    }

    /// Whether a slot may not be as it began.
    pub(crate) fn keeps(&self, slot: usize) -> bool {
        !self.slots.is_empty() && self.slots.binary_search(&(slot as u32)).is_ok()
    }

    /// Lets go of those that are as they began.
    pub(crate) fn settle(&mut self) {
        if self.kept.iter().any(Instance::is_default) {
            let mut kept = self.kept.iter();
            self.slots.retain(|_| kept.next().is_some_and(|instance| !instance.is_default()));
            self.kept.retain(|instance| !instance.is_default());
        }
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }
}

impl Index<usize> for Instances {
    type Output = Instance;
    fn index(&self, slot: usize) -> &Instance {
        match self.slots.binary_search(&(slot as u32)) {
            Ok(at) => &self.kept[at],
            Err(_) => &BEGINNING,
        }
    }
}

impl IndexMut<usize> for Instances {
    fn index_mut(&mut self, slot: usize) -> &mut Instance {
        let slot = slot as u32;
        let at = self.slots.binary_search(&slot).unwrap_or_else(|at| {
            self.slots.insert(at, slot);
            self.kept.insert(at, Instance::BEGINNING);
            at
        });
        &mut self.kept[at]
    }
}

impl Clone for Instances {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone(), kept: self.kept.clone() }
    }

    fn clone_from(&mut self, source: &Self) {
        self.slots.clone_from(&source.slots);
        self.kept.clone_from(&source.kept);
    }
}

impl PartialEq for Instances {
    fn eq(&self, other: &Self) -> bool {
        let changed = |(_, instance): &(usize, &Instance)| !instance.is_default();
        self.iter().filter(changed).eq(other.iter().filter(changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{state::Phase, units::Timestamp};

    #[test]
    fn only_what_is_not_as_it_began_is_kept() {
        let mut instances = Instances::default();
        assert_eq!(instances[7].phase, Phase::Inactive);
        instances[7].phase = Phase::Pending { since: Timestamp(1) };
        instances[3].breached = 1;
        instances[5].breached = 0;
        assert_eq!(instances.kept_in(&(3..7)), [3, 5]);
        assert!(instances.keeps(5) && !instances.keeps(4));
        let same = instances.clone();
        instances.settle();
        assert_eq!((instances.len(), instances.kept_in(&(0..9))), (2, [3, 7].as_slice()));
        assert_eq!(instances, same);
        assert_eq!(instances[7].phase, Phase::Pending { since: Timestamp(1) });
    }
}
