//! The branches of a program's steps, and its functions.

use std::sync::Arc;

use crate::program::{Action, Program, Step};
use crate::words::{BlockId, StepId};

/// One branch of a step.
pub(crate) struct Arm {
    pub(crate) step: StepId,
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) way: Way,
}

/// What shows that it was taken.
pub(crate) enum Way {
    Block(BlockId),
    BodyLeftOut,
    Skipped,
    NotSkipped,
    RaceWonBy(u32),
}

pub(crate) fn arms(program: &Program) -> Vec<Arm> {
    let mut arms = Vec::new();
    for (index, step) in program.steps.numbered() {
        let ways = ways(step).into_iter().enumerate();
        arms.extend(ways.map(|(i, (name, way))| Arm {
            step: StepId(index),
            index: i as u32,
            name,
            way,
        }));
    }
    arms
}

fn ways(step: &Step) -> Vec<(String, Way)> {
    let mut ways = Vec::new();
    if step.when.is_some() {
        ways.push(("`when` holds".to_owned(), Way::NotSkipped));
        ways.push(("`when` does not hold".to_owned(), Way::Skipped));
    }
    match &step.action {
        Action::If {
            then, otherwise, ..
        } => {
            ways.push(("then".into(), Way::Block(*then)));
            ways.push(("else".into(), Way::Block(*otherwise)));
        }
        Action::Switch { cases, default, .. } => {
            let cases = cases.iter().enumerate();
            ways.extend(cases.map(|(i, c)| (format!("case {}", i + 1), Way::Block(c.body))));
            ways.push(("default".into(), Way::Block(*default)));
        }
        Action::ForEach(for_each) => {
            ways.push(("some turns".into(), Way::Block(for_each.body)));
            ways.push(("no turn".into(), Way::BodyLeftOut));
        }
        Action::While { body, .. } => {
            ways.push(("some turns".into(), Way::Block(*body)));
            ways.push(("no turn".into(), Way::BodyLeftOut));
        }
        Action::Race { branches } => {
            let branches = branches.iter().enumerate();
            ways.extend(
                branches.map(|(i, (name, _))| (format!("{name} wins"), Way::RaceWonBy(i as u32))),
            );
        }
        Action::Try(action) => {
            ways.extend(action.catches.iter().map(|catch| {
                let name = match catch.errors.as_slice() {
                    [] => "catch".to_owned(),
                    errors => format!("catch {}", errors.join(", ")),
                };
                (name, Way::Block(catch.body))
            }));
        }
        Action::WaitSignal { on_timeout, .. } | Action::WaitUntil { on_timeout, .. } => {
            ways.extend(on_timeout.map(|block| ("on_timeout".into(), Way::Block(block))));
        }
        // There is only one way through them.
        Action::Activity(_)
        | Action::TimerFor(_)
        | Action::TimerUntil(_)
        | Action::Set(_)
        | Action::Repeat { .. }
        | Action::Break
        | Action::Continue
        | Action::Parallel { .. }
        | Action::Saga { .. }
        | Action::Do { .. }
        | Action::Call { .. }
        | Action::Child(_)
        | Action::Nexus(_)
        | Action::Await(_)
        | Action::Cancel(_)
        | Action::Signal(_)
        | Action::CancelWorkflow { .. }
        | Action::ContinueAsNew(_)
        | Action::Upsert { .. }
        | Action::Log { .. }
        | Action::Details(_)
        | Action::Return(_)
        | Action::FailAgain(_)
        | Action::Fail(_) => {}
    }
    ways
}

/// The workflow's body, its handlers and the blocks that steps call.
pub(crate) fn functions(program: &Program) -> Vec<(Arc<str>, BlockId)> {
    let named = |kind: &str, name: &str| Arc::from(format!("{kind} {name}"));
    let signals = program.signals.iter().map(|h| ("signal", &h.function));
    let updates = program.updates.iter().map(|h| ("update", &h.function));
    let blocks = program.functions.iter().map(|f| ("block", f));
    let main = std::iter::once(("workflow", &program.main));
    let all = main.chain(signals).chain(updates).chain(blocks);
    all.map(|(kind, f)| (named(kind, &f.name), f.body))
        .collect()
}
