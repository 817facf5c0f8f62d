//! What fleets and their members know about each other: how a zone stands for a fleet rule, and what a device has
//! reported of itself to fleets. Which records carry such reports, and what follows from them, is decided elsewhere.
//!
//! A fleet rule in a zone is stored in a state as a pseudo-device, under a key that is not a valid device id. So it
//! goes where that key's records go, and its instance is moved, kept and undone like any other.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    effect,
    ids::{DeviceId, RuleId, ZoneId},
    rule_set::FleetOf,
};

/// Minimum number of devices in a zone for a percentage of them to be meaningful.
pub const FLEET_DEVICES_MIN: u32 = 5;

/// The devices of a zone as a fleet rule sees them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    members: BTreeMap<DeviceId, Member>,
    /// The state that `inside` counts; `None` before the first count.
    of: Option<FleetOf>,
    registered: u32,
    inside: u32,
}

/// The newest report on a device. It is kept when the device has left, so that older reports are recognized as such.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) generation: u32,
    pub(crate) n: u64,
    pub(crate) inside: bool,
    pub(crate) registered: bool,
    /// The state that was reported on; `None` for whichever one the rule counts.
    pub(crate) of: Option<FleetOf>,
}

impl Member {
    /// Whether the device is in a state.
    fn is_in(&self, of: Option<&FleetOf>) -> bool {
        self.registered && self.inside && (self.of.is_none() || self.of.as_ref() == of)
    }
}

impl Fleet {
    /// Creates a fleet with these members.
    pub(crate) fn of(members: BTreeMap<DeviceId, Member>) -> Self {
        let registered = members.values().filter(|member| member.registered).count() as u32;
        Self { members, registered, ..Self::default() }
    }

    /// Returns everything that is known of devices, by id.
    pub(crate) fn members(&self) -> &BTreeMap<DeviceId, Member> {
        &self.members
    }

    /// Whether a record reports anything new.
    pub(crate) fn is_news(&self, news: &effect::Member) -> bool {
        let known = self.members.get(&news.device);
        known.is_none_or(|known| (news.generation, news.n) > (known.generation, known.n)) || mutant!(StaleMemberApplied)
    }

    /// Applies a record's report.
    pub(crate) fn take(&mut self, news: &effect::Member) {
        let member = Member {
            generation: news.generation,
            n: news.n,
            inside: news.inside,
            registered: news.registered,
            of: news.of.clone(),
        };
        self.registered += u32::from(member.registered);
        self.inside += u32::from(member.is_in(self.of.as_ref()));
        if let Some(before) = self.members.insert(news.device.clone(), member) {
            self.registered -= u32::from(before.registered);
            self.inside -= u32::from(before.is_in(self.of.as_ref()));
        }
    }

    /// Returns how many devices are in a state, and how many are registered. From here on this state is counted as
    /// devices come and go.
    pub(crate) fn count(&mut self, of: &FleetOf) -> (u32, u32) {
        if self.of.as_ref() != Some(of) {
            (self.inside, _) = self.counted(of);
            self.of = Some(of.clone());
        }
        (self.inside, self.registered)
    }

    /// Returns the same for any state, counting from scratch if it is another one.
    pub(crate) fn counted(&self, of: &FleetOf) -> (u32, u32) {
        let inside = match self.of.as_ref() == Some(of) {
            true => self.inside,
            false => self.members.values().filter(|member| member.is_in(Some(of))).count() as u32,
        };
        (inside, self.registered)
    }
}

impl PartialEq for Fleet {
    /// The other fields follow from the members.
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

/// What a device has reported of itself, by fleet rule and zone. Few devices change it, so copies share it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Memberships(Option<Arc<Vec<Membership>>>);

/// A device's latest report to one fleet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Membership {
    pub(crate) rule: RuleId,
    pub(crate) zone: ZoneId,
    /// Number of reports so far.
    pub(crate) n: u64,
    pub(crate) inside: bool,
    pub(crate) registered: bool,
    pub(crate) of: FleetOf,
}

impl Memberships {
    /// Creates memberships that are in the order of rule and zone, each once. Returns `None` if they are not.
    pub(crate) fn from_sorted(all: Vec<Membership>) -> Option<Self> {
        let sorted = all.is_sorted_by(|one, next| (&one.rule, &one.zone) < (&next.rule, &next.zone));
        sorted.then(|| Self((!all.is_empty()).then(|| Arc::new(all))))
    }

    /// Returns all of them, in the order of rule and zone.
    pub(crate) fn all(&self) -> &[Membership] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Records a report and counts it. Returns it as stored.
    pub(crate) fn say(&mut self, said: Membership) -> &Membership {
        let all = Arc::make_mut(self.0.get_or_insert_default());
        let place = all.binary_search_by(|known| (&known.rule, &known.zone).cmp(&(&said.rule, &said.zone)));
        let at = match place {
            Ok(at) => {
                all[at] = Membership { n: all[at].n + 1, ..said };
                at
            }
            Err(at) => {
                all.insert(at, Membership { n: 1, ..said });
                at
            }
        };
        &all[at]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::Timestamp;

    fn news(device: &str, n: u64, inside: bool, registered: bool) -> effect::Member {
        effect::Member {
            device: DeviceId::new(device).unwrap(),
            rule: RuleId::new("zone-silent").unwrap(),
            zone: ZoneId::new("zone-a").unwrap(),
            generation: 1,
            version: 0,
            sha256: "0".repeat(64).into(),
            n,
            inside,
            registered,
            of: Some(FleetOf::Offline),
            at: Timestamp(0),
        }
    }

    #[test]
    fn what_was_said_before_is_no_news() {
        let mut fleet = Fleet::default();
        fleet.take(&news("a", 3, true, true));
        assert!(!fleet.is_news(&news("a", 3, false, true)) && !fleet.is_news(&news("a", 2, false, true)));
        assert!(fleet.is_news(&news("a", 4, false, true)) && fleet.is_news(&news("b", 1, false, true)));
        let older = effect::Member { generation: 0, ..news("a", 9, false, true) };
        assert!(!fleet.is_news(&older));
        assert!(fleet.is_news(&effect::Member { generation: 2, ..news("a", 1, false, true) }));
    }

    #[test]
    fn devices_are_counted_as_they_come_and_go() {
        let mut fleet = Fleet::default();
        assert_eq!(fleet.count(&FleetOf::Offline), (0, 0));
        fleet.take(&news("a", 1, true, true));
        fleet.take(&news("b", 1, false, true));
        assert_eq!(fleet.count(&FleetOf::Offline), (1, 2));
        fleet.take(&news("b", 2, true, true));
        assert_eq!(fleet.count(&FleetOf::Offline), (2, 2));
        fleet.take(&news("a", 2, true, false));
        assert_eq!(fleet.count(&FleetOf::Offline), (1, 1));
        // A device that has left is still known.
        assert_eq!(fleet.members().len(), 2);
        assert_eq!(Fleet::of(fleet.members().clone()).count(&FleetOf::Offline), (1, 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn in_whatever_order_and_however_often_it_comes_the_newest_counts(
            said in prop::collection::vec((0..6_usize, any::<bool>(), any::<bool>()), 1..40),
            mut order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        ) {
            let mut n = [0; 6];
            let said: Vec<_> = said.into_iter().map(|(device, inside, registered)| {
                n[device] += 1;
                news(["a", "b", "c", "d", "e", "f"][device], n[device], inside, registered)
            }).collect();
            let take = |fleet: &mut Fleet, member: &effect::Member| {
                if fleet.is_news(member) {
                    fleet.take(member);
                }
            };
            let (mut once, mut disturbed) = (Fleet::default(), Fleet::default());
            said.iter().for_each(|member| take(&mut once, member));
            disturbed.count(&FleetOf::Offline);
            order.drain(..).for_each(|index| take(&mut disturbed, index.get(&said)));
            said.iter().for_each(|member| take(&mut disturbed, member));
            prop_assert_eq!(&once, &disturbed);
            prop_assert_eq!(once.count(&FleetOf::Offline), disturbed.count(&FleetOf::Offline));
        }
    }

    #[test]
    fn a_state_that_was_not_meant_does_not_count() {
        let mut fleet = Fleet::default();
        fleet.take(&news("a", 1, true, true));
        fleet.take(&effect::Member { of: None, ..news("b", 1, true, true) });
        let of_rule = FleetOf::Rule(RuleId::new("valve-open").unwrap());
        assert_eq!(fleet.count(&of_rule), (1, 2));
        assert_eq!(fleet.count(&FleetOf::Offline), (2, 2));
    }

    #[test]
    fn a_device_counts_what_it_says_to_each_fleet() {
        let said = |rule: &str, zone: &str| Membership {
            rule: RuleId::new(rule).unwrap(),
            zone: ZoneId::new(zone).unwrap(),
            n: 0,
            inside: true,
            registered: true,
            of: FleetOf::Offline,
        };
        let mut memberships = Memberships::default();
        for (rule, zone, n) in [("s", "b", 1), ("r", "b", 1), ("r", "a", 1), ("r", "b", 2), ("s", "b", 2)] {
            assert_eq!(memberships.say(said(rule, zone)).n, n, "{rule} in {zone}");
        }
        let counted: Vec<u64> = memberships.all().iter().map(|known| known.n).collect();
        assert_eq!(counted, [1, 2, 2]);
        assert_eq!(Memberships::from_sorted(memberships.all().to_vec()), Some(memberships.clone()));
        let mut turned = memberships.all().to_vec();
        turned.reverse();
        assert_eq!(Memberships::from_sorted(turned), None);
    }
}
