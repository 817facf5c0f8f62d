//! A batch read straight from its bytes, as Lambda writes it: every record in the same words as the first, but for the
//! parts that differ. The parser reads the first record, which shows where those parts lie; the others are compared
//! with it. Any surprise leaves the whole event to the parser.

use std::{borrow::Cow, ops::Range};

use fleetform_engine::{base64::decode_onto, octets, position::SequenceNumber, units::Timestamp};
use memchr::memchr;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{KinesisEvent, Record};

/// The parts in which records differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Id,
    PartitionKey,
    SequenceNumber,
    Data,
    ArrivedAt,
}

const PARTS: usize = 5;

/// The words of a record: before each part, and after the last.
struct Words<'a> {
    before: [(&'a [u8], Part); PARTS],
    after: &'a [u8],
    /// The stream that they name, as the first record does.
    stream_arn: Option<Cow<'a, str>>,
}

/// A record as the parser reads it, with everything where it lies in the event.
#[derive(Deserialize)]
struct First<'a> {
    #[serde(borrow, rename = "eventID")]
    id: Cow<'a, str>,
    #[serde(borrow, default, rename = "eventSourceARN")]
    stream_arn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kinesis: FirstKinesis<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirstKinesis<'a> {
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    approximate_arrival_timestamp: &'a RawValue,
}

/// Reads an event. `None` says nothing about it.
pub(super) fn scan(body: &[u8]) -> Option<KinesisEvent<'_>> {
    let mut rest = body.strip_prefix(br#"{"Records":["#)?;
    let (words, length) = words(rest)?;
    let expected = body.len() / length + 1;
    let mut records: Vec<Record<'_>> = Vec::with_capacity(expected);
    let mut data = Vec::with_capacity(body.len() / 4 * 3);
    let mut shard: Option<&str> = None;
    let mut last: Option<(&[u8], SequenceNumber)> = None;
    loop {
        let (mut id, mut key, mut sequence, mut arrived_at) = (None, None, None, None);
        for (before, part) in &words.before {
            rest = rest.strip_prefix(*before)?;
            match part {
                Part::Id => id = Some(quoted(&mut rest)?),
                Part::PartitionKey => key = Some(plain(&mut rest)?),
                Part::SequenceNumber => sequence = Some(quoted(&mut rest)?),
                Part::Data => decode_onto(quoted(&mut rest)?, &mut data).ok()?,
                Part::ArrivedAt => arrived_at = Some(milliseconds(&mut rest)?),
            }
        }
        rest = rest.strip_prefix(words.after)?;
        // Digits, so that what the id ends with is plain as well.
        let digits = sequence?;
        let sequence = match &last {
            Some((last_digits, last)) => last.another(last_digits, digits).ok()?,
            None => SequenceNumber::from_digits(digits).ok()?,
        };
        last = Some((digits, sequence));
        let of = id?.strip_suffix(digits)?.strip_suffix(b":")?;
        match shard {
            Some(shard) if shard.as_bytes() == of => {}
            Some(_) => return None,
            None => shard = Some(checked(of)?),
        }
        records.push(Record {
            partition_key: Cow::Borrowed(key?),
            sequence,
            arrived_at: arrived_at?,
            data: data.len(),
        });
        match rest {
            [b',', after @ ..] => rest = after,
            b"]}" => break,
            _ => return None,
        }
    }
    Some(KinesisEvent { stream_arn: words.stream_arn, shard: Cow::Borrowed(shard?), records, data })
}

/// The words of the first record, and its length.
fn words(from: &[u8]) -> Option<(Words<'_>, usize)> {
    let mut parsed = serde_json::Deserializer::from_slice(from).into_iter::<First<'_>>();
    let First { id, stream_arn, kinesis } = parsed.next()?.ok()?;
    let length = parsed.byte_offset();
    let place = |text: &Cow<'_, str>| match text {
        Cow::Borrowed(text) => place(from, text),
        Cow::Owned(_) => None,
    };
    let mut parts = [
        (place(&id)?, Part::Id),
        (place(&kinesis.partition_key)?, Part::PartitionKey),
        (place(&kinesis.sequence_number)?, Part::SequenceNumber),
        (place(&kinesis.data)?, Part::Data),
        (self::place(from, kinesis.approximate_arrival_timestamp.get())?, Part::ArrivedAt),
    ];
    parts.sort_by_key(|(place, _)| place.start);
    let mut end = 0;
    let mut before = [(&from[..0], Part::Id); PARTS];
    for ((place, part), before) in parts.into_iter().zip(&mut before) {
        *before = (from.get(end..place.start)?, part);
        end = place.end;
    }
    Some((Words { before, after: from.get(end..length)?, stream_arn }, length))
}

/// Where a text lies that was borrowed from `whole`.
fn place(whole: &[u8], text: &str) -> Option<Range<usize>> {
    let start = (text.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start + text.len();
    (end <= whole.len()).then_some(start..end)
}

/// What stands before the next quote. `rest` begins with the quote afterwards.
#[inline]
fn quoted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (found, after) = rest.split_at(memchr(b'"', rest)?);
    *rest = after;
    Some(found)
}

/// A short text before the next quote that means what it looks like.
#[inline]
fn plain<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|byte| *byte == b'"' || !is_plain(*byte))?;
    let (found, after) = rest.split_at(end);
    *rest = after;
    // The words that follow begin with a quote: another byte that ended the text is a surprise there.
    std::str::from_utf8(found).ok()
}

/// The same of a text that was found already.
fn checked(text: &[u8]) -> Option<&str> {
    if text.iter().all(|byte| is_plain(*byte)) { std::str::from_utf8(text).ok() } else { None }
}

/// Printable ASCII but for the backslash.
fn is_plain(byte: u8) -> bool {
    byte != b'\\' && (0x20..0x7f).contains(&byte)
}

/// Seconds with at most three decimals, as milliseconds. `rest` is what follows.
fn milliseconds(rest: &mut &[u8]) -> Option<Timestamp> {
    if let Some((usual, after @ [b'}' | b',', ..])) = rest.split_first_chunk()
        && usual[0] != b'0'
        && let Some(ms) = octets::seconds(usual)
    {
        *rest = after;
        return Some(Timestamp(ms as i64));
    }
    /// Below a hundred thousand years the nearest float is far less than a millisecond away.
    const DIGITS_MAX: usize = 12;
    let digits = |text: &[u8]| text.iter().position(|byte| !byte.is_ascii_digit());
    let number = |text: &[u8]| text.iter().fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'));
    let (whole, after) = rest.split_at(digits(rest)?);
    if !(1..=DIGITS_MAX).contains(&whole.len()) || (whole[0] == b'0' && whole.len() > 1) {
        return None;
    }
    let (fraction, after) = match after.strip_prefix(b".") {
        None => (&whole[..0], after),
        Some(after) => {
            let (fraction, after) = after.split_at(digits(after)?);
            if !(1..=3).contains(&fraction.len()) {
                return None;
            }
            (fraction, after)
        }
    };
    if matches!(after.first(), Some(b'e' | b'E')) {
        return None;
    }
    *rest = after;
    let scale = [1_000, 100, 10, 1][fraction.len()];
    Some(Timestamp(number(whole) * 1_000 + number(fraction) * scale))
}
