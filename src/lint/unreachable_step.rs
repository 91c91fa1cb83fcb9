//! Flags steps that can never run, because a step before them in the same block always ends it.
//!
//! A block is ended by `return`, `fail`, `continue_as_new`, `break` and `continue`, and by an `if` or `switch` if all its
//! branches end it. A step with a `when` does not end a block, since it may be skipped.
//!
//! ```yaml
//! - return: ${ order }
//! - activity: ship        # never runs
//! ```
//!
//! Remove the steps, or move them before the end.

use super::{Subject, ends};
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    subject.each_block(&mut |steps| {
        let Some(end) = steps.iter().position(ends) else {
            return;
        };
        if let Some(next) = steps.get(end + 1) {
            let range = next.action.range;
            diagnostics.push(
                Diagnostic::warning("unreachable-step", range, "this step can never run")
                    .annotate(steps[end].action.range, "the block always ends here")
                    .help("remove it, or move it before the end"),
            );
        }
    });
}
