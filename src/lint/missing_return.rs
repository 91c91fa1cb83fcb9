//! Flags a workflow, update or block that can end without a `return` although its `output` does not allow null.
//!
//! Only `return` gives a result; steps that end without one result in null. Null is checked against the `output` like any
//! other result, so such an end fails with a `DefinitionError`.
//!
//! ```yaml
//! output: { type: object }
//! steps:
//!   - if: input.amount > 0
//!     then:
//!       - return: { charged: "${ input.amount }" }
//!   # with an amount of 0 there is no result
//! ```
//!
//! Add a `return`, or let the `output` allow null.

use super::{Blocks, Subject, any_step};
use crate::definition::{Action, Awaited, Block, Name, Schema, Step};
use crate::diagnostic::Diagnostic;
use crate::program::Function;
use crate::source::Range;
use crate::value::Value;

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let (definition, program) = (subject.definition, subject.program);
    let libraries = subject.libraries.iter();
    // In the order of the program's functions.
    let blocks: Vec<&Block> = definition
        .blocks
        .iter()
        .chain(libraries.flat_map(|library| &library.blocks))
        .collect();
    let paths = Paths {
        blocks: Blocks::new(subject),
    };
    let mut look =
        |what: &str, name: &Name, output: Option<&Schema>, steps, function: &Function| {
            let allows_null = function.output.as_ref();
            let allows_null =
                allows_null.is_none_or(|schema| schema.violation(&Value::Null).is_none());
            if let (Some(output), false) = (output, allows_null) {
                let what = format!("{what} `{}`", name.value);
                paths.check(&what, name, output, steps, diagnostics);
            }
        };
    let output = definition.output.as_ref();
    look(
        "the workflow",
        &definition.name,
        output,
        &definition.steps,
        &program.main,
    );
    for (update, compiled) in definition.updates.iter().zip(&program.updates) {
        let (output, function) = (update.output.as_ref(), &compiled.function);
        look("the update", &update.name, output, &update.steps, function);
    }
    for (block, function) in blocks.iter().zip(program.functions.iter()) {
        look(
            "the block",
            &block.name,
            block.output.as_ref(),
            &block.steps,
            function,
        );
    }
}

struct Paths<'a> {
    /// Whether a call of each can return.
    blocks: Blocks<'a, bool>,
}

impl Paths<'_> {
    fn check(
        &self,
        what: &str,
        name: &Name,
        output: &Schema,
        steps: &[Step],
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let mut flag = |range: Range, message: String, label: &str| {
            diagnostics.push(
                Diagnostic::warning("missing-return", range, message)
                    .label(label)
                    .annotate(output.range, "null does not match this")
                    .help("add `return: …`, or let the `output` allow null"),
            );
        };
        if self.completes(steps) {
            let last = steps.last().map_or(name.range, |step| step.action.range);
            let message = format!("{what} has an `output` but can end without a `return`");
            flag(last, message, "nothing is returned after this");
        }
        let mut empty = Vec::new();
        each(steps, &mut |step| {
            if let Action::Return(None) = step.action.value {
                empty.push(step.action.range);
            }
        });
        for range in empty {
            let message = format!("{what} has an `output` but returns nothing here");
            flag(range, message, "this returns null");
        }
    }

    /// Whether control can reach the end of the steps.
    fn completes(&self, steps: &[Step]) -> bool {
        steps.iter().all(|step| self.passes(step))
    }

    /// Whether control can continue after the step.
    fn passes(&self, step: &Step) -> bool {
        if step.when.is_some() {
            return true;
        }
        match &step.action.value {
            Action::Return(_)
            | Action::Fail(_)
            | Action::ContinueAsNew(_)
            | Action::Break
            | Action::Continue => false,
            Action::If {
                then, otherwise, ..
            } => self.completes(then) || self.completes(otherwise),
            Action::Switch { cases, default, .. } => {
                let mut cases = cases.iter();
                cases.any(|case| self.completes(&case.steps)) || self.completes(default)
            }
            Action::While { condition, steps } => {
                condition.as_bool() != Some(true) || has_break(steps)
            }
            Action::Repeat { steps, until } => {
                let ends = self.completes(steps) || has_continue(steps);
                ends && until.as_bool() != Some(false) || has_break(steps)
            }
            Action::Parallel { branches, .. } => {
                branches.iter().all(|branch| self.completes(&branch.steps))
            }
            Action::Race { branches } => {
                branches.iter().any(|branch| self.completes(&branch.steps))
            }
            Action::Try(action) => {
                let mut catches = action.catches.iter();
                let ends = self.completes(&action.steps)
                    || catches.any(|catch| self.completes(&catch.steps));
                ends && self.completes(&action.finally)
            }
            Action::Saga { steps, .. } | Action::Do { steps, .. } => self.completes(steps),
            Action::Wait(wait) => {
                let never = |awaited: &Awaited| matches!(awaited, Awaited::Until(condition) if condition.as_bool() == Some(false));
                !never(&wait.awaited)
                    || match (&wait.on_timeout, &wait.timeout) {
                        (Some(steps), _) => self.completes(steps),
                        (None, _) => false,
                    }
            }
            Action::Call { block, .. } => {
                let called = self.blocks.of(&block.value, &|called| {
                    self.completes(&called.steps) || any_step(&called.steps, &is_return)
                });
                called.unwrap_or(true)
            }
            Action::Activity(_)
            | Action::BuiltIn(_)
            | Action::Timer(_)
            | Action::Set(_)
            | Action::ForEach(_)
            | Action::Child(_)
            | Action::Start(_)
            | Action::Await(_)
            | Action::Cancel(_)
            | Action::Signal(_)
            | Action::CancelWorkflow { .. }
            | Action::Nexus(_)
            | Action::Upsert { .. }
            | Action::Log { .. }
            | Action::Details(_) => true,
        }
    }
}

fn is_return(step: &Step) -> bool {
    matches!(step.action.value, Action::Return(_))
}

fn each<'a>(steps: &'a [Step], f: &mut dyn FnMut(&'a Step)) {
    for step in steps {
        f(step);
        step.blocks().iter().for_each(|block| each(block, f));
    }
}

/// Whether a `break` among the steps ends the loop around them.
fn has_break(steps: &[Step]) -> bool {
    leaves_the_loop(steps, &|action| matches!(action, Action::Break))
}

fn has_continue(steps: &[Step]) -> bool {
    leaves_the_loop(steps, &|action| matches!(action, Action::Continue))
}

fn leaves_the_loop(steps: &[Step], is: &dyn Fn(&Action) -> bool) -> bool {
    steps.iter().any(|step| {
        let mut blocks = step.blocks().into_iter();
        // A loop inside has its own.
        let is_inner = step.action.value.facts().is_loop();
        is(&step.action.value) || !is_inner && blocks.any(|block| leaves_the_loop(block, is))
    })
}
