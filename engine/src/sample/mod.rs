//! From the bytes of a message to samples with values and times. Everything that can be wrong with a message is found
//! here, before any state is touched; whether a value matters to a rule is not asked.

mod keys;
pub(crate) mod layout;
mod parse;
mod scan;
pub(crate) mod spelling;
mod template;
pub(crate) mod time;
mod walk;

use smol_str::SmolStr;

use crate::{
    compiled::{Compiled, Home},
    ids::DeviceId,
    reason::Refusal,
    units::{Millis, Timestamp},
    value::Value,
};

pub use crate::rule_set::METRICS_MAX;

/// The largest message: the most that a device can publish.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// The most objects and arrays around a value, the message itself included.
pub const DEPTH_MAX: u8 = 16;
/// The largest magnitude of a value. Below it, sums and squares of values stay finite and exact enough.
pub const VALUE_MAX: f64 = 1e15;

/// The samples of one message, in buffers that serve one message after the other.
#[derive(Debug, Default)]
pub struct Samples {
    /// By rising time once times are assigned.
    pub(crate) samples: Vec<Sample>,
    /// The values of all samples; each sample owns a part.
    pub(crate) values: Vec<(u16, Value)>,
    /// Values at the root of a batched message, which may lie before and after its samples.
    root: Vec<(u16, Value)>,
    /// What no rule reads, of all samples; each sample owns a part.
    pub(crate) extras: Vec<Extra>,
    /// The same at the root of a batched message.
    root_extras: Vec<Extra>,
    /// Whether what no rule reads is kept.
    keeps_extras: bool,
    /// Where the values of a message stand that a template may be made of.
    read: Vec<template::Read>,
    /// Readings that the device type does not declare.
    pub(crate) unknown_readings: u64,
    pub(crate) untimed: u64,
    pub(crate) future: u64,
    pub(crate) too_old: u64,
}

/// One sample with at least one value.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// As the device gave it, if it did.
    given: Option<Timestamp>,
    /// As evaluation takes it.
    pub(crate) at: Timestamp,
    /// Its part of the values.
    pub(crate) values: std::ops::Range<usize>,
    /// Its part of what no rule reads.
    pub(crate) extras: std::ops::Range<usize>,
}

/// A value that is stored and read by no rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Extra {
    /// Text, of this metric.
    Text(u16, SmolStr),
    /// A reading that the device type does not declare, by its key.
    Other(SmolStr, serde_json::Value),
}

impl Samples {
    fn clear(&mut self) {
        let Self { samples, values, root, extras, root_extras, keeps_extras: _, read, .. } = self;
        samples.clear();
        values.clear();
        root.clear();
        extras.clear();
        root_extras.clear();
        read.clear();
        let Self { unknown_readings, untimed, future, too_old, .. } = self;
        (*unknown_readings, *untimed, *future, *too_old) = (0, 0, 0, 0);
    }

    /// Reads a device's message. On a refusal the samples mean nothing.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        rules: &Compiled,
        home: Home,
        device: &DeviceId,
        ingested_at: Timestamp,
    ) -> Result<(), Refusal> {
        self.clear();
        parse::parse(self, bytes, rules, rules.device_type(home), device)?;
        time::assign(self, ingested_at, rules.max_future_skew, rules.max_past);
        Ok(())
    }

    /// Reads a device's message with all that is in it, however old its samples are. On a refusal the samples mean
    /// nothing.
    pub(crate) fn read_whole(
        &mut self,
        bytes: &[u8],
        rules: &Compiled,
        home: Home,
        device: &DeviceId,
        ingested_at: Timestamp,
    ) -> Result<(), Refusal> {
        self.clear();
        self.keeps_extras = true;
        let read =
            parse::checked(bytes).and_then(|()| parse::general(self, bytes, rules, rules.device_type(home), device));
        self.keeps_extras = false;
        read?;
        time::assign(self, ingested_at, rules.max_future_skew, Millis(u64::MAX));
        Ok(())
    }

    /// Everything but what only reading is done with.
    #[cfg(feature = "probes")]
    pub(crate) fn shown(&self) -> String {
        let Self { samples, values, root, unknown_readings, untimed, future, too_old, .. } = self;
        format!("{:?}", (samples, values, root, unknown_readings, untimed, future, too_old))
    }
}

/// Reads a device's message as [`Samples::read`] does, by the parser alone.
#[cfg(feature = "probes")]
pub(crate) fn read_by_parser(
    samples: &mut Samples,
    bytes: &[u8],
    rules: &Compiled,
    home: Home,
    device: &DeviceId,
    ingested_at: Timestamp,
) -> Result<(), Refusal> {
    parse::checked(bytes)?;
    parse::general(samples, bytes, rules, rules.device_type(home), device)?;
    time::assign(samples, ingested_at, rules.max_future_skew, rules.max_past);
    Ok(())
}
