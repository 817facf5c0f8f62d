//! Reads a batch straight from its bytes in the form in which Lambda writes it, where all records have the same text
//! except for the parts that differ. The parser reads the first record and so locates these parts; the other records
//! are compared with it. Any deviation leaves the whole event to the parser.

use std::{borrow::Cow, ops::Range};

use fleetform_engine::{base64::decode_onto, octets, position::SequenceNumber, units::Timestamp};
use memchr::memchr;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{KinesisEvent, Record};

/// The parts that differ between records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Id,
    PartitionKey,
    SequenceNumber,
    Data,
    ArrivedAt,
}

const PARTS: usize = 5;

/// The fixed text of a record: before each part, and after the last.
struct Words<'a> {
    before: [(&'a [u8], Part); PARTS],
    after: &'a [u8],
    /// The stream that the fixed text names, as in the first record.
    stream_arn: Option<Cow<'a, str>>,
}

/// A record as the parser reads it, borrowing everything from the event.
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

/// Scans an event. `None` leaves it to the parser.
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
        // The sequence number is all digits, so the end of the id needs no escape check either.
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

/// The fixed text of the first record, and its length.
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

/// The range of a string that is borrowed from `whole`.
fn place(whole: &[u8], text: &str) -> Option<Range<usize>> {
    let start = (text.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start + text.len();
    (end <= whole.len()).then_some(start..end)
}

/// The bytes before the next quote. Afterwards, `rest` starts with that quote.
#[inline]
fn quoted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (found, after) = rest.split_at(memchr(b'"', rest)?);
    *rest = after;
    Some(found)
}

/// A short string before the next quote, without escapes.
#[inline]
fn plain<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|byte| *byte == b'"' || !is_plain(*byte))?;
    let (found, after) = rest.split_at(end);
    *rest = after;
    // The text that follows starts with a quote, so if another byte ended the string, the comparison fails there.
    std::str::from_utf8(found).ok()
}

/// The same check for a string that has been found already.
fn checked(text: &[u8]) -> Option<&str> {
    if text.iter().all(|byte| is_plain(*byte)) { std::str::from_utf8(text).ok() } else { None }
}

/// Whether a byte is printable ASCII other than the backslash.
fn is_plain(byte: u8) -> bool {
    byte != b'\\' && (0x20..0x7f).contains(&byte)
}

/// Parses seconds with at most three decimals, and returns milliseconds. `rest` becomes the remaining bytes.
fn milliseconds(rest: &mut &[u8]) -> Option<Timestamp> {
    if let Some((usual, after @ [b'}' | b',', ..])) = rest.split_first_chunk()
        && usual[0] != b'0'
        && let Some(ms) = octets::seconds(usual)
    {
        *rest = after;
        return Some(Timestamp(ms as i64));
    }
    /// Below a hundred thousand years, the nearest float is off by far less than a millisecond.
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
