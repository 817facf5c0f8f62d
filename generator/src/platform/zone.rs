//! `[zones.X]`: places with devices in them.

use std::collections::BTreeMap;

use fleetform_engine::ids::{ContactId, ZoneId};
use smol_str::SmolStr;

/// A place with devices in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// What people call it; its id unless set.
    pub title: SmolStr,
    /// The zone that it is part of. Parents form no cycle.
    pub parent: Option<ZoneId>,
    /// IANA name; `UTC` unless set.
    pub timezone: SmolStr,
    /// Who is meant by `"zone"` in a route; its parent's unless set.
    pub contacts: Vec<ContactId>,
    /// `zones.X.labels`: attributes of its thing group.
    pub labels: BTreeMap<SmolStr, SmolStr>,
}
