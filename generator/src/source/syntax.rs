//! What is wrong with a text that is not TOML.
//!
//! A parser that recovers takes what follows an open bracket for its content, so that one which nobody closes spoils the
//! rest of the text. Here the text is first cut into its expressions, each a header or a key with its value: where the
//! next one begins, nothing can be open any more. An expression has one mistake at most, and lines behind it that begin
//! no expression are a part of the mistake.

mod doubles;

use std::ops::Range;

use toml::de::DeTable;
use toml_parser::lexer::{Token, TokenKind};

pub(super) use doubles::doubles;

use super::limits;
use crate::diagnostic::{Code, Diagnostic};

/// Longest header that is written out.
const HEADER_BYTES_MAX: usize = 200;

/// The largest text that is looked into for what is not closed before it is called too deep.
const FLAT_BYTES_MAX: usize = 1 << 20;
/// Most texts of several lines of which it is told that they go on too far: behind each, all is read anew.
const OVERRUNS_MAX: usize = 10;

/// The mistakes of a text, in its order; none if each of its expressions is TOML.
pub(super) fn mistakes(text: &str) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    let mut from = 0;
    for _ in 0..OVERRUNS_MAX {
        let (found, end) = mistakes_before_overrun(&text[from..]);
        mistakes.extend(found.into_iter().map(|mistake| mistake.moved(from)));
        match end {
            Some(end) => from += end,
            None => break,
        }
    }
    mistakes
}

/// The mistakes of a text up to the first text of several lines that goes on too far, and where that must have ended.
fn mistakes_before_overrun(text: &str) -> (Vec<Diagnostic>, Option<usize>) {
    let tokens = tokens(text);
    let mut mistakes = Vec::new();
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        let expression = Expression::first_of(rest);
        rest = &rest[expression.tokens.len()..];
        let mistake = expression.mistake(text);
        if let Some(overrun) = expression.overrun(text).filter(|_| mistake.is_some() || !goes_on(rest)) {
            mistakes.push(overrun.told());
            return (mistakes, Some(overrun.end));
        }
        if let Some(mistake) = mistake {
            mistakes.push(mistake);
            rest = next_expression(rest);
        }
    }
    (mistakes, None)
}

/// Whether no expression of a text nests too deeply by itself. One that is large is not looked into: its tokens would take
/// more memory than the refusal of a text that nests too deeply may.
pub(super) fn is_flat(text: &str) -> bool {
    if text.len() > FLAT_BYTES_MAX {
        return false;
    }
    let tokens = tokens(text);
    let mut rest = tokens.as_slice();
    while let Some(first) = rest.first() {
        let expression = Expression::first_of(rest);
        let end = expression.tokens.last().map_or(text.len(), |last| last.span().end());
        if limits::too_deep(&text[first.span().start()..end]).is_some() {
            return false;
        }
        rest = &rest[expression.tokens.len()..];
    }
    true
}

/// What the parser says of a piece of a text, where its places count from the piece.
pub(super) fn parser_error(error: &toml::de::Error, text: &str, piece: Range<usize>) -> Diagnostic {
    let span = error.span().map_or(piece.end..piece.end, |span| piece.start + span.start..piece.start + span.end);
    let told = |message: &str| Diagnostic::new(Code::Syntax, span.clone(), message);
    let message = error.message();
    let is = |beginnings: &[&str]| beginnings.iter().any(|beginning| message.starts_with(beginning));
    // The parser guesses a value's type from its first letter.
    if is(&["invalid boolean", "invalid float", "string values must be quoted"]) {
        return if span.is_empty() {
            told("a value is missing").help("write one after the `=`, or take the key away")
        } else if text.get(span.end..).is_some_and(|after| after.trim_start_matches([' ', '\t']).starts_with('=')) {
            told("a key stands where a value must be").help("put `{` before it and `}` where its table ends")
        } else if let Some((word, truth)) = truth_at(text, span.start) {
            Diagnostic { span: word, ..told("a truth value is `true` or `false`") }
                .replace(format!("write: {truth}"), truth)
        } else {
            told("this is no value").help("put text in quotes, as in `\"high\"`")
        };
    }
    told(message).help(if is(&["duplicate key"]) {
        "give each key and each table once"
    } else if message.contains("leading zero") {
        "a number does not begin with 0; an account is text: twelve digits in quotes"
    } else if is(&["missing opening quote"]) {
        "put `\"` at both ends of the text"
    } else if is(&["missing comma"]) {
        "add `,`, or the `\"` that is missing on this line"
    } else if is(&["key with no value", "missing assignment"]) {
        "write `key = value`, or `[key]` where a table begins"
    } else {
        "see https://toml.io for how TOML is written"
    })
}

/// The word at a place that other languages have for a truth value: where it is, and what it means.
fn truth_at(text: &str, start: usize) -> Option<(Range<usize>, &'static str)> {
    let word = text.get(start..)?.split(|c: char| !c.is_alphanumeric()).next()?;
    let truth = match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => "true",
        "false" | "no" | "off" => "false",
        _ => return None,
    };
    Some((start..start + word.len(), truth))
}

fn tokens(text: &str) -> Vec<Token> {
    toml_parser::Source::new(text).lex().into_vec()
}

/// A header, or a key with its value; and the blank lines and comments before it.
struct Expression<'t> {
    tokens: &'t [Token],
    unclosed: Option<Unclosed>,
}

/// A text of several lines that lacks its end, so that it goes on to the next such text.
struct Overrun {
    quotes: &'static str,
    start: usize,
    /// Where the line begins behind which it cannot go on.
    end: usize,
    /// Where the next such text begins.
    next: usize,
}

/// A list or an inline table that nothing closes.
struct Unclosed {
    opening: Token,
    /// The place behind which it must have ended.
    end: usize,
    /// What would close it, with all within that is not closed either.
    closing: String,
}

impl<'t> Expression<'t> {
    fn first_of(tokens: &'t [Token]) -> Self {
        let mut first: Option<usize> = None;
        let mut last = tokens[0];
        let mut open: Vec<Token> = Vec::new();
        let mut unclosed = None;
        let mut length = tokens.len();
        for (index, token) in tokens.iter().enumerate() {
            let is_header = tokens[first.unwrap_or(index)].kind() == TokenKind::LeftSquareBracket;
            match token.kind() {
                TokenKind::Newline => {
                    let Some(first) = first else { continue };
                    let after = &tokens[index + 1..];
                    if open.last().is_none_or(|opening| ends(after, *opening, last, indentation(tokens, first))) {
                        length = index + 1;
                        break;
                    }
                    continue;
                }
                _ if is_blank(token) => continue,
                TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket if !is_header => open.push(*token),
                TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                    // What closes nothing is told by the parser.
                    if let Some(depth) = open.iter().rposition(|opening| closing(*opening) == token.kind()) {
                        unclosed = unclosed.or_else(|| Unclosed::of(&open[depth + 1..], last));
                        open.truncate(depth);
                    }
                }
                _ => {}
            }
            first.get_or_insert(index);
            last = *token;
        }
        Self { tokens: &tokens[..length], unclosed: unclosed.or_else(|| Unclosed::of(&open, last)) }
    }

    /// The first thing that is wrong with it.
    fn mistake(&self, text: &str) -> Option<Diagnostic> {
        let open_text = || self.tokens.iter().find(|token| is_open_text(text, **token));
        open_text()
            .map(|token| open_quote(*token))
            .or_else(|| self.unclosed.as_ref().map(Unclosed::told))
            .or_else(|| self.open_header(text))
            .or_else(|| self.parser_error(text))
    }

    /// A text of several lines that seems to end where the next one begins, behind a key.
    fn overrun(&self, text: &str) -> Option<Overrun> {
        self.tokens.iter().find_map(|token| {
            let quotes = quotes(*token).filter(|quotes| quotes.len() > 1 && !is_open_text(text, *token))?;
            let (start, next) = (token.span().start(), token.span().end() - quotes.len());
            let inner = &text[start + quotes.len()..next];
            let (_, last) = inner.rsplit_once('\n')?;
            let mut begins = inner.match_indices('\n').map(|(end, _)| end + 1);
            let line = |begin: usize| inner[begin..].lines().next().unwrap_or_default();
            let first =
                begins.find(|begin| is_header(line(*begin)) || is_pair(line(*begin))).filter(|_| is_pair(last))?;
            Some(Overrun { quotes, start, end: start + quotes.len() + first, next })
        })
    }

    /// A header that lacks nothing but its end.
    fn open_header(&self, text: &str) -> Option<Diagnostic> {
        let start = self.tokens.iter().position(|token| !is_blank(token))?;
        let (opening, after) = brackets(&self.tokens[start..], TokenKind::LeftSquareBracket);
        let (closing, after) = brackets(after_key(after)?, TokenKind::RightSquareBracket);
        if closing >= opening || !after.iter().all(is_blank) {
            return None;
        }
        let last = self.tokens.iter().rfind(|token| !is_blank(token))?;
        let span = self.tokens[start].span().start()..last.span().end();
        let whole = format!("{}{}", &text[span.clone()], "]".repeat(opening - closing));
        let mistake = Diagnostic::new(Code::Syntax, span, "this header is not closed");
        Some(match whole.len() {
            ..=HEADER_BYTES_MAX => mistake.replace(format!("write `{whole}`"), whole),
            _ => mistake.help("add `]` where it ends"),
        })
    }

    fn parser_error(&self, text: &str) -> Option<Diagnostic> {
        let start = self.tokens.first()?.span().start();
        let end = self.tokens.last()?.span().end();
        let (_, errors) = DeTable::parse_recoverable(&text[start..end]);
        errors.iter().map(|error| parser_error(error, text, start..end)).min_by_key(|error| error.span.start)
    }
}

impl Overrun {
    fn told(&self) -> Diagnostic {
        let of = |start: usize| start..start + self.quotes.len();
        Diagnostic::new(Code::Syntax, of(self.start), "this text is not closed before the next one begins")
            .related(of(self.next), "the next one, whose beginning would be the end of this one")
            .help(format!("add `{}` where the text ends", self.quotes))
    }
}

impl Unclosed {
    /// The innermost of brackets that are open behind a token.
    fn of(open: &[Token], last: Token) -> Option<Self> {
        let closing = open.iter().rev().map(|opening| match closing(*opening) {
            TokenKind::RightCurlyBracket => '}',
            _ => ']',
        });
        Some(Self { opening: *open.last()?, end: last.span().end(), closing: closing.collect() })
    }

    fn told(&self) -> Diagnostic {
        let what = match self.opening.kind() {
            TokenKind::LeftCurlyBracket => "inline table",
            _ => "list",
        };
        let (span, closing) = (self.opening.span(), &self.closing);
        Diagnostic::new(Code::Syntax, span.start()..span.end(), format!("this {what} is not closed"))
            .related(self.end..self.end, format!("`{closing}` is missing, here at the latest"))
            .help(format!("add `{closing}` where the {what} ends"))
    }
}

/// Whether what is open cannot go on behind the end of a line: a line begins that is an expression of its own.
fn ends(line: &[Token], opening: Token, last: Token, indentation_before: usize) -> bool {
    let may_be_key = opening.kind() == TokenKind::LeftCurlyBracket
        && matches!(last.kind(), TokenKind::Comma | TokenKind::LeftCurlyBracket);
    // A key that stands further in lacks something else, such as a comma before it.
    begins_header(line) || begins_pair(line) && !may_be_key && indentation(line, 1) <= indentation_before
}

/// How far in a token stands that is the first of its line but for white space.
fn indentation(tokens: &[Token], index: usize) -> usize {
    let before = index.checked_sub(1).map(|before| tokens[before]);
    before.filter(|token| token.kind() == TokenKind::Whitespace).map_or(0, |token| token.span().len())
}

/// The tokens from the first line that begins an expression.
fn next_expression(tokens: &[Token]) -> &[Token] {
    let mut rest = tokens;
    while !rest.is_empty() && !begins_header(rest) && !begins_pair(rest) {
        let line = rest.iter().position(|token| token.kind() == TokenKind::Newline);
        rest = &rest[line.map_or(rest.len(), |end| end + 1)..];
    }
    rest
}

/// Whether a line is a header, and not a list that is an item of another.
fn begins_header(line: &[Token]) -> bool {
    let (opening, after) = brackets(after_space(line), TokenKind::LeftSquareBracket);
    let Some(after) = after_key(after) else { return false };
    let (closing, after) = brackets(after, TokenKind::RightSquareBracket);
    let ends = after_space(after).first().is_none_or(is_blank);
    let next = after.iter().find(|token| !is_blank(token)).map(Token::kind);
    let is_item = matches!(next, Some(TokenKind::Comma | TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket));
    opening > 0 && opening == closing && ends && !is_item
}

/// Whether a text is a line that begins with a header.
fn is_header(line: &str) -> bool {
    begins_header(&tokens(line))
}

/// Whether a text is a line that begins with a key and `=`.
fn is_pair(line: &str) -> bool {
    begins_pair(&tokens(line))
}

/// Whether the first of some lines that is not blank begins an expression, if there is one.
fn goes_on(lines: &[Token]) -> bool {
    let first = lines.iter().position(|token| !is_blank(token));
    first.is_none_or(|first| begins_header(&lines[first..]) || begins_pair(&lines[first..]))
}

/// Whether a line begins with a key and `=`.
fn begins_pair(line: &[Token]) -> bool {
    after_key(line).and_then(<[Token]>::first).is_some_and(|token| token.kind() == TokenKind::Equals)
}

/// What follows the brackets at the beginning, and how many of them there are: two at most, as a header has.
fn brackets(tokens: &[Token], kind: TokenKind) -> (usize, &[Token]) {
    let count = tokens.iter().take(2).take_while(|token| token.kind() == kind).count();
    (count, &tokens[count..])
}

/// What follows a key and the white space around it.
fn after_key(tokens: &[Token]) -> Option<&[Token]> {
    let mut rest = after_space(tokens);
    while let Some(TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString) = rest.first().map(Token::kind)
    {
        rest = after_space(&rest[1..]);
        match rest.first().map(Token::kind) {
            Some(TokenKind::Dot) => rest = after_space(&rest[1..]),
            _ => return Some(rest),
        }
    }
    None
}

fn after_space(tokens: &[Token]) -> &[Token] {
    match tokens {
        [space, rest @ ..] if space.kind() == TokenKind::Whitespace => rest,
        _ => tokens,
    }
}

/// Whether a token says nothing.
fn is_blank(token: &Token) -> bool {
    matches!(token.kind(), TokenKind::Whitespace | TokenKind::Comment | TokenKind::Newline | TokenKind::Eof)
}

/// What closes a bracket.
fn closing(opening: Token) -> TokenKind {
    match opening.kind() {
        TokenKind::LeftCurlyBracket => TokenKind::RightCurlyBracket,
        _ => TokenKind::RightSquareBracket,
    }
}

/// The quotes with which a token begins if it is text.
fn quotes(token: Token) -> Option<&'static str> {
    match token.kind() {
        TokenKind::BasicString => Some("\""),
        TokenKind::LiteralString => Some("'"),
        TokenKind::MlBasicString => Some("\"\"\""),
        TokenKind::MlLiteralString => Some("'''"),
        _ => None,
    }
}

/// Whether a token is text that goes to the end of its line, or of the file, because nothing closes it.
fn is_open_text(text: &str, token: Token) -> bool {
    let Some(quotes) = quotes(token) else { return false };
    let inner = &text[token.span().start() + quotes.len()..token.span().end()];
    let Some(inner) = inner.strip_suffix(quotes) else { return true };
    let escapes = inner.len() - inner.trim_end_matches('\\').len();
    quotes.starts_with('"') && escapes % 2 == 1
}

fn open_quote(token: Token) -> Diagnostic {
    let start = token.span().start();
    let quotes = quotes(token).unwrap_or_default();
    let span = start..start + quotes.len();
    if quotes.len() > 1 {
        return Diagnostic::new(Code::Syntax, span, "this text is not closed before the end of the file")
            .help(format!("add `{quotes}` where the text ends"));
    }
    Diagnostic::new(Code::Syntax, span, format!("one `{quotes}` of this line has no partner"))
        .help("put `\"` at both ends of each text")
}

#[cfg(test)]
mod tests;
