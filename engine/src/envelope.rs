//! The envelope of a message as our topic rule writes it, read without a parser: flat, compact, no escapes. Anything
//! else, valid or not, is left to the parser, so this module returns either what the parser would or nothing.

use memchr::memchr;

use crate::octets;

/// The fields of a wrapped message. All of them are present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// `k`
    pub(crate) kind: &'a str,
    /// `p`: not examined. An escape in it is not decoded, but then it is not base64.
    pub(crate) payload: &'a [u8],
    /// `d`
    pub(crate) device: &'a str,
    /// `ch`
    pub(crate) channel: &'a str,
    /// `c`
    pub(crate) client: &'a str,
    /// `t`, in milliseconds.
    pub(crate) ingested_at: i64,
}

/// Maximum number of digits that are read: a number with this many digits always fits.
const DIGITS_MAX: usize = 18;

/// A message on the channel `telemetry` that a device published itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Telemetry<'a> {
    /// `p`, as in [`Message`].
    pub(crate) payload: &'a [u8],
    /// `t`, in milliseconds.
    pub(crate) ingested_at: i64,
}

/// Number of digits of milliseconds since 1970, from 2001 to 2286.
const MOMENT_DIGITS: usize = 13;

/// Reads the form that nearly every record has, by its length: the topic rule's fixed text around the payload, with
/// the id of the record's device. `None` leaves the record to the other readers.
pub(crate) fn telemetry<'a>(data: &'a [u8], device: &str) -> Option<Telemetry<'a>> {
    const WORDS: [&[u8]; 5] =
        [br#"{"ff":1,"k":"message","p":""#, br#"","d":""#, br#"","ch":"telemetry","c":""#, br#"","t":"#, b"}"];
    const AROUND: usize = {
        let [a, b, c, d, e] = WORDS;
        a.len() + b.len() + c.len() + d.len() + e.len() + MOMENT_DIGITS
    };
    let device = device.as_bytes();
    // Any byte that an escape or a parser would turn into something else.
    if device.iter().fold(false, |strange, byte| strange | matches!(byte, b'"' | b'\\') | !(0x20..0x7f).contains(byte))
    {
        return None;
    }
    let length = data.len().checked_sub(AROUND)?.checked_sub(2 * device.len())?;
    let (payload, rest) = data.strip_prefix(WORDS[0])?.split_at_checked(length)?;
    let rest = rest.strip_prefix(WORDS[1])?.strip_prefix(device)?;
    let rest = rest.strip_prefix(WORDS[2])?.strip_prefix(device)?;
    let (moment, rest) = rest.strip_prefix(WORDS[3])?.split_first_chunk::<MOMENT_DIGITS>()?;
    let ingested_at = octets::thirteen(moment).filter(|_| moment[0] != b'0')?;
    (rest == WORDS[4]).then_some(Telemetry { payload, ingested_at: ingested_at as i64 })
}

/// Reads a record if it has that form and `"ff":1`.
pub(crate) fn scan(data: &[u8]) -> Option<Message<'_>> {
    let (mut kind, mut payload, mut device, mut channel, mut client, mut ingested_at) =
        (None, None, None, None, None, None);
    let mut marked = false;
    let mut rest = data.strip_prefix(b"{")?;
    loop {
        // A key that occurs twice is an error to the parser.
        let again = match rest {
            [b'"', b'f', b'f', b'"', b':', b'1', after @ ..] => {
                rest = after;
                std::mem::replace(&mut marked, true)
            }
            [b'"', b'k', b'"', b':', after @ ..] => put(&mut kind, text(after, &mut rest)?),
            [b'"', b'p', b'"', b':', b'"', after @ ..] => {
                let (taken, after) = after.split_at(memchr(b'"', after)?);
                rest = &after[1..];
                put(&mut payload, taken)
            }
            [b'"', b'd', b'"', b':', after @ ..] => put(&mut device, text(after, &mut rest)?),
            [b'"', b'c', b'h', b'"', b':', after @ ..] => put(&mut channel, text(after, &mut rest)?),
            [b'"', b'c', b'"', b':', after @ ..] => put(&mut client, text(after, &mut rest)?),
            [b'"', b't', b'"', b':', after @ ..] => put(&mut ingested_at, number(after, &mut rest)?),
            _ => return None,
        };
        if again {
            return None;
        }
        match rest {
            [b',', after @ ..] => rest = after,
            [b'}'] => break,
            _ => return None,
        }
    }
    Some(Message {
        kind: kind.filter(|_| marked)?,
        payload: payload?,
        device: device?,
        channel: channel?,
        client: client?,
        ingested_at: ingested_at?,
    })
}

/// Stores a value. Returns whether there was one before.
fn put<T>(place: &mut Option<T>, value: T) -> bool {
    place.replace(value).is_some()
}

/// Reads a string of printable ASCII without escapes; `rest` is what follows.
fn text<'a>(from: &'a [u8], rest: &mut &'a [u8]) -> Option<&'a str> {
    let inner = from.strip_prefix(b"\"")?;
    let end = inner.iter().position(|byte| matches!(byte, b'"' | b'\\') || !(0x20..0x7f).contains(byte))?;
    let (taken, after) = inner.split_at(end);
    *rest = after.strip_prefix(b"\"")?;
    std::str::from_utf8(taken).ok()
}

/// Reads a non-negative integer, spelled as in JSON.
fn number<'a>(from: &'a [u8], rest: &mut &'a [u8]) -> Option<i64> {
    let digits = from.iter().position(|byte| !byte.is_ascii_digit())?;
    let (taken, after) = from.split_at(digits);
    if !(1..=DIGITS_MAX).contains(&digits) || (taken[0] == b'0' && digits > 1) {
        return None;
    }
    *rest = after;
    Some(taken.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = r#"{"ff":1,"k":"message","p":"e30=","d":"a","ch":"telemetry","c":"b","t":1769855400000}"#;

    #[test]
    fn a_message_is_read_in_any_order_of_its_fields() {
        let message = scan(USUAL.as_bytes()).expect("the usual form");
        assert_eq!((message.kind, message.payload, message.device), ("message", b"e30=".as_slice(), "a"));
        assert_eq!((message.channel, message.client, message.ingested_at), ("telemetry", "b", 1_769_855_400_000));
        let turned = r#"{"t":1769855400000,"c":"b","ch":"telemetry","d":"a","p":"e30=","k":"message","ff":1}"#;
        assert_eq!(scan(turned.as_bytes()), Some(message));
    }

    #[test]
    fn telemetry_is_read_by_its_length() {
        let message = scan(USUAL.replace("\"c\":\"b\"", "\"c\":\"a\"").as_bytes()).map(|message| message.ingested_at);
        let own = USUAL.replace("\"c\":\"b\"", "\"c\":\"a\"");
        let read = telemetry(own.as_bytes(), "a").expect("the usual form");
        assert_eq!((read.payload, Some(read.ingested_at)), (b"e30=".as_slice(), message));
        assert_eq!(telemetry(USUAL.as_bytes(), "a"), None, "of another client");
        assert_eq!(telemetry(own.as_bytes(), "b"), None);
        let strange = own.replace("\"a\"", "\"a\\\\b\"");
        assert_eq!(telemetry(strange.as_bytes(), "a\\\\b"), None);
        for end in 0..own.len() {
            assert_eq!(telemetry(&own.as_bytes()[..end], "a"), None);
        }
        for (from, to) in
            [("1769855400000", "0769855400000"), ("1769855400000", "176985540000"), ("message", "massage")]
        {
            assert_eq!(telemetry(own.replace(from, to).as_bytes(), "a"), None, "{from} as {to}");
        }
        // Invalid base64 is left to the decoder.
        let quoted = own.replace("e30=", "e3\",\"");
        assert_eq!(telemetry(quoted.as_bytes(), "a").map(|read| read.payload), Some(b"e3\",\"".as_slice()));
    }

    #[test]
    fn every_surprise_is_left_to_the_parser() {
        for (from, to) in [
            ("\"ff\":1", "\"ff\":2"),
            ("\"ff\":1", "\"ff\":10"),
            ("\"ff\":1", "\"ff\":1.0"),
            ("\"ff\":1,", ""),
            ("\"d\":\"a\"", "\"d\":\"a\\u0062\""),
            ("\"d\":\"a\"", "\"d\":\"ä\""),
            ("\"d\":\"a\"", "\"d\":\"a\tb\""),
            ("\"d\":\"a\"", "\"d\":\"a\",\"d\":\"a\""),
            ("\"d\":\"a\"", "\"d\":null"),
            ("\"d\":\"a\"", "\"e\":\"a\""),
            ("\"t\":1", "\"t\":-1"),
            ("\"t\":1", "\"t\":01"),
            ("\"t\":1", "\"t\":1.5"),
            ("\"t\":1", "\"t\":9999999"),
            ("}", "} "),
            ("}", ",}"),
            ("}", "}}"),
            ("}", ""),
            (",", ", "),
        ] {
            assert_eq!(scan(USUAL.replace(from, to).as_bytes()), None, "{from} as {to}");
        }
        for end in 0..USUAL.len() {
            assert_eq!(scan(&USUAL.as_bytes()[..end]), None);
        }
    }
}
