//! Flags a `set` of a variable that `state` does not declare, if a declared one has nearly the same name.
//!
//! Setting an undeclared variable creates it. If its name is nearly that of a declared variable, it is more likely a typing
//! mistake.
//!
//! ```yaml
//! state: { approved_by: null }
//! steps:
//!   - set: { aproved_by: alice }
//! ```
//!
//! Write the declared name, or declare the new one under `state`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Subject, Suggestions};
use crate::definition::Action;
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let names = || {
        subject
            .definition
            .state
            .iter()
            .map(|(name, _)| &*name.value)
    };
    let declared: BTreeSet<&str> = names().collect();
    let mut suggestions = Suggestions::new(names());
    let mut meant: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut is_over = false;
    subject.each_step(&mut |step| {
        let Action::Set(assignments) = &step.action.value else {
            return;
        };
        for (name, _) in assignments {
            if is_over || declared.contains(&*name.value) {
                continue;
            }
            let near = match meant.get(&*name.value) {
                Some(known) => *known,
                None => match suggestions.near(&name.value) {
                    Ok(near) => *meant.entry(&*name.value).or_insert(near),
                    Err(too_many) => {
                        is_over = true;
                        diagnostics.push(too_many.warning("set-near-miss", name.range));
                        continue;
                    }
                },
            };
            if let Some(near) = near {
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
