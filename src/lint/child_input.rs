//! Flags a constant input that breaks the schema of the started workflow, if that workflow is defined in the same files.
//!
//! `child` and `continue_as_new` start a workflow with an input that its definition checks. An input without expressions is the
//! same in each run, so each run fails at this step: this is an error. It is only a warning if the child has a `task_queue`, since
//! another worker may serve another definition of that name there.
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
    for (step, range) in program.steps.iter().zip(program.ranges.iter()) {
        let (workflow, arguments, queue) = if let Action::Child(child) = &step.action {
            let queue = child.options.task_queue.as_ref();
            (Some(&child.child), Some(&child.arguments), queue)
        } else if let Action::ContinueAsNew(next) = &step.action {
            // Without a type it is the workflow's own, whose input is checked when it is compiled.
            let queue = next.task_queue.as_ref();
            (next.workflow.as_ref(), next.arguments.as_ref(), queue)
        } else {
            continue;
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
            let diagnostic = match queue {
                None => Diagnostic::error("child-input", *range, message),
                Some(_) => Diagnostic::warning("child-input", *range, message)
                    .help("a worker of the other task queue may have another definition of it"),
            };
            diagnostics
                .push(diagnostic.help(format!("give `{workflow}` what its `input` requires")));
        }
    }
}

/// The input, if it contains no expression.
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
