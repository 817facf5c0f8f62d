//! Bounds of durations, which a JSON Schema cannot express.

use fleetform_engine::units::Millis;

use super::context::Context;
use crate::{
    diagnostic::{Code, Diagnostic},
    schema::types::Duration,
    source::At,
};

/// The shortest and the longest duration that a key accepts, and the unit that it must be a multiple of.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    least: &'static str,
    most: &'static str,
    whole: &'static str,
}

impl Bounds {
    /// From `least` to `most`, both included.
    pub(crate) const fn new(least: &'static str, most: &'static str) -> Self {
        Self { least, most, whole: "1ms" }
    }

    /// The same bounds, restricted to multiples of `whole`.
    pub(crate) const fn in_whole(self, whole: &'static str) -> Self {
        Self { whole, ..self }
    }

    /// Returns the value if it is within the bounds; otherwise, or if there is none, the default. Reports a value that
    /// is out of bounds.
    pub(crate) fn check(self, value: Option<Duration>, default: &str, at: &At<'_>, context: &Context<'_>) -> Millis {
        self.check_given(value, at, context).unwrap_or_else(|| length(default))
    }

    /// Returns the value if there is one and it is within the bounds.
    pub(crate) fn check_given(self, value: Option<Duration>, at: &At<'_>, context: &Context<'_>) -> Option<Millis> {
        let value = value?.0;
        let problem = if value < length(self.least) {
            Some((format!("`{}` is shorter than `{}`", Duration::write(value), self.least), self.least))
        } else if value > length(self.most) {
            Some((format!("`{}` is longer than `{}`", Duration::write(value), self.most), self.most))
        } else if value.0 % length(self.whole).0.max(1) != 0 {
            let message = format!("`{}` is not a whole number of `{}`", Duration::write(value), self.whole);
            Some((message, self.least))
        } else {
            None
        };
        let Some((message, nearest)) = problem else { return Some(value) };
        context.mark_broken(at);
        context.report(Diagnostic::new(Code::OutOfBounds, context.value(at), message).replace(
            format!("it may be `{}` to `{}`; write \"{nearest}\"", self.least, self.most),
            format!("\"{nearest}\""),
        ));
        None
    }
}

/// A duration written in the code itself.
pub(crate) fn length(text: &str) -> Millis {
    Duration::parse(text).map_or(Millis(0), |duration| duration.0)
}
