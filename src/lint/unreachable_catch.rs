//! Flags a `catch` that is never tried, because one before it catches every failure.
//!
//! Catches are tried in order, and the first that matches catches the failure. One without `error` and `when` matches every
//! failure except a cancellation. After it, only a catch of `cancelled` can match.
//!
//! ```yaml
//! catch:
//!   - do: [{ log: something failed }]
//!   - error: timeout           # never tried
//!     do: [{ log: too slow }]
//! ```
//!
//! Put the more specific one first.

use super::Subject;
use crate::definition::Action;
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    subject.each_step(&mut |step| {
        let Action::Try(action) = &step.action.value else {
            return;
        };
        let all =
            |catch: &&crate::definition::Catch| catch.errors.is_empty() && catch.when.is_none();
        let Some(first) = action.catches.iter().position(|catch| all(&catch)) else {
            return;
        };
        for catch in &action.catches[first + 1..] {
            if catch
                .errors
                .iter()
                .any(|error| &*error.value == "cancelled")
            {
                continue;
            }
            diagnostics.push(
                Diagnostic::warning(
                    "unreachable-catch",
                    catch.range,
                    "this catch is never reached",
                )
                .annotate(
                    action.catches[first].range,
                    "this one catches every failure",
                )
                .help("put the more specific catch first"),
            );
        }
    });
}
