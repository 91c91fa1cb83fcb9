//! Flags a loop that never ends and never waits for anything.
//!
//! Such a loop takes one workflow task after another, and fills the history with timers of one millisecond between them.
//!
//! ```yaml
//! - while: true
//!   do:
//!     - set: { n: "${ state.n + 1 }" }
//! ```
//!
//! Let it wait (`timer`, `wait`, an activity), end it (`break`, `return`), or give it a condition.

use super::{Subject, any_step, endless_loop, leaves};
use crate::definition::Step;
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    subject.each_step(&mut |step| {
        let Some(steps) = endless_loop(step) else {
            return;
        };
        if any_step(steps, &|inner| leaves(inner) || may_wait(inner)) {
            return;
        }
        let message = "this loop never ends and never waits";
        diagnostics.push(
            Diagnostic::warning("endless-loop-without-wait", step.action.range, message)
                .help("let it wait (`timer`, `wait`, an activity) or end it (`break`, `return`)"),
        );
    });
}

fn may_wait(step: &Step) -> bool {
    let facts = step.action.value.facts();
    // The content of called blocks is not examined.
    facts.waits || facts.calls()
}
