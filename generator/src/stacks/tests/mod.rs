//! What holds for the templates of every platform.

mod alarms;
mod bar;
mod references;
mod settings;
mod split;
mod storage;
mod timestream;

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Site, apart, root};
use crate::platform::Platform;

const SHA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Every template as a tree, by file name.
fn trees(platform: &Platform) -> BTreeMap<String, Value> {
    let site = Site::new(platform);
    let stacks = root::deployment(&site, SHA).stacks.into_iter().chain(apart(&site));
    stacks.map(|stack| (format!("{}.yaml", stack.name()), stack.to_tree())).collect()
}

/// Every resource of every template: file name and logical id, type, properties.
fn resources(templates: &BTreeMap<String, Value>) -> Vec<(String, &str, &Value)> {
    let all = templates.iter().flat_map(|(file, tree)| {
        let resources = tree["Resources"].as_object().unwrap().iter();
        resources.map(move |(id, resource)| (format!("{file} {id}"), resource["Type"].as_str().unwrap(), resource))
    });
    all.collect()
}

fn walk<'a>(tree: &'a Value, see: &mut impl FnMut(&'a str, &'a Value)) {
    match tree {
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            see(key, value);
            walk(value, see);
        }),
        _ => {}
    }
}
