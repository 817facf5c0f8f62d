//! Shadows of devices: the desired and reported values of their settings, through AWS IoT's data plane.
//!
//! Does not know which values a setting accepts.

use std::collections::BTreeMap;

use fleetform_engine::{ids::ShadowName, units::Timestamp};
use fleetform_runtime::aws::signed::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::iot::{CallError, Iot, encode};

/// The shadows of one account in one region.
pub(crate) struct Shadows {
    data: Iot,
}

/// A device's shadow; all empty where it has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shadow {
    /// The version that a change must be based on, so that no other change is lost.
    version: Option<u64>,
    pub(crate) desired: Map<String, Value>,
    pub(crate) reported: Map<String, Value>,
    /// When each setting was reported last.
    pub(crate) reported_at: BTreeMap<String, Timestamp>,
}

impl Shadows {
    /// The shadows of the things of a registry.
    pub(crate) async fn of(registry: Iot) -> Result<Self, CallError> {
        Ok(Self { data: registry.into_data_plane().await? })
    }

    /// A shadow of a device: the classic one unless a name is given.
    pub(crate) async fn read(&self, device: &str, name: Option<&ShadowName>) -> Result<Shadow, CallError> {
        let call = match name {
            None => format!("read the shadow of {device}"),
            Some(name) => format!("read the shadow `{name}` of {device}"),
        };
        match self.data.call::<Document>(&call, Method::GET, &path(device, name), &[], None).await {
            Ok(document) => Ok(document.into()),
            Err(error) if error.is_missing() => Ok(Shadow::default()),
            Err(error) => Err(error),
        }
    }

    /// Sets desired values in a shadow; null removes one. Changes nothing if the shadow has changed since it was read,
    /// which AWS IoT reports as a conflict: each shadow has its own versions.
    pub(crate) async fn desire(
        &self,
        device: &str,
        name: Option<&ShadowName>,
        values: &Map<String, Value>,
        read: &Shadow,
    ) -> Result<(), CallError> {
        let mut body = json!({ "state": { "desired": values } });
        if let Some(version) = read.version {
            body["version"] = json!(version);
        }
        let call = match name {
            None => format!("set what is desired of {device}"),
            Some(name) => format!("set what is desired of {device} in shadow `{name}`"),
        };
        let _answer: Value = self.data.call(&call, Method::POST, &path(device, name), &[], Some(body)).await?;
        Ok(())
    }
}

fn path(device: &str, name: Option<&ShadowName>) -> String {
    let classic = format!("/things/{}/shadow", encode(device));
    match name {
        None => classic,
        Some(name) => format!("{classic}?name={name}"),
    }
}

/// A shadow document, as far as it matters here:
/// <https://docs.aws.amazon.com/iot/latest/developerguide/device-shadow-document.html>.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    state: State,
    #[serde(default)]
    metadata: State,
    version: Option<u64>,
}

#[derive(Default, Deserialize)]
struct State {
    desired: Option<Map<String, Value>>,
    reported: Option<Map<String, Value>>,
}

impl From<Document> for Shadow {
    fn from(document: Document) -> Self {
        let Document { state, metadata, version } = document;
        let at =
            |(name, value): (String, Value)| Some((name, Timestamp(value["timestamp"].as_i64()?.checked_mul(1_000)?)));
        Self {
            version,
            desired: state.desired.unwrap_or_default(),
            reported: state.reported.unwrap_or_default(),
            reported_at: metadata.reported.unwrap_or_default().into_iter().filter_map(at).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_is_read_with_the_times_of_what_was_reported() {
        let document = json!({
            "state": { "desired": { "a": 1 }, "reported": { "a": 2, "b": "x" }, "delta": { "a": 1 } },
            "metadata": { "desired": { "a": { "timestamp": 5 } }, "reported": { "a": { "timestamp": 7 } } },
            "version": 9, "timestamp": 10,
        });
        let shadow = Shadow::from(serde_json::from_value::<Document>(document).expect("a shadow"));
        assert_eq!((shadow.version, &shadow.desired["a"], &shadow.reported["b"]), (Some(9), &json!(1), &json!("x")));
        assert_eq!(shadow.reported_at, BTreeMap::from([("a".to_owned(), Timestamp(7_000))]));
        let empty = serde_json::from_value::<Document>(json!({ "state": {}, "version": 1 })).expect("a shadow");
        assert_eq!(Shadow::from(empty).desired, Map::new());
    }
}
