//! The encoding of a chain's objects: small numbers take few bytes, and a name is written once. The decoder trusts
//! nothing: any input at all yields an error, never a panic or an allocation larger than the input.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use smol_str::SmolStr;

/// Bytes that are malformed, with the name of what was being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Writes values one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    names: HashMap<SmolStr, u64, FixedState>,
}

impl Writer {
    /// Creates a writer with room for this many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), names: HashMap::default() }
    }

    #[inline]
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub(super) fn signed(&mut self, number: i64) {
        self.number((number << 1 ^ number >> 63) as u64);
    }

    pub(super) fn float(&mut self, number: f64) {
        self.bytes.extend_from_slice(&number.to_bits().to_le_bytes());
    }

    pub(super) fn blob(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    /// Writes a string that occurs often: in full the first time, by number after that.
    pub(super) fn name(&mut self, text: &str) {
        if let Some(number) = self.names.get(text) {
            let number = *number;
            self.number(number);
        } else {
            let number = self.names.len() as u64;
            self.number(number);
            self.text(text);
            self.names.insert(text.into(), number);
        }
    }
}

/// Reads what a [`Writer`] wrote.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    names: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, names: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Malformed(what))?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.take(1, what)?[0])
    }

    pub(super) fn number(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(Malformed(what));
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed(what))
    }

    /// Reads the length of a list whose items take at least one byte each.
    pub(super) fn count(&mut self, what: &'static str) -> Result<usize, Malformed> {
        let count = usize::try_from(self.number(what)?).map_err(|_| Malformed(what))?;
        if count > self.bytes.len() { Err(Malformed(what)) } else { Ok(count) }
    }

    pub(super) fn signed(&mut self, what: &'static str) -> Result<i64, Malformed> {
        let number = self.number(what)?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn float(&mut self, what: &'static str) -> Result<f64, Malformed> {
        let bytes = self.take(8, what)?.try_into().map_err(|_| Malformed(what))?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    pub(super) fn blob(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let count = self.count(what)?;
        self.take(count, what)
    }

    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.blob(what)?).map_err(|_| Malformed(what))
    }

    pub(super) fn name(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        let number = usize::try_from(self.number(what)?).map_err(|_| Malformed(what))?;
        if number == self.names.len() {
            let text = self.text(what)?;
            self.names.push(text);
        }
        self.names.get(number).copied().ok_or(Malformed(what))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(
            numbers: Vec<u64>, signed: Vec<i64>, floats: Vec<f64>, texts: Vec<String>, names in prop::collection::vec("[a-c]{1,2}", 0..20)
        ) {
            let mut writer = Writer::default();
            numbers.iter().for_each(|number| writer.number(*number));
            signed.iter().for_each(|number| writer.signed(*number));
            floats.iter().for_each(|number| writer.float(*number));
            texts.iter().for_each(|text| writer.text(text));
            names.iter().for_each(|name| writer.name(name));
            let mut reader = Reader::new(&writer.bytes);
            for number in numbers { prop_assert_eq!(reader.number("number"), Ok(number)); }
            for number in signed { prop_assert_eq!(reader.signed("signed"), Ok(number)); }
            for number in floats { prop_assert_eq!(reader.float("float").map(f64::to_bits), Ok(number.to_bits())); }
            for text in &texts { prop_assert_eq!(reader.text("text"), Ok(text.as_str())); }
            for name in &names { prop_assert_eq!(reader.name("name"), Ok(name.as_str())); }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while !reader.is_empty() {
                if reader.name("name").is_err() || reader.number("number").is_err() || reader.blob("blob").is_err() {
                    break;
                }
            }
        }
    }
}
