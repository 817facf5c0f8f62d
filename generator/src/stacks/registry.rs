//! Thing types and thing groups: the device types and zones of the platform file in AWS IoT's registry.
//!
//! A thing type is called `<prefix>-<environment>-<device type>`, a thing group `<prefix>-<environment>-<zone>`: one
//! account may hold several platforms and environments, and AWS IoT has one name space for all of them.

use fleetform_engine::ids::{DeviceTypeId, ZoneId};

use super::{
    site::Site,
    spread::{Item, spread},
};
use crate::{
    cfn::{
        resource::iot::{AttributePayload, ThingGroup, ThingGroupProperties, ThingType, ThingTypeProperties},
        stack::Stack,
        value::logical_id,
    },
    platform::zone::Zone,
};

enum Entry<'a> {
    Type(&'a DeviceTypeId),
    Group(&'a ZoneId, &'a Zone),
}

/// Adds a thing type for each device type and a thing group for each zone, in further stacks where they do not fit.
pub(crate) fn add(site: &Site<'_>, main: Stack) -> Vec<Stack> {
    let types = site.platform.device_types.keys().map(|id| Item {
        id: logical_id(id.as_str(), "ThingType"),
        tier: 0,
        resources: 1,
        bytes: 2 * id.as_str().len(),
        content: Entry::Type(id),
    });
    let groups = site.platform.zones.iter().map(|(id, zone)| Item {
        id: logical_id(id.as_str(), "ThingGroup"),
        tier: depth(site, zone),
        resources: 1,
        bytes: zone.title.len() + zone.labels.iter().map(|(key, value)| key.len() + value.len() + 40).sum::<usize>(),
        content: Entry::Group(id, zone),
    });
    let mut items: Vec<_> = types.chain(groups).collect();
    // Parents first, so that where both are in one stack the child can refer to its parent.
    items.sort_by_key(|item| item.tier);
    let mut here = std::collections::BTreeMap::new();
    spread(site, main, "more device types and zones", items, |stack, entry| match entry {
        Entry::Type(id) => {
            let thing_type_properties = ThingTypeProperties { thing_type_description: format!("Device type {id}") };
            stack.add(
                logical_id(id.as_str(), "ThingType"),
                ThingType { thing_type_name: site.thing_type(id), thing_type_properties },
            );
        }
        Entry::Group(id, zone) => {
            let parent = zone.parent.as_ref().map(|parent| match here.get(&(stack.name().clone(), parent)) {
                Some(handle) => crate::cfn::stack::Handle::reference(handle),
                // In a stack of a lower tier, which exists before this one.
                None => site.thing_group(parent).into(),
            });
            let handle = stack.add(logical_id(id.as_str(), "ThingGroup"), group(site, id, zone, parent));
            here.insert((stack.name().clone(), id), handle);
        }
    })
}

fn group(site: &Site<'_>, id: &ZoneId, zone: &Zone, parent_group_name: Option<crate::cfn::value::Text>) -> ThingGroup {
    // AWS IoT takes printable ASCII here and refuses the rest.
    let printable = zone.title.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let thing_group_description = if printable { zone.title.clone() } else { id.as_str().into() };
    let attributes = Some(&zone.labels).filter(|labels| !labels.is_empty());
    ThingGroup {
        thing_group_name: site.thing_group(id),
        parent_group_name,
        thing_group_properties: ThingGroupProperties {
            thing_group_description,
            attribute_payload: attributes.map(|labels| AttributePayload { attributes: labels.clone() }),
        },
    }
}

/// How many zones a zone is part of.
fn depth(site: &Site<'_>, zone: &Zone) -> usize {
    std::iter::successors(zone.parent.as_ref(), |parent| site.platform.zones[*parent].parent.as_ref()).count()
}
