//! Where the rules of a plan stand on a device. On nearly every device, nearly all of them are in their initial
//! state. Only the others are stored, so the cost of a device does not grow with the number of rules.

use std::ops::{Index, IndexMut, Range};

use crate::state::Instance;

/// Instances by slot. A slot that is not stored is in its initial state.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    /// Sorted by slot.
    kept: Vec<(u32, Instance)>,
}

static BEGINNING: Instance = Instance::BEGINNING;

impl Instances {
    /// Returns every slot that is not in its initial state, and perhaps some that have returned to it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Instance)> {
        self.kept.iter().map(|(slot, instance)| (*slot as usize, instance))
    }

    /// Returns the slots of a range that a sample within all limits may move, in ascending order.
    #[inline]
    pub(crate) fn moving_in(&self, part: &Range<u32>) -> impl Iterator<Item = u32> {
        let moving = self.kept.iter().filter(|(_, instance)| !instance.is_still());
        moving.map(|(slot, _)| *slot).filter(|slot| part.contains(slot))
    }

    /// Whether a slot may have left its initial state.
    #[inline]
    pub(crate) fn keeps(&self, slot: usize) -> bool {
        self.place(slot).is_ok()
    }

    /// Removes the instances that are in their initial state.
    pub(crate) fn settle(&mut self) {
        self.kept.retain(|(_, instance)| !instance.is_default());
    }

    /// Whether a sample within all limits moves none of them.
    #[inline]
    pub(crate) fn are_still(&self) -> bool {
        self.kept.iter().all(|(_, instance)| instance.is_still())
    }

    /// Returns how many instances are stored.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    #[inline]
    fn place(&self, slot: usize) -> Result<usize, usize> {
        self.kept.binary_search_by_key(&(slot as u32), |(slot, _)| *slot)
    }
}

impl Index<usize> for Instances {
    type Output = Instance;
    #[inline]
    fn index(&self, slot: usize) -> &Instance {
        match self.place(slot) {
            Ok(at) => &self.kept[at].1,
            Err(_) => &BEGINNING,
        }
    }
}

impl IndexMut<usize> for Instances {
    fn index_mut(&mut self, slot: usize) -> &mut Instance {
        let at = self.place(slot).unwrap_or_else(|at| {
            self.kept.insert(at, (slot as u32, Instance::BEGINNING));
            at
        });
        &mut self.kept[at].1
    }
}

/// From instances sorted by slot.
impl FromIterator<(u32, Instance)> for Instances {
    fn from_iter<I: IntoIterator<Item = (u32, Instance)>>(instances: I) -> Self {
        Self { kept: instances.into_iter().collect() }
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
        instances[4].noticed_at = Some(Timestamp(1));
        instances[5].breached = 0;
        assert!(instances.moving_in(&(3..7)).eq([3]));
        assert!(instances.keeps(5) && !instances.keeps(6) && !instances.are_still());
        let same: Instances = instances.iter().map(|(slot, kept)| (slot as u32, kept.clone())).collect();
        instances.settle();
        assert_eq!(instances.len(), 3);
        assert!(instances.moving_in(&(0..9)).eq([3, 7]));
        assert_eq!(instances, same);
        assert_eq!(instances[7].phase, Phase::Pending { since: Timestamp(1) });
    }
}
