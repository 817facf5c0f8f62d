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

/// A text and what was found in it.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'t> {
    /// The file's path as it is to be shown; for SARIF it should be relative to the root of the repository.
    pub name: &'t str,
    /// The file's text.
    pub text: &'t str,
    /// What was found, with places in this text.
    pub diagnostics: &'t [Diagnostic],
}

/// Writes diagnostics of a text, whose file is called `name`.
pub fn render(name: &str, text: &str, diagnostics: &[Diagnostic], format: Format) -> String {
    render_all(&[Findings { name, text, diagnostics }], format)
}

/// Writes diagnostics of several texts, in one document where the format is one.
pub fn render_all(files: &[Findings<'_>], format: Format) -> String {
    let each = |render: fn(&Findings<'_>) -> String| files.iter().map(render).collect();
    match format {
        Format::Full => each(full::render),
        Format::Concise => each(concise::render),
        Format::Json => json::render(files),
        Format::Github => each(github::render),
        Format::Sarif => sarif::render(files),
    }
}
