//! The output formats. Each is a pure function from diagnostics to text.

mod concise;
mod full;
mod github;
mod json;
mod sarif;

use super::Diagnostic;

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// With the surrounding source text, styled for a terminal. Print it through a writer that can strip styles.
    #[default]
    Full,
    /// One line per diagnostic.
    Concise,
    /// One JSON document.
    Json,
    /// GitHub Actions workflow commands.
    Github,
    /// SARIF 2.1.0.
    Sarif,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Full, Self::Concise, Self::Json, Self::Github, Self::Sarif];

    /// The format's name on the command line.
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

/// A text and the diagnostics found in it.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'t> {
    /// The file's path as displayed; for SARIF it should be relative to the repository root.
    pub name: &'t str,
    /// The file's text.
    pub text: &'t str,
    /// The diagnostics, with locations in this text.
    pub diagnostics: &'t [Diagnostic],
}

/// Renders the diagnostics of a text whose file is called `name`.
pub fn render(name: &str, text: &str, diagnostics: &[Diagnostic], format: Format) -> String {
    render_all(&[Findings { name, text, diagnostics }], format)
}

/// Renders the diagnostics of several texts, as a single document if the format is one.
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
