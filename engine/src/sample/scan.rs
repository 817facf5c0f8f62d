//! A message read straight from its bytes, as devices almost always write one: the platform's keys, plain numbers,
//! texts without escapes. Anything else is a surprise, and the parser reads the message from its beginning.
//!
//! What the parts mean is asked of the same [`Reader`] that the parser asks, so that both come to the same samples. A
//! refusal is a surprise too: only the parser refuses.

use std::borrow::Cow;

use memchr::memchr;
use serde::de::value::Error as Refused;

use super::{
    parse::{Level as Which, Reader},
    spelling::{Named, Spelling},
    time,
    walk::Scalar,
};

/// Keys that the platform does not name, in one object. They are compared one by one, so more are left to the parser.
const STRANGE_KEYS_MAX: usize = 8;

/// The message is to be read by the parser.
#[derive(Debug)]
pub(super) struct Surprise;

impl From<Refused> for Surprise {
    fn from(_: Refused) -> Self {
        Self
    }
}

/// Reads a message. After a surprise the samples mean nothing.
pub(super) fn read(reader: &mut Reader<'_>, spelling: &Spelling, message: &[u8]) -> Result<(), Surprise> {
    let mut scan = Scan { reader, spelling, rest: message };
    scan.reader.begin(Which::Root);
    scan.space();
    match scan.rest.first() {
        Some(b'{') => {
            scan.object(0, Which::Root)?;
            scan.reader.finish::<Refused>(Which::Root)?;
        }
        Some(b'[') => scan.batch()?,
        Some(_) | None => return Err(Surprise),
    }
    scan.space();
    if scan.rest.is_empty() { Ok(()) } else { Err(Surprise) }
}

struct Scan<'s, 'r, 'm> {
    reader: &'s mut Reader<'r>,
    spelling: &'s Spelling,
    rest: &'m [u8],
}

impl<'m> Scan<'_, '_, 'm> {
    /// An object of a level, from its brace to its brace.
    fn object(&mut self, level: usize, which: Which) -> Result<(), Surprise> {
        let keys = self.spelling.level(level);
        let list = usize::from(which == Which::Element);
        let readings = keys.readings;
        let (mut seen, mut last) = (0_u64, None);
        let mut strange: [&[u8]; STRANGE_KEYS_MAX] = [&[]; STRANGE_KEYS_MAX];
        let mut strangers = 0;
        self.byte(b'{')?;
        self.space();
        if self.skip(b'}') {
            return Ok(());
        }
        loop {
            if readings {
                let head = self.reader.head(which);
                head.readings = Some(head.readings.map_or(1, |count| count + 1));
                self.reader.count_metric::<Refused>(which)?;
            }
            match keys.find(list, last, self.rest) {
                Some(index) => {
                    if seen >> index & 1 == 1 {
                        return Err(Surprise);
                    }
                    seen |= 1 << index;
                    last = Some(index);
                    let (named, length) = keys.named(index);
                    self.rest = &self.rest[length..];
                    self.space();
                    self.value(named, which)?;
                }
                None => {
                    let key = self.text()?;
                    self.space();
                    self.byte(b':')?;
                    self.space();
                    // A named key that is spelt in another way comes here as well.
                    if keys.has(key) || strange[..strangers].contains(&key) {
                        return Err(Surprise);
                    }
                    *strange.get_mut(strangers).ok_or(Surprise)? = key;
                    strangers += 1;
                    self.scalar()?;
                    if readings {
                        if self.reader.reject_unknown {
                            return Err(Surprise);
                        }
                        self.reader.samples.unknown_readings += 1;
                    }
                }
            }
            self.space();
            if self.skip(b'}') {
                return Ok(());
            }
            self.byte(b',')?;
            self.space();
        }
    }

    fn value(&mut self, named: Named, which: Which) -> Result<(), Surprise> {
        match named {
            Named::Reading(metric) => {
                let scalar = self.scalar()?;
                self.reader.value::<Refused>(which, metric, &scalar)?;
            }
            Named::Health(index) => {
                let scalar = self.scalar()?;
                self.reader.head(which).health += 1;
                self.reader.count_metric::<Refused>(which)?;
                let metric = self.reader.device_type.health_from + index;
                self.reader.value::<Refused>(which, metric, &scalar)?;
            }
            Named::DeviceId => {
                let id = self.text()?;
                if id != self.reader.device.as_str().as_bytes() {
                    return Err(Surprise);
                }
            }
            Named::Timestamp => {
                let scalar = self.scalar()?;
                let format = self.reader.layout.timestamp_format;
                self.reader.head(which).given = match &scalar {
                    Scalar::Text(text) => time::from_text(text, format),
                    Scalar::Number(number) => time::from_number(*number, format),
                    Scalar::Null | Scalar::Bool(_) | Scalar::Object | Scalar::Array => None,
                };
            }
            Named::Readings(level) => {
                self.reader.head(which).readings = Some(0);
                self.object(level, which)?;
            }
            Named::Inside(level) => self.object(level, which)?,
            Named::Batch if which == Which::Root => {
                self.reader.batched = true;
                self.batch()?;
            }
            Named::Batch => return Err(Surprise),
        }
        Ok(())
    }

    /// An array of samples, from its bracket to its bracket.
    fn batch(&mut self) -> Result<(), Surprise> {
        self.byte(b'[')?;
        self.space();
        if self.skip(b']') {
            return Ok(());
        }
        loop {
            self.reader.begin(Which::Element);
            self.object(0, Which::Element)?;
            self.reader.finish::<Refused>(Which::Element)?;
            self.space();
            if self.skip(b']') {
                return Ok(());
            }
            self.byte(b',')?;
            self.space();
        }
    }

    /// A value that is neither an object nor an array.
    #[inline]
    fn scalar(&mut self) -> Result<Scalar<'m>, Surprise> {
        match self.rest.first().ok_or(Surprise)? {
            b'-' | b'0'..=b'9' => {
                let (number, length) = number(self.rest).ok_or(Surprise)?;
                self.rest = &self.rest[length..];
                Ok(Scalar::Number(number))
            }
            b'"' => {
                let text = std::str::from_utf8(self.text()?).map_err(|_| Surprise)?;
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            b't' => self.word(b"true", Scalar::Bool(true)),
            b'f' => self.word(b"false", Scalar::Bool(false)),
            b'n' => self.word(b"null", Scalar::Null),
            _ => Err(Surprise),
        }
    }

    fn word(&mut self, word: &[u8], scalar: Scalar<'m>) -> Result<Scalar<'m>, Surprise> {
        self.rest = self.rest.strip_prefix(word).ok_or(Surprise)?;
        Ok(scalar)
    }

    /// What is in quotes: printable ASCII without escapes.
    fn text(&mut self) -> Result<&'m [u8], Surprise> {
        let inner = self.rest.strip_prefix(b"\"").ok_or(Surprise)?;
        let (text, after) = inner.split_at(memchr(b'"', inner).ok_or(Surprise)?);
        if text.iter().any(|byte| *byte == b'\\' || !(0x20..0x7f).contains(byte)) {
            return Err(Surprise);
        }
        self.rest = &after[1..];
        Ok(text)
    }

    #[inline]
    fn byte(&mut self, byte: u8) -> Result<(), Surprise> {
        if self.skip(byte) { Ok(()) } else { Err(Surprise) }
    }

    #[inline]
    fn skip(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, after @ ..] if *first == byte => {
                self.rest = after;
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', after @ ..] = self.rest {
            self.rest = after;
        }
    }
}

/// A number spelt as JSON has it, and its length. Only numbers that one division makes exactly: at most 2^53 without
/// the point, at most 22 digits after it, no exponent.
#[inline]
fn number(text: &[u8]) -> Option<(f64, usize)> {
    const EXACT_MAX: u64 = 1 << 53;
    const POWERS: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22,
    ];
    let negative = text.first() == Some(&b'-');
    let from = usize::from(negative);
    let (whole, mut at) = digits(text, from, 0)?;
    if at == from || (text[from] == b'0' && at > from + 1) {
        return None;
    }
    let (number, places) = if text.get(at) == Some(&b'.') {
        let (number, end) = digits(text, at + 1, whole)?;
        let places = end - at - 1;
        at = end;
        if places == 0 {
            return None;
        }
        (number, places)
    } else {
        (whole, 0)
    };
    if number > EXACT_MAX || matches!(text.get(at), Some(b'e' | b'E')) {
        return None;
    }
    // Both are exact, so the quotient is the nearest number to what was written.
    let value = number as f64 / POWERS.get(places)?;
    Some((if negative { -value } else { value }, at))
}

/// Reads digits on to a number, and says where they end. `None` where it grows too large.
#[inline]
fn digits(text: &[u8], mut at: usize, mut number: u64) -> Option<(u64, usize)> {
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        if number > u64::MAX / 16 {
            return None;
        }
        number = number * 10 + u64::from(digit);
        at += 1;
    }
    Some((number, at))
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
