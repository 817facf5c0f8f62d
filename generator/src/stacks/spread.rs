//! Puts many like resources into numbered stacks where one template cannot hold them.
//!
//! Which stack an item goes to depends on its own id and on how many stacks there are, not on its neighbours, so adding
//! one moves no other until the number of stacks has to double. That moves half of them, which CloudFormation cannot do
//! by itself for resources with names; see docs/decisions/ on why no other way does without it.

use sha2::{Digest, Sha256};
use smol_str::{SmolStr, format_smolstr};

use super::site::Site;
use crate::cfn::stack::{RESOURCES_MAX, Stack, TEMPLATE_BYTES_MAX};

/// Bytes of one resource besides the texts that come from the platform file.
const RESOURCE_BYTES: usize = 900;

/// Bytes of one template that are left to what is not counted here.
const SPARE_BYTES: usize = 128 * 1024;

/// Resources that stay together in one stack.
pub(crate) struct Item<T> {
    /// What decides where it goes.
    pub(crate) id: SmolStr,
    /// Items of a higher tier need those of the lower ones to exist.
    pub(crate) tier: usize,
    /// How many resources it adds.
    pub(crate) resources: usize,
    /// Bytes of text from the platform file in them.
    pub(crate) bytes: usize,
    /// What it is made from.
    pub(crate) content: T,
}

/// Which stacks there are to be, and which items go to each.
pub(crate) struct Spread<T> {
    stacks: Vec<Stack>,
    /// What each item is made from, with the index of its stack.
    items: Vec<(usize, T)>,
}

impl<T> Spread<T> {
    /// Adds the items to their stacks.
    pub(crate) fn fill(self, mut add: impl FnMut(&mut Stack, T)) -> Vec<Stack> {
        let Self { mut stacks, items } = self;
        for (at, content) in items {
            add(&mut stacks[at], content);
        }
        stacks.retain(|stack| stack.room() < RESOURCES_MAX);
        stacks
    }

    /// How full each stack will be, in percent of where another one would be made.
    pub(crate) fn fills(&self) -> Vec<(SmolStr, usize)> {
        self.stacks.iter().map(|stack| (stack.name().clone(), stack.fill_percent())).collect()
    }
}

/// Spreads all items over `main` if they fit there, otherwise over stacks `<main>-2`, `<main>-3`, … of their own.
pub(crate) fn spread<T>(site: &Site<'_>, mut main: Stack, purpose: &str, items: Vec<Item<T>>) -> Spread<T> {
    let tags = site.tag_bytes();
    let weigh = |item: &Item<T>| (item.resources, item.bytes + item.resources * (RESOURCE_BYTES + tags));
    let (resources, bytes) = items.iter().map(weigh).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let taken = (RESOURCES_MAX - main.room()) * (2 * RESOURCE_BYTES + tags);
    if resources <= main.room() && bytes + taken <= TEMPLATE_BYTES_MAX - SPARE_BYTES {
        main.set_fill(fill_percent((RESOURCES_MAX - main.room() + resources, bytes + taken)));
        return Spread { stacks: vec![main], items: items.into_iter().map(|item| (0, item.content)).collect() };
    }
    let mut tiers: Vec<Vec<(Hash, Item<T>)>> = Vec::new();
    for item in items {
        if tiers.len() <= item.tier {
            tiers.resize_with(item.tier + 1, Vec::new);
        }
        tiers[item.tier].push((hash(&item.id), item));
    }
    let base = main.name().clone();
    let mut stacks = vec![main];
    let mut placed = Vec::new();
    for tier in tiers.into_iter().filter(|tier| !tier.is_empty()) {
        let before: Vec<SmolStr> = stacks.iter().map(|stack| stack.name().clone()).collect();
        let width = width(&tier, &weigh);
        let loads = loads(&tier, width, &weigh);
        let first = stacks.len();
        for (at, load) in loads.into_iter().enumerate() {
            let mut stack = site.stack(format_smolstr!("{base}-{}", first + at + 1), purpose);
            for name in &before {
                stack.after(name);
            }
            stack.set_fill(fill_percent(load));
            stacks.push(stack);
        }
        placed.extend(tier.into_iter().map(|(hash, item)| (first + slot(hash, width), item.content)));
    }
    Spread { stacks, items: placed }
}

/// The least power of two of stacks into which the items fit.
fn width<T>(items: &[(Hash, Item<T>)], weigh: &impl Fn(&Item<T>) -> (usize, usize)) -> usize {
    let mut width = 1;
    loop {
        let fits = |&(resources, bytes): &(usize, usize)| {
            resources <= RESOURCES_MAX && bytes <= TEMPLATE_BYTES_MAX - SPARE_BYTES
        };
        // One item to a stack is as far as spreading goes.
        if loads(items, width, weigh).iter().all(fits) || width >= items.len() {
            return width;
        }
        width *= 2;
    }
}

/// Resources and bytes of each of `width` stacks.
fn loads<T>(
    items: &[(Hash, Item<T>)],
    width: usize,
    weigh: &impl Fn(&Item<T>) -> (usize, usize),
) -> Vec<(usize, usize)> {
    let mut loads = vec![(0, 0); width];
    for (hash, item) in items {
        let (resources, bytes) = weigh(item);
        let load = &mut loads[slot(*hash, width)];
        *load = (load.0 + resources, load.1 + bytes);
    }
    loads
}

/// How much of a stack such a load takes, in percent.
fn fill_percent((resources, bytes): (usize, usize)) -> usize {
    (resources * 100 / RESOURCES_MAX).max(bytes * 100 / (TEMPLATE_BYTES_MAX - SPARE_BYTES))
}

/// The beginning of an id's SHA-256.
type Hash = u16;

fn hash(id: &str) -> Hash {
    let hash = Sha256::digest(id.as_bytes());
    u16::from_be_bytes([hash[0], hash[1]])
}

fn slot(hash: Hash, width: usize) -> usize {
    usize::from(hash) % width
}
