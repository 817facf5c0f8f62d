//! Makes text of unknown origin, such as device messages and file names, safe to show in a terminal.

use std::borrow::Cow;

/// Escapes, as in JSON, every character that would control a terminal, break the line or change the direction of the
/// text that follows. A single line of JSON remains the same document.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_escaped(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_escaped(c: char) -> bool {
    c.is_control() || misleads(c)
}

/// Whether a character is invisible, breaks the line or changes the direction of text.
pub(crate) fn misleads(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        let shown = printable("\u{1b}[31mRED\u{7}\u{9b}\u{7f} a\nb\r\t\u{202e}c\u{2066}\u{2028}");
        assert_eq!(shown, r"\u001b[31mRED\u0007\u009b\u007f a\nb\r\t\u202ec\u2066\u2028");
        for plain in ["Zürich", "東京", "a\\b", "🙂 100 %"] {
            assert!(matches!(printable(plain), Cow::Borrowed(same) if same == plain), "{plain}");
        }
    }

    #[test]
    fn a_line_of_json_stays_the_same_document() {
        let value = serde_json::json!({ "state": "\u{1b}\u{7f}\u{9b}\u{202e}\n" });
        let shown = printable(&value.to_string()).into_owned();
        assert!(shown.is_ascii());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
