//! Writes a tree as YAML that YAML 1.1 and 1.2 readers understand alike.
//!
//! Common tools still read YAML 1.1, where `on`, `10:00` and `2012-10-17` are not strings unless quoted. Keys are
//! sorted here, not left to the map type, whose order depends on a Cargo feature that any dependency may enable.

use serde::{Serialize, Serializer, ser::SerializeMap, ser::SerializeSeq};
use serde_json::Value;

/// Returns the tree as YAML, ending with one newline.
pub(crate) fn to_yaml(tree: &impl Serialize) -> String {
    // Block scalars would hide the exact bytes of a long string behind folding rules; quoted strings are unambiguous.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, tree, options).expect("templates hold only YAML's own types");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// A JSON value whose maps are written in the order of their keys.
pub(crate) struct Sorted<'a>(pub(crate) &'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Sorted(item))?;
                }
                list.end()
            }
            Value::Object(entries) => {
                let mut sorted: Vec<_> = entries.iter().collect();
                sorted.sort_unstable_by_key(|(key, _)| *key);
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                for (key, item) in sorted {
                    map.serialize_entry(key, &Sorted(item))?;
                }
                map.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Strings that a YAML 1.1 reader would interpret as something else, or that would end a scalar.
    const NASTY: [&str; 44] = [
        "on",
        "off",
        "yes",
        "no",
        "y",
        "n",
        "Y",
        "NO",
        "true",
        "True",
        "null",
        "~",
        "",
        "10:00",
        "1:2:3",
        "2012-10-17",
        "2001-12-14t21:59:43.10-05:00",
        "0o7",
        "0x1F",
        "010",
        "1_000",
        "1e3",
        ".5",
        "+1",
        "-1",
        ".inf",
        ".NaN",
        "=",
        "<<",
        "!tag",
        "&anchor",
        "*alias",
        "- item",
        "key: value",
        "# comment",
        "a #b",
        "\nResources:\n  X: 1",
        "tab\t",
        " leading",
        "trailing ",
        "'single'",
        "\"double\"",
        "{{resolve:ssm:x}}",
        "${AWS::Region}",
    ];

    #[test]
    fn nasty_texts_come_back_as_they_were() {
        let tree = json!({ "values": NASTY.as_slice(), "keys": NASTY.iter().map(|text| (*text, 1)).collect::<std::collections::BTreeMap<_, _>>() });
        let text = to_yaml(&Sorted(&tree));
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, tree, "{text}");
    }

    /// A YAML 1.1 reader takes none of these for a boolean, a number or a date, because each is quoted.
    #[test]
    fn what_yaml_1_1_would_misread_is_quoted() {
        for text in NASTY.iter().filter(|text| !["$", "\n"].iter().any(|start| text.starts_with(start))) {
            let written = to_yaml(&Sorted(&json!({ "k": text })));
            let value = written.strip_prefix("k: ").unwrap().trim_end_matches('\n');
            assert!(value.starts_with(['"', '\'']), "{written}");
        }
    }

    #[test]
    fn keys_are_sorted() {
        assert_eq!(to_yaml(&Sorted(&json!({"b": 1, "a": [{"d": 1, "c": 2}]}))), "a:\n- c: 2\n  d: 1\nb: 1\n");
    }
}
