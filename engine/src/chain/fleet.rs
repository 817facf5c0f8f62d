//! What fleets and their members know about each other, in a delta or a base.

use std::collections::BTreeMap;

use super::codec::{Malformed, Reader, Writer};
use crate::{
    fleet::{Fleet, Member, Membership, Memberships},
    ids::{DeviceId, RuleId, ZoneId},
    rule_set::FleetOf,
};

const MEMBERSHIP: &str = "what a device has said to a fleet";
const MEMBER: &str = "what a fleet knows of a device";

pub(super) fn write_memberships(writer: &mut Writer, memberships: &Memberships) {
    writer.number(memberships.all().len() as u64);
    for said in memberships.all() {
        writer.name(said.rule.as_str());
        writer.name(said.zone.as_str());
        writer.number(said.n);
        write_flags(writer, said.inside, said.registered);
        write_of(writer, Some(&said.of));
    }
}

pub(super) fn read_memberships(reader: &mut Reader<'_>) -> Result<Memberships, Malformed> {
    let mut all = Vec::new();
    for _ in 0..reader.count(MEMBERSHIP)? {
        let rule = read_rule(reader, MEMBERSHIP)?;
        let zone = ZoneId::new(reader.name(MEMBERSHIP)?).map_err(|_| Malformed(MEMBERSHIP))?;
        let n = reader.number(MEMBERSHIP)?;
        let (inside, registered) = read_flags(reader, MEMBERSHIP)?;
        let of = read_of(reader, MEMBERSHIP)?.ok_or(Malformed(MEMBERSHIP))?;
        all.push(Membership { rule, zone, n, inside, registered, of });
    }
    Memberships::from_sorted(all).ok_or(Malformed(MEMBERSHIP))
}

pub(super) fn write_members(writer: &mut Writer, fleet: &Fleet) {
    writer.number(fleet.members().len() as u64);
    for (device, member) in fleet.members() {
        writer.text(device.as_str());
        writer.number(u64::from(member.generation));
        writer.number(member.n);
        write_flags(writer, member.inside, member.registered);
        write_of(writer, member.of.as_ref());
    }
}

pub(super) fn read_members(reader: &mut Reader<'_>) -> Result<Fleet, Malformed> {
    let mut members = BTreeMap::new();
    for _ in 0..reader.count(MEMBER)? {
        let device = DeviceId::new(reader.text(MEMBER)?).map_err(|_| Malformed(MEMBER))?;
        let generation = u32::try_from(reader.number(MEMBER)?).map_err(|_| Malformed(MEMBER))?;
        let n = reader.number(MEMBER)?;
        let (inside, registered) = read_flags(reader, MEMBER)?;
        let of = read_of(reader, MEMBER)?;
        members.insert(device, Member { generation, n, inside, registered, of });
    }
    Ok(Fleet::of(members))
}

fn write_flags(writer: &mut Writer, inside: bool, registered: bool) {
    writer.number(u64::from(inside) | u64::from(registered) << 1);
}

fn read_flags(reader: &mut Reader<'_>, what: &'static str) -> Result<(bool, bool), Malformed> {
    match reader.number(what)? {
        flags @ 0..=3 => Ok((flags & 1 == 1, flags & 2 == 2)),
        _ => Err(Malformed(what)),
    }
}

fn write_of(writer: &mut Writer, of: Option<&FleetOf>) {
    match of {
        None => writer.number(0),
        Some(FleetOf::Offline) => writer.number(1),
        Some(FleetOf::Rule(rule)) => {
            writer.number(2);
            writer.name(rule.as_str());
        }
    }
}

fn read_of(reader: &mut Reader<'_>, what: &'static str) -> Result<Option<FleetOf>, Malformed> {
    Ok(match reader.number(what)? {
        0 => None,
        1 => Some(FleetOf::Offline),
        2 => Some(FleetOf::Rule(read_rule(reader, what)?)),
        _ => return Err(Malformed(what)),
    })
}

fn read_rule(reader: &mut Reader<'_>, what: &'static str) -> Result<RuleId, Malformed> {
    RuleId::new(reader.name(what)?).map_err(|_| Malformed(what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of() -> impl Strategy<Value = FleetOf> {
        let rule = "[a-z][a-z0-9-]{0,8}".prop_map(|id| FleetOf::Rule(RuleId::new(&id).expect("an id")));
        prop_oneof![Just(FleetOf::Offline), rule]
    }

    fn fleet() -> impl Strategy<Value = Fleet> {
        let member = (any::<u32>(), any::<u64>(), any::<bool>(), any::<bool>(), prop::option::of(of()))
            .prop_map(|(generation, n, inside, registered, of)| Member { generation, n, inside, registered, of });
        let device = "[a-zA-Z0-9:_-]{1,12}".prop_map(|id| DeviceId::new(&id).expect("an id"));
        prop::collection::btree_map(device, member, 0..20).prop_map(Fleet::of)
    }

    fn memberships() -> impl Strategy<Value = Memberships> {
        let key = ("[a-c]{1,2}", "[a-c]{1,2}");
        let said = (any::<u64>(), any::<bool>(), any::<bool>(), of());
        prop::collection::btree_map(key, said, 0..6).prop_map(|all| {
            let all = all.into_iter().map(|((rule, zone), (n, inside, registered, of))| Membership {
                rule: RuleId::new(&rule).expect("an id"),
                zone: ZoneId::new(&zone).expect("an id"),
                n,
                inside,
                registered,
                of,
            });
            Memberships::from_sorted(all.collect()).expect("a map is sorted")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(fleet in fleet(), memberships in memberships()) {
            let mut writer = Writer::default();
            write_members(&mut writer, &fleet);
            write_memberships(&mut writer, &memberships);
            let mut reader = Reader::new(&writer.bytes);
            prop_assert_eq!(read_members(&mut reader), Ok(fleet));
            prop_assert_eq!(read_memberships(&mut reader), Ok(memberships));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            let _ = read_members(&mut Reader::new(&bytes));
            let _ = read_memberships(&mut Reader::new(&bytes));
        }
    }
}
