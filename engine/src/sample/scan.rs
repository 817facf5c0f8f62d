//! Reads a message straight from its bytes, in the form that devices almost always write: the platform's keys, plain
//! numbers, strings without escapes. Anything else is a surprise, and the parser reads the message from its start.
//!
//! The parts are interpreted by the same [`Reader`] that the parser uses, so both produce the same samples or the
//! same refusal: up to the part that is refused, the message contained no surprise.

use std::borrow::Cow;

use memchr::memchr;
use serde::de::value::Error as Refused;

use super::{
    parse::{Level as Which, Reader},
    spelling::{Named, Spelling},
    template::Read,
    time,
    walk::Scalar,
};
use crate::{
    octets::{self, Decimal},
    rule_set::TimestampFormat,
    units::Timestamp,
};

/// Maximum number of keys in one object that the platform does not name. They are compared one by one, so more are
/// left to the parser.
const STRANGE_KEYS_MAX: usize = 8;
/// The length of `2026-01-31T10:30:00.250Z`.
const USUAL_TIME_BYTES: usize = 24;

/// The message must be read by the parser.
#[derive(Debug)]
pub(super) struct Surprise;

impl From<Refused> for Surprise {
    fn from(_: Refused) -> Self {
        Self
    }
}

/// Reads a message. After a surprise the samples are unspecified.
pub(super) fn read(reader: &mut Reader<'_>, spelling: &Spelling, message: &[u8]) -> Result<(), Surprise> {
    let mut scan = Scan { reader, spelling, message, rest: message, learns: false };
    scan.space();
    match scan.rest.first() {
        Some(b'{') => scan.sample(Which::Root)?,
        Some(b'[') => {
            scan.reader.begin(Which::Root);
            scan.batch()?;
        }
        Some(_) | None => return Err(Surprise),
    }
    scan.space();
    if scan.rest.is_empty() { Ok(()) } else { Err(Surprise) }
}

pub(super) struct Scan<'s, 'r, 'm> {
    pub(super) reader: &'s mut Reader<'r>,
    spelling: &'s Spelling,
    message: &'m [u8],
    pub(super) rest: &'m [u8],
    /// Whether a template is made of what is read.
    learns: bool,
}

impl<'m> Scan<'_, '_, 'm> {
    /// Reads the message itself or a sample of a batch.
    fn sample(&mut self, which: Which) -> Result<(), Surprise> {
        let templates = self.spelling.templates(which);
        self.reader.begin(which);
        if templates.read(self, which) {
            return Ok(());
        }
        self.reader.refusal = None;
        let from = self.at();
        self.learns = templates.has_room();
        self.reader.samples.read.clear();
        self.object(0, which)?;
        self.reader.finish::<Refused>(which)?;
        if self.learns {
            let object = self.message.get(from..self.at()).unwrap_or_default();
            templates.learn(object, from, &self.reader.samples.read, self.reader.device_type);
            self.learns = false;
        }
        Ok(())
    }

    fn at(&self) -> usize {
        self.message.len() - self.rest.len()
    }

    /// Records the place of a value that started at `from`.
    fn note(&mut self, from: usize, named: Option<Named>, is_reading: bool) {
        if self.learns {
            let to = self.at();
            self.reader.samples.read.push(Read { from, to, named, is_reading });
        }
    }

    /// Reads an object of a level, from its opening to its closing brace.
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
                    // A named key in another spelling also gets here.
                    if keys.has(key) || strange[..strangers].contains(&key) {
                        return Err(Surprise);
                    }
                    *strange.get_mut(strangers).ok_or(Surprise)? = key;
                    strangers += 1;
                    let from = self.at();
                    self.scalar()?;
                    self.note(from, None, readings);
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
        let from = self.at();
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
            Named::Timestamp => self.reader.head(which).given = self.time()?,
            Named::Readings(level) => {
                self.reader.head(which).readings = Some(0);
                return self.object(level, which);
            }
            Named::Inside(level) => return self.object(level, which),
            Named::Batch if which == Which::Root => {
                self.reader.batched = true;
                self.learns = false;
                return self.batch();
            }
            Named::Batch => return Err(Surprise),
        }
        self.note(from, Some(named), false);
        Ok(())
    }

    /// Reads the time of a sample, if it is valid.
    #[inline]
    pub(super) fn time(&mut self) -> Result<Option<Timestamp>, Surprise> {
        let format = self.reader.layout.timestamp_format;
        if let [b'"', text @ ..] = self.rest
            && let Some((text, [b'"', after @ ..])) = text.split_at_checked(USUAL_TIME_BYTES)
            && format == TimestampFormat::Rfc3339
            && let Some(time) = time::usual(text)
        {
            self.rest = after;
            return Ok(Some(time));
        }
        Ok(match self.scalar()? {
            Scalar::Text(text) => time::from_text(&text, format),
            Scalar::Number(number) => time::from_number(number, format),
            Scalar::Null | Scalar::Bool(_) | Scalar::Object | Scalar::Array => None,
        })
    }

    /// Reads an array of samples, from its opening to its closing bracket.
    fn batch(&mut self) -> Result<(), Surprise> {
        self.byte(b'[')?;
        self.space();
        if self.skip(b']') {
            return Ok(());
        }
        loop {
            self.sample(Which::Element)?;
            self.space();
            if self.skip(b']') {
                return Ok(());
            }
            self.byte(b',')?;
            self.space();
        }
    }

    /// Reads a value that is neither an object nor an array.
    #[inline]
    pub(super) fn scalar(&mut self) -> Result<Scalar<'m>, Surprise> {
        match self.rest.first().ok_or(Surprise)? {
            b'-' | b'0'..=b'9' => {
                let (number, after) = number(self.rest).ok_or(Surprise)?;
                self.rest = after;
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

    /// Reads a string: printable ASCII without escapes.
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

/// Reads a number in JSON spelling, and returns what follows it. Accepts only numbers that one division computes
/// exactly: at most 2^53 without the point, at most 18 digits, no exponent.
#[inline(always)]
pub(super) fn number(text: &[u8]) -> Option<(f64, &[u8])> {
    const POWERS: [f64; DIGITS_MAX + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
    let (negative, unsigned) = match text {
        [b'-', unsigned @ ..] => (true, unsigned),
        unsigned => (false, unsigned),
    };
    let Decimal { digits, places, length } =
        unsigned.first_chunk().and_then(octets::decimal).or_else(|| longer(unsigned))?;
    // Both are exact, so the quotient is the nearest number to the one written. Below 2^63, one instruction converts
    // a signed integer to a float.
    let value = digits as i64 as f64 / POWERS[places];
    Some((if negative { -value } else { value }, unsigned.get(length..)?))
}

/// Maximum number of digits that never overflow.
const DIGITS_MAX: usize = 18;

/// Reads any number of that form, without its sign.
#[inline(never)]
fn longer(text: &[u8]) -> Option<Decimal> {
    const EXACT_MAX: u64 = 1 << 53;
    let mut rest = text;
    let mut number = 0;
    digits(&mut rest, &mut number);
    let whole = text.len() - rest.len();
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return None;
    }
    let mut places = 0;
    if let [b'.', after @ ..] = rest {
        rest = after;
        digits(&mut rest, &mut number);
        places = after.len() - rest.len();
        if places == 0 {
            return None;
        }
    }
    if whole + places > DIGITS_MAX || number > EXACT_MAX || matches!(rest, [b'e' | b'E', ..]) {
        return None;
    }
    Some(Decimal { digits: number, places, length: text.len() - rest.len() })
}

/// Appends digits to a number. After more digits than fit, the result is unspecified.
#[inline]
fn digits(rest: &mut &[u8], number: &mut u64) {
    while let [byte, after @ ..] = *rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        *rest = after;
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
