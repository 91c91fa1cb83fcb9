//! Facts about a compiled step, by its kind: [`crate::definition::Kind`] has the table.

use std::sync::Arc;

use super::{Action, Activity, Child, Nexus};
use crate::definition::{Facts, InFlight, Kind};
use crate::expression::Code;

/// An operation outside the workflow, awaited or only started.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation<'a> {
    Activity(&'a Activity),
    Child(&'a Child),
    Nexus(&'a Nexus),
}

impl Action {
    /// A started operation has the kind of the operation itself.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Action::Activity(activity) => match activity.built_in {
                Some(built_in) => Kind::of_built_in(built_in),
                None => Kind::Activity,
            },
            Action::TimerFor(_) | Action::TimerUntil(_) => Kind::Timer,
            Action::WaitSignal { .. } | Action::WaitUntil { .. } => Kind::Wait,
            Action::Set(_) => Kind::Set,
            Action::If { .. } => Kind::If,
            Action::Switch { .. } => Kind::Switch,
            Action::ForEach(_) => Kind::ForEach,
            Action::While { .. } => Kind::While,
            Action::Repeat { .. } => Kind::Repeat,
            Action::Break => Kind::Break,
            Action::Continue => Kind::Continue,
            Action::Parallel { .. } => Kind::Parallel,
            Action::Race { .. } => Kind::Race,
            Action::Try(_) => Kind::Try,
            Action::Saga { .. } => Kind::Saga,
            Action::Do { .. } => Kind::Do,
            Action::Call { .. } => Kind::Call,
            Action::Child(_) => Kind::Child,
            Action::Nexus(_) => Kind::Nexus,
            Action::Await(_) => Kind::Await,
            Action::Cancel(_) => Kind::Cancel,
            Action::Signal(_) => Kind::Signal,
            Action::CancelWorkflow { .. } => Kind::CancelWorkflow,
            Action::ContinueAsNew(_) => Kind::ContinueAsNew,
            Action::Upsert { .. } => Kind::Upsert,
            Action::Log { .. } => Kind::Log,
            Action::Details(_) => Kind::Details,
            Action::Return(_) => Kind::Return,
            Action::FailAgain(_) | Action::Fail(_) => Kind::Fail,
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        self.kind().facts()
    }

    /// Whether a pending cancellation arrives here.
    pub(crate) fn can_wait(&self) -> bool {
        self.facts().waits
    }

    /// Whether steps run inside it.
    pub(crate) fn has_blocks(&self) -> bool {
        self.facts().has_blocks()
    }

    /// What it has in flight on the server; a local activity is only on the worker.
    pub(crate) fn in_flight(&self) -> Option<InFlight> {
        let is_local = matches!(self, Action::Activity(activity) if activity.options.local);
        self.facts().in_flight.filter(|_| !is_local)
    }

    pub(crate) fn operation(&self) -> Option<Operation<'_>> {
        let operation = match self {
            Action::Activity(activity) => Operation::Activity(activity),
            Action::Child(child) => Operation::Child(child),
            Action::Nexus(nexus) => Operation::Nexus(nexus),
            Action::TimerFor(_)
            | Action::TimerUntil(_)
            | Action::WaitSignal { .. }
            | Action::WaitUntil { .. }
            | Action::Set(_)
            | Action::If { .. }
            | Action::Switch { .. }
            | Action::ForEach(_)
            | Action::While { .. }
            | Action::Repeat { .. }
            | Action::Break
            | Action::Continue
            | Action::Parallel { .. }
            | Action::Race { .. }
            | Action::Try(_)
            | Action::Saga { .. }
            | Action::Do { .. }
            | Action::Call { .. }
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
            | Action::Fail(_) => return None,
        };
        Some(operation)
    }

    /// The name of the signal that it waits for.
    pub fn awaited_signal(&self) -> Option<&Arc<str>> {
        if let Action::WaitSignal { name, .. } = self {
            return Some(name);
        }
        None
    }
}

impl Operation<'_> {
    /// The type of the activity or child, or `SERVICE/OPERATION`, unless an expression chooses it.
    pub(crate) fn name(self) -> Option<String> {
        let text = |code: &Code| code.constant()?.as_str().map(str::to_owned);
        match self {
            Operation::Activity(activity) => text(&activity.activity),
            Operation::Child(child) => text(&child.child),
            Operation::Nexus(nexus) => {
                let names = text(&nexus.service).zip(text(&nexus.operation));
                names.map(|(service, operation)| format!("{service}/{operation}"))
            }
        }
    }
}
