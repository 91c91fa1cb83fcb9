//! Flags a `set` of a variable that `state` does not declare, where a declared one has nearly the same name.
//!
//! Setting an undeclared variable makes one. Where its name is nearly a declared one's, it is more likely a typing
//! mistake.
//!
//! ```yaml
//! state: { approved_by: null }
//! steps:
//!   - set: { aproved_by: alice }
//! ```
//!
//! Write the declared name, or declare the new one under `state`.

use super::Subject;
use crate::definition::Action;
use crate::diagnostic::{Diagnostic, did_you_mean};

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let declared = || {
        subject
            .definition
            .state
            .iter()
            .map(|(name, _)| &*name.value)
    };
    subject.each_step(&mut |step| {
        let Action::Set(assignments) = &step.action.value else {
            return;
        };
        for (name, _) in assignments {
            if declared().any(|declared| declared == &*name.value) {
                continue;
            }
            if let Some(near) = did_you_mean(&name.value, declared()) {
                let message = format!("`state` does not declare `{}`", name.value);
                diagnostics.push(
                    Diagnostic::warning("set-near-miss", name.range, message)
                        .label(format!("did you mean `{near}`?"))
                        .help(format!(
                            "write `{near}`, or declare `{}` under `state`",
                            name.value
                        ))
                        .fix(
                            format!("write `{near}`"),
                            vec![(name.range, near.into())],
                            false,
                        ),
                );
            }
        }
    });
}
