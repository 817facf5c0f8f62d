//! Walks once over a message's JSON, without building a tree. Parts that the platform does not name are checked only
//! for depth and duplicate keys.

use std::{borrow::Cow, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use smol_str::format_smolstr;

use super::{
    DEPTH_MAX,
    keys::Keys,
    layout::{Node, Place},
    parse::{Level, Reader, cut, refuse},
    time,
};
use crate::reason::{Reason, Refusal};

/// A JSON value, with containers already walked over.
pub(crate) enum Scalar<'de> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'de, str>),
    Object,
    Array,
}

impl Scalar<'_> {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Object => "an object",
            Self::Array => "an array",
        }
    }
}

macro_rules! scalars {
    ($of:ident => $($wrap:tt)*) => {
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            let $of = Scalar::Null;
            $($wrap)*
        }
        fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Self::Value, E> {
            let $of = Scalar::Bool(truth);
            $($wrap)*
        }
        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
            let $of = Scalar::Number(number as f64);
            $($wrap)*
        }
        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
            let $of = Scalar::Number(number as f64);
            $($wrap)*
        }
        fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
            let $of = Scalar::Number(number);
            $($wrap)*
        }
        fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
            let $of = Scalar::Text(Cow::Borrowed(text));
            $($wrap)*
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            let $of = Scalar::Text(Cow::Owned(text.to_owned()));
            $($wrap)*
        }
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON value")
        }
    };
}

/// The message: an object, or an array of samples.
pub(super) struct Message<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
}

impl<'de> DeserializeSeed<'de> for Message<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let reader = self.reader;
        let nodes = &reader.layout.root;
        reader.begin(Level::Root);
        let found = deserializer.deserialize_any(Object { reader, nodes, level: Level::Root, depth: 1, root: true })?;
        match found {
            Scalar::Object => reader.finish(Level::Root),
            Scalar::Array => Ok(()),
            other => Err(reader.refuse(Reason::BadJson, format_smolstr!("the message is {}", other.kind()))),
        }
    }
}

/// An object in which some keys have a meaning. All other keys are walked over.
struct Object<'r, 'a> {
    reader: &'r mut Reader<'a>,
    nodes: &'a [Node],
    level: Level,
    depth: u8,
    /// Whether it is the message itself, which may instead be an array of samples.
    root: bool,
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_> {
    type Value = Scalar<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = Scalar<'de>;

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        let Self { reader, nodes, level, depth, .. } = self;
        descend::<A::Error>(&mut reader.refusal, depth)?;
        let mut keys = Keys::default();
        while let Some(key) = map.next_key_seed(Key)? {
            match nodes.iter().find(|node| node.key == key.as_ref()).map(|node| &node.place) {
                Some(Place::DeviceId) => {
                    match map.next_value_seed(Any { refusal: &mut reader.refusal, depth: depth + 1 })? {
                        Scalar::Text(id) if id == reader.device.as_str() => {}
                        Scalar::Text(_) => {
                            return Err(reader.refuse(Reason::SpoofedDeviceId, "the payload names another device"));
                        }
                        other => {
                            let detail = format_smolstr!("the device id is {}, not text", other.kind());
                            return Err(reader.refuse(Reason::WrongType, detail));
                        }
                    }
                }
                Some(Place::Timestamp) => {
                    let scalar = map.next_value_seed(Any { refusal: &mut reader.refusal, depth: depth + 1 })?;
                    let format = reader.layout.timestamp_format;
                    reader.head(level).given = match &scalar {
                        Scalar::Text(text) => time::from_text(text, format),
                        Scalar::Number(number) => time::from_number(*number, format),
                        Scalar::Null | Scalar::Bool(_) | Scalar::Object | Scalar::Array => None,
                    };
                }
                Some(Place::Readings) => {
                    reader.head(level).readings = Some(0);
                    let found = map.next_value_seed(Readings { reader, level, depth: depth + 1 })?;
                    if !matches!(found, Scalar::Object) {
                        let detail = format_smolstr!("the readings are {}, not an object", found.kind());
                        return Err(reader.refuse(Reason::WrongType, detail));
                    }
                }
                Some(Place::Batch) if level == Level::Root => {
                    reader.batched = true;
                    let found = map.next_value_seed(Batch { reader, depth: depth + 1 })?;
                    if !matches!(found, Scalar::Array) {
                        let detail = format_smolstr!("the batch is {}, not an array", found.kind());
                        return Err(reader.refuse(Reason::WrongType, detail));
                    }
                }
                Some(Place::Health(index)) => {
                    let scalar = map.next_value_seed(Any { refusal: &mut reader.refusal, depth: depth + 1 })?;
                    reader.head(level).health += 1;
                    reader.count_metric::<A::Error>(level)?;
                    reader.value::<A::Error>(level, reader.device_type.health_from + index, &scalar)?;
                }
                Some(Place::Inside(nodes)) => {
                    map.next_value_seed(Object { reader, nodes, level, depth: depth + 1, root: false })?;
                }
                Some(Place::Batch) | None => {
                    map.next_value_seed(Any { refusal: &mut reader.refusal, depth: depth + 1 })?;
                }
            }
            unique::<A::Error>(&mut reader.refusal, &mut keys, key)?;
        }
        Ok(Scalar::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Scalar<'de>, A::Error> {
        let Self { reader, depth, root, .. } = self;
        if root {
            Batch { reader, depth }.visit_seq(seq)
        } else {
            Any { refusal: &mut reader.refusal, depth }.visit_seq(seq)
        }
    }

    scalars!(scalar => Ok(scalar));
}

/// The array of samples in a batched message.
struct Batch<'r, 'a> {
    reader: &'r mut Reader<'a>,
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Batch<'_, '_> {
    type Value = Scalar<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Batch<'_, '_> {
    type Value = Scalar<'de>;

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        let Self { reader, depth } = self;
        descend::<A::Error>(&mut reader.refusal, depth)?;
        loop {
            reader.begin(Level::Element);
            let nodes = &reader.layout.root;
            let element = Object { reader, nodes, level: Level::Element, depth: depth + 1, root: false };
            match seq.next_element_seed(element)? {
                Some(Scalar::Object) => reader.finish::<A::Error>(Level::Element)?,
                Some(other) => {
                    let detail = format_smolstr!("a sample of the batch is {}, not an object", other.kind());
                    return Err(reader.refuse(Reason::WrongType, detail));
                }
                None => return Ok(Scalar::Array),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scalar<'de>, A::Error> {
        let Self { reader, depth } = self;
        Any { refusal: &mut reader.refusal, depth }.visit_map(map)
    }

    scalars!(scalar => Ok(scalar));
}

/// The object of readings.
struct Readings<'r, 'a> {
    reader: &'r mut Reader<'a>,
    level: Level,
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Readings<'_, '_> {
    type Value = Scalar<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Readings<'_, '_> {
    type Value = Scalar<'de>;

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        let Self { reader, level, depth } = self;
        descend::<A::Error>(&mut reader.refusal, depth)?;
        let mut keys = Keys::default();
        while let Some(key) = map.next_key_seed(Key)? {
            let count = reader.head(level).readings.map_or(1, |count| count + 1);
            reader.head(level).readings = Some(count);
            reader.count_metric::<A::Error>(level)?;
            let scalar = map.next_value_seed(Any { refusal: &mut reader.refusal, depth: depth + 1 })?;
            match reader.device_type.reading_by_key.get(key.as_ref()) {
                Some(metric) => reader.value::<A::Error>(level, *metric, &scalar)?,
                None if reader.reject_unknown => {
                    return Err(reader.refuse(Reason::UnknownReading, format_smolstr!("`{}`", cut(&key))));
                }
                None => reader.unknown(level, &key, &scalar),
            }
            unique::<A::Error>(&mut reader.refusal, &mut keys, key)?;
        }
        Ok(Scalar::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Scalar<'de>, A::Error> {
        let Self { reader, depth, .. } = self;
        Any { refusal: &mut reader.refusal, depth }.visit_seq(seq)
    }

    scalars!(scalar => Ok(scalar));
}

/// Any value. Containers are walked over, within the limits.
pub(super) struct Any<'r> {
    pub(super) refusal: &'r mut Option<Refusal>,
    pub(super) depth: u8,
}

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Scalar<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Scalar<'de>;

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        let Self { refusal, depth } = self;
        descend::<A::Error>(refusal, depth)?;
        let mut keys = Keys::default();
        while let Some(key) = map.next_key_seed(Key)? {
            map.next_value_seed(Any { refusal: &mut *refusal, depth: depth + 1 })?;
            unique::<A::Error>(refusal, &mut keys, key)?;
        }
        Ok(Scalar::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        let Self { refusal, depth } = self;
        descend::<A::Error>(refusal, depth)?;
        while seq.next_element_seed(Any { refusal: &mut *refusal, depth: depth + 1 })?.is_some() {}
        Ok(Scalar::Array)
    }

    scalars!(scalar => Ok(scalar));
}

/// An object's key, borrowed where it holds no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;
    fn visit_borrowed_str<E: de::Error>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }
    fn visit_str<E: de::Error>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
}

fn descend<E: de::Error>(refusal: &mut Option<Refusal>, depth: u8) -> Result<(), E> {
    if depth > DEPTH_MAX {
        return Err(refuse(refusal, Reason::TooDeep, format_smolstr!("{DEPTH_MAX} levels are the most")));
    }
    Ok(())
}

fn unique<'de, E: de::Error>(refusal: &mut Option<Refusal>, keys: &mut Keys<'de>, key: Cow<'de, str>) -> Result<(), E> {
    match keys.insert(key) {
        Ok(()) => Ok(()),
        Err(key) => Err(refuse(refusal, Reason::DuplicateKey, format_smolstr!("`{}` is there twice", cut(&key)))),
    }
}
