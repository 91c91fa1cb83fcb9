//! Flags an activity or operation that is started and never awaited.
//!
//! When the workflow completes, an activity that is still running loses its result, and its failure is never seen.
//!
//! ```yaml
//! - id: mail
//!   start: { activity: send_mail, start_to_close_timeout: 10s }
//! - return: done               # the mail may never be sent
//! ```
//!
//! Write `await: mail` before the result is needed, or run the activity as a separate step. A child workflow is not flagged: it
//! may outlive its parent.

use std::collections::BTreeSet;

use super::Subject;
use crate::definition::{Action, Started};
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let mut used = BTreeSet::new();
    subject.each_step(&mut |step| {
        if let Action::Await(handle) | Action::Cancel(handle) = &step.action.value {
            used.insert(&*handle.value);
        }
    });
    subject.each_step(&mut |step| {
        let Action::Start(started) = &step.action.value else {
            return;
        };
        let is_used = step.id.as_ref().is_some_and(|id| used.contains(&*id.value));
        if is_used || matches!(**started, Started::Child(_)) {
            return;
        }
        let warning = Diagnostic::warning(
            "started-never-awaited",
            step.action.range,
            "the operation started here is never awaited",
        );
        diagnostics.push(match &step.id {
            Some(id) => warning.help(format!(
                "write `await: {}` where it must have completed",
                id.value
            )),
            None => warning.help("give the step an `id` and `await` it"),
        });
    });
}
