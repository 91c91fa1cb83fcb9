//! Flags an entry of `activities` that no step of the definition names.
//!
//! Its options and schemas have no effect; often its name is mistyped in one of the two places. Nothing is flagged if a step
//! chooses its activity by an expression.
//!
//! Remove the entry, or correct the name.

use std::collections::BTreeSet;

use super::{Subject, Suggestions};
use crate::definition::Operation;
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let mut named = BTreeSet::new();
    let mut is_computed = false;
    subject.each_step_used(&mut |step| {
        if let Some(Operation::Activity(call)) = step.action.value.operation() {
            let name = call.activity.text_at(&[]).map(|(_, name)| name);
            is_computed |= name.is_none();
            named.extend(name);
        }
    });
    if is_computed {
        return;
    }
    let mut suggestions = Suggestions::new(named.iter().copied());
    for contract in &subject.definition.activities {
        let name = &*contract.name.value;
        if named.contains(name) {
            continue;
        }
        let message = format!("no step runs the activity `{name}`");
        // Beyond the bound, the warning has no suggestion.
        let near = suggestions.near(name).unwrap_or(None);
        let warning = Diagnostic::warning("unused-activity", contract.name.range, message);
        diagnostics.push(match near {
            Some(near) => warning.help(format!("a step runs `{near}`; is that the same activity?")),
            None => warning.help("remove the entry, or correct its name"),
        });
    }
}
