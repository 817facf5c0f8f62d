//! The overrides of a shard, as part of a delta's or a base's head.

use std::sync::Arc;

use super::codec::{Malformed, Reader, Writer};
use crate::{
    ids::{ContactId, RuleId},
    overrides::{CONTACTS_MAX, Override, Overrides},
    units::{Finite, Timestamp},
};

const ENABLED: u8 = 1;
const ENABLED_IS_SET: u8 = 1 << 1;
const THRESHOLD: u8 = 1 << 2;
const MUTED: u8 = 1 << 3;
const CONTACTS: u8 = 1 << 4;
const UNTIL: u8 = 1 << 5;
const ALL: u8 = ENABLED | ENABLED_IS_SET | THRESHOLD | MUTED | CONTACTS | UNTIL;

pub(super) fn write(writer: &mut Writer, overrides: &Overrides) {
    writer.number(overrides.iter().len() as u64);
    for (rule, row) in overrides.iter() {
        let Override { revision, enabled, threshold, muted_until, contacts, until } = row;
        writer.text(rule.as_str());
        writer.number(*revision);
        let flag = |flag, set| if set { flag } else { 0 };
        writer.bytes.push(
            flag(ENABLED, *enabled == Some(true))
                | flag(ENABLED_IS_SET, enabled.is_some())
                | flag(THRESHOLD, threshold.is_some())
                | flag(MUTED, muted_until.is_some())
                | flag(CONTACTS, contacts.is_some())
                | flag(UNTIL, until.is_some()),
        );
        threshold.iter().for_each(|threshold| writer.float(threshold.get()));
        muted_until.iter().for_each(|until| writer.signed(until.0));
        if let Some(contacts) = contacts {
            writer.number(contacts.len() as u64);
            contacts.iter().for_each(|contact| writer.text(contact.as_str()));
        }
        until.iter().for_each(|until| writer.signed(until.0));
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Overrides, Malformed> {
    const WHAT: &str = "an override";
    let mut overrides = Overrides::default();
    for _ in 0..reader.count(WHAT)? {
        let rule = RuleId::new(reader.text(WHAT)?).map_err(|_| Malformed(WHAT))?;
        let revision = reader.number(WHAT)?;
        let flags = reader.byte(WHAT)?;
        if flags & !ALL != 0 || flags & (ENABLED | ENABLED_IS_SET) == ENABLED || overrides.get(&rule).is_some() {
            return Err(Malformed(WHAT));
        }
        let is = |flag| flags & flag != 0;
        let mut row = Override { revision, enabled: is(ENABLED_IS_SET).then(|| is(ENABLED)), ..Override::default() };
        if is(THRESHOLD) {
            row.threshold = Some(Finite::new(reader.float(WHAT)?).ok_or(Malformed(WHAT))?);
        }
        if is(MUTED) {
            row.muted_until = Some(Timestamp(reader.signed(WHAT)?));
        }
        if is(CONTACTS) {
            let count = reader.count(WHAT)?;
            if count > CONTACTS_MAX {
                return Err(Malformed(WHAT));
            }
            let mut contacts = Vec::with_capacity(count);
            for _ in 0..count {
                contacts.push(ContactId::new(reader.text(WHAT)?).map_err(|_| Malformed(WHAT))?);
            }
            row.contacts = Some(Arc::from(contacts));
        }
        if is(UNTIL) {
            row.until = Some(Timestamp(reader.signed(WHAT)?));
        }
        overrides.insert(rule, row);
    }
    Ok(overrides)
}
