//! From the text of a platform file to its output, for tests that start with text.

use fleetform_generator::{Selection, Tree, check, render};

/// Renders every environment of a file that must be valid.
///
/// # Panics
/// If the file is not valid, with its diagnostics.
pub fn rendered(text: &str) -> Tree {
    let checked = check("platform.toml", text);
    match checked.project {
        Some(project) => render(&project, Selection::All),
        None => panic!("not a valid platform file: {:#?}\n{text}", checked.diagnostics),
    }
}
