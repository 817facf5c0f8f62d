//! The lineage of a log's shards, and the keys that each takes. A log names the shard of every record itself; the
//! hash keys only decide which child inherits a device.

use std::{collections::BTreeMap, sync::Arc};

use fleetform_engine::{drive::Lineage, position::SequenceNumber, reshard::HashRange};

/// One split or merge.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) parents: Vec<Arc<str>>,
    pub(super) children: Vec<Arc<str>>,
    pub(super) at: i64,
}

/// A shard as the stream lists it, without its records.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) lineage: Lineage,
    pub(crate) opened_at: i64,
    pub(crate) closed_at: Option<i64>,
}

/// Returns the listings of all shards; `begins` are the numbers that children start with. Shards without parents
/// share the keys evenly, in the order of their names. A child of a split takes half of its parent's keys, the first
/// one the lower half.
pub(super) fn listings(
    births: &[Birth],
    shards: &BTreeMap<Arc<str>, super::Shard>,
    begins: &BTreeMap<Arc<str>, SequenceNumber>,
) -> Result<BTreeMap<Arc<str>, Listing>, String> {
    let mut listings = BTreeMap::new();
    let zero = SequenceNumber::new("0").map_err(|error| error.to_string())?;
    let first = |name: &Arc<str>| begins.get(name).copied().unwrap_or(zero);
    let born = |name: &Arc<str>| births.iter().any(|birth| birth.children.contains(name));
    let roots: Vec<&Arc<str>> = shards.keys().filter(|name| !born(name)).collect();
    let part = u128::MAX / (roots.len().max(1) as u128);
    for (index, name) in (0_u128..).zip(&roots) {
        let begins = part * index + u128::from(index > 0);
        let ends = if index + 1 == roots.len() as u128 { u128::MAX } else { part * (index + 1) };
        let lineage =
            Lineage { range: HashRange { first: begins, last: ends }, parents: Vec::new(), first: first(name) };
        listings.insert((*name).clone(), Listing { lineage, opened_at: i64::MIN, closed_at: None });
    }
    for birth in births {
        let mut range: Option<HashRange> = None;
        for parent in &birth.parents {
            let parent = listings.get_mut(parent).ok_or_else(|| format!("no shard `{parent}` is open"))?;
            parent.closed_at = Some(birth.at);
            let own = parent.lineage.range;
            range =
                Some(range.map_or(own, |range| HashRange {
                    first: range.first.min(own.first),
                    last: range.last.max(own.last),
                }));
        }
        let Some(range) = range else { return Err("a shard comes from another".into()) };
        let part = (range.last - range.first) / (birth.children.len().max(1) as u128);
        for (index, child) in (0_u128..).zip(&birth.children) {
            let begins = range.first + part * index + u128::from(index > 0);
            let is_last = index + 1 == birth.children.len() as u128;
            let ends = if is_last { range.last } else { range.first + part * (index + 1) };
            let lineage = Lineage {
                range: HashRange { first: begins, last: ends },
                parents: birth.parents.iter().map(|parent| parent.as_ref().into()).collect(),
                first: first(child),
            };
            listings.insert(child.clone(), Listing { lineage, opened_at: birth.at, closed_at: None });
        }
    }
    Ok(listings)
}
