//! Flags an update that declares an `output` and returns nothing.
//!
//! A handler's result is that of its last step, and steps like `set` and `log` have none: whoever sends the update would
//! get null.
//!
//! ```yaml
//! updates:
//!   change_address:
//!     output: { type: object }
//!     do:
//!       - set: { address: "${ args.address }" }
//! ```
//!
//! Add `return`, or remove `output`.

use super::{Subject, any_step};
use crate::definition::Action;
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for update in &subject.definition.updates {
        let Some(output) = &update.output else {
            continue;
        };
        let allows_null = output.json.get("type").is_none_or(|kind| match kind {
            serde_json::Value::Array(kinds) => kinds.iter().any(|kind| kind == "null"),
            kind => kind == "null",
        });
        let returns = any_step(&update.steps, &|step| {
            matches!(step.action.value, Action::Return(_))
        });
        let gives_nothing = update.steps.last().is_none_or(|last| {
            matches!(
                last.action.value,
                Action::Set(_)
                    | Action::Log { .. }
                    | Action::Details(_)
                    | Action::Timer(_)
                    | Action::Upsert { .. }
            )
        });
        if !allows_null && !returns && gives_nothing {
            let message = format!(
                "the update `{}` declares an output and returns nothing",
                update.name.value
            );
            diagnostics.push(
                Diagnostic::warning("update-returns-nothing", update.name.range, message)
                    .annotate(output.range, "the output")
                    .help("add `return: …` as its last step, or remove `output`"),
            );
        }
    }
}
