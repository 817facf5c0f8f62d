//! A line of a log as it is written, with its numbers digit by digit. Does not know which lines belong together or
//! what they mean.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// The contents of a line.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    #[serde(alias = "record")]
    Rec {
        shard: Value,
        seq: Value,
        pk: String,
        arr: Value,
        #[serde(default)]
        data_b64: Option<String>,
        #[serde(default)]
        data: Option<Value>,
    },
    Batch {
        shard: Value,
        seqs: Vec<Value>,
        #[serde(default)]
        env: Option<u64>,
    },
    Rules {
        version: u64,
        at: Value,
        file: String,
        #[serde(default)]
        shard: Option<Value>,
    },
    Split {
        shard: Value,
        into: Vec<Value>,
        #[serde(default)]
        at: Value,
    },
    Merge {
        shards: Vec<Value>,
        into: Value,
        #[serde(default)]
        at: Value,
    },
}

/// The numbers of a line as they are written: those of a stream are longer than the integers that JSON readers
/// accept.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, default)]
    seq: Option<&'a RawValue>,
    #[serde(borrow, default)]
    seqs: Option<Vec<&'a RawValue>>,
}

/// Reads a line.
pub(super) fn read_line(text: &str) -> Result<Line, String> {
    let problem = |error: serde_json::Error| {
        let is_json = error.is_data();
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        if is_json { text.to_owned() } else { format!("this is not JSON: {text}") }
    };
    let mut line: Line = serde_json::from_str(text).map_err(problem)?;
    let as_written = |value: &mut Value, raw: &RawValue| {
        if value.is_number() && raw.get().bytes().all(|byte| byte.is_ascii_digit()) {
            *value = Value::String(raw.get().to_owned());
        }
    };
    match &mut line {
        Line::Rec { seq, .. } => {
            let written: Written<'_> = serde_json::from_str(text).map_err(problem)?;
            written.seq.into_iter().for_each(|raw| as_written(seq, raw));
        }
        Line::Batch { seqs, .. } => {
            let written: Written<'_> = serde_json::from_str(text).map_err(problem)?;
            seqs.iter_mut().zip(written.seqs.into_iter().flatten()).for_each(|(seq, raw)| as_written(seq, raw));
        }
        Line::Rules { .. } | Line::Split { .. } | Line::Merge { .. } => {}
    }
    Ok(line)
}
