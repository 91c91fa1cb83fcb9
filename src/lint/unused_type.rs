//! Flags a schema of `types` that no `$ref` names.
//!
//! Types of files that are shared by `use` are not flagged: another definition may use them.
//!
//! Remove the type, or refer to it: `{ $ref: "#/types/NAME" }`.

use std::collections::BTreeSet;

use super::Subject;
use crate::compile::collect_references;
use crate::definition::Schema;
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let mut referred = Vec::new();
    each_schema(subject, &mut |schema| {
        collect_references(&schema.json, &mut referred);
    });
    let referred: BTreeSet<&str> = referred.into_iter().collect();
    for (name, _) in &subject.definition.types {
        let reference = format!("#/types/{}", name.value);
        if !referred.contains(&*reference) {
            let message = format!("nothing refers to the type `{}`", name.value);
            diagnostics.push(
                Diagnostic::warning("unused-type", name.range, message)
                    .help(format!("remove it, or write `{{ $ref: \"{reference}\" }}`")),
            );
        }
    }
}

/// Every schema of the definition and of its libraries.
fn each_schema<'a>(subject: &Subject<'a>, f: &mut dyn FnMut(&'a Schema)) {
    let definition = subject.definition;
    let mut all = vec![&definition.input, &definition.output];
    let libraries = || subject.libraries.iter();
    let activities = definition.activities.iter();
    for activity in activities.chain(libraries().flat_map(|l| &l.activities)) {
        all.extend([&activity.input, &activity.output]);
    }
    for query in &definition.queries {
        all.extend([&query.input, &query.output]);
    }
    for handler in definition.signals.iter().chain(&definition.updates) {
        all.extend([&handler.input, &handler.output]);
    }
    let blocks = definition.blocks.iter();
    for block in blocks.chain(libraries().flat_map(|l| &l.blocks)) {
        all.extend([&block.input, &block.output]);
    }
    all.into_iter().flatten().for_each(&mut *f);
    let types = definition.types.iter();
    let types = types.chain(libraries().flat_map(|l| &l.types));
    types.for_each(|(_, schema)| f(schema));
}
