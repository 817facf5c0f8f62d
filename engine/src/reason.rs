//! Why a record is set aside. The words are stable: they are stored, counted and alarmed on.

use std::fmt;

use smol_str::SmolStr;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Why a record is set aside.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the stable word for the reason.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

reasons! {
    /// The message is larger than 128 KiB.
    TooLarge = "too_large",
    /// The message is not UTF-8.
    BadUtf8 = "bad_utf8",
    /// The message is not JSON, or its root is neither an object nor an array.
    BadJson = "bad_json",
    /// Objects and arrays are nested deeper than 16.
    TooDeep = "too_deep",
    /// An object holds the same key twice.
    DuplicateKey = "duplicate_key",
    /// A sample holds more than 64 values.
    TooManyMetrics = "too_many_metrics",
    /// A value is not a finite number, or lies beyond ±1e15.
    BadNumber = "bad_number",
    /// A value has a type other than the one that the platform declares.
    WrongType = "wrong_type",
    /// A message has no object of readings.
    MissingReadings = "missing_readings",
    /// A sample with readings lacks a required one.
    MissingReading = "missing_reading",
    /// A value lies outside the bounds that the platform declares.
    OutOfRange = "out_of_range",
    /// A word is not one of those that the platform declares.
    UnknownValue = "unknown_value",
    /// A reading is not declared and `unknown_reading` is `reject`.
    UnknownReading = "unknown_reading",
    /// A message on the channel `status` is neither `online` nor `offline`.
    BadStatus = "bad_status",
    /// A message on the channel `alerts` is not a valid alarm.
    BadAlarm = "bad_alarm",
    /// The device has never been registered.
    UnknownDevice = "unknown_device",
    /// The device is registered with a type that the rule set does not know.
    UnknownType = "unknown_type",
    /// The device is registered with a zone that the rule set does not know.
    UnknownZone = "unknown_zone",
    /// The device was retired.
    RetiredDevice = "retired_device",
    /// The client that sent the message, or the partition key, is not the device of the topic.
    IdentityMismatch = "identity_mismatch",
    /// The payload names a device other than that of its topic.
    SpoofedDeviceId = "spoofed_device_id",
    /// A wrapped record lacks a field, or has one in the wrong form.
    BadEnvelope = "bad_envelope",
    /// The payload of a wrapped record is not base64.
    BadBase64 = "bad_base64",
    /// A wrapped record is of a kind that this version does not know.
    UnknownKind = "unknown_kind",
    /// A message arrived on a channel that this version does not know.
    UnknownChannel = "unknown_channel",
    /// The record arrived at a shard whose state had passed to its children.
    AfterSeal = "after_seal",
    /// The engine panicked on the record.
    Panic = "panic",
    /// The record brought down the whole process at every attempt.
    Killer = "killer",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Reason> for SmolStr {
    fn from(reason: Reason) -> Self {
        SmolStr::new_static(reason.as_str())
    }
}

/// Why a record is set aside, as a word and as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, which has a stable word: see [`Reason::as_str`].
    pub reason: Reason,
    /// A sentence for a person: it names keys and types, never values.
    pub detail: SmolStr,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<SmolStr>) -> Self {
        Self { reason, detail: detail.into() }
    }
}
