//! Recognizes objects that were read before, byte for byte except for their values. Devices of one type write their
//! messages with the same keys in the same order and the same spaces, so the next message is almost always the last
//! one with other values.
//!
//! A template is learned from what the scan has read, and holds what follows from the text between the values: that
//! no key occurs twice, which readings are present, and how many. What remains are the values, which must be of the
//! same form as before: a number where a number was, a string where a string was. Any surprise leaves the object to
//! the scan.

use std::sync::{
    OnceLock,
    atomic::{AtomicU8, Ordering},
};

use serde::de::value::Error as Refused;

use super::{
    VALUE_MAX,
    parse::{Head, Level},
    scan::{Scan, Surprise, number},
    spelling::{Named, Words},
};
use crate::{
    compiled::{DeviceType, Kind},
    units::Finite,
    value::Value,
};

/// Maximum number of templates of one device type, for messages and for the samples of a batch each. If a type sends
/// more forms than this, the scan reads the others.
const TEMPLATES_MAX: usize = 4;

/// The templates of one device type, each learned once.
#[derive(Debug, Default)]
pub(super) struct Templates {
    kept: [OnceLock<Template>; TEMPLATES_MAX],
    /// Index of the template that matched last.
    last: AtomicU8,
}

/// An object with its values left out.
#[derive(Debug)]
struct Template {
    parts: Box<[Part]>,
    /// The text after the last value.
    end: Words,
    /// Number of readings that the device type does not declare.
    unknown_readings: u64,
}

#[derive(Debug)]
struct Part {
    before: Words,
    value: Expected,
}

/// What stands between two pieces of text.
#[derive(Clone, Copy, Debug)]
enum Expected {
    DeviceId,
    Timestamp,
    /// A number of this metric, within bounds.
    Number {
        metric: u16,
        min: Finite,
        max: Finite,
    },
    /// Any value of this metric.
    Metric(u16),
    /// A value that the platform does not name.
    Stranger,
}

/// A value that the scan has read: its place in the message, and what it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) named: Option<Named>,
    /// Whether it stood among the readings.
    pub(super) is_reading: bool,
}

impl Templates {
    /// Reads the object at the start of a scan, if a template matches it. Returns `false` if none does, and leaves
    /// the reader as it was at the start of the object.
    #[inline]
    pub(super) fn read(&self, scan: &mut Scan<'_, '_, '_>, which: Level) -> bool {
        let last = usize::from(self.last.load(Ordering::Relaxed));
        if self.read_as(last, scan, which) {
            return true;
        }
        for index in (0..TEMPLATES_MAX).filter(|index| *index != last) {
            if self.read_as(index, scan, which) {
                self.last.store(index as u8, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    fn read_as(&self, index: usize, scan: &mut Scan<'_, '_, '_>, which: Level) -> bool {
        let Some(template) = self.kept.get(index).and_then(OnceLock::get) else { return false };
        let (from, before) = (scan.rest, scan.reader.samples.values.len());
        if template.read(scan, which).is_some() {
            return true;
        }
        scan.rest = from;
        scan.reader.samples.values.truncate(before);
        scan.reader.begin(which);
        false
    }

    /// Whether another template can be learned.
    pub(super) fn has_room(&self) -> bool {
        self.kept.last().is_some_and(|last| last.get().is_none())
    }

    /// Learns an object that was read, with its values in the order of the text. `from` is where it started.
    pub(super) fn learn(&self, object: &[u8], from: usize, values: &[Read], device_type: &DeviceType) {
        let Some(template) = Template::new(object, from, values, device_type) else { return };
        // If another thread learns at the same time, this template takes the next place.
        let _none_left = self.kept.iter().try_fold(template, |template, place| place.set(template).err().ok_or(()));
    }
}

impl Template {
    fn new(object: &[u8], from: usize, values: &[Read], device_type: &DeviceType) -> Option<Self> {
        let mut end = 0;
        let mut parts = Vec::with_capacity(values.len());
        for Read { from: value, to, named, .. } in values {
            let expected = match named {
                Some(Named::DeviceId) => Expected::DeviceId,
                Some(Named::Timestamp) => Expected::Timestamp,
                Some(Named::Reading(metric)) => Expected::of(*metric, device_type),
                Some(Named::Health(index)) => Expected::of(device_type.health_from + index, device_type),
                Some(Named::Readings(_) | Named::Inside(_) | Named::Batch) => return None,
                None => Expected::Stranger,
            };
            parts.push(Part { before: Words::new(object.get(end..value.checked_sub(from)?)?), value: expected });
            end = to.checked_sub(from)?;
        }
        let unknown = values.iter().filter(|value| value.is_reading && value.named.is_none());
        Some(Self {
            parts: parts.into(),
            end: Words::new(object.get(end..)?),
            unknown_readings: unknown.count() as u64,
        })
    }

    #[inline]
    fn read(&self, scan: &mut Scan<'_, '_, '_>, which: Level) -> Option<()> {
        let mut given = None;
        let mut rest = scan.rest;
        for Part { before, value } in &self.parts {
            rest = before.after(rest)?;
            match *value {
                Expected::Number { metric, min, max } => {
                    let (number, after) = number(rest)?;
                    let number = Finite::within(number, min, max)?;
                    scan.reader.samples.values.push((metric, Value::Number(number)));
                    rest = after;
                }
                Expected::Metric(metric) => {
                    scan.rest = rest;
                    let scalar = scan.scalar().ok()?;
                    scan.reader.value::<Refused>(Level::Element, metric, &scalar).map_err(Surprise::from).ok()?;
                    rest = scan.rest;
                }
                Expected::DeviceId => {
                    // An id contains no characters that JSON would escape.
                    let id = scan.reader.device.as_str().as_bytes();
                    rest = rest.strip_prefix(b"\"")?.strip_prefix(id)?.strip_prefix(b"\"")?;
                }
                Expected::Timestamp => {
                    scan.rest = rest;
                    given = scan.time().ok()?;
                    rest = scan.rest;
                }
                Expected::Stranger => {
                    scan.rest = rest;
                    scan.scalar().ok()?;
                    rest = scan.rest;
                }
            }
        }
        scan.rest = self.end.after(rest)?;
        let head: &mut Head = scan.reader.head(which);
        head.given = given;
        let from = head.values_from;
        scan.reader.samples.unknown_readings += self.unknown_readings;
        scan.reader.keep(which, from);
        Some(())
    }
}

impl Expected {
    fn of(metric: u16, device_type: &DeviceType) -> Self {
        match &device_type.metrics[usize::from(metric)].kind {
            Kind::Float { min, max } => match [min.get().max(-VALUE_MAX), max.get().min(VALUE_MAX)].map(Finite::new) {
                [Some(min), Some(max)] => Self::Number { metric, min, max },
                [None, _] | [_, None] => Self::Metric(metric),
            },
            Kind::Int { .. } | Kind::Bool | Kind::Enum { .. } | Kind::Text => Self::Metric(metric),
        }
    }
}
