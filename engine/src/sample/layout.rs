//! Where the parts of a message lie, as a tree of keys that is walked together with the message.

use smol_str::SmolStr;

use crate::rule_set::{MessageFormat, TimestampFormat};

/// The tree of keys from a sample's root.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(super) root: Vec<Node>,
    pub(super) timestamp_format: TimestampFormat,
}

/// One key and what lies there.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) key: SmolStr,
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) enum Place {
    DeviceId,
    Timestamp,
    Readings,
    Batch,
    /// The health value of this index.
    Health(u16),
    /// More keys inside.
    Inside(Vec<Node>),
}

impl Layout {
    pub(crate) fn new(format: &MessageFormat) -> Self {
        let mut root = Vec::new();
        insert(&mut root, &format.device_id, Place::DeviceId);
        insert(&mut root, &format.timestamp, Place::Timestamp);
        insert(&mut root, &format.readings, Place::Readings);
        if let Some(batch) = &format.batch {
            insert(&mut root, batch, Place::Batch);
        }
        for (index, path) in (0..).zip(format.health.values()) {
            insert(&mut root, path, Place::Health(index));
        }
        Self { root, timestamp_format: format.timestamp_format }
    }
}

/// Inserts a place at a path. Paths do not overlap: the rule set's check has ruled that out.
fn insert(nodes: &mut Vec<Node>, path: &str, place: Place) {
    let Some((key, rest)) = path.split_once('.') else {
        nodes.push(Node { key: path.into(), place });
        return;
    };
    let index = nodes.iter().position(|node| node.key == key).unwrap_or_else(|| {
        nodes.push(Node { key: key.into(), place: Place::Inside(Vec::new()) });
        nodes.len() - 1
    });
    match &mut nodes[index].place {
        Place::Inside(inner) => insert(inner, rest, place),
        Place::DeviceId | Place::Timestamp | Place::Readings | Place::Batch | Place::Health(_) => {
            unreachable!("a rule set is checked before it is compiled")
        }
    }
}
