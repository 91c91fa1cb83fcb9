//! Flags a `wait` for a signal that has a handler under `signals`.
//!
//! A declared handler consumes every signal of its name. A `wait` receives only signals without a handler, so it would
//! wait forever.
//!
//! ```yaml
//! signals:
//!   approve:
//!     do: [{ set: { approved: true } }]
//! steps:
//!   - wait: { signal: approve }        # waits forever
//! ```
//!
//! Wait for the effect of the handler, `wait: { until: state.approved }`, or remove the handler.

use std::collections::BTreeMap;

use super::Subject;
use crate::definition::{Action, Awaited};
use crate::diagnostic::Diagnostic;
use crate::source::Range;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let handlers: BTreeMap<&str, Range> = subject
        .definition
        .signals
        .iter()
        .map(|handler| (&*handler.name.value, handler.name.range))
        .collect();
    subject.each_step(&mut |step| {
        let Action::Wait(wait) = &step.action.value else {
            return;
        };
        let Awaited::Signal(signal) = &wait.awaited else {
            return;
        };
        if let Some(handler) = handlers.get(&*signal.value) {
            let message = format!("the handler consumes every `{}` signal, so this wait never receives one", signal.value);
            diagnostics.push(
                Diagnostic::warning("awaited-signal-has-handler", signal.range, message)
                    .annotate(*handler, "the handler")
                    .help("wait for what the handler sets: `wait: { until: CONDITION }`, or remove the handler"),
            );
        }
    });
}
