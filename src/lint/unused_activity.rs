//! Flags an entry of `activities` that no step of the definition names.
//!
//! What it says of the activity, its options and schemas, has no effect then; often its name is mistyped in one of the
//! two places. Nothing is flagged where a step chooses its activity by an expression.
//!
//! Remove the entry, or correct the name.

use std::collections::BTreeSet;

use super::{Subject, Suggestions};
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let named: BTreeSet<_> = subject.texts().flat_map(named).collect();
    if named.iter().any(|name| name.contains("${")) {
        return;
    }
    let mut suggestions = Suggestions::new(named.iter().copied());
    for contract in &subject.definition.activities {
        let name = &*contract.name.value;
        if named.contains(name) {
            continue;
        }
        let message = format!("no step runs the activity `{name}`");
        // Past the bound the warning does without.
        let near = suggestions.near(name).unwrap_or(None);
        let warning = Diagnostic::warning("unused-activity", contract.name.range, message);
        diagnostics.push(match near {
            Some(near) => warning.help(format!("a step runs `{near}`: is that the same?")),
            None => warning.help("remove the entry, or correct its name"),
        });
    }
}

/// What stands behind each `activity:`, also inside `{ }`.
fn named(text: &str) -> impl Iterator<Item = &str> {
    const KEY: &str = "activity:";
    text.match_indices(KEY).map(|(at, _)| {
        let value = text[at + KEY.len()..].trim_start_matches([' ', '"', '\'']);
        let end = value.find(['\n', '\r', ',', '}', ' ', '"', '\'']);
        &value[..end.unwrap_or(value.len())]
    })
}
