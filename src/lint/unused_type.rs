//! Flags a schema of `types` that no `$ref` names.
//!
//! Types of files that are shared by `use` are not flagged: another definition may use them.
//!
//! Remove the type, or refer to it: `{ $ref: "#/types/NAME" }`.

use super::Subject;
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let referred = subject.words_behind("#/types/");
    for (name, _) in &subject.definition.types {
        let reference = format!("#/types/{}", name.value);
        if !referred.contains(&*name.value) {
            let message = format!("nothing refers to the type `{}`", name.value);
            diagnostics.push(
                Diagnostic::warning("unused-type", name.range, message)
                    .help(format!("remove it, or write `{{ $ref: \"{reference}\" }}`")),
            );
        }
    }
}
