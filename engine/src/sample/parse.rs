//! Interprets a message's parts: values go straight into the sample's list, and the first error ends the parse. Does
//! not depend on how the JSON is walked.

use serde::de::{self, DeserializeSeed};
use smol_str::{SmolStr, format_smolstr};

use super::{
    Extra, MESSAGE_BYTES_MAX, METRICS_MAX, Sample, Samples, VALUE_MAX,
    layout::Layout,
    scan,
    walk::{Any, Message, Scalar},
};
use crate::{
    compiled::{Compiled, DeviceType, Kind},
    ids::DeviceId,
    reason::{Reason, Refusal},
    rule_set::UnknownReading,
    units::{Finite, Timestamp},
    value::Value,
};

/// Parses a message into `samples`, with times as the device gave them.
pub(super) fn parse(
    samples: &mut Samples,
    bytes: &[u8],
    rules: &Compiled,
    device_type: &DeviceType,
    device: &DeviceId,
) -> Result<(), Refusal> {
    check_length(bytes)?;
    if let Some(spelling) = &device_type.spelling {
        let mut reader = Reader::new(samples, rules, device_type, device);
        if scan::read(&mut reader, spelling, bytes).is_ok() {
            return Ok(());
        }
        let refusal = reader.refusal.take();
        samples.clear();
        // The parser would reach the same refusal at the same bytes, unless they are not UTF-8.
        if let Some(refusal) = refusal
            && std::str::from_utf8(bytes).is_ok()
        {
            return Err(refusal);
        }
    }
    general(samples, bytes, rules, device_type, device)
}

/// Checks that a message is not too large to be parsed.
pub(super) fn check_length(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() <= MESSAGE_BYTES_MAX {
        return Ok(());
    }
    let detail = format_smolstr!("the message has {} bytes; {MESSAGE_BYTES_MAX} are the most", bytes.len());
    Err(Refusal::new(Reason::TooLarge, detail))
}

/// Parses any message with the general parser.
pub(super) fn general(
    samples: &mut Samples,
    bytes: &[u8],
    rules: &Compiled,
    device_type: &DeviceType,
    device: &DeviceId,
) -> Result<(), Refusal> {
    let text = text(bytes)?;
    let mut reader = Reader::new(samples, rules, device_type, device);
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Message { reader: &mut reader }.deserialize(&mut json).and_then(|()| json.end());
    match (reader.refusal, read) {
        (Some(refusal), _) => Err(refusal),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => Err(from_json(&error)),
    }
}

/// Checks a payload that is not telemetry as strictly as a message: its length, encoding, depth and duplicate keys.
/// Returns its text and what it is.
pub(crate) fn walk_over(bytes: &[u8]) -> Result<(&str, Scalar<'_>), Refusal> {
    check_length(bytes)?;
    let text = text(bytes)?;
    let mut refusal = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Any { refusal: &mut refusal, depth: 1 }.deserialize(&mut json);
    match (read.and_then(|root| json.end().map(|()| root)), refusal) {
        (_, Some(refusal)) => Err(refusal),
        (Ok(root), None) => Ok((text, root)),
        (Err(error), None) => Err(from_json(&error)),
    }
}

fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes)
        .map_err(|error| Refusal::new(Reason::BadUtf8, format_smolstr!("at byte {}", error.valid_up_to())))
}

/// Maps an error of the library. Its message is not passed on: it may quote the payload.
fn from_json(error: &serde_json::Error) -> Refusal {
    let place = format_smolstr!("at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    if text.starts_with("number out of range") {
        Refusal::new(Reason::BadNumber, place)
    } else if text.starts_with("recursion limit") {
        Refusal::new(Reason::TooDeep, place)
    } else {
        Refusal::new(Reason::BadJson, place)
    }
}

/// Ends a walk. The error that passes back through the library is empty; the refusal holds the reason.
pub(super) fn refuse<E: de::Error>(refusal: &mut Option<Refusal>, reason: Reason, detail: impl Into<SmolStr>) -> E {
    *refusal = Some(Refusal::new(reason, detail));
    E::custom("")
}

pub(super) struct Reader<'a> {
    pub(super) layout: &'a Layout,
    pub(super) device_type: &'a DeviceType,
    pub(super) device: &'a DeviceId,
    pub(super) reject_unknown: bool,
    stores_unknown: bool,
    pub(super) samples: &'a mut Samples,
    pub(super) root: Head,
    pub(super) element: Head,
    pub(super) batched: bool,
    pub(super) refusal: Option<Refusal>,
}

/// What is known of the sample being parsed, apart from its values.
#[derive(Default)]
pub(super) struct Head {
    pub(super) given: Option<Timestamp>,
    /// Number of keys in its object of readings, once that was seen.
    pub(super) readings: Option<usize>,
    pub(super) health: usize,
    /// One bit for each metric that has a value.
    pub(super) present: u64,
    /// Index of its first value.
    pub(super) values_from: usize,
    /// Index of its first value that no rule reads.
    extras_from: usize,
}

/// Whether an object is the message itself or one of the samples batched in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Root,
    Element,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        samples: &'a mut Samples,
        rules: &'a Compiled,
        device_type: &'a DeviceType,
        device: &'a DeviceId,
    ) -> Self {
        Self {
            layout: &rules.layout,
            device_type,
            device,
            reject_unknown: rules.unknown_reading == UnknownReading::Reject,
            stores_unknown: rules.unknown_reading == UnknownReading::Store,
            samples,
            root: Head::default(),
            element: Head::default(),
            batched: false,
            refusal: None,
        }
    }

    pub(super) fn refuse<E: de::Error>(&mut self, reason: Reason, detail: impl Into<SmolStr>) -> E {
        refuse(&mut self.refusal, reason, detail)
    }

    pub(super) fn head(&mut self, level: Level) -> &mut Head {
        match level {
            Level::Root => &mut self.root,
            Level::Element => &mut self.element,
        }
    }

    pub(super) fn value<E: de::Error>(&mut self, level: Level, metric: u16, scalar: &Scalar<'_>) -> Result<(), E> {
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
        match (value, scalar) {
            (Some(value), _) => match level {
                Level::Root => self.samples.root.push((metric, value)),
                Level::Element => self.samples.values.push((metric, value)),
            },
            (None, Scalar::Text(text)) => self.keep_extra(level, || Extra::Text(metric, text.as_ref().into())),
            (None, _) => {}
        }
        Ok(())
    }

    /// Handles a reading that the device type does not declare.
    pub(super) fn unknown(&mut self, level: Level, key: &str, scalar: &Scalar<'_>) {
        self.samples.unknown_readings += 1;
        let value = match scalar {
            Scalar::Bool(truth) => (*truth).into(),
            // A JSON number is finite.
            Scalar::Number(number) => serde_json::Value::from(*number),
            Scalar::Text(text) => text.as_ref().into(),
            Scalar::Null | Scalar::Object | Scalar::Array => return,
        };
        if self.stores_unknown {
            self.keep_extra(level, || Extra::Other(key.into(), value));
        }
    }

    fn keep_extra(&mut self, level: Level, extra: impl FnOnce() -> Extra) {
        if !self.samples.keeps_extras {
            return;
        }
        match level {
            Level::Root => self.samples.root_extras.push(extra()),
            Level::Element => self.samples.extras.push(extra()),
        }
    }

    pub(super) fn count_metric<E: de::Error>(&mut self, level: Level) -> Result<(), E> {
        let head = self.head(level);
        if head.readings.unwrap_or(0) + head.health > METRICS_MAX {
            return Err(self.refuse(Reason::TooManyMetrics, format_smolstr!("a sample has at most {METRICS_MAX}")));
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, level: Level) {
        let (values_from, extras_from) = (self.samples.values.len(), self.samples.extras.len());
        *self.head(level) = Head { values_from, extras_from, ..Head::default() };
    }

    pub(super) fn finish<E: de::Error>(&mut self, level: Level) -> Result<(), E> {
        let required = self.device_type.required;
        let head = self.head(level);
        let (readings, missing) = (head.readings, required & !head.present);
        match readings {
            // The root of a batched message may have health values of its own and need not have readings.
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
                self.root.extras_from = self.samples.extras.len();
                self.samples.extras.append(&mut self.samples.root_extras);
                start
            }
        };
        self.keep(level, start);
        Ok(())
    }

    /// Makes a sample of the values from `start` on, if there are any.
    pub(super) fn keep(&mut self, level: Level, start: usize) {
        let Head { given, extras_from, .. } = *self.head(level);
        let (end, extras_end) = (self.samples.values.len(), self.samples.extras.len());
        if start < end || extras_from < extras_end {
            let (values, extras) = (start..end, extras_from..extras_end);
            self.samples.samples.push(Sample { given, at: Timestamp::default(), values, extras });
        }
    }
}

/// Converts a scalar to a value of a metric that rules read; `None` for text, which no rule reads.
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

/// Shortens a key for use in a detail: keys may come from the payload and be of any length.
pub(super) fn cut(key: &str) -> SmolStr {
    key.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(64).collect()
}
