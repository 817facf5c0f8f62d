//! Reads a text that contains no errors.
//!
//! A platform file can be megabytes long and is nearly always valid. Its values are therefore built directly from the
//! parser's events, a few lines at a time, and the tokens, the events or a second tree of a whole file never exist.
//! This reader does not report errors: it gives up at the first thing that is not plainly valid. To find out what is
//! wrong, the caller reads the text again with a parser that reports errors.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use serde_json::{Map, Value, map::Entry};
use toml_parser::{
    ErrorSink, ParseError, Raw, Span,
    decoder::{Encoding, ScalarKind},
    lexer::TokenKind,
    parser::{EventReceiver, RecursionGuard, ValidateWhitespace, parse_document},
};

use super::{
    Source, Step,
    places::{Path, Places},
    value,
};

/// The number of tokens after which the expressions read so far are parsed.
const TOKENS_AT_ONCE: usize = 1_024;

/// Maximum number of tokens that are held. A longer expression, such as one with unclosed brackets, is not read here.
const TOKENS_MAX: usize = 64 * TOKENS_AT_ONCE;

/// Maximum number of levels of keys, arrays and tables in a text that is read here, far below the limit for too deep a
/// text. A platform file needs about six.
const LEVELS_MAX: usize = 16;

/// Returns the contents of a text and their locations; `None` if it may contain an error, or a value that JSON cannot
/// represent.
pub(super) fn read(text: &str) -> Option<Source> {
    read_parts(text, TOKENS_AT_ONCE)
}

fn read_parts(text: &str, tokens_at_once: usize) -> Option<Source> {
    let source = toml_parser::Source::new(text);
    let mut reader = Reader::new(text);
    let mut tokens = Vec::new();
    let mut brackets = 0_usize;
    for token in source.lex() {
        match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => brackets += 1,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        tokens.push(token);
        if tokens.len() > TOKENS_MAX {
            return None;
        }
        // Outside of brackets, an expression ends with its line. A partial expression is an error, so a text is valid
        // if all its parts are.
        let whole = brackets == 0 && token.kind() == TokenKind::Newline;
        if token.kind() == TokenKind::Eof || whole && tokens.len() >= tokens_at_once {
            let mut sound = true;
            let mut errors = |_: ParseError| sound = false;
            let mut shallow = RecursionGuard::new(&mut reader, LEVELS_MAX as u32);
            parse_document(&tokens, &mut ValidateWhitespace::new(&mut shallow, source), &mut errors);
            if !sound || !reader.sound {
                return None;
            }
            tokens.clear();
        }
    }
    reader.into_source()
}

/// A key without quotes and escapes, and its location.
type Key<'t> = (Cow<'t, str>, Range<usize>);

/// Builds values from events.
struct Reader<'t> {
    text: &'t str,
    root: Map<String, Value>,
    places: Places,
    /// Paths of arrays and tables that are inline values: nothing may be added to them from elsewhere.
    closed: HashSet<Path>,
    /// The number of items in each array of tables.
    items: BTreeMap<Path, usize>,
    header: Header<'t>,
    /// The table that is being read. Once complete, it is inserted where its header says.
    table: Map<String, Value>,
    /// The key that is being read, or whose value is being read.
    key: Vec<Key<'t>>,
    /// Arrays and inline tables that are still open, the innermost last.
    open: Vec<Open<'t>>,
    /// Whether everything has been plainly valid so far.
    sound: bool,
}

/// `[key]` or `[[key]]`; without a key, the part before the first header.
struct Header<'t> {
    key: Vec<Key<'t>>,
    is_item: bool,
    span: Range<usize>,
    path: Path,
}

/// An array or an inline table that is still open.
struct Open<'t> {
    key: Vec<Key<'t>>,
    start: usize,
    path: Path,
    value: Value,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            root: Map::new(),
            places: Places::with_room_for(text.len()),
            closed: HashSet::new(),
            items: BTreeMap::new(),
            header: Header { key: Vec::new(), is_item: false, span: 0..0, path: Path::ROOT },
            table: Map::new(),
            key: Vec::new(),
            open: Vec::new(),
            sound: true,
        }
    }

    fn into_source(mut self) -> Option<Source> {
        self.finish_table();
        let Self { root, places, .. } = self;
        let value = Value::Object(root);
        (self.sound && self.open.is_empty()).then(|| Source { value, places, unusable: Vec::new() })
    }

    fn raw(&self, span: Span, encoding: Option<Encoding>) -> Raw<'t> {
        Raw::new_unchecked(&self.text[span.start()..span.end()], encoding, span)
    }

    /// The depth of the key that is being read.
    fn levels(&self) -> usize {
        let open: usize = self.open.iter().map(|open| open.key.len().max(1)).sum();
        self.header.key.len() + open + self.key.len()
    }

    fn open_header(&mut self, start: usize, is_item: bool) {
        self.finish_table();
        self.key.clear();
        self.header = Header { key: Vec::new(), is_item, span: start..start, path: Path::ROOT };
    }

    fn close_header(&mut self, end: usize) {
        let key = std::mem::take(&mut self.key);
        let mut path = Path::ROOT;
        for (index, (step, _)) in key.iter().enumerate() {
            path = path.then(Step::Key(step));
            if self.header.is_item && index + 1 == key.len() {
                let items = self.items.entry(path).or_default();
                path = path.then(Step::Index(*items));
                *items += 1;
            } else if let Some(items) = self.items.get(&path) {
                path = path.then(Step::Index(items - 1));
            }
        }
        self.header = Header { key, span: self.header.span.start..end, path, ..self.header };
    }

    /// Inserts the completed table where its header says.
    fn finish_table(&mut self) {
        let table = std::mem::take(&mut self.table);
        let Some(((last, span), path)) = self.header.key.split_last() else {
            // The part before the first header.
            self.root.extend(table);
            return;
        };
        let (places, header) = (&mut self.places, &self.header.span);
        let Some((parent, path)) = descend(&mut self.root, Path::ROOT, path, Some(&self.closed), places) else {
            self.sound = false;
            return;
        };
        let path = path.then(Step::Key(last));
        match (parent.entry(&**last), self.header.is_item) {
            (Entry::Vacant(entry), false) => {
                places.add(path, span.clone(), header.clone());
                entry.insert(Value::Object(table));
            }
            (Entry::Vacant(entry), true) => {
                places.add(path, span.clone(), header.clone());
                places.add(path.then(Step::Index(0)), header.clone(), header.clone());
                entry.insert(Value::Array(vec![Value::Object(table)]));
            }
            (Entry::Occupied(mut entry), true) => match entry.get_mut() {
                Value::Array(items) if !self.closed.contains(&path) => {
                    places.add(path.then(Step::Index(items.len())), header.clone(), header.clone());
                    items.push(Value::Object(table));
                }
                _ => self.sound = false,
            },
            // The table already exists, or some of its parts do.
            (Entry::Occupied(_), false) => self.sound = false,
        }
    }

    fn open_value(&mut self, start: usize, value: Value) {
        let key = std::mem::take(&mut self.key);
        let path = match self.open.last() {
            Some(Open { path, value: Value::Array(items), .. }) => path.then(Step::Index(items.len())),
            outer => {
                let path = outer.map_or(self.header.path, |outer| outer.path);
                key.iter().fold(path, |path, (step, _)| path.then(Step::Key(step)))
            }
        };
        if self.open.is_empty() {
            self.closed.insert(path);
        }
        self.open.push(Open { key, start, path, value });
    }

    fn close_value(&mut self, end: usize) {
        let Some(Open { key, start, value, .. }) = self.open.pop() else {
            self.sound = false;
            return;
        };
        self.key = key;
        self.place(value, start..end);
    }

    /// Inserts a value at its key, or at the end of the open array.
    fn place(&mut self, value: Value, span: Range<usize>) {
        let (table, path, closed) = match self.open.last_mut() {
            Some(Open { path, value: Value::Array(items), .. }) => {
                self.places.add(path.then(Step::Index(items.len())), span.clone(), span);
                items.push(value);
                return;
            }
            Some(Open { path, value: Value::Object(table), .. }) => (table, *path, None),
            Some(_) => unreachable!("only arrays and tables are open"),
            None => (&mut self.table, self.header.path, Some(&self.closed)),
        };
        self.sound &= insert(table, path, &self.key, closed, value, span, &mut self.places).is_some();
        self.key.clear();
    }
}

/// Inserts a value at a key relative to a table. The key must not exist yet.
fn insert(
    table: &mut Map<String, Value>,
    path: Path,
    key: &[Key<'_>],
    closed: Option<&HashSet<Path>>,
    value: Value,
    span: Range<usize>,
    places: &mut Places,
) -> Option<()> {
    let ((last, key_span), before) = key.split_last()?;
    let (table, path) = descend(table, path, before, closed, places)?;
    let Entry::Vacant(entry) = table.entry(&**last) else { return None };
    places.add(path.then(Step::Key(last)), key_span.clone(), span);
    entry.insert(value);
    Some(())
}

/// Returns the table at a key relative to another table, and its path; for an array of tables, the last one. Missing
/// tables are created. Existing ones must be tables that are not closed; without a list of closed ones, none may exist.
fn descend<'m>(
    mut table: &'m mut Map<String, Value>,
    mut path: Path,
    key: &[Key<'_>],
    closed: Option<&HashSet<Path>>,
    places: &mut Places,
) -> Option<(&'m mut Map<String, Value>, Path)> {
    for (step, span) in key {
        path = path.then(Step::Key(step));
        let value = match table.entry(&**step) {
            Entry::Vacant(entry) => {
                places.add(path, span.clone(), span.clone());
                entry.insert(Value::Object(Map::new()))
            }
            Entry::Occupied(entry) if !closed?.contains(&path) => entry.into_mut(),
            Entry::Occupied(_) => return None,
        };
        table = match value {
            Value::Object(table) => table,
            Value::Array(items) => {
                path = path.then(Step::Index(items.len().checked_sub(1)?));
                items.last_mut()?.as_object_mut()?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    Some((table, path))
}

impl EventReceiver for Reader<'_> {
    fn std_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.open_header(span.start(), false);
    }

    fn std_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.close_header(span.end());
    }

    fn array_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.open_header(span.start(), true);
    }

    fn array_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.close_header(span.end());
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open_value(span.start(), Value::Object(Map::new()));
        true
    }

    fn inline_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.close_value(span.end());
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        // Most lists have one item, and a vector that grows starts with a capacity of four.
        self.open_value(span.start(), Value::Array(Vec::with_capacity(1)));
        true
    }

    fn array_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.close_value(span.end());
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        // A value that is too deep is not kept: a tree with thousands of levels cannot even be dropped.
        if self.levels() >= LEVELS_MAX {
            self.sound = false;
            return;
        }
        let mut key = Cow::Borrowed("");
        self.raw(span, encoding).decode_key(&mut key, errors);
        self.key.push((key, span.start()..span.end()));
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        let mut text = Cow::Borrowed("");
        let value = match self.raw(span, encoding).decode_scalar(&mut text, errors) {
            ScalarKind::String => Some(Value::String(text.into_owned())),
            ScalarKind::Boolean(truth) => Some(Value::Bool(truth)),
            ScalarKind::Integer(radix) => value::integer(&text, radix.value()).map(Value::Number),
            ScalarKind::Float => value::float(&text).map(Value::Number),
            ScalarKind::DateTime => None,
        };
        match value {
            Some(value) => self.place(value, span.start()..span.end()),
            None => self.sound = false,
        }
    }
}

#[cfg(test)]
mod tests;
