//! String literals in each language: any text stays a string, and the reader sees what it contains.
//!
//! Everything but printable ASCII is escaped, so no direction mark or look-alike character can hide in the source.

use std::fmt::Write;

const INFALLIBLE: &str = "a string takes any text";

/// Returns a C literal, in UTF-8.
pub(super) fn c(text: &str) -> String {
    let mut literal = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => literal.extend(['\\', char::from(byte)]),
            // Two of them would start a trigraph.
            b'?' => literal.push_str("\\?"),
            b' '..=b'~' => literal.push(char::from(byte)),
            // Always three digits, so that a following digit is not read as part of the escape.
            _ => write!(literal, "\\{byte:03o}").expect(INFALLIBLE),
        }
    }
    literal.push('"');
    literal
}

/// Returns a Rust literal.
pub(super) fn rust(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => literal.extend(['\\', character]),
            ' '..='~' => literal.push(character),
            _ => write!(literal, "\\u{{{:x}}}", u32::from(character)).expect(INFALLIBLE),
        }
    }
    literal.push('"');
    literal
}

/// Returns a Python literal.
pub(super) fn python(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => literal.extend(['\\', character]),
            ' '..='~' => literal.push(character),
            _ => write!(literal, "\\U{:08x}", u32::from(character)).expect(INFALLIBLE),
        }
    }
    literal.push('"');
    literal
}

/// Returns a TypeScript literal.
pub(super) fn typescript(text: &str) -> String {
    let mut literal = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(b'"' | b'\\') => literal.extend(['\\', char::from(unit as u8)]),
            Ok(byte @ b' '..=b'~') => literal.push(char::from(byte)),
            _ => write!(literal, "\\u{unit:04x}").expect(INFALLIBLE),
        }
    }
    literal.push('"');
    literal
}

/// Returns a number with a decimal point or an exponent, which is a floating-point literal in all four languages.
pub(super) fn number(value: f64) -> String {
    format!("{value:?}")
}

/// Returns a JSON key with its colon.
pub(super) fn json_key(key: &str) -> String {
    format!("{}:", serde_json::Value::from(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_escapes_what_is_special_to_it() {
        let text = "a\"\\?\n\u{1f}1é\u{202e}\u{1f600}";
        assert_eq!(c(text), r#""a\"\\\?\012\0371\303\251\342\200\256\360\237\230\200""#);
        assert_eq!(rust(text), r#""a\"\\?\u{a}\u{1f}1\u{e9}\u{202e}\u{1f600}""#);
        assert_eq!(python(text), r#""a\"\\?\U0000000a\U0000001f1\U000000e9\U0000202e\U0001f600""#);
        assert_eq!(typescript(text), r#""a\"\\?\u000a\u001f1\u00e9\u202e\ud83d\ude00""#);
        assert_eq!(json_key("a\"b"), r#""a\"b":"#);
    }

    #[test]
    fn numbers_are_floating_point_wherever_they_stand() {
        for (value, expected) in [(0.0, "0.0"), (-1e15, "-1000000000000000.0"), (0.1, "0.1"), (1e-9, "1e-9")] {
            assert_eq!(number(value), expected);
        }
    }
}
