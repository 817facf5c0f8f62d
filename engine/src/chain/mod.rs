//! The durable form of a shard's state: a chain of deltas, each following a position, with an occasional base that
//! holds the whole state. Every object carries its format version and a checksum. An object that fails either check
//! is an error, never an empty state.

mod codec;
mod detector;
mod device;
mod fleet;
pub(crate) mod keys;
mod memory;
mod overrides;

use codec::{Malformed, Reader, Writer};
use sha2::{Digest, Sha256};
use smol_str::SmolStr;

use crate::{
    compiled::Compiled,
    effect::Effects,
    fetch::AHEAD,
    position::{Position, SequenceNumber},
    rehome,
    state::{Device, Head, RuleSetRef, ShardState},
    units::Timestamp,
};

/// The format version that this code writes, and the highest that it reads.
pub(crate) const CHAIN_FORMAT: u16 = 1;

const MAGIC: &[u8; 4] = b"FFLG";
const CHECKSUM_BYTES: usize = 32;

/// The kinds of object in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Delta = 1,
    Base = 2,
    Seal = 3,
}

/// Why an object cannot be read, as a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(pub(crate) String);

impl From<Malformed> for Unreadable {
    fn from(Malformed(what): Malformed) -> Self {
        Self(format!("{what} is malformed"))
    }
}

/// A delta, decoded as far as possible without its rule set.
#[derive(Debug)]
pub(crate) struct Delta<'a> {
    /// Deadline of the run that wrote the delta.
    pub(crate) written_by: Timestamp,
    /// The state after the delta, apart from its devices.
    pub(crate) head: Head,
    /// The effects that the delta requests, still encoded: see [`read_effects`].
    pub(crate) effects: &'a [u8],
    devices: Reader<'a>,
}

/// The writer of a delta: a token that no other set of bytes carries, and the deadline of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author {
    pub(crate) token: [u8; 16],
    pub(crate) deadline: Timestamp,
}

/// Encodes what a run has done: the devices that it touched, the position that it reached, and its effects.
pub(crate) fn write_delta(
    author: Author,
    from: Position,
    state: &ShardState,
    rules: &Compiled,
    effects: &Effects,
) -> Vec<u8> {
    let mut writer = open(Kind::Delta, state.changed().map(Device::encoded_bytes).sum::<usize>() + HEAD_BYTES);
    writer.bytes.extend_from_slice(&author.token);
    writer.signed(author.deadline.0);
    write_position(&mut writer, from);
    write_head(&mut writer, &state.head);
    let effects = if effects.is_empty() {
        Vec::new()
    } else {
        let mut json = Vec::with_capacity(effects.count() * ROW_BYTES);
        serde_json::to_writer(&mut json, effects).expect("effects have text keys and finite numbers only");
        json
    };
    writer.blob(&effects);
    writer.number(state.changed().len() as u64);
    for (place, device) in state.changed().enumerate() {
        if place.is_multiple_of(AHEAD) {
            state.fetch_changed(place);
        }
        device::write(&mut writer, device, &state.head, rules);
    }
    close(writer)
}

/// Encodes the end of a chain: nothing follows `position`. Every sealer writes the same bytes, since only the first
/// seal to be created counts.
pub(crate) fn write_seal(position: Position) -> Vec<u8> {
    let mut writer = open(Kind::Seal, HEAD_BYTES);
    write_position(&mut writer, position);
    close(writer)
}

/// The object that follows a position.
#[derive(Debug)]
pub(crate) enum Link<'a> {
    /// A further delta.
    Delta(Box<Delta<'a>>),
    /// Nothing, permanently.
    Seal,
}

/// Reads the object at the key that follows `from`.
pub(crate) fn read_link(bytes: &[u8], from: Position) -> Result<Link<'_>, Unreadable> {
    let (kind, mut reader) = opened(bytes)?;
    match kind {
        Kind::Delta => read_delta(reader, from).map(|delta| Link::Delta(Box::new(delta))),
        Kind::Seal => {
            let written = read_position(&mut reader)?;
            if written != from {
                return Err(Unreadable(format!("it says that it seals {written}")));
            }
            Ok(Link::Seal)
        }
        Kind::Base => Err(Unreadable("it is of another kind".into())),
    }
}

fn read_delta(mut reader: Reader<'_>, from: Position) -> Result<Delta<'_>, Unreadable> {
    reader.take(16, "the token")?;
    let written_by = Timestamp(reader.signed("a deadline")?);
    let written = read_position(&mut reader)?;
    if written != from {
        return Err(Unreadable(format!("it says that it follows {written}")));
    }
    let head = read_head(&mut reader)?;
    if head.position <= from {
        return Err(Unreadable(format!("it leads from {from} to {}", head.position)));
    }
    let effects = reader.blob(EFFECTS)?;
    Ok(Delta { written_by, head, effects, devices: reader })
}

const EFFECTS: &str = "the list of effects";

/// Decodes the effects of a delta.
pub(crate) fn read_effects(written: &[u8]) -> Result<Effects, Unreadable> {
    match written {
        [] => Ok(Effects::default()),
        json => Ok(serde_json::from_slice(json).map_err(|_| Malformed(EFFECTS))?),
    }
}

impl Delta<'_> {
    /// Applies the delta to a state. `old` is the rule set of the state, `new` that of the delta. A delta that cannot
    /// be read completely changes nothing.
    pub(crate) fn apply(self, state: &mut ShardState, old: &Compiled, new: &Compiled) -> Result<(), Unreadable> {
        let Self { head, mut devices, .. } = self;
        let count = devices.count("the number of devices")?;
        let changed = (0..count).map(|_| device::read(&mut devices, new, &head)).collect::<Result<Vec<_>, _>>()?;
        if !devices.is_empty() {
            return Err(Unreadable("something follows the last device".into()));
        }
        if !old.is_same_as(new) {
            // The episodes that end here are already among the effects of the delta.
            rehome::rehome_all(old, new, state, &mut |_, _, _, _, _| {});
        }
        state.head = head;
        for device in changed {
            state.put(device);
        }
        state.begin();
        Ok(())
    }
}

/// Encodes a whole state.
pub(crate) fn write_base(state: &ShardState, rules: &Compiled) -> Vec<u8> {
    // A buffer that grew would be copied repeatedly, with two copies in memory at once.
    let mut writer = open(Kind::Base, state.devices.iter().map(Device::encoded_bytes).sum::<usize>() + HEAD_BYTES);
    write_head(&mut writer, &state.head);
    writer.number(state.devices.len() as u64);
    for device in &state.devices {
        device::write(&mut writer, device, &state.head, rules);
    }
    close(writer)
}

/// A base, decoded as far as possible without its rule set.
#[derive(Debug)]
pub(crate) struct Base<'a> {
    /// The state apart from its devices.
    pub(crate) head: Head,
    devices: Reader<'a>,
}

/// Decodes a base.
pub(crate) fn read_base(bytes: &[u8]) -> Result<Base<'_>, Unreadable> {
    let (kind, mut reader) = opened(bytes)?;
    if kind != Kind::Base {
        return Err(Unreadable("it is of another kind".into()));
    }
    let head = read_head(&mut reader)?;
    Ok(Base { head, devices: reader })
}

impl Base<'_> {
    /// Decodes the whole state under its rule set.
    pub(crate) fn state(mut self, rules: &Compiled) -> Result<ShardState, Unreadable> {
        let count = self.devices.count("the number of devices")?;
        let mut devices = Vec::new();
        for _ in 0..count {
            devices.push(device::read(&mut self.devices, rules, &self.head)?);
        }
        if !self.devices.is_empty() {
            return Err(Unreadable("something follows the last device".into()));
        }
        Ok(ShardState::from_parts(self.head, devices))
    }
}

/// Reads an object of a chain after correcting its checksum, writes the decoded contents and reads them again: both
/// results are the same.
#[cfg(feature = "probes")]
pub(crate) fn probe(bytes: &[u8], rules: &std::sync::Arc<Compiled>) -> Result<&'static str, Unreadable> {
    let mut bytes = bytes.to_vec();
    if let Some((body, checksum)) = bytes.split_last_chunk_mut::<CHECKSUM_BYTES>() {
        checksum.copy_from_slice(&Sha256::digest(&*body));
    }
    let (kind, mut reader) = opened(&bytes)?;
    match kind {
        Kind::Base => {
            let base = read_base(&bytes)?;
            let rules = &rules.under(&base.head.overrides);
            let state = base.state(rules)?;
            let written = write_base(&state, rules);
            let again = read_base(&written)?.state(rules)?;
            assert!(again.head == state.head && again.devices == state.devices, "a base changes when it is written");
            assert_eq!(write_base(&again, rules), written, "a base is written in two ways");
            Ok("a base")
        }
        Kind::Delta => {
            reader.take(16, "the token")?;
            reader.signed("a deadline")?;
            let from = read_position(&mut reader)?;
            let begin = || ShardState::new(RuleSetRef { version: 0, sha256: rules.sha256.clone() });
            let applied = |bytes: &[u8], state: &mut ShardState| match read_link(bytes, from)? {
                Link::Delta(delta) => {
                    let rules = rules.under(&delta.head.overrides);
                    let (deadline, effects) = (delta.written_by, read_effects(delta.effects)?);
                    delta.apply(state, &rules, &rules)?;
                    Ok((deadline, effects))
                }
                Link::Seal => Err(Unreadable("it is of another kind".into())),
            };
            let (mut state, mut again) = (begin(), begin());
            let (deadline, effects) = applied(&bytes, &mut state)?;
            for index in 0..state.devices.len() {
                state.touch(index as u32);
            }
            let rules = rules.under(&state.head.overrides);
            let written = write_delta(Author { token: [7; 16], deadline }, from, &state, &rules, &effects);
            state.begin();
            let (deadline_again, effects_again) = applied(&written, &mut again)?;
            assert_eq!((deadline_again, effects_again), (deadline, effects), "a delta changes when it is written");
            assert!(again.head == state.head && again.devices == state.devices, "a delta changes when it is written");
            Ok("a delta")
        }
        Kind::Seal => {
            let position = read_position(&mut reader)?;
            assert!(matches!(read_link(&write_seal(position), position), Ok(Link::Seal)), "a seal is no seal");
            Ok("a seal")
        }
    }
}

/// Estimated bytes per row of the effects.
const ROW_BYTES: usize = 1_024;
/// Estimated bytes of an object apart from its devices and its effects.
const HEAD_BYTES: usize = 512;

fn open(kind: Kind, bytes: usize) -> Writer {
    let mut writer = Writer::with_room(bytes);
    writer.bytes.extend_from_slice(MAGIC);
    writer.bytes.extend_from_slice(&CHAIN_FORMAT.to_le_bytes());
    writer.bytes.push(kind as u8);
    writer
}

fn close(writer: Writer) -> Vec<u8> {
    let mut bytes = writer.bytes;
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// Whether the bytes are an intact object of a newer version, which this code cannot read.
pub(crate) fn is_newer(bytes: &[u8]) -> bool {
    let format = bytes.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<2>());
    format.is_some_and(|format| u16::from_le_bytes(*format) > CHAIN_FORMAT)
}

/// Checks the format version before the checksum: a newer format may keep the checksum elsewhere.
fn opened(bytes: &[u8]) -> Result<(Kind, Reader<'_>), Unreadable> {
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(Unreadable("it is cut short".into()));
    };
    let Some((format, rest)) = rest.split_first_chunk::<2>() else {
        return Err(Unreadable("it is cut short".into()));
    };
    if magic != MAGIC {
        return Err(Unreadable("it is no part of a chain".into()));
    }
    let format = u16::from_le_bytes(*format);
    if format > CHAIN_FORMAT {
        return Err(Unreadable(format!(
            "it has format {format}, written by a newer version; this one reads formats up to {CHAIN_FORMAT}"
        )));
    }
    let Some((body, checksum)) = rest.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(Unreadable("it is cut short".into()));
    };
    let intact = Sha256::digest(&bytes[..bytes.len() - CHECKSUM_BYTES]).as_slice() == checksum;
    if !(intact || mutant!(ChecksumIgnored)) {
        return Err(Unreadable("its checksum does not match".into()));
    }
    let mut reader = Reader::new(body);
    let kind = match reader.byte("the kind")? {
        1 => Kind::Delta,
        2 => Kind::Base,
        3 => Kind::Seal,
        _ => return Err(Unreadable("it is of another kind".into())),
    };
    Ok((kind, reader))
}

fn write_position(writer: &mut Writer, position: Position) {
    match position {
        Position::Start => writer.text(""),
        Position::After(sequence) => writer.text(&sequence.digits()),
    }
}

fn read_position(reader: &mut Reader<'_>) -> Result<Position, Malformed> {
    match reader.text("a position")? {
        "" => Ok(Position::Start),
        digits => SequenceNumber::new(digits).map(Position::After).map_err(|_| Malformed("a position")),
    }
}

fn write_head(writer: &mut Writer, head: &Head) {
    write_position(writer, head.position);
    writer.signed(head.shard_time.0);
    writer.number(head.rule_set.version);
    writer.text(&head.rule_set.sha256);
    overrides::write(writer, &head.overrides);
}

fn read_head(reader: &mut Reader<'_>) -> Result<Head, Malformed> {
    Ok(Head {
        position: read_position(reader)?,
        shard_time: Timestamp(reader.signed("the shard's time")?),
        rule_set: RuleSetRef {
            version: reader.number("the rule set's version")?,
            sha256: SmolStr::new(reader.text("the rule set's hash")?),
        },
        overrides: overrides::read(reader)?.into(),
    })
}
