//! Limits on a text, checked by a scan without recursion.
//!
//! The scan is not a parser: it follows strings, comments, brackets and dotted keys only as far as needed to bound the
//! depth of whatever a parser would build, and reports nothing about text that is not TOML.

use std::ops::Range;

/// Longest text, in bytes.
pub(crate) const FILE_BYTES_MAX: usize = 8 << 20;

/// Deepest nesting of tables and arrays.
pub(crate) const DEPTH_MAX: usize = 64;

/// The location where a text first nests deeper than [`DEPTH_MAX`].
pub(crate) fn too_deep(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // The number of dots in the keys before each open bracket, and the levels that the dots and the brackets add.
    let mut open: Vec<usize> = Vec::new();
    let mut levels = 0;
    let mut header = 0;
    let mut dots = 0;
    let mut in_header = false;
    let mut line_start = true;
    let mut in_value = false;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match byte {
            b'#' => {
                at = find(bytes, at, b'\n');
                continue;
            }
            b'"' | b'\'' => {
                at = after_string(bytes, at);
                line_start = false;
                continue;
            }
            b'\n' if open.is_empty() => {
                in_header = false;
                in_value = false;
                dots = 0;
                line_start = true;
            }
            b'[' if open.is_empty() && line_start => {
                in_header = true;
                header = 1;
            }
            b'[' if in_header => {}
            b']' if in_header => {}
            b'[' | b'{' => {
                open.push(dots);
                levels += dots + 1;
                dots = 0;
                in_value = byte == b'[';
            }
            b']' | b'}' => {
                let before = open.pop();
                dots = before.unwrap_or(0);
                levels -= before.map_or(0, |dots| dots + 1);
                in_value = true;
            }
            b'=' => in_value = true,
            b',' => {
                dots = 0;
                in_value = false;
            }
            b'.' if in_header => header += 1,
            b'.' if !in_value => dots += 1,
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            line_start = false;
        }
        let depth = if in_header { header } else { header + levels + dots };
        if depth > DEPTH_MAX {
            return Some(at..at + 1);
        }
        at += 1;
    }
    None
}

/// The first position of `wanted` from `at` on, or the end.
fn find(bytes: &[u8], at: usize, wanted: u8) -> usize {
    bytes[at..].iter().position(|byte| *byte == wanted).map_or(bytes.len(), |offset| at + offset)
}

/// The position after the string that begins at `at`. An unclosed string ends with its line.
fn after_string(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[at];
    let long = bytes[at..].starts_with(&[quote; 3]);
    let mut next = if long { at + 3 } else { at + 1 };
    while next < bytes.len() {
        match bytes[next] {
            b'\\' if quote == b'"' => next += 2,
            b'\n' if !long => return next,
            byte if byte == quote && !long => return next + 1,
            byte if byte == quote && bytes[next..].starts_with(&[quote; 3]) => {
                // Up to two quotes may precede the closing three.
                let run = bytes[next..].iter().take_while(|other| **other == quote).count();
                return next + run.min(5);
            }
            _ => next += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_through_brackets_headers_and_dotted_keys() {
        for deep in [
            format!("a = {}1{}", "[".repeat(65), "]".repeat(65)),
            format!("a = {}1{}", "{ b = ".repeat(65), " }".repeat(65)),
            format!("[{}a]", "a.".repeat(80)),
            format!("[[{}a]]", "a.".repeat(80)),
            format!("{}a = 1", "a.".repeat(80)),
            format!("a = {}1", "[".repeat(100_000)),
            format!("a = {{ {}a = 1 }}", "a.".repeat(80)),
        ] {
            assert!(too_deep(&deep).is_some(), "{}", &deep[..60]);
        }
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let brackets = "[".repeat(200);
        for flat in [
            format!("a = \"{brackets}\""),
            format!("a = '{brackets}'"),
            format!("a = '''\n{brackets}'''\nb = 1"),
            format!("a = \"\"\"{brackets}\\\"\"\"\"\nb = 1"),
            format!("# {brackets}"),
            format!("a = 1 # {brackets}"),
            "x = [1.5, 2.5]\n".repeat(100),
            "[a.b.c]\nx.y = 1\n".repeat(100),
            "[[a]]\nx = { y = 1.0, z = [1.0] }\n".repeat(100),
        ] {
            assert_eq!(too_deep(&flat), None, "{}", &flat[..20]);
        }
    }
}
