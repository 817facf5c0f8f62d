//! Base64 as Kinesis and the topic rules write it: the standard alphabet, with padding. Anything but the exact output
//! of an encoder is refused. Only this module knows which library decodes.

use base64_simd::{Out, STANDARD};

/// A string is not valid base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not base64")]
pub struct NotBase64;

/// Maximum number of bytes that a string of this length decodes to.
const fn decoded_bytes_max(text_bytes: usize) -> usize {
    text_bytes.div_ceil(4) * 3
}

/// Decodes a string and appends the result to `bytes`. If it is not valid base64, `bytes` is left unchanged.
pub fn decode_onto(text: &[u8], bytes: &mut Vec<u8>) -> Result<(), NotBase64> {
    let from = bytes.len();
    bytes.resize(from + decoded_bytes_max(text.len()), 0);
    let decoded = decode(text, &mut bytes[from..]);
    bytes.truncate(from + decoded.unwrap_or(0));
    decoded.map(drop)
}

/// Decodes a string to the start of `room` and returns the number of bytes written.
fn decode(text: &[u8], room: &mut [u8]) -> Result<usize, NotBase64> {
    STANDARD.decode(text, Out::from_slice(room)).map(|decoded| decoded.len()).map_err(|_| NotBase64)
}

/// A buffer that is reused from string to string.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// As long as the longest string so far required: bytes that are not filled are not cleared either.
    bytes: Vec<u8>,
    length: usize,
}

impl Buffer {
    /// Decodes a string, replacing the previous result.
    pub(crate) fn decode(&mut self, text: &[u8]) -> Result<(), NotBase64> {
        let room = decoded_bytes_max(text.len());
        if self.bytes.len() < room {
            self.bytes.resize(room, 0);
        }
        self.length = 0;
        self.length = decode(text, &mut self.bytes)?;
        Ok(())
    }

    /// Returns the result of the last decoding.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose};
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = Buffer::default();
        buffer.decode(b"AAAAAAAA").unwrap();
        let decoded = buffer.decode(text).ok().map(|()| buffer.bytes().to_vec());
        let mut bytes = b"before".to_vec();
        assert_eq!(decode_onto(text, &mut bytes).is_ok(), decoded.is_some());
        assert_eq!(bytes, [b"before".as_slice(), decoded.as_deref().unwrap_or_default()].concat());
        decoded
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let text = general_purpose::STANDARD.encode(&bytes);
            prop_assert_eq!(decoded(text.as_bytes()), Some(bytes));
        }

        #[test]
        fn two_libraries_take_and_refuse_the_same(text in "[A-Za-z0-9+/]{0,70}[=A-Za-z0-9+/_-]{0,4}[=]{0,3}") {
            prop_assert_eq!(decoded(text.as_bytes()), general_purpose::STANDARD.decode(&text).ok());
        }

        #[test]
        fn any_byte_in_the_middle_is_seen(bytes in prop::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, other: u8) {
            let mut text = general_purpose::STANDARD.encode(&bytes).into_bytes();
            let at = at.index(text.len());
            text[at] = other;
            prop_assert_eq!(decoded(&text), general_purpose::STANDARD.decode(&text).ok());
        }
    }
}
