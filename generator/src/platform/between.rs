//! Intermediate thing groups between a zone and its child zones, for zones with more children than AWS IoT allows
//! directly in one group.
//!
//! The group of a zone depends only on the zone's own id, so adding a zone does not move any other: AWS IoT cannot move
//! a group.

use std::collections::{BTreeMap, BTreeSet};

use fleetform_engine::ids::ZoneId;
use sha2::{Digest as _, Sha256};

use super::zone::Zone;

/// Maximum number of direct child groups ("AWS IoT Core thing group limits and quotas").
pub(crate) const CHILDREN_MAX: usize = 100;

/// Which groups have intermediate groups between them and their children.
pub(crate) struct Between<'p> {
    zones: &'p BTreeMap<ZoneId, Zone>,
    /// How many zones lie directly in a zone; `None` is the group around all zones.
    pub(crate) children: BTreeMap<Option<&'p ZoneId>, usize>,
}

impl<'p> Between<'p> {
    /// The intermediate groups of a platform with these zones.
    pub(crate) fn of(zones: &'p BTreeMap<ZoneId, Zone>) -> Self {
        let mut children: BTreeMap<Option<&ZoneId>, usize> = BTreeMap::new();
        for zone in zones.values() {
            *children.entry(zone.parent.as_ref()).or_default() += 1;
        }
        Self { zones, children }
    }

    /// The number of the intermediate group that a zone is in, from 1 to [`CHILDREN_MAX`]; `None` if its parent has no
    /// such groups.
    pub(crate) fn number(&self, id: &ZoneId, zone: &Zone) -> Option<usize> {
        let hash = || Sha256::digest(id.as_str().as_bytes());
        self.is_crowded(zone.parent.as_ref()).then(|| 1 + usize::from(hash()[2]) % CHILDREN_MAX)
    }

    /// Whether there are intermediate groups between a zone and its children.
    pub(crate) fn is_crowded(&self, zone: Option<&ZoneId>) -> bool {
        self.children.get(&zone).is_some_and(|count| *count > CHILDREN_MAX)
    }

    /// The ancestors of a zone, ending with the group around all zones.
    pub(crate) fn parents<'z>(&self, zone: &'z Zone) -> impl Iterator<Item = Option<&'z ZoneId>>
    where
        'p: 'z,
    {
        let zones = self.zones;
        let around = move |parent: &ZoneId| zones.get(parent).and_then(|zone| zone.parent.as_ref());
        std::iter::successors(Some(zone.parent.as_ref()), move |parent| parent.map(around))
    }

    /// How many groups a zone is in, not counting the one around all zones.
    pub(crate) fn levels_above(&self, zone: &Zone) -> usize {
        let levels = |parent: Option<&ZoneId>| usize::from(parent.is_some()) + usize::from(self.is_crowded(parent));
        self.parents(zone).map(levels).sum()
    }

    /// All intermediate groups, by the zone that they are in and their number.
    pub(crate) fn groups(&self) -> BTreeSet<(Option<&'p ZoneId>, usize)> {
        let numbers = self.zones.iter().filter_map(|(id, zone)| Some((zone.parent.as_ref(), self.number(id, zone)?)));
        numbers.collect()
    }

    /// The zones with more children than their intermediate groups can hold, each with the size of its fullest group.
    pub(crate) fn overfull(&self) -> BTreeMap<Option<&'p ZoneId>, usize> {
        let mut loads: BTreeMap<(Option<&ZoneId>, usize), usize> = BTreeMap::new();
        for (id, zone) in self.zones {
            if let Some(number) = self.number(id, zone) {
                *loads.entry((zone.parent.as_ref(), number)).or_default() += 1;
            }
        }
        loads.retain(|_, count| *count > CHILDREN_MAX);
        loads.into_iter().map(|((parent, _), count)| (parent, count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates zones, each with the part of its id before the last `-` as its parent, if there is one.
    fn zones(ids: impl IntoIterator<Item = String>) -> BTreeMap<ZoneId, Zone> {
        let zone = |id: &str| Zone {
            title: id.into(),
            parent: id.rsplit_once('-').map(|(parent, _)| ZoneId::new(parent).unwrap()),
            timezone: "UTC".into(),
            contacts: Vec::new(),
            labels: BTreeMap::new(),
        };
        ids.into_iter().map(|id| (ZoneId::new(&id).unwrap(), zone(&id))).collect()
    }

    #[test]
    fn there_are_groups_between_where_one_takes_no_more() {
        let full = zones((0..100).map(|n| format!("z{n}")));
        assert!(Between::of(&full).groups().is_empty());
        let over = zones((0..101).map(|n| format!("z{n}")).chain((0..150).map(|n| format!("z0-n{n}"))));
        let between = Between::of(&over);
        let z0 = ZoneId::new("z0").unwrap();
        let parents: BTreeSet<_> = between.groups().into_iter().map(|(parent, _)| parent).collect();
        assert_eq!(parents, BTreeSet::from([None, Some(&z0)]));
        let above = |id: &str| between.levels_above(&over[&ZoneId::new(id).unwrap()]);
        assert_eq!((above("z7"), above("z0-n7")), (1, 3));
        assert!(between.overfull().is_empty());
        assert!(between.groups().len() <= 2 * CHILDREN_MAX);
    }

    #[test]
    fn zones_for_which_the_groups_between_have_no_room_are_found() {
        let over = zones((0..12_000).map(|n| format!("z{n}")));
        let overfull = Between::of(&over).overfull();
        assert!(overfull[&None] > CHILDREN_MAX, "{overfull:?}");
    }
}
