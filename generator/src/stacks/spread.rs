//! Distributes many similar resources over numbered stacks if one template cannot hold them.
//!
//! The stack of an item depends only on the item's id and the number of stacks, not on other items, so adding an item
//! moves no other until the number of stacks has to double. Doubling moves half of them, which CloudFormation cannot do
//! for resources with fixed names; docs/decisions/ explains why this cannot be avoided.

use sha2::{Digest, Sha256};
use smol_str::{SmolStr, format_smolstr};

use super::site::Site;
use crate::cfn::stack::{RESOURCES_MAX, Stack, TEMPLATE_BYTES_MAX};

/// Bytes of one resource, excluding text from the platform file.
const RESOURCE_BYTES: usize = 900;

/// Bytes of one template reserved for what is not counted here.
const SPARE_BYTES: usize = 128 * 1024;

/// Resources that stay together in one stack.
pub(crate) struct Item<T> {
    /// The id that determines its stack.
    pub(crate) id: SmolStr,
    /// Items of a higher tier require those of lower tiers to exist.
    pub(crate) tier: usize,
    /// The number of resources that it adds.
    pub(crate) resources: usize,
    /// Bytes of text from the platform file in them.
    pub(crate) bytes: usize,
    /// What it is created from.
    pub(crate) content: T,
}

/// The planned stacks, and the items in each.
pub(crate) struct Spread<T> {
    stacks: Vec<Stack>,
    /// What each item is created from, with the index of its stack.
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

    /// How full each stack will be, as a percentage of the point at which another one is started.
    pub(crate) fn fills(&self) -> Vec<(SmolStr, usize)> {
        self.stacks.iter().map(|stack| (stack.name().clone(), stack.fill_percent())).collect()
    }
}

/// Puts all items into `main` if they fit there, otherwise into separate stacks `<main>-2`, `<main>-3`, ….
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

/// The smallest power of two of stacks that the items fit into.
fn width<T>(items: &[(Hash, Item<T>)], weigh: &impl Fn(&Item<T>) -> (usize, usize)) -> usize {
    let mut width = 1;
    loop {
        let fits = |&(resources, bytes): &(usize, usize)| {
            resources <= RESOURCES_MAX && bytes <= TEMPLATE_BYTES_MAX - SPARE_BYTES
        };
        // Spreading stops at one item per stack.
        if loads(items, width, weigh).iter().all(fits) || width >= items.len() {
            return width;
        }
        width *= 2;
    }
}

/// The resources and bytes in each of `width` stacks.
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

/// The share of a stack that such a load takes, in percent.
fn fill_percent((resources, bytes): (usize, usize)) -> usize {
    (resources * 100 / RESOURCES_MAX).max(bytes * 100 / (TEMPLATE_BYTES_MAX - SPARE_BYTES))
}

/// The first bytes of an id's SHA-256.
type Hash = u16;

fn hash(id: &str) -> Hash {
    let hash = Sha256::digest(id.as_bytes());
    u16::from_be_bytes([hash[0], hash[1]])
}

fn slot(hash: Hash, width: usize) -> usize {
    usize::from(hash) % width
}
