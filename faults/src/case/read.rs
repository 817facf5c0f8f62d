//! Reads the log of a case: JSON Lines. Every error names its line.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleetform_engine::{position::SequenceNumber, rule_set::RuleSet};
use serde_json::{Value, json};

use super::{
    Batch, Log, Shard, Wrong,
    line::{Line, read_line},
    lineage::{Birth, listings},
    numbers::Numbers,
};
use crate::{stream::next_number, world::Record};

/// Maximum number of records in a batch that the log does not cut itself.
const BATCH_RECORDS_MAX: usize = 500;
/// The latest time that a log may contain: the end of the year 9999.
const TIME_MAX_MS: i64 = 253_402_300_799_999;

/// Reads a log. `fetch` returns the bytes of a file that the log names; the rule sets are returned in the order in
/// which they are named. With `stretch`, internal numbers are made longer, whether or not the log requires that.
pub fn read_log(
    file: &str,
    text: &str,
    stretch: bool,
    mut fetch: impl FnMut(&str) -> Result<Vec<u8>, String>,
) -> Result<(Log, Vec<Vec<u8>>), Wrong> {
    let wrong = |line: Option<usize>, problem: String| Wrong { file: file.to_owned(), line, problem };
    let mut reader = Reader::default();
    let mut rule_sets = Vec::new();
    for (number, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let line = read_line(text).map_err(|problem| wrong(Some(number), problem))?;
        reader.line(line, &mut fetch, &mut rule_sets).map_err(|problem| wrong(Some(number), problem))?;
    }
    let log = reader.close(stretch).map_err(|problem| wrong(None, problem))?;
    Ok((log, rule_sets))
}

#[derive(Default)]
struct Reader {
    /// The latest time in any line so far.
    now: Option<i64>,
    shards: BTreeMap<Arc<str>, Lines>,
    announced: Vec<Announced>,
    births: Vec<Birth>,
}

#[derive(Default)]
struct Lines {
    items: Vec<Item>,
    /// The numbers of its records so far.
    numbers: BTreeSet<SequenceNumber>,
    newest_arrival: i64,
    /// Whether the log defines how it is cut into batches.
    cuts: bool,
    /// Whether it was split or merged.
    is_closed: bool,
}

enum Item {
    Record {
        number: String,
        record: Record,
    },
    /// A rule set's record, which has no number of its own.
    Rules {
        record: Record,
    },
    Batch {
        numbers: Vec<SequenceNumber>,
        at: i64,
        environment: Option<u64>,
    },
}

/// A rule set that goes to every shard, including those that are first named later.
struct Announced {
    record: Record,
    only: Option<Arc<str>>,
}

impl Reader {
    fn line(
        &mut self,
        line: Line,
        fetch: &mut impl FnMut(&str) -> Result<Vec<u8>, String>,
        rule_sets: &mut Vec<Vec<u8>>,
    ) -> Result<(), String> {
        match line {
            Line::Rec { shard, seq, pk, arr, data_b64, data } => {
                let number = digits("seq", &seq)?;
                let arrived_at = self.time("arr", &arr)?;
                let data = match (data_b64, data) {
                    (Some(data), None) => {
                        STANDARD.decode(data).map_err(|error| format!("`data_b64` is not base64: {error}"))?
                    }
                    (None, Some(Value::String(text))) => text.into_bytes(),
                    (None, Some(value)) => value.to_string().into_bytes(),
                    (None, None) => return Err("a record has `data_b64`, or `data` as it is".into()),
                    (Some(_), Some(_)) => return Err("a record has `data_b64` or `data`, not both".into()),
                };
                let sequence = sequence(&number)?;
                let lines = self.shard(&shard)?;
                if lines.is_closed {
                    return Err(format!("the shard {shard} was split or merged above, and takes no more records"));
                }
                if lines.numbers.last().is_some_and(|newest| *newest >= sequence) {
                    return Err(format!("`seq` {number} does not come after that of the record before it"));
                }
                if !lines.numbers.is_empty() && lines.newest_arrival > arrived_at {
                    return Err("`arr` lies before that of the record before it".into());
                }
                lines.numbers.insert(sequence);
                lines.newest_arrival = arrived_at;
                let record = Record { sequence, partition_key: pk, arrived_at, data };
                lines.items.push(Item::Record { number, record });
            }
            Line::Batch { shard, seqs, env } => {
                let at = self.now.ok_or("there is no record yet")?;
                let lines = self.shard(&shard)?;
                let mut numbers = Vec::new();
                for seq in &seqs {
                    let number = sequence(&digits("seqs", seq)?)?;
                    if !lines.numbers.contains(&number) {
                        return Err(format!("no record {number} of the shard comes before this line"));
                    }
                    if numbers.last().is_some_and(|last| *last >= number) {
                        return Err("`seqs` do not rise".into());
                    }
                    numbers.push(number);
                }
                lines.cuts = true;
                lines.items.push(Item::Batch { numbers, at, environment: env });
            }
            Line::Rules { version, at, file, shard } => {
                let at = self.time("at", &at)?;
                let bytes = fetch(&file)?;
                let record = json!({
                    "ff": 1, "k": "rules", "version": version, "sha256": RuleSet::sha256(&bytes), "t": at,
                });
                rule_sets.push(bytes);
                let record = Record {
                    sequence: sequence("0")?,
                    partition_key: "rules".into(),
                    arrived_at: at,
                    data: record.to_string().into_bytes(),
                };
                let only = shard.as_ref().map(name).transpose()?;
                for (shard, lines) in &mut self.shards {
                    if !lines.is_closed && only.as_ref().is_none_or(|only| only == shard) {
                        lines.items.push(Item::Rules { record: record.clone() });
                    }
                }
                self.announced.push(Announced { record, only });
            }
            Line::Split { shard, into, at } => self.birth(&[shard], &into, &at)?,
            Line::Merge { shards, into, at } => match into {
                Value::Array(into) => self.birth(&shards, &into, &at)?,
                into => self.birth(&shards, &[into], &at)?,
            },
        }
        Ok(())
    }

    /// Closes shards and opens others, which inherit what was announced to their parents.
    fn birth(&mut self, parents: &[Value], children: &[Value], at: &Value) -> Result<(), String> {
        if (parents.len(), children.len()) != (1, 2) && (parents.len(), children.len()) != (2, 1) {
            return Err("one shard is split into two, or two are merged into one".into());
        }
        let at = if at.is_null() { self.now.unwrap_or_default() } else { self.time("at", at)? };
        let (mut parent_names, mut child_names) = (Vec::new(), Vec::new());
        for parent in parents {
            let lines = self.shard(parent)?;
            if std::mem::replace(&mut lines.is_closed, true) {
                return Err(format!("the shard {parent} was split or merged above"));
            }
            parent_names.push(name(parent)?);
        }
        for child in children {
            let child = name(child)?;
            if self.shards.insert(child.clone(), Lines::default()).is_some() {
                return Err(format!("the shard {child} is there already"));
            }
            child_names.push(child);
        }
        self.births.push(Birth { parents: parent_names, children: child_names, at });
        Ok(())
    }

    fn time(&mut self, key: &str, value: &Value) -> Result<i64, String> {
        let time = match value {
            Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|ms| ms.round() as i64)),
            Value::String(text) => text
                .parse::<i64>()
                .ok()
                .or_else(|| text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond())),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let time = time.filter(|time| (0..=TIME_MAX_MS).contains(time));
        let time = time.ok_or_else(|| format!("`{key}` is {value}, which is no time in milliseconds since 1970"))?;
        self.now = self.now.max(Some(time));
        Ok(time)
    }

    /// Returns a shard by its name. A new one receives every rule set that was announced before.
    fn shard(&mut self, value: &Value) -> Result<&mut Lines, String> {
        let name = name(value)?;
        let announced = &self.announced;
        Ok(self.shards.entry(name.clone()).or_insert_with(|| {
            let heard = announced.iter().filter(|announced| announced.only.as_ref().is_none_or(|only| *only == name));
            let items = heard.map(|announced| Item::Rules { record: announced.record.clone() }).collect();
            Lines { items, ..Lines::default() }
        }))
    }

    fn close(self, stretch: bool) -> Result<Log, String> {
        let own = self.shards.iter().map(|(name, lines)| (name.clone(), &lines.numbers)).collect();
        let mut numbers = Numbers::new(&own, &self.births);
        let records = self.shards.values().flat_map(|lines| &lines.items).filter_map(Item::number);
        records.for_each(|number| numbers.write(number));
        let mut begins = self.begins(&numbers)?;
        let is_crowded = |name: &Arc<str>, lines: &Lines| {
            let mut last = begins.get(name).copied().or_else(|| sequence("0").ok());
            lines.is_crowded(&mut last, |number| numbers.inside(name, number).ok())
        };
        if stretch || self.shards.iter().any(|(name, lines)| is_crowded(name, lines)) {
            numbers.stretch();
            begins = self.begins(&numbers)?;
        }
        let now = self.now.unwrap_or_default();
        let mut log = Log::default();
        for (name, lines) in self.shards {
            let begin = begins.get(&name).copied().map_or_else(|| sequence("0"), Ok)?;
            let inside = |number| numbers.inside(&name, number);
            let shard = lines.close(inside, begin, now)?;
            log.shards.insert(name.clone(), shard);
        }
        log.listings = listings(&self.births, &log.shards, &begins)?;
        log.numbers = numbers;
        Ok(log)
    }

    /// Returns the numbers that children start with, above those of all records that their parents have in the log.
    fn begins(&self, numbers: &Numbers) -> Result<BTreeMap<Arc<str>, SequenceNumber>, String> {
        let mut begins = BTreeMap::<Arc<str>, SequenceNumber>::new();
        for Birth { parents, children, .. } in &self.births {
            let mut highest = sequence("0")?;
            for parent in parents {
                let own = self.shards.get(parent).and_then(|lines| lines.numbers.last().copied());
                let own = own.map(|number| numbers.inside(parent, number)).transpose()?;
                highest = highest.max(own.or_else(|| begins.get(parent).copied()).unwrap_or(highest));
            }
            let begin = numbers.begin(highest).ok_or("there is no sequence number left for a child")?;
            begins.extend(children.iter().map(|child| (child.clone(), begin)));
        }
        Ok(begins)
    }
}

impl Item {
    /// Returns the number of a record, as it is written.
    fn number(&self) -> Option<&str> {
        match self {
            Self::Record { number, .. } => Some(number),
            Self::Rules { .. } | Self::Batch { .. } => None,
        }
    }
}

impl Lines {
    /// Whether a rule set's record finds no free number between its neighbors, or the first one none after `last`.
    fn is_crowded(
        &self,
        last: &mut Option<SequenceNumber>,
        inside: impl Fn(SequenceNumber) -> Option<SequenceNumber>,
    ) -> bool {
        let mut waiting = 0;
        for item in &self.items {
            match item {
                Item::Batch { .. } => {}
                Item::Rules { .. } => waiting += 1,
                Item::Record { record, .. } => {
                    let number = inside(record.sequence);
                    let mut free = *last;
                    for _ in 0..waiting {
                        free = free.as_ref().and_then(next_number);
                    }
                    if waiting > 0 && free.is_none_or(|free| number.is_none_or(|number| free >= number)) {
                        return true;
                    }
                    (*last, waiting) = (number, 0);
                }
            }
        }
        false
    }

    fn close(
        self,
        inside: impl Fn(SequenceNumber) -> Result<SequenceNumber, String>,
        begin: SequenceNumber,
        now: i64,
    ) -> Result<Shard, String> {
        let mut shard = Shard::default();
        let mut places = BTreeMap::new();
        let mut last = begin;
        let mut delivered = 0;
        let mut covered = BTreeSet::<usize>::new();
        // Whether each record is that of a rule set.
        let mut rules: Vec<bool> = Vec::new();
        for item in self.items {
            let record = match item {
                Item::Record { mut record, .. } => {
                    let known_as = record.sequence;
                    record.sequence = inside(known_as)?;
                    places.insert(known_as, shard.records.len());
                    record
                }
                Item::Rules { mut record } => {
                    record.sequence = next_number(&last).ok_or("there is no sequence number left")?;
                    record
                }
                Item::Batch { numbers, at, environment } => {
                    let mut named: Vec<usize> = numbers.iter().map(|number| places[number]).collect();
                    // Records of rule sets have no number in the log: they are delivered with the records around
                    // them.
                    if let (Some(first), Some(last)) = (named.first().copied(), named.last().copied()) {
                        let before = (0..first).rev().take_while(|index| rules[*index]);
                        let within = (first..last).filter(|index| rules[*index]);
                        let extra: Vec<usize> = before.chain(within).collect();
                        named.extend(extra);
                        named.sort_unstable();
                    }
                    covered.extend(&named);
                    let records = named.iter().map(|index| Arc::clone(&shard.records[*index])).collect();
                    shard.batches.push(Batch { records, at, environment });
                    continue;
                }
            };
            last = record.sequence;
            rules.push(places.values().next_back().is_none_or(|place| *place != shard.records.len()));
            shard.records.push(Arc::new(record));
            if !self.cuts && shard.records.len() - delivered == BATCH_RECORDS_MAX {
                shard.deliver(delivered);
                delivered = shard.records.len();
            }
        }
        if self.cuts {
            let rest: Vec<_> = (0..shard.records.len()).filter(|index| !covered.contains(index)).collect();
            if !rest.is_empty() {
                let records = rest.iter().map(|index| shard.records[*index].clone()).collect();
                shard.batches.push(Batch { records, at: now, environment: None });
            }
        } else if delivered < shard.records.len() {
            shard.deliver(delivered);
        }
        Ok(shard)
    }
}

impl Shard {
    fn deliver(&mut self, from: usize) {
        let records = self.records[from..].to_vec();
        let at = records.iter().map(|record| record.arrived_at).max().unwrap_or_default();
        self.batches.push(Batch { records, at, environment: None });
    }
}

fn name(value: &Value) -> Result<Arc<str>, String> {
    let name = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 128 || !name.bytes().all(fits) {
        return Err(format!("`shard` is {value}; it is 1 to 128 of letters, digits, `-`, `_`, `.`"));
    }
    Ok(name.into())
}

fn digits(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        _ => Err(format!("`{key}` is {value}; a sequence number is decimal digits, as a string or a whole number")),
    }
}

fn sequence(digits: &str) -> Result<SequenceNumber, String> {
    SequenceNumber::new(digits).map_err(|error| format!("`{digits}`: {error}"))
}

/// Returns the line on which the nth object of a list starts, as far as counting brackets can tell.
pub(super) fn line_of(text: &str, nth: usize) -> Option<usize> {
    let (mut depth, mut seen, mut quoted, mut escaped) = (0_u32, 0, false, false);
    let inside = if text.trim_start().starts_with('{') { 3 } else { 2 };
    for (line, text) in (1..).zip(text.lines()) {
        for character in text.chars() {
            match character {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ if quoted => {}
                '[' | '{' => {
                    depth += 1;
                    if character == '{' && depth == inside {
                        if seen == nth {
                            return Some(line);
                        }
                        seen += 1;
                    }
                }
                ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    None
}
