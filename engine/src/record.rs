//! Parses the records of the stream: a message of a device, a registration, the announcement of a rule set, a report
//! to a fleet, or plain telemetry that a gateway wrote. Which device a record belongs to is decided here, never by a
//! payload.

use std::borrow::Cow;

use serde::Deserialize;
use smol_str::{SmolStr, format_smolstr};

use crate::{
    base64::{Buffer, decode_onto},
    drive::StreamRecord,
    effect::Member,
    envelope,
    ids::{AttributeId, ContactId, DeviceId, DeviceTypeId, RuleId, ZoneId},
    overrides::{CONTACTS_MAX, Override},
    reason::{Reason, Refusal},
    rule_set::FleetOf,
    sample::{MESSAGE_BYTES_MAX, Scalar, walk_over},
    state::Registration,
    units::{Finite, Timestamp},
};

/// A record, with its envelope decoded. Rare and large parts are boxed: nearly every record is telemetry, and is
/// passed along by value.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    /// Readings of a device.
    Telemetry { device: Cow<'a, str>, payload: Payload<'a> },
    /// A device reports whether it is online.
    Status { device: Cow<'a, str>, payload: Payload<'a> },
    /// A device raises or ends an alarm.
    Alarm { device: Cow<'a, str>, payload: Payload<'a> },
    /// The broker reports that a client has connected or disconnected.
    Lifecycle(Lifecycle<'a>),
    /// Only advances the shard's time.
    Tick,
    /// A device is registered, moved or retired.
    Device(Box<Registration>),
    /// Announces a rule set to adopt.
    Rules { version: u64, sha256: SmolStr },
    /// Operators have set or removed an override of a rule.
    Override { rule: RuleId, row: Box<Override> },
    /// A device's state for a fleet has changed.
    Member(Box<Member>),
    /// A record that was set aside or given up, put on the stream again with its original bytes.
    Redriven { original: Vec<u8> },
}

impl Record<'_> {
    /// Returns the version and address of the rule set that the record names.
    pub(crate) fn rule_set(&self) -> Option<(u64, &SmolStr)> {
        match self {
            Self::Rules { version, sha256 } => Some((*version, sha256)),
            Self::Member(member) => Some((member.version, &member.sha256)),
            Self::Telemetry { .. }
            | Self::Status { .. }
            | Self::Alarm { .. }
            | Self::Lifecycle(_)
            | Self::Tick
            | Self::Device(_)
            | Self::Override { .. }
            | Self::Redriven { .. } => None,
        }
    }
}

/// Where a message's bytes are.
#[derive(Debug)]
pub(crate) enum Payload<'a> {
    /// In the record itself.
    Plain(&'a [u8]),
    /// Decoded, in the buffer.
    Decoded,
}

impl<'a> Payload<'a> {
    /// Returns the message's bytes. `decoded` is the buffer.
    pub(crate) fn bytes(self, decoded: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Decoded => decoded,
        }
    }
}

/// What the broker reports about a client's connection.
#[derive(Debug)]
pub(crate) struct Lifecycle<'a> {
    pub(crate) device: Cow<'a, str>,
    pub(crate) connected: bool,
    /// Rises with each connection of the client. Its connect and its disconnect have the same number.
    pub(crate) version: u64,
    /// Whether a second connection of the same client displaced this one.
    pub(crate) duplicate: bool,
}

impl Lifecycle<'_> {
    /// Returns the place among the client's events, which arrive in any order: by connection, and within one
    /// connection its end last.
    pub(crate) fn order(&self) -> u64 {
        self.version.saturating_mul(2).saturating_add(u64::from(!self.connected))
    }
}

/// The fields of all wrapped kinds. Any of them may be missing.
#[derive(Deserialize)]
struct Wrapped<'a> {
    ff: Option<u64>,
    #[serde(borrow)]
    k: Option<Cow<'a, str>>,
    #[serde(borrow)]
    d: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ch: Option<Cow<'a, str>>,
    #[serde(borrow)]
    c: Option<Cow<'a, str>>,
    #[serde(borrow)]
    p: Option<Cow<'a, str>>,
    t: Option<i64>,
    rev: Option<u64>,
    #[serde(rename = "type")]
    device_type: Option<DeviceTypeId>,
    zone: Option<ZoneId>,
    attributes: Option<std::collections::BTreeMap<AttributeId, Finite>>,
    retired: Option<bool>,
    version: Option<u64>,
    sha256: Option<SmolStr>,
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
    #[serde(borrow)]
    r: Option<Cow<'a, str>>,
    v: Option<u64>,
    rule: Option<RuleId>,
    generation: Option<u32>,
    n: Option<u64>,
    #[serde(rename = "in")]
    inside: Option<bool>,
    registered: Option<bool>,
    of: Option<FleetOf>,
    enabled: Option<bool>,
    threshold: Option<Finite>,
    muted_until: Option<i64>,
    contacts: Option<Vec<ContactId>>,
    until: Option<i64>,
    removed: Option<bool>,
}

/// Reads a record's envelope. The time returned is its ingest time, which never lies after its arrival in the stream.
pub(crate) fn read<'a>(record: &StreamRecord<'a>, buffer: &mut Buffer) -> (Timestamp, Result<Record<'a>, Refusal>) {
    usual(record, buffer).unwrap_or_else(|| general(record, buffer))
}

/// Reads a message of the usual form, without a parser. `None` leaves the record to [`general`].
pub(crate) fn usual<'a>(
    record: &StreamRecord<'a>,
    buffer: &mut Buffer,
) -> Option<(Timestamp, Result<Record<'a>, Refusal>)> {
    if let Some(envelope::Telemetry { payload, ingested_at }) = envelope::telemetry(record.data, record.partition_key)
        && is_short_enough(payload)
        && buffer.decode(payload).is_ok()
    {
        let telemetry = Record::Telemetry { device: Cow::Borrowed(record.partition_key), payload: Payload::Decoded };
        return Some((Timestamp(ingested_at).min(record.arrived_at), Ok(telemetry)));
    }
    let message = envelope::scan(record.data)?;
    let usual = message.kind == "message"
        && message.channel == "telemetry"
        && message.device == message.client
        && message.device == record.partition_key
        && is_short_enough(message.payload);
    if !usual || buffer.decode(message.payload).is_err() {
        return None;
    }
    let telemetry = Record::Telemetry { device: Cow::Borrowed(message.device), payload: Payload::Decoded };
    Some((Timestamp(message.ingested_at).min(record.arrived_at), Ok(telemetry)))
}

/// Reads any record.
pub(crate) fn general<'a>(record: &StreamRecord<'a>, buffer: &mut Buffer) -> (Timestamp, Result<Record<'a>, Refusal>) {
    let arrived_at = record.arrived_at;
    match wrapped(record.data) {
        None => {
            let telemetry =
                Record::Telemetry { device: Cow::Borrowed(record.partition_key), payload: Payload::Plain(record.data) };
            (arrived_at, Ok(telemetry))
        }
        Some(Err(refusal)) => (arrived_at, Err(refusal)),
        Some(Ok(wrapped)) => {
            let ingested_at = wrapped.t.map_or(arrived_at, |t| Timestamp(t).min(arrived_at));
            (ingested_at, open(wrapped, record.partition_key, ingested_at, buffer))
        }
    }
}

/// The letter of the mark, in its other JSON spelling.
const ESCAPED_F: &str = "\\u0066";

/// Reads the envelope of a wrapped record: a JSON object with `"ff": 1`. Anything else is plain.
fn wrapped(data: &[u8]) -> Option<Result<Wrapped<'_>, Refusal>> {
    #[derive(Deserialize)]
    struct Mark {
        ff: serde_json::Value,
    }
    let text = std::str::from_utf8(data).ok()?;
    let may_be_marked = text.contains("\"ff\"") || text.contains(ESCAPED_F);
    if !may_be_marked || !text.trim_ascii_start().starts_with('{') {
        return None;
    }
    match serde_json::from_str::<Wrapped<'_>>(text) {
        Ok(wrapped) => (wrapped.ff == Some(1)).then_some(Ok(wrapped)),
        Err(error) => match serde_json::from_str::<Mark>(text) {
            Ok(mark) if mark.ff == 1 => Some(Err(Refusal::new(
                Reason::BadEnvelope,
                format_smolstr!("the field that ends at line {} column {}", error.line(), error.column()),
            ))),
            Ok(_) | Err(_) => None,
        },
    }
}

fn open<'a>(
    wrapped: Wrapped<'a>,
    partition_key: &str,
    ingested_at: Timestamp,
    buffer: &mut Buffer,
) -> Result<Record<'a>, Refusal> {
    match wrapped.k.as_deref() {
        Some("message") => open_message(wrapped, partition_key, buffer),
        Some("device") => open_device(wrapped, partition_key).map(Box::new).map(Record::Device),
        Some("rules") => {
            let (version, sha256) = rule_set(wrapped.version, wrapped.sha256)?;
            Ok(Record::Rules { version, sha256 })
        }
        Some("member") => open_member(wrapped, partition_key, ingested_at).map(Box::new).map(Record::Member),
        Some("override") => open_override(wrapped),
        Some("lifecycle") => open_lifecycle(wrapped, partition_key).map(Record::Lifecycle),
        Some("tick") => Ok(Record::Tick),
        Some("redrive") => open_redriven(&wrapped),
        Some(_) => Err(Refusal::new(Reason::UnknownKind, "this version does not know the record's kind")),
        None => Err(lacking("k")),
    }
}

fn open_message<'a>(wrapped: Wrapped<'a>, partition_key: &str, buffer: &mut Buffer) -> Result<Record<'a>, Refusal> {
    let device = wrapped.d.ok_or_else(|| lacking("d"))?;
    let client = wrapped.c.ok_or_else(|| lacking("c"))?;
    check_identity(&device, &client, "the client")?;
    check_identity(&device, partition_key, "the partition key")?;
    let channel = match wrapped.ch.as_deref() {
        Some("telemetry") => Channel::Telemetry,
        Some("status") => Channel::Status,
        Some("alerts") => Channel::Alerts,
        Some(_) => return Err(Refusal::new(Reason::UnknownChannel, "this version does not know the channel")),
        None => return Err(lacking("ch")),
    };
    let payload = wrapped.p.ok_or_else(|| lacking("p"))?;
    if !is_short_enough(payload.as_bytes()) {
        return Err(Refusal::new(Reason::TooLarge, format_smolstr!("{MESSAGE_BYTES_MAX} bytes are the most")));
    }
    buffer.decode(payload.as_bytes()).map_err(|_| Refusal::new(Reason::BadBase64, "`p` is not base64"))?;
    let payload = Payload::Decoded;
    Ok(match channel {
        Channel::Telemetry => Record::Telemetry { device, payload },
        Channel::Status => Record::Status { device, payload },
        Channel::Alerts => Record::Alarm { device, payload },
    })
}

/// The channel that a device published on.
#[derive(Clone, Copy)]
enum Channel {
    Telemetry,
    Status,
    Alerts,
}

/// The reason that the broker gives when a client connects twice: the first connection ends, the client stays (AWS
/// IoT Core Developer Guide, "Lifecycle events").
const DUPLICATE_CLIENT: &str = "DUPLICATE_CLIENTID";

fn open_lifecycle<'a>(wrapped: Wrapped<'a>, partition_key: &str) -> Result<Lifecycle<'a>, Refusal> {
    let device = wrapped.d.ok_or_else(|| lacking("d"))?;
    check_identity(&device, partition_key, "the partition key")?;
    let connected = match wrapped.e.as_deref() {
        Some("connected") => true,
        Some("disconnected") => false,
        Some(_) => return Err(Refusal::new(Reason::BadEnvelope, "`e` is neither `connected` nor `disconnected`")),
        None => return Err(lacking("e")),
    };
    let version = wrapped.v.ok_or_else(|| lacking("v"))?;
    let duplicate = !connected && wrapped.r.as_deref() == Some(DUPLICATE_CLIENT);
    Ok(Lifecycle { device, connected, version, duplicate })
}

/// Reads a small payload of a device that is not telemetry. `device_id` is the path of the id that a payload may
/// carry, which is compared and never trusted.
pub(crate) fn payload<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    device_id: &str,
    device: &str,
    otherwise: Reason,
) -> Result<T, Refusal> {
    let (text, root) = walk_over(bytes)?;
    if !matches!(root, Scalar::Object) {
        return Err(Refusal::new(otherwise, format_smolstr!("the message is {}", root.kind())));
    }
    let at = |error: &serde_json::Error| format_smolstr!("at line {} column {}", error.line(), error.column());
    let root: serde_json::Value =
        serde_json::from_str(text).map_err(|error| Refusal::new(Reason::BadJson, at(&error)))?;
    let named = device_id.split('.').try_fold(&root, |value, key| value.get(key));
    match named {
        Some(serde_json::Value::String(named)) if named == device => {}
        None | Some(serde_json::Value::Null) => {}
        Some(_) => return Err(Refusal::new(Reason::SpoofedDeviceId, "the payload names another device")),
    }
    serde_json::from_str(text).map_err(|error| Refusal::new(otherwise, at(&error)))
}

fn open_redriven<'a>(wrapped: &Wrapped<'_>) -> Result<Record<'a>, Refusal> {
    wrapped.t.ok_or_else(|| lacking("t"))?;
    let payload = wrapped.p.as_ref().ok_or_else(|| lacking("p"))?;
    let mut original = Vec::new();
    decode_onto(payload.as_bytes(), &mut original).map_err(|_| Refusal::new(Reason::BadBase64, "`p` is not base64"))?;
    Ok(Record::Redriven { original })
}

/// Checks the length before decoding: base64 turns three bytes into four characters.
fn is_short_enough(payload: &[u8]) -> bool {
    payload.len() / 4 * 3 <= MESSAGE_BYTES_MAX + 3
}

fn open_device(wrapped: Wrapped<'_>, partition_key: &str) -> Result<Registration, Refusal> {
    let device = wrapped.d.ok_or_else(|| lacking("d"))?;
    check_identity(&device, partition_key, "the partition key")?;
    Ok(Registration {
        id: DeviceId::new(&device).map_err(|error| Refusal::new(Reason::BadEnvelope, error.rule))?,
        revision: wrapped.rev.ok_or_else(|| lacking("rev"))?,
        device_type: wrapped.device_type.ok_or_else(|| lacking("type"))?,
        zone: wrapped.zone.ok_or_else(|| lacking("zone"))?,
        attributes: wrapped.attributes.unwrap_or_default().into_iter().collect(),
        retired: wrapped.retired.unwrap_or(false),
    })
}

fn open_override<'a>(wrapped: Wrapped<'_>) -> Result<Record<'a>, Refusal> {
    let rule = wrapped.rule.ok_or_else(|| lacking("rule"))?;
    let revision = wrapped.rev.ok_or_else(|| lacking("rev"))?;
    if wrapped.contacts.as_ref().is_some_and(|contacts| contacts.len() > CONTACTS_MAX) {
        let detail = format_smolstr!("`contacts` holds more than {CONTACTS_MAX}");
        return Err(Refusal::new(Reason::BadEnvelope, detail));
    }
    let row = if wrapped.removed == Some(true) {
        Override { revision, ..Override::default() }
    } else {
        Override {
            revision,
            enabled: wrapped.enabled,
            threshold: wrapped.threshold,
            muted_until: wrapped.muted_until.map(Timestamp),
            contacts: wrapped.contacts.map(Into::into),
            until: wrapped.until.map(Timestamp),
        }
    };
    Ok(Record::Override { rule, row: Box::new(row) })
}

fn open_member(wrapped: Wrapped<'_>, partition_key: &str, ingested_at: Timestamp) -> Result<Member, Refusal> {
    let device = wrapped.d.ok_or_else(|| lacking("d"))?;
    let (version, sha256) = rule_set(wrapped.version, wrapped.sha256)?;
    let member = Member {
        device: DeviceId::new(&device).map_err(|error| Refusal::new(Reason::BadEnvelope, error.rule))?,
        rule: wrapped.rule.ok_or_else(|| lacking("rule"))?,
        zone: wrapped.zone.ok_or_else(|| lacking("zone"))?,
        generation: wrapped.generation.ok_or_else(|| lacking("generation"))?,
        version,
        sha256,
        n: wrapped.n.ok_or_else(|| lacking("n"))?,
        inside: wrapped.inside.ok_or_else(|| lacking("in"))?,
        registered: wrapped.registered.ok_or_else(|| lacking("registered"))?,
        of: wrapped.of,
        at: ingested_at,
    };
    if member.partition_key() == partition_key {
        Ok(member)
    } else {
        Err(Refusal::new(Reason::IdentityMismatch, "the partition key is not that of the rule and the zone"))
    }
}

/// Returns version and address of a rule set that a record names.
fn rule_set(version: Option<u64>, sha256: Option<SmolStr>) -> Result<(u64, SmolStr), Refusal> {
    let version = version.ok_or_else(|| lacking("version"))?;
    let sha256 = sha256.ok_or_else(|| lacking("sha256"))?;
    if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Refusal::new(Reason::BadEnvelope, "`sha256` is not 64 hexadecimal digits"));
    }
    Ok((version, sha256))
}

fn check_identity(device: &str, other: &str, whose: &str) -> Result<(), Refusal> {
    if device == other {
        Ok(())
    } else {
        Err(Refusal::new(Reason::IdentityMismatch, format_smolstr!("{whose} is not the device of the topic")))
    }
}

fn lacking(field: &str) -> Refusal {
    Refusal::new(Reason::BadEnvelope, format_smolstr!("`{field}` is missing"))
}

#[cfg(test)]
mod tests;
