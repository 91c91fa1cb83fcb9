//! Flags options that have no effect on a local activity.
//!
//! A local activity runs inside the workflow's own worker: it is not on a task queue, and sends no heartbeats.
//!
//! ```yaml
//! - http: { url: "https://example.com/rates" }
//!   local: true
//!   task_queue: rates      # has no effect
//! ```
//!
//! Remove the option, or `local: true`.

use super::Subject;
use crate::definition::{ActivityOptions, Operation, Step};
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    subject.each_step(&mut |step| {
        let Some(options) = options(step) else { return };
        let Some(local) = options.local.as_ref().filter(|local| local.value) else {
            return;
        };
        let names = [
            ("task_queue", options.task_queue.is_some()),
            ("heartbeat_timeout", options.heartbeat_timeout.is_some()),
            ("priority", options.priority.is_some()),
        ];
        for (name, _) in names.iter().filter(|(_, is_there)| *is_there) {
            let message = format!("`{name}` has no effect on a local activity");
            diagnostics.push(
                Diagnostic::warning("ineffective-option", step.action.range, message)
                    .annotate(local.range, "local")
                    .help(format!("remove `{name}`, or `local: true`")),
            );
        }
    });
}

fn options(step: &Step) -> Option<&ActivityOptions> {
    match step.action.value.awaited_operation()? {
        Operation::Activity(activity) => activity.options.as_deref(),
        Operation::BuiltIn(built_in) => built_in.options.as_deref(),
        Operation::Child | Operation::Nexus => None,
    }
}
