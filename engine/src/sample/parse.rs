//! One walk over a message's JSON, without building a tree: values go straight into the sample's list, and whatever
//! the platform does not name is only held to the limits on depth and doubled keys.

use std::{borrow::Cow, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use smol_str::{SmolStr, format_smolstr};

use super::{
    DEPTH_MAX, MESSAGE_BYTES_MAX, METRICS_MAX, Sample, Samples, VALUE_MAX,
    keys::Keys,
    layout::{Layout, Node, Place},
    time,
};
use crate::{
    compiled::{Compiled, DeviceType, Kind},
    ids::DeviceId,
    reason::{Reason, Refusal},
    rule_set::UnknownReading,
    units::{Finite, Timestamp},
    value::Value,
};

/// Reads a message into `samples`, with times as the device gave them.
pub(super) fn parse(
    samples: &mut Samples,
    bytes: &[u8],
    rules: &Compiled,
    device_type: &DeviceType,
    device: &DeviceId,
) -> Result<(), Refusal> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Refusal::new(
            Reason::TooLarge,
            format_smolstr!("the message has {} bytes; {MESSAGE_BYTES_MAX} are the most", bytes.len()),
        ));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Refusal::new(Reason::BadUtf8, format_smolstr!("at byte {}", error.valid_up_to())))?;
    let mut reader = Reader {
        layout: &rules.layout,
        device_type,
        device,
        reject_unknown: rules.unknown_reading == UnknownReading::Reject,
        samples,
        root: Head::default(),
        element: Head::default(),
        batched: false,
        refusal: None,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Message { reader: &mut reader }.deserialize(&mut json).and_then(|()| json.end());
    match (reader.refusal, read) {
        (Some(refusal), _) => Err(refusal),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => Err(from_json(&error)),
    }
}

/// The library's own complaints. Its message is not passed on: it may quote the payload.
fn from_json(error: &serde_json::Error) -> Refusal {
    let place = format_smolstr!("at line {} column {}", error.line(), error.column());
    if error.to_string().starts_with("number out of range") {
        Refusal::new(Reason::BadNumber, place)
    } else if error.to_string().starts_with("recursion limit") {
        Refusal::new(Reason::TooDeep, place)
    } else {
        Refusal::new(Reason::BadJson, place)
    }
}

struct Reader<'a> {
    layout: &'a Layout,
    device_type: &'a DeviceType,
    device: &'a DeviceId,
    reject_unknown: bool,
    samples: &'a mut Samples,
    root: Head,
    element: Head,
    batched: bool,
    refusal: Option<Refusal>,
}

/// What is known of the sample being read, apart from its values.
#[derive(Default)]
struct Head {
    given: Option<Timestamp>,
    /// Keys in its object of readings, once that was seen.
    readings: Option<usize>,
    health: usize,
    /// A bit for each metric that has a value.
    present: u64,
    /// Where its values begin.
    values_from: usize,
}

/// Whether an object is the message itself or one of the samples batched in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Element,
}

impl<'a> Reader<'a> {
    /// Ends the walk. The error that comes back through the library says nothing; the refusal does.
    fn refuse<E: de::Error>(&mut self, reason: Reason, detail: impl Into<SmolStr>) -> E {
        self.refusal = Some(Refusal::new(reason, detail));
        E::custom("")
    }

    fn head(&mut self, level: Level) -> &mut Head {
        match level {
            Level::Root => &mut self.root,
            Level::Element => &mut self.element,
        }
    }

    fn value<E: de::Error>(&mut self, level: Level, metric: u16, scalar: &Scalar<'_>) -> Result<(), E> {
        let device_type: &'a DeviceType = self.device_type;
        let described = &device_type.metrics[usize::from(metric)];
        let key = &described.key;
        let value = match read_value(&described.kind, scalar) {
            Ok(value) => value,
            Err((Reason::WrongType, wanted)) => {
                let detail = format_smolstr!("`{}` is {}, not {wanted}", cut(key), scalar.kind());
                return Err(self.refuse(Reason::WrongType, detail));
            }
            Err((reason, problem)) => return Err(self.refuse(reason, format_smolstr!("`{}` {problem}", cut(key)))),
        };
        self.head(level).present |= 1 << metric;
        if let Some(value) = value {
            match level {
                Level::Root => self.samples.root.push((metric, value)),
                Level::Element => self.samples.values.push((metric, value)),
            }
        }
        Ok(())
    }

    fn count_metric<E: de::Error>(&mut self, level: Level) -> Result<(), E> {
        let head = self.head(level);
        if head.readings.unwrap_or(0) + head.health > METRICS_MAX {
            return Err(self.refuse(Reason::TooManyMetrics, format_smolstr!("a sample has at most {METRICS_MAX}")));
        }
        Ok(())
    }

    fn begin(&mut self, level: Level) {
        let values_from = self.samples.values.len();
        *self.head(level) = Head { values_from, ..Head::default() };
    }

    fn finish<E: de::Error>(&mut self, level: Level) -> Result<(), E> {
        let required = self.device_type.required;
        let head = self.head(level);
        let (readings, missing) = (head.readings, required & !head.present);
        let given = head.given;
        match readings {
            // A batched message may have health values of its own and need not have readings.
            None if level == Level::Root && self.batched => {}
            None => return Err(self.refuse(Reason::MissingReadings, "there is no object of readings")),
            Some(0) => {}
            Some(_) if missing != 0 => {
                let key = cut(&self.device_type.metrics[missing.trailing_zeros() as usize].key);
                return Err(self.refuse(Reason::MissingReading, format_smolstr!("`{key}` is required")));
            }
            Some(_) => {}
        }
        let start = match level {
            Level::Element => self.element.values_from,
            Level::Root => {
                let start = self.samples.values.len();
                self.samples.values.append(&mut self.samples.root);
                start
            }
        };
        let end = self.samples.values.len();
        if start < end {
            self.samples.samples.push(Sample { given, at: Timestamp::default(), values: start..end });
        }
        Ok(())
    }
}

/// A scalar as a value of a metric; `None` for text, which no rule reads.
fn read_value(kind: &Kind, scalar: &Scalar<'_>) -> Result<Option<Value>, (Reason, &'static str)> {
    let in_bounds = |number: f64, min: Finite, max: Finite| match Finite::new(number) {
        Some(finite) if number.abs() <= VALUE_MAX => {
            if (min..=max).contains(&finite) {
                Ok(Some(Value::Number(finite)))
            } else {
                Err((Reason::OutOfRange, "lies outside its declared bounds"))
            }
        }
        _ => Err((Reason::BadNumber, "is beyond ±1e15")),
    };
    match (kind, scalar) {
        (Kind::Float { min, max }, Scalar::Number(number)) => in_bounds(*number, *min, *max),
        (Kind::Float { .. }, _) => Err((Reason::WrongType, "a number")),
        (Kind::Int { min, max }, Scalar::Number(number)) if number.fract() == 0.0 => in_bounds(*number, *min, *max),
        (Kind::Int { .. }, _) => Err((Reason::WrongType, "a whole number")),
        (Kind::Bool, Scalar::Bool(truth)) => Ok(Some(Value::Bool(*truth))),
        (Kind::Bool, _) => Err((Reason::WrongType, "true or false")),
        (Kind::Enum { index, .. }, Scalar::Text(word)) => match index.get(word.as_ref()) {
            Some(index) => Ok(Some(Value::Word(*index))),
            None => Err((Reason::UnknownValue, "is none of its declared words")),
        },
        (Kind::Enum { .. }, _) => Err((Reason::WrongType, "one of its words")),
        (Kind::Text, Scalar::Text(_)) => Ok(None),
        (Kind::Text, _) => Err((Reason::WrongType, "text")),
    }
}

/// A key as a detail shows it: keys may come from the payload and be of any length.
fn cut(key: &str) -> SmolStr {
    key.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(64).collect()
}

/// What a JSON value is, with containers already walked over.
enum Scalar<'de> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'de, str>),
    Object,
    Array,
}

impl Scalar<'_> {
    fn kind(&self) -> &'static str {
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
struct Message<'r, 'a> {
    reader: &'r mut Reader<'a>,
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

/// An object of which some keys have a meaning. Anything else is walked over.
struct Object<'r, 'a> {
    reader: &'r mut Reader<'a>,
    nodes: &'a [Node],
    level: Level,
    depth: u8,
    /// The message itself: as an array it holds samples.
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
        descend::<A::Error>(reader, depth)?;
        let mut keys = Keys::default();
        while let Some(key) = map.next_key_seed(Key)? {
            match nodes.iter().find(|node| node.key == key.as_ref()).map(|node| &node.place) {
                Some(Place::DeviceId) => match map.next_value_seed(Any { reader, depth: depth + 1 })? {
                    Scalar::Text(id) if id == reader.device.as_str() => {}
                    Scalar::Text(_) => {
                        return Err(reader.refuse(Reason::SpoofedDeviceId, "the payload names another device"));
                    }
                    other => {
                        let detail = format_smolstr!("the device id is {}, not text", other.kind());
                        return Err(reader.refuse(Reason::WrongType, detail));
                    }
                },
                Some(Place::Timestamp) => {
                    let scalar = map.next_value_seed(Any { reader, depth: depth + 1 })?;
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
                    let scalar = map.next_value_seed(Any { reader, depth: depth + 1 })?;
                    reader.head(level).health += 1;
                    reader.count_metric::<A::Error>(level)?;
                    reader.value::<A::Error>(level, reader.device_type.health_from + index, &scalar)?;
                }
                Some(Place::Inside(nodes)) => {
                    map.next_value_seed(Object { reader, nodes, level, depth: depth + 1, root: false })?;
                }
                Some(Place::Batch) | None => {
                    map.next_value_seed(Any { reader, depth: depth + 1 })?;
                }
            }
            unique::<A::Error>(reader, &mut keys, key)?;
        }
        Ok(Scalar::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Scalar<'de>, A::Error> {
        let Self { reader, depth, root, .. } = self;
        if root { Batch { reader, depth }.visit_seq(seq) } else { Any { reader, depth }.visit_seq(seq) }
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
        descend::<A::Error>(reader, depth)?;
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
        Any { reader, depth }.visit_map(map)
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
        descend::<A::Error>(reader, depth)?;
        let mut keys = Keys::default();
        while let Some(key) = map.next_key_seed(Key)? {
            let count = reader.head(level).readings.map_or(1, |count| count + 1);
            reader.head(level).readings = Some(count);
            reader.count_metric::<A::Error>(level)?;
            let scalar = map.next_value_seed(Any { reader, depth: depth + 1 })?;
            match reader.device_type.reading_by_key.get(key.as_ref()) {
                Some(metric) => reader.value::<A::Error>(level, *metric, &scalar)?,
                None if reader.reject_unknown => {
                    return Err(reader.refuse(Reason::UnknownReading, format_smolstr!("`{}`", cut(&key))));
                }
                None => reader.samples.unknown_readings += 1,
            }
            unique::<A::Error>(reader, &mut keys, key)?;
        }
        Ok(Scalar::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Scalar<'de>, A::Error> {
        let Self { reader, depth, .. } = self;
        Any { reader, depth }.visit_seq(seq)
    }

    scalars!(scalar => Ok(scalar));
}

/// Any value. Containers are walked over, within the limits.
struct Any<'r, 'a> {
    reader: &'r mut Reader<'a>,
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Any<'_, '_> {
    type Value = Scalar<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_, '_> {
    type Value = Scalar<'de>;

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        let Self { reader, depth } = self;
        descend::<A::Error>(reader, depth)?;
        let mut keys = Keys::default();
        while let Some(key) = map.next_key_seed(Key)? {
            map.next_value_seed(Any { reader, depth: depth + 1 })?;
            unique::<A::Error>(reader, &mut keys, key)?;
        }
        Ok(Scalar::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        let Self { reader, depth } = self;
        descend::<A::Error>(reader, depth)?;
        while seq.next_element_seed(Any { reader, depth: depth + 1 })?.is_some() {}
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

fn descend<E: de::Error>(reader: &mut Reader<'_>, depth: u8) -> Result<(), E> {
    if depth > DEPTH_MAX {
        return Err(reader.refuse(Reason::TooDeep, format_smolstr!("{DEPTH_MAX} levels are the most")));
    }
    Ok(())
}

fn unique<'de, E: de::Error>(reader: &mut Reader<'_>, keys: &mut Keys<'de>, key: Cow<'de, str>) -> Result<(), E> {
    match keys.insert(key) {
        Ok(()) => Ok(()),
        Err(key) => Err(reader.refuse(Reason::DuplicateKey, format_smolstr!("`{}` is there twice", cut(&key)))),
    }
}
