//! What diagnostics propose for a value of the wrong form: one that would be refused for what it says is not proposed.

use std::ops::Range;

use crate::diagnostic::{Code, Diagnostic};

/// The diagnostics of a text, where each proposal that a check of the mended text refuses gives way to what is said of it
/// there.
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

/// The text with all that is proposed for values, and where each proposal stands in it.
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

/// Whether a problem is the form of a value, so that nobody has looked at what it says.
const fn is_of_form(code: Code) -> bool {
    matches!(code, Code::WrongType | Code::InvalidDuration | Code::InvalidSize)
}
