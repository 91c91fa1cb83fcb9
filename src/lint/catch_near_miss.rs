//! Flags a `catch` of an error whose name is nearly a failure kind.
//!
//! `error` takes failure kinds; any other name is an error type. A name that is nearly a kind does not catch failures of that
//! kind.
//!
//! ```yaml
//! catch:
//!   - error: timout
//!     do: [{ log: too slow }]
//! ```
//!
//! Write the kind. To catch a type with exactly this name, use `when: error.type == 'timout'`.

use super::Subject;
use crate::definition::Action;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::words::FailureKind;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    subject.each_step(&mut |step| {
        let Action::Try(action) = &step.action.value else {
            return;
        };
        for error in action.catches.iter().flat_map(|catch| &catch.errors) {
            let name = &*error.value;
            // Types are written in another style: `Timeout`.
            let kinds = FailureKind::ALL.into_iter().map(FailureKind::name);
            if kinds.clone().any(|kind| kind == name) || name.contains(char::is_uppercase) {
                continue;
            }
            let Some(near) = did_you_mean(name, kinds) else {
                continue;
            };
            let message = format!("`{name}` is not a failure kind");
            let warning = Diagnostic::warning("catch-near-miss", error.range, message)
                .label(format!("did you mean `{near}`?"))
                .help(format!("write `{near}`; a type of this name is caught with `when: error.type == '{name}'`"));
            let fix = vec![(error.range, near.to_owned())];
            diagnostics.push(warning.fix(format!("write `{near}`"), fix, false));
        }
    });
}
