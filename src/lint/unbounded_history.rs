//! Flags a loop that never ends in a definition whose history may grow forever.
//!
//! Temporal ends a run whose history has more than 51,200 events. A loop without an end reaches this sooner or later.
//!
//! ```yaml
//! - while: true
//!   do:
//!     - activity: poll
//!     - timer: 1m
//! ```
//!
//! Write `history: automatic` at the top of the definition, or let the loop end in `continue_as_new`.

use super::{Subject, any_step, endless_loop, leaves};
use crate::diagnostic::Diagnostic;
use crate::words::History;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    if subject.definition.history == History::Automatic {
        return;
    }
    subject.each_step(&mut |step| {
        let Some(steps) = endless_loop(step) else {
            return;
        };
        if any_step(steps, &|inner| leaves(inner) || inner.called().is_some()) {
            return;
        }
        diagnostics.push(
            Diagnostic::warning(
                "unbounded-history",
                step.action.range,
                "this loop never ends, and the history grows with it",
            )
            .help("write `history: automatic` at the top, or `continue_as_new` in the loop"),
        );
    });
}
