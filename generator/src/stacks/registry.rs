//! Thing types and thing groups: the device types and zones of the platform file in AWS IoT's registry, and the
//! commands for devices of each type.
//!
//! A thing type is called `<prefix>-<environment>-<device type>`, a thing group `<prefix>-<environment>-<zone>`, and
//! the group around all zones `<prefix>-<environment>`: one account may hold several platforms and environments, and
//! AWS IoT has a single namespace for all of them.

use std::collections::BTreeMap;

use fleetform_engine::ids::{DeviceTypeId, ZoneId};
use smol_str::{SmolStr, format_smolstr};

use super::{
    commands, iot_policies,
    site::Site,
    spread::{self, Item, Spread},
};
use crate::{
    cfn::{
        resource::iot::{AttributePayload, ThingGroup, ThingGroupProperties, ThingType, ThingTypeProperties},
        stack::{Handle, Stack},
        value::logical_id,
    },
    platform::{between::Between, device_type::DeviceType, zone::Zone},
};

/// What a thing type or a thing group is created from.
pub(crate) enum Entry<'a> {
    Type(&'a DeviceTypeId, &'a DeviceType),
    Group(&'a ZoneId, &'a Zone),
    /// An intermediate group between a zone, or the group around all zones, and some of its many child zones.
    Between(Option<&'a ZoneId>, usize),
}

/// Adds the group around all zones: anything that applies to the whole platform, such as a job for all its devices,
/// targets this group.
pub(crate) fn add_platform(site: &Site<'_>, stack: &mut Stack) -> Handle<ThingGroup> {
    let all = ThingGroup {
        thing_group_name: site.bounded(site.name.clone()),
        parent_group_name: None,
        thing_group_properties: ThingGroupProperties {
            thing_group_description: format_smolstr!("All zones of {}", site.name),
            attribute_payload: None,
        },
    };
    // No zone's thing group has this id: those end with `ThingGroup`.
    stack.add("ThingGroupOfAll", all)
}

/// Distributes a thing type for each device type and a thing group for each zone, over further stacks if they do not
/// fit into `main`.
pub(crate) fn spread<'p>(site: &Site<'p>, main: Stack) -> Spread<Entry<'p>> {
    let types = site.platform.device_types.iter().map(|(id, declared)| {
        let commands = declared.commands.len();
        Item {
            id: logical_id(id.as_str(), "ThingType"),
            tier: 0,
            // A type with commands also has a policy.
            resources: 1 + commands + commands.min(1),
            bytes: 2 * id.as_str().len() + commands::bytes(declared),
            content: Entry::Type(id, declared),
        }
    });
    let between = Between::of(&site.platform.zones);
    let groups = site.platform.zones.iter().map(|(id, zone)| Item {
        id: logical_id(id.as_str(), "ThingGroup"),
        tier: between.levels_above(zone),
        resources: 1,
        bytes: zone.title.len() + zone.labels.iter().map(|(key, value)| key.len() + value.len() + 40).sum::<usize>(),
        content: Entry::Group(id, zone),
    });
    let groups_between = between.groups().into_iter().map(|(parent, number)| Item {
        id: between_id(parent, number),
        tier: parent.map_or(0, |parent| between.levels_above(&site.platform.zones[parent]) + 1),
        resources: 1,
        bytes: 0,
        content: Entry::Between(parent, number),
    });
    let mut items: Vec<_> = types.chain(groups).chain(groups_between).collect();
    // Parents come first, so that a child in the same stack can wait for its parent.
    items.sort_by_key(|item| item.tier);
    spread::spread(site, main, "more device types and zones", items)
}

/// Creates them. `all` is the group around all zones, with the name of its stack.
pub(crate) fn fill(site: &Site<'_>, spread: Spread<Entry<'_>>, all: &(SmolStr, Handle<ThingGroup>)) -> Vec<Stack> {
    let between = Between::of(&site.platform.zones);
    let mut here = BTreeMap::from([((all.0.clone(), group_name(site, None)), all.1.clone())]);
    // A parent outside this stack is in a stack that is created earlier.
    let mut add = |stack: &mut Stack, id: SmolStr, group: ThingGroup| {
        let place = |name: &str| (stack.name().clone(), name.to_owned());
        let beside = group.parent_group_name.as_deref().and_then(|parent| here.get(&place(parent))).cloned();
        let at = place(&group.thing_group_name);
        let handle = stack.add(id, group);
        if let Some(beside) = beside {
            stack.wait(&handle, &beside);
        }
        here.insert(at, handle);
    };
    spread.fill(|stack, entry| match entry {
        Entry::Type(id, declared) => {
            let thing_type_properties = ThingTypeProperties { thing_type_description: format!("Device type {id}") };
            stack.add(
                logical_id(id.as_str(), "ThingType"),
                ThingType { thing_type_name: site.thing_type(id), thing_type_properties },
            );
            if let Some(policy) = iot_policies::of_type(site, id) {
                iot_policies::add(site, stack, policy);
            }
            commands::add(site, stack, id, declared);
        }
        Entry::Group(id, zone) => {
            let parent = match between.number(id, zone) {
                Some(number) => between_name(site, zone.parent.as_ref(), number),
                None => group_name(site, zone.parent.as_ref()),
            };
            add(stack, logical_id(id.as_str(), "ThingGroup"), group(site, id, zone, parent));
        }
        Entry::Between(parent, number) => {
            let around = group_name(site, parent);
            let group = ThingGroup {
                thing_group_name: between_name(site, parent, number),
                thing_group_properties: ThingGroupProperties {
                    thing_group_description: format_smolstr!("Some of the zones in {around}"),
                    attribute_payload: None,
                },
                parent_group_name: Some(around),
            };
            add(stack, between_id(parent, number), group);
        }
    })
}

/// The name of the thing group of a zone, or of the group around all zones.
fn group_name(site: &Site<'_>, zone: Option<&ZoneId>) -> String {
    zone.map_or_else(|| site.bounded(site.name.clone()), |zone| site.thing_group(zone))
}

/// The name of an intermediate group between that group and some of its children. No zone's group has such a name.
fn between_name(site: &Site<'_>, parent: Option<&ZoneId>, number: usize) -> String {
    site.bounded(format!("{}:{number}", group_name(site, parent)))
}

fn between_id(parent: Option<&ZoneId>, number: usize) -> SmolStr {
    logical_id(parent.map_or("", ZoneId::as_str), &format!("ThingGroups{number}"))
}

fn group(site: &Site<'_>, id: &ZoneId, zone: &Zone, parent: String) -> ThingGroup {
    // AWS IoT accepts only printable ASCII here.
    let printable = zone.title.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let thing_group_description = if printable { zone.title.clone() } else { id.as_str().into() };
    let attributes = Some(&zone.labels).filter(|labels| !labels.is_empty());
    ThingGroup {
        thing_group_name: site.thing_group(id),
        parent_group_name: Some(parent),
        thing_group_properties: ThingGroupProperties {
            thing_group_description,
            attribute_payload: attributes.map(|labels| AttributePayload { attributes: labels.clone() }),
        },
    }
}
