//! Flags a `compensate` that can leave an effect behind.
//!
//! A step that completed is undone. A step that is cancelled while it is in flight is waited for, and undone if it completed all
//! the same. This rule flags the steps that can fail although they may have had their effect:
//!
//! - a step that is cancelled without being waited for (`cancellation_type`);
//! - a step whose only attempt can time out, or all its attempts together;
//! - a request or program that a cancellation stops halfway (`local`, `heartbeat_timeout`);
//! - a block that can fail between two effects;
//! - an operation that is only started.
//!
//! ```yaml
//! - activity: charge_card
//!   retry_policy: { maximum_attempts: 1 }      # it may time out after it charged the card
//!   compensate:
//!     - activity: refund_card
//! ```
//!
//! Add `compensate_on: started`, with a compensation that tolerates having nothing to undo. In a block, give each step that has
//! an effect its own `compensate`. If the effect may be left, write `compensate_on: completed`; it silences this rule.

use std::collections::BTreeMap;

use super::{Blocks, Subject};
use crate::definition::{self, Action, InFlight, Operation, Step};
use crate::diagnostic::Diagnostic;
use crate::program::{self, ActivityOptions};
use crate::source::Range;
use crate::value::Value;
use crate::words::{ActivityCancellationType, BuiltIn, ChildCancellationType};

pub(super) fn check(subject: &Subject<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let program = subject.program;
    let compiled: BTreeMap<Range, &program::Step> = program
        .ranges
        .iter()
        .copied()
        .zip(program.steps.iter())
        .collect();
    let started = Effects {
        blocks: Blocks::new(subject),
    };
    subject.each_step(&mut |step| {
        if step.compensate.is_none() || step.compensate_on.is_some() {
            return;
        }
        let Some(compiled) = compiled.get(&step.action.range) else {
            return;
        };
        if let Some((message, help)) = left(step, compiled).or_else(|| started.of_block(step)) {
            diagnostics.push(
                Diagnostic::warning("effect-left", step.action.range, message)
                    .help(help)
                    .help("add `compensate_on: completed` if this is intended"),
            );
        }
    });
}

const NOT_WAITED_FOR: &str =
    "a cancellation does not wait for this step, so its effect can be left behind";
const TIMES_OUT: &str =
    "this step can time out after its effect, but `compensate` undoes only a step that completed";
const STOPPED: &str = "a cancellation can stop this step after its effect";
const ADD_STARTED: &str =
    "add `compensate_on: started`, with a compensation that tolerates having nothing to undo";

/// How the effect of one operation can be left behind, and what to do.
fn left(step: &Step, compiled: &program::Step) -> Option<(&'static str, &'static str)> {
    if let Action::Start(_) = step.action.value {
        let message =
            "an operation that is only started may still be running when `compensate` undoes it";
        return Some((message, "move `compensate` to the step that awaits it"));
    }
    let wait_or_start = "remove `cancellation_type`, or add `compensate_on: started`";
    match compiled.action.operation()? {
        program::Operation::Activity(activity) => {
            use ActivityCancellationType::{Abandon, TryCancel};
            let options = &activity.options;
            if let Some(TryCancel | Abandon) = options.cancellation_type {
                return Some((NOT_WAITED_FOR, wait_or_start));
            }
            if is_stopped_in_the_middle(step, options) {
                return Some((STOPPED, ADD_STARTED));
            }
            can_end_by_a_timeout(options).then_some((TIMES_OUT, ADD_STARTED))
        }
        program::Operation::Child(child) => {
            let options = &child.options;
            if options.cancellation_type != ChildCancellationType::WaitCancellationCompleted {
                return Some((NOT_WAITED_FOR, wait_or_start));
            }
            let times_out = options.workflow_execution_timeout.is_some()
                || options.workflow_run_timeout.is_some();
            times_out.then_some((TIMES_OUT, ADD_STARTED))
        }
        program::Operation::Nexus(nexus) => {
            let times_out =
                nexus.schedule_to_close_timeout.is_some() || nexus.start_to_close_timeout.is_some();
            times_out.then_some((TIMES_OUT, ADD_STARTED))
        }
    }
}

/// An attempt that times out is otherwise followed by another, which detects the effect.
fn can_end_by_a_timeout(options: &ActivityOptions) -> bool {
    let attempts = options
        .retry_policy
        .as_ref()
        .and_then(|policy| policy.maximum_attempts.as_ref());
    let is_only_one = attempts.is_some_and(|most| most.constant() == Some(&Value::Int(1)));
    is_only_one || options.schedule_to_close_timeout.is_some()
}

/// A cancellation reaches a request or a program if it runs locally or sends heartbeats, and ends it.
fn is_stopped_in_the_middle(step: &Step, options: &ActivityOptions) -> bool {
    let Action::BuiltIn(call) = &step.action.value else {
        return false;
    };
    let is_reached = options.local || options.heartbeat_timeout.is_some();
    is_reached && call.kind != BuiltIn::Callback && changes_something(call)
}

struct Effects<'a> {
    blocks: Blocks<'a, usize>,
}

impl Effects<'_> {
    /// A block with several effects can fail between two of them.
    fn of_block(&self, step: &Step) -> Option<(&'static str, &'static str)> {
        let is_block = matches!(step.action.value, Action::Call { .. }) || step.blocks().len() > 1;
        if !is_block || self.inside(step) < 2 {
            return None;
        }
        let message = "this step can fail between its effects, but `compensate` undoes only a step that completed";
        let help = "give each step inside that has an effect its own `compensate`, or add `compensate_on: started`";
        Some((message, help))
    }

    /// The number of effects that a step may have before it fails, counted up to two.
    fn of(&self, step: &Step) -> usize {
        if step.compensate.is_some() {
            return 0;
        }
        let action = &step.action.value;
        let is_effect = match action.operation() {
            Some(Operation::BuiltIn(call)) => changes_something(call),
            Some(Operation::Activity(_) | Operation::Child | Operation::Nexus) => true,
            None => action.facts().in_flight == Some(InFlight::Signal),
        };
        at_most_two(usize::from(is_effect) + self.inside(step))
    }

    fn several(&self, steps: &[Step]) -> usize {
        at_most_two(steps.iter().map(|step| self.of(step)).sum())
    }

    fn inside(&self, step: &Step) -> usize {
        let several = |steps: &[Step]| self.several(steps);
        match &step.action.value {
            Action::If {
                then, otherwise, ..
            } => several(then).max(several(otherwise)),
            Action::Switch { cases, default, .. } => {
                let cases = cases.iter().map(|case| several(&case.steps));
                cases.max().unwrap_or(0).max(several(default))
            }
            Action::ForEach(for_each) => 2 * several(&for_each.steps),
            Action::While { steps, .. } | Action::Repeat { steps, .. } => 2 * several(steps),
            Action::Parallel { branches, .. } | Action::Race { branches } => {
                branches.iter().map(|branch| several(&branch.steps)).sum()
            }
            Action::Try(action) => {
                let catches = action.catches.iter().map(|catch| several(&catch.steps));
                several(&action.steps) + catches.max().unwrap_or(0) + several(&action.finally)
            }
            Action::Saga { steps, .. } | Action::Do { steps, .. } => several(steps),
            Action::Wait(wait) => wait.on_timeout.as_deref().map_or(0, several),
            Action::Call { block, .. } => {
                let called = self.blocks.of(&block.value, &|b| several(&b.steps));
                called.unwrap_or(0)
            }
            Action::Activity(_)
            | Action::BuiltIn(_)
            | Action::Timer(_)
            | Action::Set(_)
            | Action::Break
            | Action::Continue
            | Action::Child(_)
            | Action::Start(_)
            | Action::Await(_)
            | Action::Cancel(_)
            | Action::Signal(_)
            | Action::CancelWorkflow { .. }
            | Action::Nexus(_)
            | Action::ContinueAsNew(_)
            | Action::Upsert { .. }
            | Action::Log { .. }
            | Action::Details(_)
            | Action::Return(_)
            | Action::Fail(_) => 0,
        }
    }
}

/// More than one effect is as bad as many; exact counts could grow without bound.
fn at_most_two(effects: usize) -> usize {
    effects.min(2)
}

/// An `http` request that only reads has no effect.
fn changes_something(call: &definition::BuiltInStep) -> bool {
    let is_read = |method: &str| matches!(method.to_ascii_uppercase().as_str(), "GET" | "HEAD");
    let method = call.request.beginning_of("method");
    call.kind != BuiltIn::Http || method.is_some_and(|(_, method)| !is_read(method))
}
