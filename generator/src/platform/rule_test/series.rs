//! The values of one metric in a test: as a list, or as tokens separated by spaces.
//!
//! ```text
//! 65       a value               _        a gap: nothing is sent
//! 65x8     eight of them         _x2      two gaps
//! 4+2x3    4 6 8 10              4-2x3    4 2 0 -2
//! fault    a word, or true and false; faultx3 is three of them
//! ```
//!
//! A series is stored as written, so a long run takes no more memory than its token. Knows nothing about devices or
//! rules.

use std::ops::Range;

use fleetform_engine::{effect::Observed, units::Finite};
use smol_str::SmolStr;

use crate::check::context::{nearest, shown};

/// The most samples of a series: 34 days of one every 30 s.
pub(crate) const SAMPLES_MAX: u32 = 100_000;

/// The sign for a gap.
const GAP: &str = "_";

/// The values of one metric, sample by sample; `None` where the metric is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series(Vec<Run>);

/// Several samples described by one token.
#[derive(Clone, Debug, PartialEq)]
enum Run {
    Gaps(u32),
    Numbers { first: Finite, step: Finite, count: u32 },
    Same { value: Observed, count: u32 },
}

/// The values that a metric takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Values<'p> {
    Numbers,
    Truth,
    /// These words.
    Words(&'p [SmolStr]),
}

/// What is wrong with an item or a token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// A lowercase fragment.
    pub(crate) message: String,
    pub(crate) help: String,
    /// A replacement for it.
    pub(crate) instead: Option<String>,
    /// Whether it is a word that the metric never takes.
    pub(crate) is_word: bool,
}

impl Series {
    /// Returns the number of samples, including gaps.
    pub fn samples(&self) -> u64 {
        self.0.iter().map(|run| u64::from(run.count())).sum()
    }

    /// Iterates over the samples' values, with `None` for a gap.
    pub fn values(&self) -> impl Iterator<Item = Option<Observed>> + '_ {
        self.0.iter().flat_map(|run| (0..run.count()).map(|index| run.value(index)))
    }

    /// Adds the item of a list.
    pub(super) fn push(&mut self, value: Option<Observed>) {
        self.0.push(value.map_or(Run::Gaps(1), |value| Run::Same { value, count: 1 }));
    }

    /// Parses a series in the notation, and returns every token that cannot be parsed with its location in the text.
    pub(super) fn parse(text: &str, values: Values<'_>) -> (Self, Vec<(Range<usize>, Problem)>) {
        let mut runs = Vec::new();
        let mut problems = Vec::new();
        for token in text.split_ascii_whitespace() {
            let start = token.as_ptr() as usize - text.as_ptr() as usize;
            match Run::parse(token, values) {
                Ok(run) => runs.push(run),
                Err(problem) => problems.push((start..start + token.len(), problem)),
            }
        }
        (Self(runs), problems)
    }
}

impl Run {
    fn count(&self) -> u32 {
        match self {
            Self::Gaps(count) | Self::Numbers { count, .. } | Self::Same { count, .. } => *count,
        }
    }

    fn value(&self, index: u32) -> Option<Observed> {
        match self {
            Self::Gaps(_) => None,
            // A run that would exceed the range of numbers ends there.
            Self::Numbers { first, step, .. } => {
                let value = first.get() + step.get() * f64::from(index);
                Some(Observed::Number(Finite::new(value).unwrap_or(*first)))
            }
            Self::Same { value, .. } => Some(value.clone()),
        }
    }

    fn parse(token: &str, values: Values<'_>) -> Result<Self, Problem> {
        let (value, count) = split_count(token, values)?;
        if value == GAP {
            return Ok(Self::Gaps(count.unwrap_or(1)));
        }
        if let Values::Numbers = values
            && let Some((first, step)) = ramp(value)
        {
            let Some(steps) = count else {
                return Err(Problem::new(format!("`{}` does not say how many steps", shown(token)))
                    .help(format!("`{value}x3` are three steps from `{first}`"), Some(format!("{value}x3"))));
            };
            return Ok(Self::Numbers { first, step, count: steps.saturating_add(1) });
        }
        Ok(Self::Same { value: read(value, values)?, count: count.unwrap_or(1) })
    }
}

impl Problem {
    fn new(message: String) -> Self {
        Self { message, help: String::new(), instead: None, is_word: false }
    }

    fn help(self, help: impl Into<String>, instead: Option<String>) -> Self {
        Self { help: help.into(), instead, ..self }
    }
}

/// Splits a token into its value and the count after its last `x`. A declared word is taken whole, whatever it ends
/// with.
fn split_count<'t>(token: &'t str, values: Values<'_>) -> Result<(&'t str, Option<u32>), Problem> {
    if let Values::Words(words) = values
        && words.iter().any(|word| word == token)
    {
        return Ok((token, None));
    }
    let Some((value, digits)) = token.rsplit_once('x') else { return Ok((token, None)) };
    if value.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((token, None));
    }
    match digits.parse::<u32>() {
        Ok(count) if (1..=SAMPLES_MAX).contains(&count) => Ok((value, Some(count))),
        _ => {
            let value = shown(value);
            Err(Problem::new(format!("`{}` says no number of samples from 1 to {SAMPLES_MAX}", shown(token)))
                .help(format!("`{value}x8` are eight"), None))
        }
    }
}

/// Parses the first value and the step of `4+2` or `4-2`.
fn ramp(text: &str) -> Option<(Finite, Finite)> {
    // The sign of the step is the first one after the number's own that is not part of an exponent.
    let bytes = text.as_bytes();
    let sign =
        (1..bytes.len()).find(|at| matches!(bytes[*at], b'+' | b'-') && !matches!(bytes[at - 1], b'e' | b'E'))?;
    let step = &text[sign..];
    let written_twice = step[1..].starts_with(['+', '-']);
    (!written_twice).then_some((number(&text[..sign])?, number(step)?))
}

/// Parses a finite decimal number; Rust's words for other values are not accepted.
fn number(text: &str) -> Option<Finite> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    if digits { text.parse().ok().and_then(Finite::new) } else { None }
}

/// Parses one value of a metric from a token.
fn read(text: &str, values: Values<'_>) -> Result<Observed, Problem> {
    match values {
        Values::Numbers => number(text).map(Observed::Number).ok_or_else(|| {
            let problem = Problem::new(format!("`{}` is neither a number nor a gap", shown(text)));
            match text.split_once(['*', '×', 'X']) {
                Some((value, count)) if number(value).is_some() && count.bytes().all(|byte| byte.is_ascii_digit()) => {
                    problem.help(format!("did you mean `{value}x{count}`?"), Some(format!("{value}x{count}")))
                }
                _ => problem.help("tokens are `65`, `65x8`, `4+2x3` and `_x2`, with spaces between them", None),
            }
        }),
        Values::Truth => match text {
            "true" => Ok(Observed::Bool(true)),
            "false" => Ok(Observed::Bool(false)),
            _ => Err(Problem::new(format!("`{}` is neither `true` nor `false` nor a gap", shown(text)))
                .help("tokens are `true`, `falsex3` and `_x2`, with spaces between them", None)),
        },
        Values::Words(words) => known(text, words),
    }
}

/// Returns a word that the metric takes.
pub(super) fn known(text: &str, words: &[SmolStr]) -> Result<Observed, Problem> {
    if words.iter().any(|word| word == text) {
        return Ok(Observed::Word(text.into()));
    }
    let near = nearest(text, words.iter().map(SmolStr::as_str)).map(str::to_owned);
    let help = near.as_ref().map_or_else(
        || format!("its words: {}", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    let problem = Problem::new(format!("is never `{}`", shown(text))).help(help, near);
    Err(Problem { is_word: true, ..problem })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words() -> Vec<SmolStr> {
        ["running", "fault", "x2", "phasex3"].map(SmolStr::new).to_vec()
    }

    fn number_of(value: f64) -> Option<Observed> {
        Some(Observed::Number(Finite::new(value).unwrap()))
    }

    fn numbers(text: &str) -> Vec<Option<f64>> {
        let (series, problems) = Series::parse(text, Values::Numbers);
        assert_eq!(problems, [], "{text}");
        let values = series.values().map(|value| match value {
            Some(Observed::Number(number)) => Some(number.get()),
            None => None,
            other => panic!("{other:?}"),
        });
        values.collect()
    }

    fn wrong(text: &str, values: Values<'_>) -> Vec<String> {
        let (_, problems) = Series::parse(text, values);
        problems.into_iter().map(|(place, _)| text[place].to_owned()).collect()
    }

    #[test]
    fn tokens_are_values_runs_ramps_and_gaps() {
        assert_eq!(numbers("40 65x3 _x2 _"), [Some(40.0), Some(65.0), Some(65.0), Some(65.0), None, None, None]);
        assert_eq!(numbers("4+2x3"), [4.0, 6.0, 8.0, 10.0].map(Some));
        assert_eq!(numbers("4-2x3"), [4.0, 2.0, 0.0, -2.0].map(Some));
        assert_eq!(numbers("-4-0.5x1"), [-4.0, -4.5].map(Some));
        assert_eq!(numbers("1e-3+1e-3x1"), [0.001, 0.002].map(Some));
        assert_eq!(numbers("  1e3x2\t-2.5  "), [1000.0, 1000.0, -2.5].map(Some));
        assert_eq!(numbers(""), []);
    }

    #[test]
    fn words_and_truth_values_are_repeated_like_numbers() {
        let words = words();
        let (series, problems) = Series::parse("running faultx2 _ x2 phasex3 phasex3x2", Values::Words(&words));
        assert_eq!(problems, []);
        let said: Vec<String> =
            series.values().map(|value| value.map_or("_".into(), |value| format!("{value:?}"))).collect();
        let expected = ["running", "fault", "fault", "_", "x2", "phasex3", "phasex3", "phasex3"];
        assert_eq!(said.len(), expected.len());
        assert!(said.iter().zip(expected).all(|(said, word)| said.contains(word)), "{said:?}");
        let (series, problems) = Series::parse("true falsex2", Values::Truth);
        assert_eq!((series.samples(), problems), (3, Vec::new()));
        assert_eq!(series.values().next(), Some(Some(Observed::Bool(true))));
    }

    #[test]
    fn each_bad_token_is_named_by_itself() {
        let bad = [
            "65*8",
            "nan",
            "inf",
            "-inf",
            "65x",
            "65x0",
            "65xx8",
            "65x100001",
            "65x99999999999",
            "x8",
            "4+x3",
            "4+2",
            "4++2x3",
            "4+-2x3",
            "1e400",
            "fault",
            "__",
            "_8",
            "65,66",
            "0x1F",
            "--4",
            "4+2+1x3",
        ];
        for token in bad {
            assert_eq!(wrong(&format!("1 {token} 2"), Values::Numbers), [token], "{token}");
        }
        assert_eq!(wrong("1 a 2 b", Values::Numbers), ["a", "b"]);
        let words = words();
        assert_eq!(wrong("failt running 3 failtx2", Values::Words(&words)), ["failt", "3", "failtx2"]);
        assert_eq!(wrong("yes true 1", Values::Truth), ["yes", "1"]);
    }

    #[test]
    fn what_was_meant_is_proposed() {
        let words = words();
        let instead = |text: &str, values| Series::parse(text, values).1.remove(0).1.instead;
        assert_eq!(instead("65*8", Values::Numbers).as_deref(), Some("65x8"));
        assert_eq!(instead("4+2", Values::Numbers).as_deref(), Some("4+2x3"));
        assert_eq!(instead("failt", Values::Words(&words)).as_deref(), Some("fault"));
    }

    /// A token and the values that it stands for, computed independently of the code above.
    fn token() -> impl Strategy<Value = (String, Vec<Option<Observed>>)> {
        let small = -1_000_i32..1_000;
        prop_oneof![
            small.clone().prop_map(|value| (value.to_string(), vec![number_of(value.into())])),
            (small.clone(), 1_usize..20)
                .prop_map(|(value, count)| (format!("{value}x{count}"), vec![number_of(value.into()); count])),
            (small.clone(), small, 1_i32..20).prop_map(|(first, step, count)| {
                let values = (0..=count).map(|index| number_of(f64::from(first + step * index))).collect();
                (format!("{first}{step:+}x{count}"), values)
            }),
            (1_usize..20).prop_map(|count| (format!("_x{count}"), vec![None; count])),
            Just(("_".to_owned(), vec![None])),
        ]
    }

    proptest! {
        #[test]
        fn a_series_is_what_its_tokens_stand_for(tokens in proptest::collection::vec(token(), 0..30)) {
            let text = tokens.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(" ");
            let expected: Vec<_> = tokens.into_iter().flat_map(|(_, values)| values).collect();
            let (series, problems) = Series::parse(&text, Values::Numbers);
            prop_assert_eq!(problems, Vec::new());
            prop_assert_eq!(series.samples(), expected.len() as u64);
            prop_assert_eq!(series.values().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn any_text_is_read_or_its_bad_tokens_are_named(text in "\\PC{0,60}") {
            let words = words();
            for values in [Values::Numbers, Values::Truth, Values::Words(&words)] {
                let (series, problems) = Series::parse(&text, values);
                for (place, _) in &problems {
                    let token = &text[place.clone()];
                    prop_assert!(text.split_ascii_whitespace().any(|other| other == token));
                }
                let tokens = text.split_ascii_whitespace().count();
                prop_assert_eq!(series.0.len() + problems.len(), tokens);
            }
        }
    }
}
