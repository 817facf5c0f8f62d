//! What stands twice in a text each of whose expressions is TOML.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
};

use toml_parser::lexer::{Token, TokenKind};

use super::{Expression, after_key, brackets, is_blank, is_header, parser_error, tokens};
use crate::diagnostic::Diagnostic;

/// What the parser says of a text each of whose expressions is TOML: which keys stand twice. Where several of one table
/// do, its header is what is missing.
pub(in crate::source) fn doubles(errors: &[toml::de::Error], text: &str) -> Vec<Diagnostic> {
    let definitions = Definitions::of(text);
    let mut told: Vec<Diagnostic> = Vec::new();
    let mut last = 0;
    for error in errors {
        let found = definitions.told(parser_error(error, text, 0..text.len()));
        // The place of a table that stands twice is inside its header.
        let line_end = |at: usize| text[at..].find('\n').map_or(text.len(), |length| at + length);
        let (before, place) = (last, line_end(found.span.end));
        last = place;
        let has_header = || text.get(before..place).is_none_or(|between| between.lines().skip(1).any(is_header));
        match told.last_mut() {
            Some(first) if !has_header() => {
                first.message = "this key and others behind it stand in their table already".to_owned();
                first.help = Some("if a table begins here, put its header before it; or give each key once".to_owned());
            }
            _ => told.push(found),
        }
    }
    told
}

/// What a header or a key with its value defines.
struct Definition {
    /// How many brackets its header has; a key has none.
    brackets: usize,
    /// The keys that lead to it, from the root or from its table.
    path: Vec<String>,
    /// Where these stand.
    span: Range<usize>,
    /// The first one of the same.
    first: Option<usize>,
}

/// What a text defines, in its order.
struct Definitions(Vec<Definition>);

impl Definitions {
    fn of(text: &str) -> Self {
        let tokens = tokens(text);
        let mut rest = tokens.as_slice();
        let mut all: Vec<Definition> = Vec::new();
        // The first of each path, by the header whose table it is in. That of a header is an item of a list, if any.
        let mut known: HashMap<(Option<usize>, Vec<String>), usize> = HashMap::new();
        let (mut header, mut items) = (None, HashMap::<Vec<String>, usize>::new());
        while !rest.is_empty() {
            let expression = Expression::first_of(rest);
            rest = &rest[expression.tokens.len()..];
            let Some(mut definition) = Definition::of(&expression, text) else { continue };
            let item =
                || (1..definition.path.len()).rev().find_map(|steps| items.get(&definition.path[..steps]).copied());
            let table = if definition.brackets == 0 { header } else { item() };
            match known.entry((table, definition.path.clone())) {
                Entry::Occupied(first) => definition.first = Some(*first.get()),
                Entry::Vacant(free) => {
                    free.insert(all.len());
                }
            }
            if definition.brackets > 0 {
                header = Some(all.len());
            }
            if definition.brackets > 1 {
                items.insert(definition.path.clone(), all.len());
            }
            all.push(definition);
        }
        Self(all)
    }

    /// What is said of one that stands twice, with the place of the first.
    fn told(&self, found: Diagnostic) -> Diagnostic {
        let behind = self.0.partition_point(|definition| definition.span.start <= found.span.start);
        let Some(second) = behind.checked_sub(1).map(|at| &self.0[at]) else { return found };
        let Some(first) = second.first.map(|at| &self.0[at]) else { return found };
        let name = second.path.join(".");
        let (message, help) = match (first.brackets, second.brackets) {
            (1, 2) | (2, 1) => (
                format!("`{name}` is both one table and a list of tables"),
                format!("write `[[{name}]]` each time if it is a list, or else `[{name}]` once"),
            ),
            (_, 0) => (format!("`{name}` is given twice"), "remove one of them".to_owned()),
            _ => (
                format!("`{name}` is defined twice"),
                "give one of them another name, or put the keys of both below the first".to_owned(),
            ),
        };
        Diagnostic { message, ..found }.related(first.span.clone(), "first defined here").help(help)
    }
}

impl Definition {
    fn of(expression: &Expression<'_>, text: &str) -> Option<Self> {
        let start = expression.tokens.iter().position(|token| !is_blank(token))?;
        let (brackets, key) = brackets(&expression.tokens[start..], TokenKind::LeftSquareBracket);
        let after = after_key(key)?;
        let key = &key[..key.len() - after.len()];
        let is_step = |token: &&Token| !is_blank(token) && token.kind() != TokenKind::Dot;
        let place = |token: &Token| token.span().start()..token.span().end();
        let steps: Vec<Range<usize>> = key.iter().filter(is_step).map(place).collect();
        let path = steps.iter().map(|step| text[step.clone()].trim_matches(['"', '\'']).to_owned()).collect();
        let span = steps.first()?.start..steps.last()?.end;
        Some(Self { brackets, path, span, first: None })
    }
}
