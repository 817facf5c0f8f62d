//! Converts the bytes of a message into samples with values and times. Everything that can be wrong with a message is
//! found here, before any state is touched. Does not consider whether a value matters to a rule.

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

pub(crate) use self::{parse::walk_over, walk::Scalar};
pub use crate::rule_set::METRICS_MAX;

/// Largest message, in bytes: the most that a device can publish.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// Maximum number of objects and arrays around a value, the message itself included.
pub const DEPTH_MAX: u8 = 16;
/// Largest magnitude of a value. Below it, sums and squares of values stay finite and exact enough.
pub const VALUE_MAX: f64 = 1e15;

/// The samples of one message, in buffers that are reused for every message.
#[derive(Debug, Default)]
pub struct Samples {
    /// Sorted by time once times are assigned.
    pub(crate) samples: Vec<Sample>,
    /// The values of all samples; each sample owns a range.
    pub(crate) values: Vec<(u16, Value)>,
    /// Values at the root of a batched message, which may lie before and after its samples.
    root: Vec<(u16, Value)>,
    /// Values of all samples that no rule reads; each sample owns a range.
    pub(crate) extras: Vec<Extra>,
    /// Values at the root of a batched message that no rule reads.
    root_extras: Vec<Extra>,
    /// Whether values that no rule reads are kept.
    keeps_extras: bool,
    /// Positions of the values in a message that may become a template.
    read: Vec<template::Read>,
    /// Number of readings that the device type does not declare.
    pub(crate) unknown_readings: u64,
    pub(crate) untimed: u64,
    pub(crate) future: u64,
    pub(crate) too_old: u64,
}

/// One sample with at least one value.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The device's time, if the message has one.
    given: Option<Timestamp>,
    /// The time that evaluation uses.
    pub(crate) at: Timestamp,
    /// Its range of `values`.
    pub(crate) values: std::ops::Range<usize>,
    /// Its range of `extras`.
    pub(crate) extras: std::ops::Range<usize>,
}

/// A value that is stored but read by no rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Extra {
    /// A string value of this metric.
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

    /// Parses a device's message. After a refusal the samples are unspecified.
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

    /// Parses a device's message with everything in it, however old its samples are. After a refusal the samples are
    /// unspecified.
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
        let read = parse::check_length(bytes)
            .and_then(|()| parse::general(self, bytes, rules, rules.device_type(home), device));
        self.keeps_extras = false;
        read?;
        time::assign(self, ingested_at, rules.max_future_skew, Millis(u64::MAX));
        Ok(())
    }

    /// Shows everything but the buffers that are used only while parsing.
    #[cfg(feature = "probes")]
    pub(crate) fn shown(&self) -> String {
        let Self { samples, values, root, unknown_readings, untimed, future, too_old, .. } = self;
        format!("{:?}", (samples, values, root, unknown_readings, untimed, future, too_old))
    }
}

/// Parses a device's message as [`Samples::read`] does, with the general parser only.
#[cfg(feature = "probes")]
pub(crate) fn read_by_parser(
    samples: &mut Samples,
    bytes: &[u8],
    rules: &Compiled,
    home: Home,
    device: &DeviceId,
    ingested_at: Timestamp,
) -> Result<(), Refusal> {
    parse::check_length(bytes)?;
    parse::general(samples, bytes, rules, rules.device_type(home), device)?;
    time::assign(samples, ingested_at, rules.max_future_skew, rules.max_past);
    Ok(())
}
