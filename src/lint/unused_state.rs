//! Flags a variable of `state` that no expression reads.
//!
//! A variable that is only ever set does nothing; often its name is mistyped where it is read.
//!
//! Remove it, or read it, for example in a query. Nothing is flagged where an expression takes `state` as a whole.

use std::collections::BTreeSet;

use super::{Subject, is_word};
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if subject.texts().any(takes_all) {
        return;
    }
    // A minus may follow a variable: `state.total-1`.
    let words = [
        subject.words_behind("state."),
        subject.words_behind("state.?"),
    ];
    let read: BTreeSet<_> = words
        .iter()
        .flatten()
        .map(|word| word.split('-').next().unwrap_or(word))
        .collect();
    for (name, _) in &subject.definition.state {
        if read.contains(&*name.value) {
            continue;
        }
        let message = format!("nothing reads the variable `{}`", name.value);
        diagnostics.push(
            Diagnostic::warning("unused-state", name.range, message)
                .help("remove it, or answer a query with it"),
        );
    }
}

/// `state` without a field behind it, as an expression may have it: `${ state }`, `state["x"]`.
fn takes_all(text: &str) -> bool {
    text.match_indices("state").any(|(at, word)| {
        let before = &text[..at];
        let after = text[at + word.len()..].trim_start_matches([' ', '\t']);
        let whole = !before.ends_with(is_word) && !after.starts_with(is_word);
        whole && !before.ends_with('.') && !after.starts_with(['.', ':'])
    })
}
