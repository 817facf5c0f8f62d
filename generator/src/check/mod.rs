//! From text to a project: syntax, then shape, then meaning, with every problem of the file in one list.
//!
//! The order of the stages is here; what is right and wrong about each element is in `platform/`.

mod beside;
pub(crate) mod bounds;
pub(crate) mod broken;
pub(crate) mod context;
mod earlier;
mod generated;
mod meaning;
mod proposals;
mod set;
mod text;

pub use beside::{CheckedTests, TestsFile};
pub use earlier::Earlier;

use std::collections::BTreeSet;

use broken::Broken;
use serde_json::Value;

use crate::{
    diagnostic::{Code, Diagnostic, tidy},
    platform::{Project, RawFile, authority, environment, rule::RawRules},
    schema::{
        raw,
        shape::{self, Shaped},
    },
    source::{DEPTH_MAX, Document, FILE_BYTES_MAX, Refused, Source, UnusableReason},
};

/// What a file means, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The project; nothing if there is an error.
    pub project: Option<Project>,
    /// Everything that was found, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks a platform file. `name` is how the file is called.
pub fn check(name: &str, bytes: impl AsRef<[u8]>) -> Checked {
    check_after(name, bytes, &Earlier::default())
}

/// Checks a platform file, also against what was generated from it before.
pub fn check_after(name: &str, bytes: impl AsRef<[u8]>, earlier: &Earlier) -> Checked {
    check_all(name, bytes.as_ref(), earlier, None, &[]).0
}

/// The same, and checks the files of tests beside it against the platform of an environment; unless one is named that is
/// there, of the file's default. They are
/// checked even where the platform file has errors, all but the tests of what is wrong there.
pub fn check_all(
    name: &str,
    bytes: &[u8],
    earlier: &Earlier,
    environment: Option<&str>,
    beside: &[TestsFile<'_>],
) -> (Checked, Vec<CheckedTests>) {
    let mut tests = None;
    let (project, diagnostics) = match Source::read(bytes) {
        Ok(source) => {
            let Examined { project, diagnostics, broken } = check_source(&source, earlier);
            let platform = project.as_ref().and_then(|project| {
                let asked = environment.and_then(|name| project.environments.get(name));
                asked.or_else(|| project.environments.get(&project.default_environment))
            });
            tests = Some(beside.iter().map(|file| beside::check(platform, &source.value, &broken, file)).collect());
            (project, diagnostics)
        }
        Err(refused) => (None, told(refused, name, "a platform file needs about six")),
    };
    let diagnostics = proposals::accepted(bytes, tidy(diagnostics), |bytes| {
        Source::read(bytes).map_or_else(|_| Vec::new(), |source| check_source(&source, earlier).diagnostics)
    });
    let sound = !diagnostics.iter().any(Diagnostic::is_error);
    let unknown = |file| beside::check(None, &Value::Null, &Broken::default(), file);
    let tests = tests.unwrap_or_else(|| beside.iter().map(unknown).collect());
    (Checked { project: project.filter(|_| sound), diagnostics }, tests)
}

/// The longest file that is checked, in bytes. Of one that has more, nobody need read all of them.
pub const PLATFORM_FILE_BYTES_MAX: usize = FILE_BYTES_MAX;

/// What was found out about a file.
struct Examined {
    project: Option<Project>,
    diagnostics: Vec<Diagnostic>,
    broken: Broken,
}

fn check_source(source: &Source, earlier: &Earlier) -> Examined {
    let mut diagnostics: Vec<Diagnostic> = source.unusable.iter().map(unusable).collect();
    let document = Document::plain(source);
    let overlays = set::overlays(source, &mut diagnostics);
    let changed: BTreeSet<&str> = overlays.iter().map(|overlay| overlay.environment).collect();
    let base = check_document(source, &document, &source.value, Part::Without(&changed), earlier);
    diagnostics.extend(base.diagnostics);

    let identity = |found: &Diagnostic| {
        // What the whole file lacks is told once, whichever place needs it.
        let span = if found.code == Code::NoOrigination { 0..0 } else { found.span.clone() };
        (found.code, span.start, span.end, found.message.clone())
    };
    let mut known: BTreeSet<_> = diagnostics.iter().map(identity).collect();
    let (mut project, mut broken) = (base.project, base.broken);
    for overlay in overlays {
        let document = Document::overlaid(source, overlay.entries);
        let changed = check_document(source, &document, &overlay.value, Part::Only(overlay.environment), earlier);
        broken.extend(changed.broken);
        for mut diagnostic in changed.diagnostics {
            if known.insert(identity(&diagnostic)) {
                diagnostic.message = format!("{} (in environment `{}`)", diagnostic.message, overlay.environment);
                diagnostics.push(diagnostic);
            }
        }
        if let (Some(project), Some(changed)) = (&mut project, changed.project) {
            project.environments.extend(changed.environments);
        }
    }
    if let Some(project) = &project {
        diagnostics.extend(authority::check_environments(project, &document));
        diagnostics.extend(environment::check_names(project, &document));
        diagnostics.extend(environment::check_traffic(project, &document));
    }
    Examined { project, diagnostics, broken }
}

/// The environments that a document is checked for. What an environment lays over the file is no concern of the others,
/// and what it lays over must not be held against it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    /// All but those that change something.
    Without(&'a BTreeSet<&'a str>),
    /// One that does.
    Only(&'a str),
}

impl Part<'_> {
    /// Whether the document is checked for an environment.
    pub(crate) fn has(self, environment: &str) -> bool {
        match self {
            Self::Without(others) => !others.contains(environment),
            Self::Only(one) => one == environment,
        }
    }
}

/// Checks the shape and the meaning of a document for some environments.
fn check_document(
    source: &Source,
    document: &Document<'_>,
    value: &Value,
    part: Part<'_>,
    earlier: &Earlier,
) -> Examined {
    let spoilt: Vec<_> = source.unusable.iter().map(|unusable| unusable.span.clone()).collect();
    let Shaped { value: pruned, mut diagnostics, broken } =
        shape::check(&shape::PLATFORM, value, value, document, &spoilt);
    let context = context::Context::new(document, value, broken);
    text::check(&pruned, &context);
    let shape_is_sound = source.unusable.is_empty() && diagnostics.is_empty();
    let project: Option<Project> = match raw::read::<RawFile>(&pruned) {
        Ok(raw) => meaning::check(&raw, &RawRules::of(&pruned), part, &context),
        Err(error) => {
            context.report_unreadable(&[], &error);
            None
        }
    };
    if let Some(project) = project.as_ref().filter(|_| shape_is_sound && context.is_sound()) {
        generated::check(project, &context);
        earlier::check(project, earlier, &context);
    }
    let (found, broken) = context.into_found();
    diagnostics.extend(found);
    Examined { project, diagnostics, broken }
}

/// What is said of a file of which nothing is known. `depth` says how deeply one of its kind nests.
fn told(refused: Refused, name: &str, depth: &str) -> Vec<Diagnostic> {
    let name = context::shown(name);
    match refused {
        Refused::TooLarge => {
            let message = format!("`{name}` is larger than {FILE_BYTES_MAX} bytes, which a platform file has at most");
            vec![Diagnostic::new(Code::FileTooLarge, 0..0, message).help("split the fleet into several platforms")]
        }
        Refused::NotText(at) => {
            let message = format!("`{name}` is not UTF-8 text: its byte {at} begins no character");
            vec![Diagnostic::new(Code::NotText, at..at, message).help("save the file as UTF-8")]
        }
        Refused::TooDeep(span) => {
            let message = format!("tables or arrays nest deeper than {DEPTH_MAX}");
            vec![Diagnostic::new(Code::NestedTooDeeply, span, message).help(depth)]
        }
        Refused::Syntax(mistakes) => mistakes,
    }
}

fn unusable(unusable: &crate::source::Unusable) -> Diagnostic {
    let span = unusable.span.clone();
    match &unusable.reason {
        UnusableReason::NotFinite => {
            Diagnostic::new(Code::NotFinite, span, "this is not a finite number").help("write a number such as 60.0")
        }
        UnusableReason::IntegerTooLarge => {
            Diagnostic::new(Code::NotFinite, span, "this whole number does not fit 64 bits").help("write a smaller one")
        }
        UnusableReason::Date(moment) => {
            // A time of day of a platform file has no seconds.
            let text = moment.strip_suffix(":00").filter(|text| text.len() == "06:00".len()).unwrap_or(moment);
            Diagnostic::new(Code::WrongType, span, "dates and times of a platform file are text, in quotes")
                .replace(format!("write: \"{text}\""), format!("\"{text}\""))
        }
    }
}
