//! Flags a variable of `state` that no expression reads.
//!
//! A variable that is set but never read has no effect; often its name is mistyped where it is read.
//!
//! Remove it, or read it, for example in a query. Nothing is flagged if an expression uses `state` as a whole.

use super::Subject;
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if subject.uses.whole_state {
        return;
    }
    for (name, _) in &subject.definition.state {
        if subject.uses.state.contains(&name.value) {
            continue;
        }
        let message = format!("nothing reads the variable `{}`", name.value);
        diagnostics.push(
            Diagnostic::warning("unused-state", name.range, message)
                .help("remove it, or answer a query with it"),
        );
    }
}
