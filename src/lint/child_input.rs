//! Flags a constant input that breaks the schema of the workflow that it is for, where that workflow is defined in the same files.
//!
//! `child` and `continue_as_new` begin a workflow with an input that its own definition checks. One that is written out without
//! expressions is the same in each run, so each run fails at this step.
//!
//! ```yaml
//! - child: ship-order
//!   input: { order: 17 }     # ship-order requires `address`
//! ```
//!
//! Give the workflow what its schema requires. `segno deploy --check-against` finds the same among all that is deployed.

use super::Subject;
use crate::diagnostic::Diagnostic;
use crate::expression::Code;
use crate::program::{Action, Arguments};
use crate::value::Value;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let program = subject.program;
    for (step, range) in program.steps.iter().zip(&program.ranges) {
        let (workflow, arguments) = match &step.action {
            Action::Child(child) => (Some(&child.child), Some(&child.arguments)),
            // Without a type it is the workflow's own, whose input is checked as it is compiled.
            Action::ContinueAsNew(next) => (next.workflow.as_ref(), next.arguments.as_ref()),
            _ => continue,
        };
        let workflow = workflow.and_then(Code::constant).and_then(Value::as_str);
        let input = arguments.and_then(constant);
        let (Some(workflow), Some(input)) = (workflow, input) else {
            continue;
        };
        let Some(schema) = (subject.input_of)(workflow) else {
            continue;
        };
        if let Some(wrong) = schema.violation(&input) {
            let message = format!("the input breaks the schema of `{workflow}`: {wrong}");
            diagnostics.push(
                Diagnostic::warning("child-input", *range, message)
                    .help(format!("give `{workflow}` what its `input` requires")),
            );
        }
    }
}

/// The input, where no expression is in it.
fn constant(arguments: &Arguments) -> Option<Value> {
    match &*arguments.0 {
        [] => Some(Value::Null),
        [one] => one.constant().cloned(),
        several => {
            let values = several.iter().map(|code| code.constant().cloned());
            Some(Value::list(values.collect::<Option<_>>()?))
        }
    }
}
