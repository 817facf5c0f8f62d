//! Numbers read eight bytes at a time: without a loop, and so without mispredicting where a number ends.

use std::num::NonZeroU64;

/// Eight bytes of a string, the first of them in the lowest byte.
#[derive(Clone, Copy)]
struct Octets {
    /// The value of each digit. At all other bytes it is not a digit's value.
    digits: u64,
    /// The highest bit of each byte that is not a digit.
    others: u64,
}

/// A decimal number without a sign, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    /// Its digits without the decimal point.
    pub(crate) digits: u64,
    /// Number of digits after the point.
    pub(crate) places: usize,
    /// Length in bytes.
    pub(crate) length: usize,
}

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

impl Octets {
    #[inline]
    fn new(text: &[u8; 8]) -> Self {
        let digits = u64::from_le_bytes(*text) ^ each(b'0');
        // No byte of the sum overflows into the next.
        let others = (((digits & each(0x7f)) + each(0x80 - 10)) | digits) & each(0x80);
        Self { digits, others }
    }
}

/// Returns the value of eight digits, the first of them in the lowest byte.
#[inline]
fn number(digits: u64) -> u64 {
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// Returns the number that a string starts with, spelled as in JSON, if it ends within eight bytes and has no
/// exponent. `None` leaves the string to another reader.
#[inline(always)]
pub(crate) fn decimal(text: &[u8; 8]) -> Option<Decimal> {
    let Octets { digits, others } = Octets::new(text);
    // Places are counted in bits, eight to a byte.
    let end_of = |others: NonZeroU64| others.trailing_zeros() & !7;
    let byte = |place: u32| (digits >> place) as u8 ^ b'0';
    let others = NonZeroU64::new(others)?;
    let whole = end_of(others);
    if whole == 0 || (whole > 8 && byte(0) == b'0') {
        return None;
    }
    // What follows the digits falls out at the top, and zeros come in at the bottom.
    let aligned = |end: u32| digits << (64 - end);
    if byte(whole) != b'.' {
        let read = Decimal { digits: number(aligned(whole)), places: 0, length: (whole / 8) as usize };
        return (byte(whole) | 0x20 != b'e').then_some(read);
    }
    let end = end_of(NonZeroU64::new(others.get() & (others.get() - 1))?);
    if end == whole + 8 || byte(end) | 0x20 == b'e' {
        return None;
    }
    // The point is dropped: the digits before it take its place.
    let from_point = u64::MAX << (64 - end + whole);
    let joined = (aligned(end) & (from_point << 8)) | ((aligned(end) << 8) & !(from_point << 8));
    Some(Decimal { digits: number(joined), places: ((end - whole) / 8 - 1) as usize, length: (end / 8) as usize })
}

/// Returns the value of thirteen digits, such as milliseconds since 1970; `None` if they are not all digits.
#[inline]
pub fn thirteen(text: &[u8; 13]) -> Option<u64> {
    let (first, last) = (Octets::new(text.first_chunk()?), Octets::new(text.last_chunk()?));
    // Both parts contain three of the digits.
    (first.others | last.others == 0).then(|| number(first.digits) * 100_000 + number(last.digits >> 24 << 24))
}

/// Returns `1769855400.123`, ten digits of seconds and three after the point, in milliseconds; `None` for any other
/// form.
#[inline]
pub fn seconds(text: &[u8; 14]) -> Option<u64> {
    let (first, last) = (Octets::new(text.first_chunk()?), Octets::new(text.last_chunk()?));
    if text[10] != b'.' || first.others != 0 || last.others != 0x80 << 32 {
        return None;
    }
    // Both parts contain two of the digits; two more lie before the point.
    let five = ((last.digits & 0xffff_0000) << 8) | (last.digits >> 40 << 40);
    Some(number(first.digits) * 100_000 + number(five))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn numbers_are_read_as_they_are_written(whole in "0|[1-9][0-9]{0,4}", places in "[0-9]{0,3}", end in "[ -,/:-df-~]") {
            let written = if places.is_empty() { whole.clone() } else { format!("{whole}.{places}") };
            let text = format!("{written}{end}12345678");
            let read = decimal(text.as_bytes().first_chunk().unwrap()).filter(|_| end != "E");
            let expected = Decimal {
                digits: format!("{whole}{places}").parse().unwrap(), places: places.len(), length: written.len()
            };
            prop_assert_eq!(read, (written.len() < 8 && end != "E").then_some(expected));
        }

        #[test]
        fn no_other_text_is_a_number(text in "[-0-9.eE, é]{8}") {
            if let Some(Decimal { digits, places, length }) = decimal(text.as_bytes().first_chunk().unwrap()) {
                let (written, rest) = text.split_at(length);
                prop_assert!(serde_json::from_str::<f64>(written).is_ok() && !rest.starts_with(['e', 'E']));
                prop_assert_eq!(digits as f64 / 10_f64.powi(places as i32), written.parse::<f64>().unwrap());
            }
        }

        #[test]
        fn moments_are_read_as_they_are_written(text in "[0-9]{13}", at in 0..14_usize, byte: u8) {
            let number: u64 = text.parse().unwrap();
            prop_assert_eq!(thirteen(text.as_bytes().first_chunk().unwrap()), Some(number));
            let mut decimals: [u8; 14] = *format!("{}.{}", &text[..10], &text[10..]).as_bytes().first_chunk().unwrap();
            prop_assert_eq!(seconds(&decimals), Some(number));
            let is_right = if at == 10 { byte == b'.' } else { byte.is_ascii_digit() };
            decimals[at] = byte;
            prop_assert_eq!(seconds(&decimals).is_some(), is_right);
            let mut digits: [u8; 13] = *text.as_bytes().first_chunk().unwrap();
            digits[at.min(12)] = byte;
            prop_assert_eq!(thirteen(&digits).is_some(), byte.is_ascii_digit());
        }
    }
}
