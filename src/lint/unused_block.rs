//! Flags a block of `blocks` that no `call` names.
//!
//! Blocks of files that are shared by `use` are not flagged: another definition may call them.
//!
//! Remove the block, or call it.

use std::collections::BTreeSet;

use super::Subject;
use crate::diagnostic::Diagnostic;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let mut called = BTreeSet::new();
    subject.each_step(&mut |step| {
        called.extend(step.called().map(|block| &*block.value));
    });
    for block in &subject.definition.blocks {
        if !called.contains(&*block.name.value) {
            let message = format!("nothing calls the block `{}`", block.name.value);
            diagnostics.push(
                Diagnostic::warning("unused-block", block.name.range, message)
                    .help(format!("remove it, or write `call: {}`", block.name.value)),
            );
        }
    }
}
