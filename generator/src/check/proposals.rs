//! The replacements that diagnostics propose for malformed values: one whose meaning would be rejected is not proposed.

use std::ops::Range;

use crate::diagnostic::{Code, Diagnostic};

/// Returns the diagnostics of a text. If a check of the fixed text rejects a proposed replacement, the help and the
/// replacement from that check take its place.
pub(super) fn accepted(
    text: &[u8],
    mut diagnostics: Vec<Diagnostic>,
    check: impl FnOnce(&[u8]) -> Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    let (mended, pasted) = mended(text, &diagnostics);
    if pasted.is_empty() {
        return diagnostics;
    }
    let refused: Vec<Diagnostic> = check(&mended).into_iter().filter(Diagnostic::is_error).collect();
    for (index, place) in pasted {
        if let Some(refusal) = refused.iter().find(|refusal| refusal.span == place) {
            diagnostics[index].help.clone_from(&refusal.help);
            diagnostics[index].replacement.clone_from(&refusal.replacement);
        }
    }
    diagnostics
}

/// Returns the text with all proposed values applied, and the location of each of them.
fn mended(text: &[u8], diagnostics: &[Diagnostic]) -> (Vec<u8>, Vec<(usize, Range<usize>)>) {
    let (mut mended, mut pasted, mut copied) = (Vec::with_capacity(text.len()), Vec::new(), 0);
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        let Some(proposal) = diagnostic.replacement.as_ref().filter(|_| is_of_form(diagnostic.code)) else { continue };
        let Some(before) = text.get(copied..diagnostic.span.start) else { continue };
        mended.extend_from_slice(before);
        pasted.push((index, mended.len()..mended.len() + proposal.len()));
        mended.extend_from_slice(proposal.as_bytes());
        copied = diagnostic.span.end;
    }
    mended.extend_from_slice(&text[copied..]);
    (mended, pasted)
}

/// Whether a problem concerns the form of a value, so that its meaning has not been checked.
const fn is_of_form(code: Code) -> bool {
    matches!(code, Code::WrongType | Code::InvalidDuration | Code::InvalidSize)
}
