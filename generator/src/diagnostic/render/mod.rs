//! The formats of diagnostics. Each is a pure function from diagnostics to text.

mod concise;
mod full;
mod github;
mod json;
mod sarif;

use super::Diagnostic;

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// With the text around each place, styled for a terminal: print it through something that strips styles.
    #[default]
    Full,
    /// A line each.
    Concise,
    /// One JSON document.
    Json,
    /// Workflow commands of GitHub Actions.
    Github,
    /// SARIF 2.1.0.
    Sarif,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Full, Self::Concise, Self::Json, Self::Github, Self::Sarif];

    /// Its word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Concise => "concise",
            Self::Json => "json",
            Self::Github => "github",
            Self::Sarif => "sarif",
        }
    }
}

/// Writes diagnostics of a text. `name` is the file's path as it is to be shown; for SARIF it should be relative to
/// the root of the repository.
pub fn render(name: &str, text: &str, diagnostics: &[Diagnostic], format: Format) -> String {
    match format {
        Format::Full => full::render(name, text, diagnostics),
        Format::Concise => concise::render(name, text, diagnostics),
        Format::Json => json::render(name, text, diagnostics),
        Format::Github => github::render(name, text, diagnostics),
        Format::Sarif => sarif::render(name, text, diagnostics),
    }
}
